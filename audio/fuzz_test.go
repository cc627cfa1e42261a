package audio

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var sentinels = []error{ErrFormat, ErrTruncated, ErrEmpty, ErrTooLong, ErrTooLarge, ErrNotFinite, ErrNoFFmpeg}

// checkDecode decodes hostile bytes under small limits: they must give either finite samples or an error of this package.
func checkDecode(t *testing.T, b []byte) (PCM, bool) {
	limits := Limits{MaxDuration: 10 * time.Second, MaxBytes: 1 << 20}
	pcm, err := Decode(bytes.NewReader(b), limits)
	if err != nil {
		for _, sentinel := range sentinels {
			if errors.Is(err, sentinel) {
				if pcm.Samples != nil {
					t.Fatalf("samples beside %v", err)
				}
				return PCM{}, false
			}
		}
		t.Fatalf("not an error of this package: %v", err)
	}
	if n := len(pcm.Samples); n == 0 || pcm.Duration() > limits.MaxDuration+time.Second/SampleRate {
		t.Fatalf("%d samples under a limit of %v", n, limits.MaxDuration)
	}
	for i, v := range pcm.Samples {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("sample %d is %g", i, v)
		}
	}
	return pcm, true
}

// wavSeeds are valid WAV files of every coding, cut ones, and ones whose sizes lie.
func wavSeeds() [][]byte {
	var seeds [][]byte
	for _, c := range []struct{ tag, channels, rate, bits int }{
		{tagPCM, 1, 16000, 8}, {tagPCM, 1, 16000, 16}, {tagPCM, 2, 48000, 24}, {tagPCM, 3, 8000, 32}, {tagFloat, 1, 44100, 32},
		{tagFloat, 2, 11025, 64}, {tagALaw, 1, 8000, 8}, {tagMuLaw, 1, 8000, 8}, {0x0011, 1, 16000, 4},
	} {
		data := chunk("data", make([]byte, 24*c.channels*c.bits/8))
		plain := riffFile(chunk("fmt ", fmtBody(c.tag, c.channels, c.rate, c.bits)), data)
		seeds = append(seeds, plain, plain[:len(plain)-3], plain[:30],
			riffFile(chunk("JUNK", make([]byte, 5)), chunk("fmt ", extensibleBody(c.tag, c.channels, c.rate, c.bits, c.bits)), data))
		for _, size := range []uint32{0, 1, 0x7ffff000, 0x7fffffff, 0xfffffffe, 0xffffffff} {
			for _, at := range []int{4, 16, 40} { // sizes of the file, the fmt chunk and the data chunk
				lying := bytes.Clone(plain)
				binary.LittleEndian.PutUint32(lying[at:], size)
				seeds = append(seeds, lying)
			}
		}
	}
	rf64 := append([]byte("RF64\xff\xff\xff\xffWAVE"), chunk("ds64", make([]byte, 28))...)
	rf64 = append(rf64, chunk("fmt ", fmtBody(tagPCM, 1, 16000, 16))...)
	return append(seeds, append(rf64, "data\xff\xff\xff\xff\x01\x02"...))
}

