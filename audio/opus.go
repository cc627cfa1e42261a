package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/pion/opus"
)

// opusRate is the rate at which Opus is decoded, in Hz. Granule positions, pre-skip and durations count samples of it (RFC 7845).
const opusRate = 48000

// opusMagic begins the header of a stream, in Ogg and as Matroska's private data of the codec.
const opusMagic = "OpusHead"

// maxOpusPacket is the number of samples at opusRate that a packet holds at most: 120 ms (RFC 6716 section 3.2.5).
const maxOpusPacket = opusRate * 120 / 1000

// opusHead is the identification header (RFC 7845 section 5.1).
type opusHead struct {
	channels int
	preSkip  int     // samples at opusRate to cut off at the start
	gain     float32 // to multiply samples by
}

// opusHeadSize is the size of the header without a channel mapping.
const opusHeadSize = 19

// opusMapped tells whether a header's channels are those of one stream, mapping family 0: all that pion/opus decodes.
func opusMapped(b []byte) bool {
	return len(b) >= opusHeadSize && b[18] == 0 && (b[9] == 1 || b[9] == 2)
}

func parseOpusHead(b []byte) (opusHead, error) {
	if !has(b, 0, opusMagic) || len(b) < opusHeadSize {
		return opusHead{}, fmt.Errorf("%w: Opus header of %d bytes, want %d", ErrFormat, len(b), opusHeadSize)
	}
	if major := b[8] >> 4; major != 0 {
		return opusHead{}, fmt.Errorf("%w: Opus header of version %d", ErrFormat, major)
	}
	if !opusMapped(b) {
		return opusHead{}, fmt.Errorf("%w: Opus of %d channels with mapping family %d", ErrFormat, b[9], b[18])
	}
	decibels := float64(int16(binary.LittleEndian.Uint16(b[16:]))) / 256
	return opusHead{
		channels: int(b[9]),
		preSkip:  int(binary.LittleEndian.Uint16(b[10:])),
		gain:     float32(math.Pow(10, decibels/20)),
	}, nil
}

// opusSamples is the number of samples at opusRate in a packet (RFC 6716 section 3.1).
func opusSamples(packet []byte) (int, error) {
	if len(packet) == 0 {
		return 0, errors.New("empty packet")
	}
	frame := 0
	switch config := packet[0] >> 3; {
	case config < 12: // SILK
		frame = []int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid
		frame = []int{480, 960}[config&1]
	default: // CELT
		frame = []int{120, 240, 480, 960}[config&3]
	}
	count := 1
	switch packet[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(packet) < 2 {
			return 0, errors.New("packet without its frame count")
		}
		count = int(packet[1] & 0x3f)
	}
	if frame*count > maxOpusPacket {
		return 0, fmt.Errorf("packet of %d samples, at most %d", frame*count, maxOpusPacket)
	}
	return frame * count, nil
}

// opusStream decodes the packets of one stream into its sink by pion/opus.
type opusStream struct {
	opusHead
	sink *sink
	d    opus.Decoder
	skip int // samples left to cut off at the start
	pcm  []float32
	lost losses
}

func newOpusStream(head []byte, container string, s *sink) (*opusStream, error) {
	h, err := parseOpusHead(head)
	if err != nil {
		return nil, err
	}
	if err := s.open(container+" Opus", opusRate, h.channels); err != nil {
		return nil, err
	}
	d, err := opus.NewDecoderWithOutput(opusRate, h.channels)
	if err != nil {
		return nil, fmt.Errorf("audio: Opus: %w", err)
	}
	return &opusStream{opusHead: h, sink: s, d: d, skip: h.preSkip, pcm: make([]float32, maxOpusPacket*h.channels)}, nil
}

// packet decodes a packet, of whose samples only the first keep count, if keep is not negative.
func (o *opusStream) packet(packet []byte, keep int) error {
	n, err := opusSamples(packet)
	pcm := o.pcm[:n*o.channels]
	if err == nil {
		err = guarded("Opus", func() error {
			got, err := o.d.DecodeToFloat32(packet, o.pcm)
			if err == nil && got != n {
				err = fmt.Errorf("packet of %d samples, decoded %d", n, got)
			}
			return err
		})
	}
	o.lost.count(err)
	if err != nil {
		clear(pcm)
	}
	if keep >= 0 {
		pcm = pcm[:min(keep, n)*o.channels]
	}
	cut := min(o.skip, len(pcm)/o.channels)
	o.skip -= cut
	pcm = pcm[cut*o.channels:]
	for i := range pcm {
		pcm[i] *= o.gain
	}
	return o.sink.add(pcm)
}

// finish is called behind the last packet.
func (o *opusStream) finish() error { return o.lost.err() }

// oggOpus is an opusStream in Ogg (RFC 7845).
type oggOpus struct {
	*opusStream
	commented bool  // the comment header is over
	started   bool  // a page of sound was seen
	base      int64 // granule position of the first sample
	decoded   int64 // samples so far, the pre-skip included
}

func newOggOpus(head []byte, s *sink) (oggCodec, error) {
	stream, err := newOpusStream(head, "Ogg", s)
	if err != nil {
		return nil, err
	}
	return &oggOpus{opusStream: stream}, nil
}

func (o *oggOpus) page(packets [][]byte, granule int64, last bool) error {
	if !o.commented && len(packets) > 0 {
		o.commented = true
		packets = packets[1:]
	}
	if !o.started && len(packets) > 0 && granule != oggNoGranule {
		// A recording may begin in the middle of a broadcast, whose granule positions go on. If the first page is the last, its
		// position may be cut short instead.
		o.started = true
		for _, p := range packets {
			n, _ := opusSamples(p)
			o.base -= int64(n)
		}
		if o.base += granule - o.decoded; o.base < 0 {
			o.base = 0
		}
	}
	for _, p := range packets {
		keep := -1
		if last && granule != oggNoGranule {
			keep = int(min(max(granule-o.base-o.decoded, 0), maxOpusPacket))
		}
		if n, err := opusSamples(p); err == nil {
			o.decoded += int64(n)
		}
		if err := o.packet(p, keep); err != nil {
			return err
		}
	}
	return nil
}
