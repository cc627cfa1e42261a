package audio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// kind is the reader of this package that takes a container.
type kind int

const (
	kindWAV kind = iota
	kindFLAC
	kindMP3
	kindOgg      // Opus or Vorbis
	kindMatroska // Opus or Vorbis
	kindFFmpeg
)

// format is what a file was found to be.
type format struct {
	kind    kind
	name    string // of kindFFmpeg, for errors and Source.Format
	demuxer string // of kindFFmpeg: ffmpeg's name of the container
}

// sniffLength is how many bytes sniff may look at: enough for the tracks of a Matroska file, and for junk before the first frame of an MP3.
const sniffLength = 1 << 16

// signature says that bytes at offset name a format.
type signature struct {
	offset  int
	bytes   string
	format  string
	demuxer string // ffmpeg's, or "" where there is no sound in it or ffmpeg does not read it
}

// foreign are the formats that this package knows by name alone, the more specific first.
var foreign = []signature{
	{4, "ftypM4A", "MP4/M4A", "mov"},
	{4, "ftypqt", "QuickTime", "mov"},
	{4, "ftyp", "MP4", "mov"},
	{4, "moov", "QuickTime", "mov"},
	{0, "RIFX", "big-endian WAV (RIFX)", ""},
	{0, "riff\x2e\x91\xcf\x11", "Sony Wave64", "w64"},
	{8, "AVI ", "AVI", "avi"},
	{8, "AIFF", "AIFF", "aiff"},
	{8, "AIFC", "AIFF-C", "aiff"},
	{0, "caff", "Core Audio (CAF)", "caf"},
	{0, ".snd", "Sun AU", "au"},
	{0, "#!AMR", "AMR", "amr"},
	{0, "wvpk", "WavPack", "wv"},
	{0, "MAC ", "Monkey's Audio", "ape"},
	{0, "TTA1", "True Audio", "tta"},
	{0, "NIST_1A", "NIST SPHERE", "nistsphere"},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF/WMA", "asf"},
	{0, "FLV\x01", "FLV", "flv"},
	{0, "ADIF", "AAC (ADIF)", ""},
	{0, "MThd", "MIDI", ""},
	{0, "PK\x03\x04", "ZIP", ""},
	{0, "\x1f\x8b", "gzip", ""},
	{0, "%PDF", "PDF", ""},
	{0, "\x89PNG", "PNG", ""},
	{0, "\xff\xd8\xff", "JPEG", ""},
}

// sniff tells the format by the bytes at r's front and leaves r at its start, behind the ID3v2 tags that may precede any format.
// What is no sound is ErrFormat with the name of the format if it is known; no bytes at all are ErrEmpty.
func sniff(r *bufio.Reader) (format, error) {
	tagged := false
	for {
		head, err := r.Peek(sniffLength)
		if err != nil && err != io.EOF {
			return format{}, fmt.Errorf("audio: read: %w", err)
		}
		if len(head) == 0 && !tagged {
			return format{}, fmt.Errorf("%w: no bytes", ErrEmpty)
		}
		if !has(head, 0, "ID3") {
			return sniffHead(head, tagged)
		}
		if err := skipID3(r, head); err != nil {
			return format{}, err
		}
		tagged = true
	}
}

// skipID3 skips the ID3v2 tag at the front of r, which begins with head.
func skipID3(r *bufio.Reader, head []byte) error {
	const (
		header = 10
		footer = 0x10 // the flag that a copy of the header follows the tag
	)
	if len(head) < header {
		return fmt.Errorf("%w: ID3 tag header of %d bytes, want %d", ErrTruncated, len(head), header)
	}
	size := int64(header)
	for i, b := range head[6:header] {
		size += int64(b&0x7f) << (7 * (3 - i)) // synchsafe: seven bits a byte
	}
	if head[5]&footer != 0 {
		size += header
	}
	if n, err := io.CopyN(io.Discard, r, size); isEOF(err) {
		return fmt.Errorf("%w: ID3 tag promises %d bytes, file holds %d", ErrTruncated, size, n)
	} else if err != nil {
		return fmt.Errorf("audio: read: %w", err)
	}
	return nil
}

// sniffHead tells the format of a file that begins with head, behind a tag or not.
func sniffHead(head []byte, tagged bool) (format, error) {
	riff := has(head, 0, "RIFF") || has(head, 0, "RF64") || has(head, 0, "BW64")
	switch {
	case riff && has(head, 8, "WAVE"):
		return format{kind: kindWAV}, nil
	case riff && len(head) < 12:
		return format{}, fmt.Errorf("%w: RIFF header of %d bytes, want 12", ErrTruncated, len(head))
	case has(head, 0, "fLaC"):
		return format{kind: kindFLAC}, nil
	case has(head, 0, "OggS"):
		return sniffOgg(head), nil
	case has(head, 0, ebmlMagic):
		return sniffMatroska(head)
	}
	for _, s := range foreign {
		switch {
		case !has(head, s.offset, s.bytes):
		case s.demuxer == "":
			return format{}, fmt.Errorf("%w: %s", ErrFormat, s.format)
		default:
			return format{kindFFmpeg, s.format, s.demuxer}, nil
		}
	}
	if found, ok := sniffMPEG(head); ok {
		return found, nil
	}
	return format{}, fmt.Errorf("%w: %s", ErrFormat, unknown(head, tagged))
}

// sniffMPEG looks for MPEG audio: frames of layer III wherever they begin, as of players that cut a broadcast anywhere, and those of
// other layers at the front.
func sniffMPEG(head []byte) (format, bool) {
	// An MPEG audio frame begins with eleven set bits; layer bits 00 are those of AAC in ADTS, where a twelfth bit is set.
	if len(head) > 2 && head[0] == 0xff && head[1]&0xe0 == 0xe0 {
		switch layer := head[1] >> 1 & 3; {
		case layer == 0 && head[1]&0xf0 == 0xf0:
			return format{kindFFmpeg, "AAC (ADTS)", "aac"}, true
		case layer == 2 && head[2]>>4 != 0xf:
			return format{kindFFmpeg, "MPEG audio, layer II", "mp3"}, true
		}
	}
	h, ok := findMP3(head)
	if ok && h.version == mpeg25 {
		return format{kindFFmpeg, "MP3 (MPEG 2.5)", "mp3"}, true
	}
	return format{kind: kindMP3}, ok
}

// unknown describes a file that begins with head, which nothing recognised.
func unknown(head []byte, tagged bool) string {
	switch {
	case len(head) == 0:
		return "an ID3 tag and nothing behind it"
	case has(head, 0, "RIFF") && len(head) >= 12:
		return fmt.Sprintf("RIFF of type %q, not WAVE", head[8:12])
	case tagged:
		return fmt.Sprintf("unknown content behind an ID3 tag (first bytes % x)", head[:min(len(head), 8)])
	case isText(head):
		return "text, not audio"
	}
	return fmt.Sprintf("unknown content (first bytes % x)", head[:min(len(head), 8)])
}

// isText tells whether head could begin a text in UTF-8.
func isText(head []byte) bool {
	if i := bytes.IndexFunc(head, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' }); i >= 0 {
		return false
	}
	// A rune may be cut in two at the end.
	for cut := range utf8.UTFMax {
		if cut < len(head) && utf8.Valid(head[:len(head)-cut]) {
			return true
		}
	}
	return false
}

func has(head []byte, offset int, s string) bool {
	return len(head) >= offset+len(s) && string(head[offset:offset+len(s)]) == s
}
