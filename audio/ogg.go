package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// decodeOgg decodes the first Opus or Vorbis stream of the Ogg file in r (RFC 3533), and those that are chained to it. Other streams
// beside it, such as video, are skipped.
func decodeOgg(r *bufio.Reader, s *sink) error {
	o := &oggReader{r: r}
	var codec oggCodec
	ended := false // codec's stream
	for {
		p, err := o.next()
		if err == io.EOF || err == errOggJunk && ended {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case p.flags&oggFirst != 0 && (codec == nil || ended):
			began, err := newOggCodec(p.body, s)
			if err != nil {
				return err
			}
			if began != nil {
				codec, ended = began, false
				o.follow(p.serial)
			}
		case codec != nil && p.serial == o.serial && !ended:
			ended = p.flags&oggLast != 0
			if err := codec.page(o.packets(p), p.granule, ended); err != nil {
				return err
			}
			if ended {
				if err := codec.finish(); err != nil {
					return err
				}
			}
		}
	}
	if codec == nil {
		return fmt.Errorf("%w: Ogg without Opus or Vorbis", ErrFormat)
	}
	if ended {
		return nil
	}
	return codec.finish()
}

// oggCodec decodes the packets of one stream.
type oggCodec interface {
	// page takes the packets that end on a page, and its granule position: the time at which the last of them ends, or oggNoGranule.
	page(packets [][]byte, granule int64, last bool) error
	// finish is called behind the last page.
	finish() error
}

// newOggCodec is the codec of the stream whose first page has this body, or nil if it is not read here.
func newOggCodec(body []byte, s *sink) (oggCodec, error) {
	switch {
	case has(body, 0, opusMagic):
		return newOggOpus(body, s)
	case has(body, 0, vorbisMagic):
		return &oggVorbis{vorbisStream: vorbisStream{container: "Ogg", sink: s}, headers: [][]byte{append([]byte(nil), body...)}}, nil
	}
	return nil, nil
}

// sniffOgg tells what the Ogg file that begins with head holds: pages that begin streams come before all others.
func sniffOgg(head []byte) format {
	name := "Ogg"
	o := &oggReader{r: bufio.NewReader(bytes.NewReader(head))}
	for {
		p, err := o.next()
		if err != nil && err != io.EOF {
			return format{kind: kindOgg} // whose reader tells what is wrong
		}
		switch {
		case err == io.EOF || p.flags&oggFirst == 0:
			return format{kindFFmpeg, name, "ogg"}
		case has(p.body, 0, vorbisMagic), has(p.body, 0, opusMagic) && opusMapped(p.body):
			return format{kind: kindOgg}
		case has(p.body, 0, opusMagic):
			name = "Ogg Opus of many channels"
		case has(p.body, 0, "\x7fFLAC"):
			name = "Ogg FLAC"
		case has(p.body, 0, "Speex"):
			name = "Ogg Speex"
		}
	}
}

// The flags of a page.
const (
	oggContinued = 1 << iota // its first packet began on an earlier page
	oggFirst
	oggLast
)

const (
	oggNoGranule  = -1 // no packet ends on the page
	maxOggPacket  = 1 << 20
	oggHeaderSize = 27
)

// errOggJunk: the input goes on with something other than a page.
var errOggJunk = fmt.Errorf("%w: Ogg page expected", ErrFormat)

// oggPage is one page; its slices are valid until the next one is read.
type oggPage struct {
	flags   byte
	granule int64
	serial  uint32
	lacing  []byte
	body    []byte
}

// oggReader reads pages and puts together the packets of one stream.
type oggReader struct {
	r       *bufio.Reader
	buf     [oggHeaderSize + 255 + 255*255]byte
	serial  uint32
	partial []byte // packet that goes on in the next page, or nil
}

// follow makes o put together the packets of another stream.
func (o *oggReader) follow(serial uint32) { o.serial, o.partial = serial, nil }

// next is the next page of any stream. io.EOF is the end of the input between pages.
func (o *oggReader) next() (oggPage, error) {
	header := o.buf[:oggHeaderSize]
	if n, err := io.ReadFull(o.r, header); err != nil {
		if n > 0 && n < 4 || n >= 4 && !has(header[:n], 0, "OggS") {
			return oggPage{}, errOggJunk
		}
		if n == 0 && err == io.EOF {
			return oggPage{}, io.EOF
		}
		return oggPage{}, oggReadError(err)
	}
	if !has(header, 0, "OggS\x00") {
		return oggPage{}, errOggJunk
	}
	lacing := o.buf[oggHeaderSize:][:header[26]]
	if _, err := io.ReadFull(o.r, lacing); err != nil {
		return oggPage{}, oggReadError(err)
	}
	size := 0
	for _, n := range lacing {
		size += int(n)
	}
	body := o.buf[oggHeaderSize+len(lacing):][:size]
	if _, err := io.ReadFull(o.r, body); err != nil {
		return oggPage{}, oggReadError(err)
	}
	le := binary.LittleEndian
	p := oggPage{
		flags: header[5], granule: int64(le.Uint64(header[6:])), serial: le.Uint32(header[14:]), lacing: lacing, body: body,
	}
	sum := le.Uint32(header[22:])
	clear(header[22:26])
	if got := oggChecksum(o.buf[:oggHeaderSize+len(lacing)+size]); got != sum {
		return oggPage{}, fmt.Errorf("%w: Ogg page with checksum %08x, want %08x", ErrFormat, got, sum)
	}
	return p, nil
}

// oggReadError is why a page could not be read.
func oggReadError(err error) error {
	if isEOF(err) {
		return fmt.Errorf("%w: Ogg ends within a page", ErrTruncated)
	}
	return fmt.Errorf("audio: read Ogg: %w", err)
}

// packets are the packets that end on p, a page of the stream followed. One longer than maxOggPacket is cut to a byte more. A packet whose
// beginning is missing is left out.
func (o *oggReader) packets(p oggPage) [][]byte {
	var packets [][]byte
	continued := p.flags&oggContinued != 0
	if !continued {
		o.partial = nil
	}
	orphan := continued && o.partial == nil
	body := p.body
	for i := 0; i < len(p.lacing); {
		size, ends := 0, false
		for ; i < len(p.lacing) && !ends; i++ {
			size += int(p.lacing[i])
			ends = p.lacing[i] < 255
		}
		piece := body[:size]
		body = body[size:]
		switch {
		case orphan:
			orphan = !ends
		case ends && o.partial == nil:
			packets = append(packets, piece)
		case ends:
			packets = append(packets, appendCapped(o.partial, piece))
			o.partial = nil
		default:
			o.partial = appendCapped(o.partial, piece)
		}
	}
	return packets
}

// appendCapped appends piece to packet up to a byte more than maxOggPacket. The result is not nil.
func appendCapped(packet, piece []byte) []byte {
	if packet == nil {
		packet = make([]byte, 0, 2*len(piece))
	}
	return append(packet, piece[:min(len(piece), maxOggPacket+1-len(packet))]...)
}

// oggChecksum is the CRC of a page whose own checksum is zeroed: polynomial 0x04c11db7, most significant bit first, without inversion.
func oggChecksum(page []byte) uint32 {
	crc := uint32(0)
	for _, b := range page {
		crc = crc<<8 ^ oggTable[byte(crc>>24)^b]
	}
	return crc
}

var oggTable = func() (table [256]uint32) {
	const polynomial = 0x04c11db7
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ polynomial
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()
