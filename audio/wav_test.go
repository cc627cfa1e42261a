package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var someValues = []float64{0, 0.5, -0.5, 0.25, -1, 0.75, -0.125, 0.9921875}

func TestWAVCodings(t *testing.T) {
	for _, c := range []struct {
		name      string
		tag, bits int
	}{
		{"8-bit PCM", tagPCM, 8}, {"16-bit PCM", tagPCM, 16}, {"24-bit PCM", tagPCM, 24}, {"32-bit PCM", tagPCM, 32},
		{"32-bit float", tagFloat, 32}, {"64-bit float", tagFloat, 64},
	} {
		data := chunk("data", encode(c.tag, c.bits, someValues))
		for header, body := range map[string][]byte{
			"plain":      fmtBody(c.tag, 1, SampleRate, c.bits),
			"extended":   append(fmtBody(c.tag, 1, SampleRate, c.bits), 0, 0),
			"extensible": extensibleBody(c.tag, 1, SampleRate, c.bits, c.bits),
		} {
			pcm, err := decodeBytes(riffFile(chunk("fmt ", body), data))
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, header, err)
				continue
			}
			want := Source{Format: "WAV, " + c.name, Rate: SampleRate, Channels: 1, Duration: 500 * time.Microsecond}
			if pcm.Source != want {
				t.Errorf("%s, %s: source %+v, want %+v", c.name, header, pcm.Source, want)
			}
			checkSamples(t, c.name+", "+header, pcm.Samples, someValues)
		}
	}
}

func checkSamples(t *testing.T, name string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d samples, want %d", name, len(got), len(want))
		return
	}
	for i, v := range want {
		if got[i] != float32(v) {
			t.Errorf("%s: sample %d is %g, want %g", name, i, got[i], v)
		}
	}
}

// TestG711 checks the expansions against values of the tables in ITU-T G.711 (as 16-bit values), and their symmetry.
func TestG711(t *testing.T) {
	for b, want := range map[byte]int{0x00: -32124, 0x80: 32124, 0xff: 0, 0x7f: 0, 0x8f: 16764, 0xfe: 8, 0xf0: 120, 0xe0: 372, 0x9f: 8316} {
		if got := expandMuLaw(b); got != want {
			t.Errorf("µ-law %#02x = %d, want %d", b, got, want)
		}
	}
	for b, want := range map[byte]int{0xd5: 8, 0x55: -8, 0xaa: 32256, 0x2a: -32256, 0xc5: 264, 0xc4: 280, 0xd4: 24, 0x80: 5504} {
		if got := expandALaw(b); got != want {
			t.Errorf("A-law %#02x = %d, want %d", b, got, want)
		}
	}
	for b := range 128 {
		if muLaw[b] != -muLaw[b+128] || aLaw[b] != -aLaw[b+128] {
			t.Errorf("byte %#02x is not the negative of %#02x", b, b+128)
		}
	}
	for name, tag := range map[string]int{"µ-law": tagMuLaw, "A-law": tagALaw} {
		pcm, err := decodeBytes(riffFile(chunk("fmt ", append(fmtBody(tag, 1, 16000, 8), 0, 0)), chunk("data", []byte{0x00, 0x80, 0xd5, 0x55})))
		if err != nil {
			t.Fatal(err)
		}
		table := map[string]*[256]float32{"µ-law": &muLaw, "A-law": &aLaw}[name]
		checkSamples(t, name, pcm.Samples, []float64{float64(table[0]), float64(table[0x80]), float64(table[0xd5]), float64(table[0x55])})
		if pcm.Source.Format != "WAV, "+name {
			t.Errorf("format %q", pcm.Source.Format)
		}
	}
}