// FuzzWAV feeds whatever follows "RIFF" to the WAV reader. A file cannot hold more sample frames than it has bytes.
func FuzzWAV(f *testing.F) {
	for _, seed := range wavSeeds() {
		f.Add(seed[4:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		pcm, ok := checkDecode(t, append([]byte("RIFF"), b...))
		if !ok {
			return
		}
		frames := int64(pcm.Source.Duration.Seconds()*float64(pcm.Source.Rate) + 0.5)
		if frames*int64(pcm.Source.Channels) > int64(len(b)) {
			t.Fatalf("%d sample frames of %d channels in %d bytes", frames, pcm.Source.Channels, len(b))
		}
	})
}

// FuzzDecode feeds anything to Decode, without ffmpeg.
func FuzzDecode(f *testing.F) {
	f.Setenv("PATH", "")
	for _, seed := range wavSeeds() {
		f.Add(seed)
	}
	for _, channels := range []int{1, 2, 3} {
		b := flacFile(f, 16000, channels, 16, 300, channels > 1)
		lying := bytes.Clone(b)
		binary.BigEndian.PutUint64(lying[18:], binary.BigEndian.Uint64(lying[18:])|1<<35)
		f.Add(b)
		f.Add(b[:len(b)-7])
		f.Add(b[:20])
		f.Add(lying)
		f.Add(append([]byte("ID3\x04\x00\x00\x00\x00\x00\x03abc"), b...))
	}
	for _, s := range foreign {
		f.Add(append(make([]byte, s.offset), s.bytes...))
	}
	for _, c := range append(fixtures, ffmpegFixtures...) {
		f.Add(c.bytes(f)[:1000])
	}
	f.Add([]byte{})
	f.Add([]byte("plain text"))
	f.Add([]byte("\xff\xfb\x90\x64"))
	f.Fuzz(func(t *testing.T, b []byte) { checkDecode(t, b) })
}

// addFixtures adds the beginnings of the files of testdata of one format.
func addFixtures(f *testing.F, format string) {
	for _, c := range fixtures {
		if strings.Contains(c.source.Format, format) {
			b := c.bytes(f)
			f.Add(b[:len(b)/2])
		}
	}
}

// FuzzMP3 feeds anything to the MP3 reader.
func FuzzMP3(f *testing.F) {
	addFixtures(f, "MP3")
	f.Fuzz(func(t *testing.T, b []byte) {
		checkReader(t, b, decodeMP3)
	})
}

// FuzzOgg feeds anything to the Ogg reader, with right checksums, behind which Opus and Vorbis lie.
func FuzzOgg(f *testing.F) {
	addFixtures(f, "Ogg")
	f.Add(oggPageOf(oggFirst, 0, 1, make([]byte, 255)))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		sealOgg(b)
		checkReader(t, b, decodeOgg)
	})
}

// FuzzMatroska feeds anything to the Matroska reader, behind which Opus and Vorbis lie.
func FuzzMatroska(f *testing.F) {
	addFixtures(f, "Matroska")
	f.Fuzz(func(t *testing.T, b []byte) {
		checkReader(t, b, decodeMatroska)
	})
}

// TestMutated damages the files of testdata at random, again and again: what fuzzing does, without its cost.
func TestMutated(t *testing.T) {
	const rounds = 20
	readers := map[string]func(*bufio.Reader, *sink) error{"MP3": decodeMP3, "Ogg": decodeOgg, "Mat": decodeMatroska}
	for i, c := range fixtures {
		whole := c.bytes(t)
		random := rand.New(rand.NewPCG(uint64(i), 0))
		for range rounds {
			b := bytes.Clone(whole)
			for range 1 + random.IntN(20) {
				at := random.IntN(len(b))
				if random.IntN(2) == 0 {
					at = random.IntN(min(len(b), 500)) // the headers
				}
				switch random.IntN(4) {
				case 0:
					b[at] = byte(random.Uint32())
				case 1:
					b[at] ^= 1 << random.IntN(8)
				case 2:
					n := min(random.IntN(9), len(b)-at-1)
					b = append(b[:at], b[at+n:]...)
				case 3:
					copy(b[at:], b[random.IntN(len(b)):])
				}
			}
			sealOgg(b)
			checkReader(t, b, readers[c.source.Format[:3]])
		}
	}
}

// checkReader is checkDecode of one container, of little sound, so that many inputs are tried.
func checkReader(t *testing.T, b []byte, decode func(*bufio.Reader, *sink) error) {
	s := &sink{maxDuration: 100 * time.Millisecond}
	err := decode(bufio.NewReaderSize(bytes.NewReader(b), sniffLength), s)
	if err == nil {
		_, err = s.finish()
	}
	if err == nil {
		return
	}
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return
		}
	}
	t.Fatalf("not an error of this package: %v", err)
}
