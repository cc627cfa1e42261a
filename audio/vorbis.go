package audio

import (
	"errors"
	"fmt"

	"github.com/jfreymuth/vorbis"
)

// vorbisMagic begins the identification header, the first of a stream's three (Vorbis I specification, section 4.2).
const vorbisMagic = "\x01vorbis"

// vorbisHeaders is the number of header packets: identification, comment, setup.
const vorbisHeaders = 3

// vorbisStream decodes the packets of one stream into its sink by jfreymuth/vorbis.
type vorbisStream struct {
	container string
	sink      *sink
	d         vorbis.Decoder
	channels  int
	pcm       []float32
	lost      losses
}

// open takes the header packets. Of the comment nothing is read.
func (v *vorbisStream) open(identification, setup []byte) error {
	if err := checkVorbis(identification, setup); err != nil {
		return err
	}
	err := guarded("Vorbis", func() error {
		if err := v.d.ReadHeader(identification); err != nil {
			return err
		}
		return v.d.ReadHeader(setup)
	})
	if err != nil && !errors.Is(err, ErrFormat) {
		err = fmt.Errorf("%w: Vorbis setup: %w", ErrFormat, err)
	}
	if err != nil {
		return err
	}
	v.channels = v.d.Channels()
	v.pcm = make([]float32, v.d.BufferSize())
	return v.sink.open(v.container+" Vorbis", v.d.SampleRate(), v.channels)
}

// packet decodes a packet and returns the number of sample frames in it, of which at most the first keep count, if keep is not negative.
func (v *vorbisStream) packet(packet []byte, keep int64) (int, error) {
	var pcm []float32
	err := guarded("Vorbis", func() (err error) {
		pcm, err = v.d.DecodeInto(packet, v.pcm)
		return err
	})
	if v.lost.count(err); err != nil {
		return 0, nil // how long it would have lasted is not known
	}
	n := len(pcm) / v.channels
	if keep >= 0 {
		pcm = pcm[:min(keep, int64(n))*int64(v.channels)]
	}
	return n, v.sink.add(pcm)
}

// finish is called behind the last packet.
func (v *vorbisStream) finish() error { return v.lost.err() }

// oggVorbis is a vorbisStream in Ogg (Vorbis I specification, appendix A).
type oggVorbis struct {
	vorbisStream
	headers [][]byte // until there are vorbisHeaders of them
	decoded int64    // sample frames so far
}

func (v *oggVorbis) page(packets [][]byte, granule int64, last bool) error {
	for len(v.headers) < vorbisHeaders && len(packets) > 0 {
		v.headers = append(v.headers, append([]byte(nil), packets[0]...))
		packets = packets[1:]
		if len(v.headers) == vorbisHeaders {
			if err := v.open(v.headers[0], v.headers[2]); err != nil {
				return err
			}
		}
	}
	for _, p := range packets {
		keep := int64(-1)
		if last && granule != oggNoGranule {
			keep = max(granule-v.decoded, 0)
		}
		n, err := v.packet(p, keep)
		if err != nil {
			return err
		}
		v.decoded += int64(n)
	}
	return nil
}

func (v *oggVorbis) finish() error {
	if len(v.headers) < vorbisHeaders {
		return fmt.Errorf("%w: Ogg Vorbis ends within its headers", ErrTruncated)
	}
	return v.vorbisStream.finish()
}

// What the headers of a stream may ask for. Files of libvorbis hold some 10,000 codebook entries and 50,000 values in all.
const (
	maxVorbisChannels = 8 // the most of which the specification gives an order
	maxVorbisEntries  = 1 << 16
	maxVorbisValues   = 1 << 20
)