func TestWAVChannelsAreAveraged(t *testing.T) {
	for _, channels := range []int{2, 3, 8, 300} {
		var values, want []float64
		for i := range 50 {
			sum := 0.0
			for c := range channels {
				v := float64((i*7+c*13)%64-32) / 64
				values = append(values, v)
				sum += v
			}
			want = append(want, sum/float64(channels))
		}
		for _, coding := range []struct{ tag, bits int }{{tagPCM, 16}, {tagFloat, 32}} {
			pcm, err := decodeBytes(riffFile(chunk("fmt ", fmtBody(coding.tag, channels, SampleRate, coding.bits)),
				chunk("data", encode(coding.tag, coding.bits, values))))
			if err != nil {
				t.Fatal(err)
			}
			if len(pcm.Samples) != len(want) || pcm.Source.Channels != channels {
				t.Fatalf("%d channels: %d samples of %d channels", channels, len(pcm.Samples), pcm.Source.Channels)
			}
			for i, v := range want {
				if math.Abs(float64(pcm.Samples[i])-v) > 1e-6 {
					t.Fatalf("%d channels: sample %d is %g, want %g", channels, i, pcm.Samples[i], v)
				}
			}
		}
	}
}

func TestWAVIsResampled(t *testing.T) {
	const rate = 44100
	values := make([]float64, 2*rate)
	for i := range values {
		values[i] = 0.5 * math.Sin(2*math.Pi*440*float64(i/2)/rate)
	}
	pcm, err := decodeBytes(riffFile(chunk("fmt ", fmtBody(tagPCM, 2, rate, 16)), chunk("data", encode(tagPCM, 16, values))))
	if err != nil {
		t.Fatal(err)
	}
	if len(pcm.Samples) != SampleRate || pcm.Duration() != time.Second || pcm.Source.Duration != time.Second || pcm.Source.Rate != rate {
		t.Errorf("%d samples from %+v", len(pcm.Samples), pcm.Source)
	}
	if level, _ := amplitude(pcm.Samples[2000:14000], 440); math.Abs(level-0.5) > 1e-3 {
		t.Errorf("level %g, want 0.5", level)
	}
}

// plainWAV is a 16-bit mono file of someValues and the offset of its data chunk's size.
func plainWAV() (b []byte, sizeAt int) {
	return riffFile(chunk("fmt ", fmtBody(tagPCM, 1, SampleRate, 16)), chunk("data", encode(tagPCM, 16, someValues))), 40
}

