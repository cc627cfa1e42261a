package audio

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// decodeMatroska decodes the first audio track of the Matroska or WebM file in r, of Opus or Vorbis (RFC 9559). It reads elements in
// order and needs neither sizes of segment and clusters, which live recordings leave open, nor an index.
func decodeMatroska(r *bufio.Reader, s *sink) error {
	m := &mkvReader{r: r}
	track, err := m.track()
	if err != nil {
		return err
	}
	codec, err := newMKVCodec(track, s)
	if err != nil {
		return err
	}
	if err := m.blocks(track.number, codec); err != nil {
		return err
	}
	return codec.finish()
}

// sniffMatroska tells what the Matroska file that begins with head holds.
func sniffMatroska(head []byte) (format, error) {
	m := &mkvReader{r: bufio.NewReader(bytes.NewReader(head))}
	track, err := m.track()
	switch {
	case errors.Is(err, ErrTruncated) && len(head) == sniffLength: // the tracks lie further behind
		return format{kindFFmpeg, "Matroska/WebM", "matroska"}, nil
	case err != nil:
		return format{}, err
	case !track.encoded && (track.codec == mkvVorbis || track.codec == mkvOpus && opusMapped(track.private)):
		return format{kind: kindMatroska}, nil
	}
	return format{kindFFmpeg, fmt.Sprintf("Matroska/WebM (%.20q)", track.codec), "matroska"}, nil
}

// ebmlMagic is the first element's ID.
const ebmlMagic = "\x1a\x45\xdf\xa3"

// The IDs of the elements that are read, markers included (RFC 9559 section 5.1).
const (
	mkvSegment        = 0x18538067
	mkvTracks         = 0x1654ae6b
	mkvTrackEntry     = 0xae
	mkvTrackNumber    = 0xd7
	mkvTrackType      = 0x83
	mkvCodecID        = 0x86
	mkvCodecPrivate   = 0x63a2
	mkvEncodings      = 0x6d80
	mkvCluster        = 0x1f43b675
	mkvBlockGroup     = 0xa0
	mkvBlock          = 0xa1
	mkvSimpleBlock    = 0xa3
	mkvDiscardPadding = 0x75a2
)

const (
	mkvOpus   = "A_OPUS"
	mkvVorbis = "A_VORBIS"

	mkvTypeAudio = 2
	mkvUnknown   = -1      // the size of an element that its writer did not know
	maxMKVTracks = 1 << 20 // bytes of the description of all tracks
	maxMKVBlock  = 1 << 20 // bytes of a block of sound
)

var errNoAudio = fmt.Errorf("%w: Matroska/WebM without an audio track", ErrFormat)

// mkvTrack is what a file says of a track.
type mkvTrack struct {
	number  uint64
	kind    uint64
	codec   string
	private []byte // headers of the codec
	encoded bool   // compressed or encrypted beyond the codec
}

// mkvCodec decodes the packets of a track.
type mkvCodec interface {
	// block takes the packets of a block, from whose end so many nanoseconds are to be cut off.
	block(packets [][]byte, discard time.Duration) error
	finish() error
}

// mkvReader reads elements.
type mkvReader struct {
	r   *bufio.Reader
	pos int64
	end int64 // where the segment's size says that it ends, or 0
}

// full reads len(p) bytes.
func (m *mkvReader) full(p []byte) error {
	n, err := io.ReadFull(m.r, p)
	m.pos += int64(n)
	return m.readError(err)
}

// skip skips n bytes.
func (m *mkvReader) skip(n int64) error {
	skipped, err := io.CopyN(io.Discard, m.r, n)
	m.pos += skipped
	return m.readError(err)
}

func (m *mkvReader) readError(err error) error {
	switch {
	case err == nil:
		return nil
	case isEOF(err):
		return fmt.Errorf("%w: Matroska ends within an element, at byte %d", ErrTruncated, m.pos)
	}
	return fmt.Errorf("audio: read Matroska: %w", err)
}

// element reads the head of the next element. io.EOF is the end of the input before one.
func (m *mkvReader) element() (id uint32, size int64, err error) {
	if _, err := m.r.Peek(1); err != nil {
		if err != io.EOF {
			return 0, 0, m.readError(err)
		}
		if m.pos < m.end {
			return 0, 0, promised(m.end, m.pos, "bytes")
		}
		return 0, 0, io.EOF
	}
	raw, width, err := m.vint()
	if err != nil {
		return 0, 0, err
	}
	if width > 4 {
		return 0, 0, fmt.Errorf("%w: Matroska element expected at byte %d", ErrFormat, m.pos)
	}
	id = uint32(raw)
	if raw, width, err = m.vint(); err != nil {
		return 0, 0, err
	}
	mask := uint64(1)<<(7*width) - 1
	if raw&mask == mask {
		return id, mkvUnknown, nil
	}
	return id, int64(raw & mask), nil
}

// vint reads a number of 1 to 8 bytes, its marker included; the width is told by the first byte (RFC 8794 section 4).
func (m *mkvReader) vint() (raw uint64, width int, err error) {
	var b [8]byte
	if err := m.full(b[:1]); err != nil {
		return 0, 0, err
	}
	if width = bits.LeadingZeros8(b[0]) + 1; width > len(b) {
		return 0, 0, fmt.Errorf("%w: Matroska element expected at byte %d", ErrFormat, m.pos)
	}
	if err := m.full(b[1:width]); err != nil {
		return 0, 0, err
	}
	for _, v := range b[:width] {
		raw = raw<<8 | uint64(v)
	}
	return raw, width, nil
}