// checkVorbis refuses headers on which jfreymuth/vorbis would loop for ever or allocate what they pretend: it takes codebooks on trust.
// They must be those of a complete prefix code, as the specification demands (section 3.2.1).
func checkVorbis(identification, setup []byte) error {
	const (
		identificationSize, channelsAt, blocksAt = 30, 11, 28
		setupMagic                               = "\x05vorbis"
		minBlock, maxBlock                       = 6, 13 // log2
	)
	if len(identification) < identificationSize || !has(identification, 0, vorbisMagic) || !has(setup, 0, setupMagic) {
		return fmt.Errorf("%w: malformed Vorbis header", ErrFormat)
	}
	if n := int(identification[channelsAt]); n < 1 || n > maxVorbisChannels {
		return fmt.Errorf("%w: Vorbis of %d channels, at most %d are read", ErrFormat, n, maxVorbisChannels)
	}
	short, long := identification[blocksAt]&15, identification[blocksAt]>>4
	if short < minBlock || long > maxBlock || short > long {
		return fmt.Errorf("%w: Vorbis with blocks of 2^%d and 2^%d samples", ErrFormat, short, long)
	}
	r := &vorbisBits{b: setup[len(setupMagic):]}
	books := int(r.read(8)) + 1
	entries, values := 0, 0
	for i := range books {
		n, dimensions, err := r.codebook()
		entries, values = entries+n, values+n*dimensions
		if err == nil && (entries > maxVorbisEntries || values > maxVorbisValues) {
			err = fmt.Errorf("codebooks of %d entries and %d values", entries, values)
		}
		if err != nil {
			return fmt.Errorf("%w: Vorbis codebook %d: %w", ErrFormat, i, err)
		}
	}
	for range r.read(6) + 1 {
		r.read(16) // time domain transforms, all of them placeholders
	}
	r.read(6)
	if floor := r.read(16); floor == 0 {
		return fmt.Errorf("%w: Vorbis with floors of type 0, which no encoder has written since 2001", ErrFormat)
	}
	return nil
}

// vorbisBits reads bits, the least significant first. Beyond the end they are zero.
type vorbisBits struct {
	b  []byte
	at int // bits read
}

func (r *vorbisBits) read(n int) uint32 {
	v := uint32(0)
	for i := range n {
		if at := r.at + i; at>>3 < len(r.b) {
			v |= uint32(r.b[at>>3]>>(at&7)&1) << i
		}
	}
	r.at += n
	return v
}

// codebook walks one codebook (specification, section 3.2.1) and returns its numbers of entries and of dimensions.
func (r *vorbisBits) codebook() (entries, dimensions int, err error) {
	const sync = 0x564342
	if r.read(24) != sync {
		return 0, 0, errors.New("no codebook")
	}
	dimensions, entries = int(r.read(16)), int(r.read(24))
	if dimensions == 0 || entries == 0 || entries > maxVorbisEntries || entries*dimensions > maxVorbisValues {
		return 0, 0, fmt.Errorf("%d entries of %d dimensions", entries, dimensions)
	}
	const whole = 1 << 32 // the sum of 2^(32-length) over the codewords of a complete code
	used, sum := 0, uint64(0)
	if r.read(1) == 0 {
		sparse := r.read(1) == 1
		for range entries {
			if sparse && r.read(1) == 0 {
				continue
			}
			used++
			sum += whole >> (r.read(5) + 1)
		}
	} else {
		length := r.read(5) + 1
		for used < entries {
			n := int(r.read(bitsOf(entries - used)))
			if length > 32 || n > entries-used {
				return 0, 0, errors.New("malformed codeword lengths")
			}
			used += n
			sum += uint64(n) * (whole >> length)
			length++
		}
	}
	if sum != whole && used != 1 {
		return 0, 0, fmt.Errorf("%d codewords that are no complete code", used)
	}
	return entries, dimensions, r.lookup(entries, dimensions)
}

// lookup walks the table of values of a codebook.
func (r *vorbisBits) lookup(entries, dimensions int) error {
	kind := r.read(4)
	if kind == 0 {
		return nil
	}
	r.read(32)
	r.read(32)
	bits := int(r.read(4)) + 1
	r.read(1)
	n := entries * dimensions
	switch kind {
	case 1:
		n = 0
		for power(n+1, dimensions, entries) <= entries {
			n++
		}
	case 2:
	default:
		return fmt.Errorf("lookup of type %d", kind)
	}
	r.at += n * bits
	return nil
}

// power is base^exponent, or some number above limit.
func power(base, exponent, limit int) int {
	p := 1
	for range exponent {
		if p *= base; p > limit {
			break
		}
	}
	return p
}

// bitsOf is the number of bits that n takes: ilog of the specification.
func bitsOf(n int) int {
	bits := 0
	for ; n > 0; n >>= 1 {
		bits++
	}
	return bits
}