func TestWAVChunks(t *testing.T) {
	format := chunk("fmt ", fmtBody(tagPCM, 1, SampleRate, 16))
	data := chunk("data", encode(tagPCM, 16, someValues))
	list := chunk("LIST", []byte("INFOISFT\x05\x00\x00\x00Lavf\x00\x00"))
	junk := chunk("JUNK", make([]byte, 77))
	ds64 := binary.LittleEndian.AppendUint64(nil, 0) // riff size, unused
	ds64 = binary.LittleEndian.AppendUint64(ds64, uint64(2*len(someValues)))
	ds64 = append(ds64, make([]byte, 12)...)
	openData := append([]byte("data\xff\xff\xff\xff"), data[8:]...)
	rf64 := func(id string) []byte {
		b := riffFile(chunk("ds64", ds64), format, openData, list)
		copy(b, id+"\xff\xff\xff\xff")
		return b
	}
	for name, b := range map[string][]byte{
		"junk before":      riffFile(junk, format, data),
		"list between":     riffFile(format, list, data),
		"odd chunk":        riffFile(format, chunk("odd ", []byte{1, 2, 3}), data),
		"list behind":      riffFile(format, data, list),
		"everywhere":       riffFile(list, junk, format, junk, list, data, junk, list),
		"empty chunk":      riffFile(chunk("zero", nil), format, data),
		"trailing garbage": append(riffFile(format, data), "garbage"...),
		"long fmt":         riffFile(chunk("fmt ", append(fmtBody(tagPCM, 1, SampleRate, 16), make([]byte, 61)...)), data),
		"RF64":             rf64("RF64"),
		"BW64":             rf64("BW64"),
	} {
		pcm, err := decodeBytes(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkSamples(t, name, pcm.Samples, someValues)
	}
}

// TestWAVOpenSizes decodes what writers to a pipe leave behind: sizes that were never filled in.
func TestWAVOpenSizes(t *testing.T) {
	for name, sizes := range map[string][2]uint32{ // RIFF, data
		"ffmpeg":        {0xffffffff, 0xffffffff},
		"zeros":         {0, 0},
		"header only":   {36, 0},
		"open and zero": {0xffffffff, 0},
		"SoX":           {0x7ffff024, 0x7ffff000},
	} {
		b, at := plainWAV()
		binary.LittleEndian.PutUint32(b[4:], sizes[0])
		binary.LittleEndian.PutUint32(b[at:], sizes[1])
		pcm, err := decodeBytes(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkSamples(t, name, pcm.Samples, someValues)
		if _, err := decodeBytes(b[:at+4]); !errors.Is(err, ErrEmpty) {
			t.Errorf("%s without samples: %v, want ErrEmpty", name, err)
		}
		pcm, err = decodeBytes(b[:len(b)-1])
		if err != nil {
			t.Errorf("%s, cut within a sample: %v", name, err)
			continue
		}
		checkSamples(t, name, pcm.Samples, someValues[:len(someValues)-1])
	}
}

func TestWAVTruncated(t *testing.T) {
	b, at := plainWAV()
	for n := 1; n < len(b); n++ {
		_, err := decodeBytes(b[:n])
		if n < 4 {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("first %d bytes: %v, want ErrFormat", n, err)
			}
		} else if !errors.Is(err, ErrTruncated) {
			t.Errorf("first %d bytes: %v, want ErrTruncated", n, err)
		}
	}
	_, err := decodeBytes(b[:len(b)-5])
	if want := "audio: truncated: header promises 16 bytes of samples, file holds 11"; err == nil || err.Error() != want {
		t.Errorf("cut file: %v, want %q", err, want)
	}
	for _, size := range []uint32{17, 1 << 20, 0x7fffffff, 0xfffffffe} {
		binary.LittleEndian.PutUint32(b[at:], size)
		if _, err := decodeBytes(b); !errors.Is(err, ErrTruncated) {
			t.Errorf("data size %#x: %v, want ErrTruncated", size, err)
		}
	}
	lying := riffFile([]byte("LIST\xff\xff\xff\x7fINFO"))
	if _, err := decodeBytes(lying); !errors.Is(err, ErrTruncated) {
		t.Errorf("lying LIST: %v, want ErrTruncated", err)
	}
	lying = riffFile([]byte("fmt \xf0\xff\xff\x7f"), fmtBody(tagPCM, 1, SampleRate, 16))
	if _, err := decodeBytes(lying); !errors.Is(err, ErrTruncated) {
		t.Errorf("lying fmt: %v, want ErrTruncated", err)
	}
}

func TestWAVRefused(t *testing.T) {
	samples := chunk("data", make([]byte, 64))
	wide := fmtBody(tagPCM, 1, SampleRate, 16)
	wide[12] = 4
	guid := extensibleBody(tagPCM, 1, SampleRate, 16, 16)
	guid[39]++
	for name, c := range map[string]struct {
		format []byte
		want   string
	}{
		"no channels":   {fmtBody(tagPCM, 0, SampleRate, 16), "0 channels"},
		"no rate":       {fmtBody(tagPCM, 1, 0, 16), "0 Hz"},
		"huge rate":     {fmtBody(tagPCM, 1, -1, 16), "Hz"},
		"no bits":       {fmtBody(tagPCM, 1, SampleRate, 0), "0 bits"},
		"40 bits":       {fmtBody(tagPCM, 1, SampleRate, 40), "40 bits"},
		"half float":    {fmtBody(tagFloat, 1, SampleRate, 16), "16 bits"},
		"ADPCM":         {fmtBody(0x0002, 1, SampleRate, 4), "Microsoft ADPCM"},
		"MP3 in WAV":    {fmtBody(0x0055, 1, SampleRate, 0), "MP3"},
		"unknown":       {fmtBody(0x1234, 1, SampleRate, 16), "0x1234"},
		"block":         {wide, "blocks of 4 bytes"},
		"unknown GUID":  {guid, "extensible"},
		"short fmt":     {fmtBody(tagPCM, 1, SampleRate, 16)[:14], "fmt chunk of 14 bytes"},
		"short to GUID": {fmtBody(tagExtensible, 1, SampleRate, 16), "extensible"},
	} {
		_, err := decodeBytes(riffFile(chunk("fmt ", c.format), samples))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrFormat with %q", name, err, c.want)
		}
	}
	format := chunk("fmt ", fmtBody(tagPCM, 1, SampleRate, 16))
	for name, b := range map[string][]byte{
		"data before fmt": riffFile(samples, format),
		"no data":         riffFile(format),
		"no fmt":          riffFile(chunk("JUNK", nil)),
		"short ds64":      append([]byte("RF64\xff\xff\xff\xffWAVE"), chunk("ds64", make([]byte, 8))...),
		"vast ds64":       append([]byte("RF64\xff\xff\xff\xffWAVE"), chunk("ds64", bytes.Repeat([]byte{0xff}, 28))...),
	} {
		if _, err := decodeBytes(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
	if _, err := decodeBytes(riffFile(format, chunk("data", nil))); !errors.Is(err, ErrEmpty) {
		t.Errorf("no samples: %v, want ErrEmpty", err)
	}
}

func TestWAVNotFinite(t *testing.T) {
	for _, bits := range []int{32, 64} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for _, channels := range []int{1, 2} {
				b := riffFile(chunk("fmt ", fmtBody(tagFloat, channels, 8000, bits)), chunk("data", encode(tagFloat, bits, []float64{0, 0, 0, bad})))
				if _, err := decodeBytes(b); !errors.Is(err, ErrNotFinite) {
					t.Errorf("%g in %d-bit float: %v, want ErrNotFinite", bad, bits, err)
				}
			}
		}
	}
	b := riffFile(chunk("fmt ", fmtBody(tagFloat, 1, 8000, 64)), chunk("data", encode(tagFloat, 64, []float64{1e300})))
	if _, err := decodeBytes(b); !errors.Is(err, ErrNotFinite) {
		t.Errorf("1e300: %v, want ErrNotFinite", err)
	}
}

