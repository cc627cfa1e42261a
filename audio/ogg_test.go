package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// oggPageOf is a page of whole packets.
func oggPageOf(flags byte, granule int64, serial uint32, packets ...[]byte) []byte {
	var lacing, body []byte
	for _, p := range packets {
		lacing = append(append(lacing, bytes.Repeat([]byte{255}, len(p)/255)...), byte(len(p)%255))
		body = append(body, p...)
	}
	b := append([]byte("OggS\x00"), flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(granule))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = append(b, make([]byte, 8)...)
	b = append(append(append(b, byte(len(lacing))), lacing...), body...)
	sealOgg(b)
	return b
}

// sealOgg puts right the checksums of the pages in b.
func sealOgg(b []byte) {
	for len(b) >= oggHeaderSize && has(b, 0, "OggS") {
		size := oggHeaderSize + int(b[26])
		for i := oggHeaderSize; i < min(size, len(b)); i++ {
			if i < oggHeaderSize+int(b[26]) {
				size += int(b[i])
			}
		}
		if size > len(b) {
			return
		}
		clear(b[22:26])
		binary.LittleEndian.PutUint32(b[22:], oggChecksum(b[:size]))
		b = b[size:]
	}
}

// opusHeadOf is an identification header.
func opusHeadOf(channels, preSkip int, gain int16) []byte {
	b := append([]byte(opusMagic+"\x01"), byte(channels))
	b = binary.LittleEndian.AppendUint16(b, uint16(preSkip))
	b = binary.LittleEndian.AppendUint32(b, opusRate)
	b = binary.LittleEndian.AppendUint16(b, uint16(gain))
	return append(b, 0)
}

var opusTags = []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")

// silentOpus is a packet of 120 ms: six CELT frames of 20 ms without energy.
var silentOpus = append([]byte{31<<3 | 3, 6}, bytes.Repeat([]byte{0xff, 0xfe}, 6)...)

func TestOggChecksum(t *testing.T) {
	// The catalogue of CRCs calls it CRC-32/MPEG-2 but for its start and end values; the check word is over "123456789".
	if got := oggChecksum([]byte("123456789")); got != 0x89a1897f {
		t.Errorf("%08x", got)
	}
}

// TestOpusGain changes the output gain in a file: -6.02 dB halves every sample.
func TestOpusGain(t *testing.T) {
	f := fixtures[slices.IndexFunc(fixtures, func(f fixture) bool { return f.name == "chirp.opus" })]
	b := f.bytes(t)
	plain, err := decodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	gain := -20 * math.Log10(2) * 256
	binary.LittleEndian.PutUint16(b[oggHeaderSize+1+16:], uint16(int16(math.Round(gain))))
	sealOgg(b)
	quiet, err := decodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if ratio := rms(quiet.Samples) / rms(plain.Samples); math.Abs(ratio-0.5) > 1e-3 {
		t.Errorf("ratio %g, want 0.5", ratio)
	}
}