// sized is a size that must be known, and at most max.
func (m *mkvReader) sized(id uint32, size, max int64) error {
	if size == mkvUnknown || size > max {
		return fmt.Errorf("%w: Matroska element %x of %d bytes", ErrFormat, id, size)
	}
	return nil
}

// body reads the content of an element of at most max bytes.
func (m *mkvReader) body(id uint32, size, max int64) ([]byte, error) {
	if err := m.sized(id, size, max); err != nil {
		return nil, err
	}
	var b bytes.Buffer // grows as bytes come, whatever the size says
	n, err := io.CopyN(&b, m.r, size)
	m.pos += n
	return b.Bytes(), m.readError(err)
}

// track reads up to the description of the tracks and returns the first audio track.
func (m *mkvReader) track() (mkvTrack, error) {
	for {
		id, size, err := m.element()
		switch {
		case err == io.EOF || err == nil && id == mkvCluster:
			return mkvTrack{}, fmt.Errorf("%w: Matroska without a description of its tracks", ErrFormat)
		case err != nil:
			return mkvTrack{}, err
		case id == mkvSegment:
			if size != mkvUnknown {
				m.end = m.pos + size
			}
		case id == mkvTracks:
			b, err := m.body(id, size, maxMKVTracks)
			if err != nil {
				return mkvTrack{}, err
			}
			return parseMKVTracks(b)
		default:
			if err := m.sized(id, size, 1<<62); err != nil {
				return mkvTrack{}, err
			}
			if err := m.skip(size); err != nil {
				return mkvTrack{}, err
			}
		}
	}
}

// parseMKVTracks returns the first audio track of the content of a Tracks element.
func parseMKVTracks(b []byte) (mkvTrack, error) {
	for {
		id, entry, rest, err := mkvChild(b)
		if err == io.EOF {
			return mkvTrack{}, errNoAudio
		}
		if err != nil {
			return mkvTrack{}, err
		}
		b = rest
		if id != mkvTrackEntry {
			continue
		}
		track, err := parseMKVTrack(entry)
		if err != nil || track.kind == mkvTypeAudio {
			return track, err
		}
	}
}

func parseMKVTrack(b []byte) (t mkvTrack, err error) {
	for {
		id, body, rest, err := mkvChild(b)
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return t, err
		}
		b = rest
		switch id {
		case mkvTrackNumber:
			t.number = mkvUint(body)
		case mkvTrackType:
			t.kind = mkvUint(body)
		case mkvCodecID:
			t.codec = string(bytes.TrimRight(body, "\x00"))
		case mkvCodecPrivate:
			t.private = body
		case mkvEncodings:
			t.encoded = true
		}
	}
}

// mkvChild splits the first element off b. io.EOF: b is empty.
func mkvChild(b []byte) (id uint32, body, rest []byte, err error) {
	m := &mkvReader{r: bufio.NewReaderSize(bytes.NewReader(b[:min(len(b), 16)]), 16)}
	id, size, err := m.element()
	if err != nil {
		return 0, nil, nil, err
	}
	if b = b[m.pos:]; size == mkvUnknown || size > int64(len(b)) {
		return 0, nil, nil, fmt.Errorf("%w: Matroska element %x of %d bytes within one of %d", ErrFormat, id, size, len(b))
	}
	return id, b[:size], b[size:], nil
}

func mkvUint(b []byte) (v uint64) {
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

// newMKVCodec is the codec of a track.
func newMKVCodec(track mkvTrack, s *sink) (mkvCodec, error) {
	const container = "Matroska/WebM"
	if track.codec == mkvOpus {
		stream, err := newOpusStream(track.private, container, s)
		if err != nil {
			return nil, err
		}
		return mkvOpusTrack{stream}, nil
	}
	// The three headers, laced.
	packets, err := mkvPackets(1, track.private)
	if err != nil || len(packets) != vorbisHeaders {
		return nil, fmt.Errorf("%w: Matroska with malformed Vorbis headers", ErrFormat)
	}
	v := &vorbisStream{container: container, sink: s}
	return mkvVorbisTrack{v}, v.open(packets[0], packets[2])
}

// mkvOpusTrack is an opusStream in Matroska.
type mkvOpusTrack struct{ *opusStream }

func (t mkvOpusTrack) block(packets [][]byte, discard time.Duration) error {
	for i, p := range packets {
		keep := -1
		if n, err := opusSamples(p); err == nil && discard > 0 && i == len(packets)-1 {
			keep = max(0, n-int(min(discard.Seconds(), 1)*opusRate+0.5))
		}
		if err := t.packet(p, keep); err != nil {
			return err
		}
	}
	return nil
}

// mkvVorbisTrack is a vorbisStream in Matroska.
type mkvVorbisTrack struct{ *vorbisStream }

func (t mkvVorbisTrack) block(packets [][]byte, _ time.Duration) error {
	for _, p := range packets {
		if _, err := t.packet(p, -1); err != nil {
			return err
		}
	}
	return nil
}