func TestWriteWAV(t *testing.T) {
	samples := append(noise(40000, 1, 1), 0, 1, -1, 1.5, -1.5, 0.99999, 1.0/(1<<16), 3.0/(1<<16))
	path := filepath.Join(t.TempDir(), "written.wav")
	for _, n := range []int{len(samples), 1} {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteWAV(f, samples[:n]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if encoded, err := EncodeWAV(samples[:n]); err != nil || !bytes.Equal(encoded, written) {
			t.Fatalf("EncodeWAV returns another file: %v", err)
		}
		pcm, err := DecodeFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(pcm.Samples) != n || pcm.Source.Format != "WAV, 16-bit PCM" {
			t.Fatalf("%d samples of %s, want %d", len(pcm.Samples), pcm.Source.Format, n)
		}
		for i, v := range samples[:n] {
			want := math.RoundToEven(max(-1<<15, min(1<<15-1, float64(v)*(1<<15)))) / (1 << 15)
			if float64(pcm.Samples[i]) != want {
				t.Fatalf("sample %d: %g became %g, want %g", i, v, pcm.Samples[i], want)
			}
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WriteWAV(f, []float32{0, float32(math.NaN())}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: %v, want ErrNotFinite", err)
	}
	if err := WriteWAV(f, nil); err != nil {
		t.Errorf("no samples: %v", err)
	}
	if _, err := DecodeFile(path); !errors.Is(err, ErrEmpty) {
		t.Errorf("no samples: decoded with %v, want ErrEmpty", err)
	}
}

func BenchmarkDecodeWAV(b *testing.B) {
	for _, c := range []struct{ tag, bits, channels, rate int }{
		{tagPCM, 16, 1, 16000}, {tagFloat, 32, 1, 16000}, {tagPCM, 16, 2, 44100},
	} {
		const seconds = 30
		file := riffFile(chunk("fmt ", fmtBody(c.tag, c.channels, c.rate, c.bits)), chunk("data", make([]byte, seconds*c.rate*c.channels*c.bits/8)))
		b.Run(fmt.Sprintf("%d-bit/%dch/%dHz", c.bits, c.channels, c.rate), func(b *testing.B) {
			for b.Loop() {
				if _, err := decodeBytes(file); err != nil {
					b.Fatal(err)
				}
			}
			perRun := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(1000*perRun, "ms/30s")
			b.ReportMetric(seconds/perRun, "RTFx")
		})
	}
}
