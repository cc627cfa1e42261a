package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hajimehoshi/go-mp3"
)

// decodeMP3 decodes the MPEG-1 or MPEG-2 layer III stream in r by hajimehoshi/go-mp3, which is given one whole frame at a time. Tags and
// junk between frames are skipped. The delay and the padding of the encoder, where the file states them, are cut off, as LAME's and
// FFmpeg's readers do.
func decodeMP3(r *bufio.Reader, s *sink) error {
	m := &mp3Frames{r: r}
	frame, h, err := m.next()
	if err == io.EOF {
		return fmt.Errorf("%w: MP3 without a whole frame", ErrTruncated)
	}
	if err != nil {
		return err
	}
	if err := s.open("MP3", h.rate, h.channels); err != nil {
		return err
	}
	info, isInfo := parseMP3Info(frame, h)
	d := &mp3Decoder{info: info, sink: s, skip: info.delay, held: make([]float32, 0, (info.padding+h.samples())*h.channels)}
	if isInfo {
		frame, h, err = m.next()
	}
	for ; err == nil; frame, h, err = m.next() {
		if err := d.add(frame, h); err != nil {
			return err
		}
	}
	if err != io.EOF {
		return err
	}
	return d.finish()
}

// mp3Version is the version of MPEG as a frame header states it.
type mp3Version int

const (
	mpeg25 mp3Version = 0
	mpeg2  mp3Version = 2
	mpeg1  mp3Version = 3
)

// mp3Header is what the four bytes before a frame of layer III say (ISO/IEC 11172-3 2.4.2.3, 13818-3 2.4.2.3).
type mp3Header struct {
	version  mp3Version
	rate     int // Hz
	channels int
	size     int // bytes of the frame, these four included
	crc      bool
}

const mp3HeaderSize = 4

