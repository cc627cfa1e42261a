package audio

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// kind is a container that Decode reads.
type kind int

const (
	kindWAV kind = iota
	kindFLAC
)

// sniffLength is how many bytes sniff may look at. The first page of an Ogg stream and the brand of an MP4 lie well within it.
const sniffLength = 4096

// signature says that bytes at offset name a format.
type signature struct {
	offset int
	bytes  string
	format string
}

// foreign are the formats that are recognised only to be named in an error, the more specific first.
var foreign = []signature{
	{28, "OpusHead", "Ogg Opus"},
	{29, "vorbis", "Ogg Vorbis"},
	{29, "FLAC", "Ogg FLAC"},
	{28, "Speex", "Ogg Speex"},
	{0, "OggS", "Ogg"},
	{4, "ftypM4A", "MP4/M4A (AAC or ALAC)"},
	{4, "ftypqt", "QuickTime"},
	{4, "ftyp", "MP4"},
	{0, "\x1a\x45\xdf\xa3", "Matroska/WebM"},
	{0, "RIFX", "big-endian WAV (RIFX)"},
	{0, "riff\x2e\x91\xcf\x11", "Sony Wave64"},
	{8, "AVI ", "AVI"},
	{8, "AIFF", "AIFF"},
	{8, "AIFC", "AIFF-C"},
	{0, "caff", "Core Audio (CAF)"},
	{0, ".snd", "Sun AU"},
	{0, "#!AMR", "AMR"},
	{0, "wvpk", "WavPack"},
	{0, "MAC ", "Monkey's Audio"},
	{0, "TTA1", "True Audio"},
	{0, "NIST_1A", "NIST SPHERE"},
	{0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF/WMA"},
	{0, "FLV\x01", "FLV"},
	{0, "ADIF", "AAC"},
	{0, "MThd", "MIDI"},
	{0, "PK\x03\x04", "ZIP"},
	{0, "\x1f\x8b", "gzip"},
	{0, "%PDF", "PDF"},
	{0, "\x89PNG", "PNG"},
	{0, "\xff\xd8\xff", "JPEG"},
}

// sniff tells the container by the bytes at r's front and leaves r at its start (behind an ID3v2 tag, if one precedes FLAC).
// Anything but WAV and FLAC is ErrFormat with the name of the format if it is known; no bytes at all are ErrEmpty.
func sniff(r *bufio.Reader) (kind, error) {
	head, err := r.Peek(sniffLength)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("audio: read: %w", err)
	}
	if len(head) == 0 {
		return 0, fmt.Errorf("%w: no bytes", ErrEmpty)
	}
	if has(head, 0, "ID3") {
		return sniffTagged(r, head)
	}
	riff := has(head, 0, "RIFF") || has(head, 0, "RF64") || has(head, 0, "BW64")
	switch {
	case riff && has(head, 8, "WAVE"):
		return kindWAV, nil
	case riff && len(head) < 12:
		return 0, fmt.Errorf("%w: RIFF header of %d bytes, want 12", ErrTruncated, len(head))
	case has(head, 0, "fLaC"):
		return kindFLAC, nil
	}
	return 0, fmt.Errorf("%w: %s; WAV and FLAC are read", ErrFormat, foreignName(head))
}

// sniffTagged looks behind the ID3v2 tag at r's front: MP3 files begin with one, and some FLAC files.
func sniffTagged(r *bufio.Reader, head []byte) (kind, error) {
	const header = 10
	if len(head) < header {
		return 0, fmt.Errorf("%w: ID3 tag header of %d bytes, want %d", ErrTruncated, len(head), header)
	}
	size := int64(header)
	for i, b := range head[6:header] {
		size += int64(b&0x7f) << (7 * (3 - i)) // synchsafe: seven bits a byte
	}
	if _, err := io.CopyN(io.Discard, r, size); err != nil {
		if isEOF(err) {
			return 0, fmt.Errorf("%w: MP3, cut within its ID3 tag; WAV and FLAC are read", ErrFormat)
		}
		return 0, fmt.Errorf("audio: read: %w", err)
	}
	behind, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return 0, fmt.Errorf("audio: read: %w", err)
	}
	if has(behind, 0, "fLaC") {
		return kindFLAC, nil
	}
	return 0, fmt.Errorf("%w: MP3; WAV and FLAC are read", ErrFormat)
}

// foreignName names the format of a file that begins with head.
func foreignName(head []byte) string {
	for _, s := range foreign {
		if has(head, s.offset, s.bytes) {
			return s.format
		}
	}
	// An MPEG audio frame begins with eleven set bits; layer bits 00 are those of AAC in ADTS.
	if len(head) > 2 && head[0] == 0xff && head[1]&0xe0 == 0xe0 {
		switch layer := head[1] >> 1 & 3; {
		case layer == 0 && head[1]&0xf0 == 0xf0:
			return "AAC (ADTS)"
		case layer == 1 && head[2]>>4 != 0xf:
			return "MP3"
		case layer == 2 && head[2]>>4 != 0xf:
			return "MPEG audio, layer II"
		}
	}
	if has(head, 0, "RIFF") && len(head) >= 12 {
		return fmt.Sprintf("RIFF of type %q, not WAVE", head[8:12])
	}
	if isText(head) {
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