// TestOpusEnds counts the samples of streams with a pre-skip and an end (RFC 7845 section 4).
func TestOpusEnds(t *testing.T) {
	const packet = maxOpusPacket
	page := func(flags byte, granule int64, n int) []byte {
		return oggPageOf(flags, granule, 7, slices.Repeat([][]byte{silentOpus}, n)...)
	}
	head := oggPageOf(oggFirst, 0, 7, opusHeadOf(1, 312, 0))
	tags := oggPageOf(0, 0, 7, opusTags)
	other := oggPageOf(oggFirst, 0, 8, []byte("fishead of another stream"))
	for name, c := range map[string]struct {
		pages [][]byte
		want  int64
	}{
		"whole":            {[][]byte{page(0, 2*packet, 2), page(oggLast, 4*packet, 2)}, 4*packet - 312},
		"cut at the end":   {[][]byte{page(0, 2*packet, 2), page(oggLast, 3*packet+5, 2)}, 3*packet + 5 - 312},
		"one page":         {[][]byte{page(oggLast, packet, 2)}, packet - 312},
		"without an end":   {[][]byte{page(0, 2*packet, 2), page(0, 4*packet, 2)}, 4*packet - 312},
		"from the middle":  {[][]byte{page(0, 1e9, 2), page(oggLast, 1e9+packet+1, 2)}, 3*packet + 1 - 312},
		"no position":      {[][]byte{page(0, oggNoGranule, 2), page(oggLast, 3*packet, 2)}, 3*packet - 312},
		"chained":          {[][]byte{page(oggLast, packet, 1), head, tags, page(oggLast, packet, 1)}, 2 * (packet - 312)},
		"beside another":   {[][]byte{page(0, packet, 1), oggPageOf(0, 9, 8, make([]byte, 99)), page(oggLast, 2*packet, 1)}, 2*packet - 312},
		"junk at the end":  {[][]byte{page(oggLast, packet, 1), []byte("TAG and more than twenty-seven bytes")}, packet - 312},
		"all is cut off":   {[][]byte{page(oggLast, 0, 1)}, 0},
		"end before start": {[][]byte{page(0, packet, 1), page(oggLast, 0, 1)}, packet - 312},
	} {
		pcm, err := decodeBytes(bytes.Join(append([][]byte{other, head, tags}, c.pages...), nil))
		if c.want == 0 {
			if !errors.Is(err, ErrEmpty) {
				t.Errorf("%s: %v, want ErrEmpty", name, err)
			}
			continue
		}
		if want := time.Duration(c.want) * time.Second / opusRate; err != nil || pcm.Source.Duration != want {
			t.Errorf("%s: %v, %v, want %v", name, pcm.Source.Duration, err, want)
		}
	}
}

// TestOggPackets puts packets together across pages, one with its beginning lost.
func TestOggPackets(t *testing.T) {
	long := bytes.Repeat([]byte("abc"), 300)
	whole := oggPageOf(0, 1, 3, long, []byte("end"))
	// Cut the page behind the second of the lacing values 255, 255, 255, 135, 3.
	split := func(flags byte, lacing []byte, body []byte) []byte {
		b := append(bytes.Clone(whole[:oggHeaderSize]), lacing...)
		b[5], b[26] = flags, byte(len(lacing))
		b = append(b, body...)
		sealOgg(b)
		return b
	}
	body := whole[oggHeaderSize+5:]
	first, second := split(0, []byte{255, 255}, body[:510]), split(oggContinued, []byte{255, 135, 3}, body[510:])
	read := func(pages ...[]byte) (packets [][]byte) {
		o := &oggReader{r: bufio.NewReader(bytes.NewReader(bytes.Join(pages, nil)))}
		for {
			p, err := o.next()
			if err != nil {
				return packets
			}
			for _, packet := range o.packets(p) {
				packets = append(packets, bytes.Clone(packet))
			}
		}
	}
	if got := read(first, second); len(got) != 2 || !bytes.Equal(got[0], long) || string(got[1]) != "end" {
		t.Errorf("two pages: %d packets", len(got))
	}
	if got := read(second); len(got) != 1 || string(got[0]) != "end" {
		t.Errorf("the second page alone: %q", got)
	}
	if got := read(first, whole); len(got) != 2 || !bytes.Equal(got[0], long) {
		t.Errorf("a page lost between: %d packets", len(got))
	}
}

// TestOpusDamaged refuses one packet in a stream of sound ones, and all.
func TestOpusDamaged(t *testing.T) {
	bad := []byte{31<<3 | 3, 0} // no frames
	head, tags := oggPageOf(oggFirst, 0, 7, opusHeadOf(2, 0, 0)), oggPageOf(0, 0, 7, opusTags)
	some := oggPageOf(oggLast, 2*maxOpusPacket, 7, silentOpus, bad, silentOpus)
	if pcm, err := decodeBytes(bytes.Join([][]byte{head, tags, some}, nil)); err != nil || pcm.Source.Duration != 240*time.Millisecond {
		t.Errorf("one damaged packet: %v, %v", pcm.Source.Duration, err)
	}
	all := oggPageOf(oggLast, oggNoGranule, 7, bad, bad, []byte{})
	if _, err := decodeBytes(bytes.Join([][]byte{head, tags, all}, nil)); !errors.Is(err, ErrFormat) {
		t.Errorf("all damaged: %v, want ErrFormat", err)
	}
}