// parseMP3Header reads the header at the front of b; !ok is none of layer III, or one of a free bit rate, which no reader here knows.
func parseMP3Header(b []byte) (h mp3Header, ok bool) {
	const layerIII = 1
	if len(b) < mp3HeaderSize || b[0] != 0xff || b[1]&0xe0 != 0xe0 || b[1]>>1&3 != layerIII {
		return h, false
	}
	version := mp3Version(b[1] >> 3 & 3)
	rate, bitRate := int(b[2]>>2&3), int(b[2]>>4)
	const reservedEmphasis = 2
	if version == 1 || rate == 3 || bitRate == 0 || bitRate == 15 || b[3]&3 == reservedEmphasis {
		return h, false
	}
	h = mp3Header{version: version, rate: [3]int{44100, 48000, 32000}[rate], channels: 2, crc: b[1]&1 == 0}
	kilobits := [15]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[bitRate]
	if version != mpeg1 {
		h.rate /= 2
		kilobits = [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[bitRate]
	}
	if version == mpeg25 {
		h.rate /= 2
	}
	if b[3]>>6 == 3 {
		h.channels = 1
	}
	h.size = h.samples()/8*kilobits*1000/h.rate + int(b[2]>>1&1)
	return h, true
}

// samples is the number of sample frames in a frame.
func (h mp3Header) samples() int {
	if h.version == mpeg1 {
		return 1152
	}
	return 576
}

// parts are what a frame holds behind header and CRC: the side info, which tells how to decode it, and its main data.
func (h mp3Header) parts(frame []byte) (side, main []byte) {
	at := mp3HeaderSize
	if h.crc {
		at += 2
	}
	end := at + h.sideInfoSize()
	if end > len(frame) {
		return nil, nil
	}
	return frame[at:end], frame[end:]
}

func (h mp3Header) sideInfoSize() int {
	switch {
	case h.version == mpeg1 && h.channels == 2:
		return 32
	case h.version == mpeg1 || h.channels == 2:
		return 17
	}
	return 9
}

// follows tells whether b, which may end early, goes on with a frame of the same stream as h.
func (h mp3Header) follows(b []byte) bool {
	if len(b) < mp3HeaderSize {
		return true
	}
	next, ok := parseMP3Header(b)
	return ok && next.version == h.version && next.rate == h.rate
}

// findMP3 is the header of the first frame in head. Bytes that look like one at the very front need one such after them, others two, lest
// arbitrary bytes be taken for sound; the end of head counts as one.
func findMP3(head []byte) (mp3Header, bool) {
	for at := 0; ; at++ {
		i := bytes.IndexByte(head[at:], 0xff)
		if i < 0 {
			return mp3Header{}, false
		}
		at += i
		h, ok := parseMP3Header(head[at:])
		if !ok {
			continue
		}
		second := head[min(at+h.size, len(head)):]
		if !h.follows(second) {
			continue
		}
		if at == 0 {
			return h, true
		}
		if next, ok := parseMP3Header(second); ok && h.follows(second[min(next.size, len(second)):]) {
			return h, true
		}
	}
}

// mp3Frames finds the frames of a stream.
type mp3Frames struct {
	r      *bufio.Reader
	synced bool // the last frame ended where r is
	stream mp3Header
}

// next is the next whole frame, valid until the call after. io.EOF is the end of the input; a frame that it cuts is left out.
func (m *mp3Frames) next() ([]byte, mp3Header, error) {
	for {
		b, err := m.r.Peek(mp3HeaderSize)
		if len(b) < mp3HeaderSize {
			return nil, mp3Header{}, m.readError(err)
		}
		h, ok := parseMP3Header(b)
		if ok && m.synced {
			ok = m.stream.follows(b)
		}
		if ok {
			b, err := m.r.Peek(h.size + mp3HeaderSize) // and the header behind it
			if err != nil && err != io.EOF {
				return nil, h, m.readError(err)
			}
			whole := len(b) >= h.size
			if whole && (m.synced || h.follows(b[h.size:])) {
				if m.stream.rate != 0 && !m.stream.follows(b) {
					return nil, h, fmt.Errorf("%w: MP3 that changes from %d Hz to %d Hz", ErrFormat, m.stream.rate, h.rate)
				}
				frame := b[:h.size]
				m.r.Discard(h.size) // buffered; the bytes stay until the next Peek
				m.synced, m.stream = true, h
				return frame, h, nil
			}
		}
		m.synced = false
		m.r.Discard(1)
	}
}

func (m *mp3Frames) readError(err error) error {
	if err == io.EOF {
		return err
	}
	return fmt.Errorf("audio: read MP3: %w", err)
}

// mp3Info is what the first frame of many files says of the others.
type mp3Info struct {
	frames         int // that follow, or 0 where it does not say
	delay, padding int // sample frames that encoder and decoder put before and behind the sound
}

// mp3DecoderDelay is by how much any decoder of layer III is late, in sample frames.
const mp3DecoderDelay = 528 + 1

// parseMP3Info reads the tag of Xing, with LAME's extension of it, in the frame. !ok: an ordinary frame. That of Fraunhofer's encoder
// is no ordinary frame either, but states no padding. Both are described at gabriel.mp3-tech.org/mp3infotag.html.
func parseMP3Info(frame []byte, h mp3Header) (info mp3Info, ok bool) {
	const (
		hasFrames, hasBytes, hasTOC, hasQuality = 1, 2, 4, 8
		tocSize                                 = 100
		delayAt                                 = 21 // behind the encoder's name
	)
	if has(frame, mp3HeaderSize+32, "VBRI") {
		return info, true
	}
	at := mp3HeaderSize + h.sideInfoSize() // also where there is a CRC
	if !has(frame, at, "Xing") && !has(frame, at, "Info") {
		return info, false
	}
	b := frame[at+4:]
	word := func() (v uint32) {
		if len(b) >= 4 {
			v, b = binary.BigEndian.Uint32(b), b[4:]
		}
		return v
	}
	flags := word()
	if flags&hasFrames != 0 {
		info.frames = int(word())
	}
	if flags&hasBytes != 0 {
		word()
	}
	if flags&hasTOC != 0 {
		b = b[min(tocSize, len(b)):]
	}
	if flags&hasQuality != 0 {
		word()
	}
	if (has(b, 0, "LAME") || has(b, 0, "Lavf") || has(b, 0, "Lavc")) && len(b) >= delayAt+3 {
		delay, padding := int(b[delayAt])<<4|int(b[delayAt+1])>>4, int(b[delayAt+1]&15)<<8|int(b[delayAt+2])
		info.delay, info.padding = delay+mp3DecoderDelay, max(0, padding-mp3DecoderDelay)
	}
	return info, true
}

// mp3Decoder decodes frames into its sink.
type mp3Decoder struct {
	info   mp3Info
	sink   *sink
	d      *mp3.Decoder
	in     bytes.Reader
	pcm    [1152 * 4]byte // of a frame: 16-bit little-endian stereo, whatever the source
	skip   int            // sample frames left to cut off at the start
	held   []float32      // the last samples, which may be padding
	frames int
	lost   losses

	reservoir []byte // the last maxMP3Reservoir bytes of main data
	repacked  []byte
}

// add decodes a frame.
func (m *mp3Decoder) add(frame []byte, h mp3Header) error {
	m.frames++
	pcm := m.pcm[:h.samples()*4]
	err := m.decode(m.prepare(frame, h), pcm)
	m.lost.count(err)
	if err != nil {
		m.d = nil
		clear(pcm)
	}
	channels := m.sink.source.Channels
	n := len(m.held)
	for i := 0; i < len(pcm); i += 4 {
		const scale = 1.0 / (1 << 15)
		left, right := int16(binary.LittleEndian.Uint16(pcm[i:])), int16(binary.LittleEndian.Uint16(pcm[i+2:]))
		if channels == 2 {
			m.held = append(m.held, float32(left)*scale, float32(right)*scale)
		} else {
			m.held = append(m.held, (float32(left)+float32(right))*(scale/2))
		}
	}
	cut := min(m.skip, (len(m.held)-n)/channels)
	m.skip -= cut
	m.held = append(m.held[:n], m.held[n+cut*channels:]...)
	return m.release(m.info.padding)
}

// release passes on what is held but for the last keep sample frames.
func (m *mp3Decoder) release(keep int) error {
	n := len(m.held) - keep*m.sink.source.Channels
	if n <= 0 {
		return nil
	}
	err := m.sink.add(m.held[:n])
	m.held = m.held[:copy(m.held, m.held[n:])]
	return err
}

// decode fills pcm with the samples of a frame.
func (m *mp3Decoder) decode(frame, pcm []byte) error {
	return guarded("MP3", func() error {
		m.in.Reset(frame)
		if m.d == nil {
			d, err := mp3.NewDecoder(struct{ io.Reader }{&m.in}) // a Seeker would be scanned for its length
			if err != nil {
				return err
			}
			m.d = d
		}
		_, err := io.ReadFull(m.d, pcm)
		return err
	})
}

// maxMP3Reservoir is how many bytes of main data before its own a frame can use.
const maxMP3Reservoir = 1<<9 - 1

// prepare makes go-mp3 decode right what it would not. A frame whose main data begin in frames that are not there, as behind a cut, would
// be decoded to noise: its side info is cleared, so that it is silent. And padded frames of MPEG-2, which there are at 22.05 kHz alone,
// are taken to be a byte shorter than they are, after which all goes wrong: there, each frame is repacked.
func (m *mp3Decoder) prepare(frame []byte, h mp3Header) []byte {
	side, own := h.parts(frame)
	if len(side) < 2 {
		return frame
	}
	begin := int(side[0])
	if h.version == mpeg1 {
		begin = begin<<1 | int(side[1])>>7
	}
	if begin > len(m.reservoir) {
		clear(side)
		begin = 0
	}
	if h.version == mpeg2 && h.rate == 22050 {
		frame = m.repack(frame[:mp3HeaderSize], side, m.reservoir[len(m.reservoir)-begin:], own)
	}
	m.reservoir = append(m.reservoir, own...)
	m.reservoir = m.reservoir[:copy(m.reservoir, m.reservoir[max(0, len(m.reservoir)-maxMP3Reservoir):])]
	return frame
}

// repack puts the parts together to a frame of the highest bit rate, without padding, CRC or use of the reservoir.
func (m *mp3Decoder) repack(header, side, before, own []byte) []byte {
	const (
		noCRC       = 1
		rateBits    = 0xf0
		highestRate = 14 << 4
		paddingBit  = 2
	)
	m.repacked = append(m.repacked[:0], header...)
	m.repacked[1] |= noCRC
	m.repacked[2] = m.repacked[2]&^(rateBits|paddingBit) | highestRate
	h, _ := parseMP3Header(m.repacked)
	m.repacked = append(append(append(m.repacked, side...), before...), own...)
	m.repacked[mp3HeaderSize] = 0 // where the main data begin
	for len(m.repacked) < h.size {
		m.repacked = append(m.repacked, 0)
	}
	return m.repacked[:h.size]
}

// finish passes on what is held, less the padding where the frames are those of which the padding was stated.
func (m *mp3Decoder) finish() error {
	if err := m.lost.err(); err != nil {
		return err
	}
	if m.frames == m.info.frames {
		return nil
	}
	return m.release(0)
}
