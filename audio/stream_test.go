package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// collect returns what takes samples and where they go.
func collect() (emit func([]float32) error, got *[]float32) {
	got = new([]float32)
	return func(pcm []float32) error {
		*got = append(*got, pcm...)
		return nil
	}, got
}

// inPieces writes b to s in pieces of random sizes, and closes it.
func inPieces(s *Stream, b []byte, random *rand.Rand) error {
	for len(b) > 0 {
		n := min(1+random.IntN(3000), len(b))
		if err := s.Write(b[:n]); err != nil {
			s.Stop()
			return err
		}
		b = b[n:]
	}
	return s.Close()
}

// TestFileStreamEqualsDecode writes files in pieces: the samples are those of the whole file.
func TestFileStreamEqualsDecode(t *testing.T) {
	before := runtime.NumGoroutine()
	files := map[string][]byte{
		"wav":  riffFile(chunk("fmt ", fmtBody(tagPCM, 2, 44100, 16)), chunk("data", bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 9000)), chunk("LIST", make([]byte, 300))),
		"flac": flacFile(t, 16000, 2, 16, 20000, true),
	}
	for _, c := range fixtures {
		files[c.source.Format+" "+c.source.Duration.String()] = c.bytes(t)
	}
	for name, b := range files {
		want, err := Decode(bytes.NewReader(b), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		emit, got := collect()
		s := NewFileStream(0, emit)
		if err := inPieces(s, b, rand.New(rand.NewPCG(1, 2))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(*got, want.Samples) {
			t.Errorf("%s: %d samples unlike the %d of the whole file", name, len(*got), len(want.Samples))
		}
		if s.Source() != want.Source {
			t.Errorf("%s: source %+v, want %+v", name, s.Source(), want.Source)
		}
		// A recorder that is switched off: all that came is there.
		emit, got = collect()
		s = NewFileStream(0, emit)
		err = inPieces(s, b[:len(b)*2/3], rand.New(rand.NewPCG(3, 4)))
		if inPages := len(*got) == 0; inPages && errors.Is(err, ErrTruncated) {
			continue // the file is one page of Ogg
		}
		whole := max(0, len(*got)-1000) // what follows depends on what the resampler and the codec have not seen
		if err != nil || len(*got) == 0 || len(*got) > len(want.Samples) || !slices.Equal((*got)[:whole], want.Samples[:whole]) {
			t.Errorf("%s, cut: %d samples of %d, %v", name, len(*got), len(want.Samples), err)
		}
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}

// TestFileStreamIsPrompt checks that the sound of a live recording is there with its bytes.
func TestFileStreamIsPrompt(t *testing.T) {
	wav := riffFile(chunk("fmt ", fmtBody(tagPCM, 1, 16000, 16)), chunk("data", make([]byte, 32000)))
	for name, b := range map[string][]byte{"wav": wav, "webm": fixtureNamed(t, "Matroska/WebM Opus")} {
		emit, got := collect()
		s := NewFileStream(0, emit)
		half := len(b) / 2
		if err := s.Write(b[:half]); err != nil {
			t.Fatal(err)
		}
		if len(*got) == 0 {
			t.Errorf("%s: no samples of the first %d bytes of %d", name, half, len(b))
		}
		s.Stop()
	}
}

func fixtureNamed(t testing.TB, format string) []byte {
	for _, c := range fixtures {
		if strings.HasPrefix(c.source.Format, format) && c.source.Duration > 500*time.Millisecond {
			return c.bytes(t)
		}
	}
	t.Fatalf("no fixture of %s", format)
	return nil
}

// TestRawStream decodes each coding at another rate and of two channels.
func TestRawStream(t *testing.T) {
	const n = 4000
	want := make([]float32, n)
	codings := map[string][]byte{}
	for i := range want {
		v := float32(math.Sin(float64(i) / 9))
		for range 2 { // channels
			codings[RawS16] = binary.LittleEndian.AppendUint16(codings[RawS16], uint16(int16(v*math.MaxInt16)))
			codings[RawS32] = binary.LittleEndian.AppendUint32(codings[RawS32], uint32(int32(v*(1<<30)*1.999)))
			codings[RawF32] = binary.LittleEndian.AppendUint32(codings[RawF32], math.Float32bits(v))
		}
		want[i] = v
	}
	want = Resample(want, 8000)
	for coding, b := range codings {
		emit, got := collect()
		s, err := NewRawStream(coding, 8000, 2, 0, emit)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(b[:3]); !errors.Is(err, ErrTruncated) {
			t.Errorf("%s of 3 bytes: %v", coding, err)
		}
		frame := 2 * RawWidth(coding)
		for cut := range slices.Chunk(b, 37*frame) {
			if err := s.Write(cut); err != nil {
				t.Fatal(err)
			}
		}
		if d := s.Duration(); d != n*time.Second/8000 {
			t.Errorf("%s: lasts %v", coding, d)
		}
		if err := s.Close(); err != nil || len(*got) != len(want) {
			t.Fatalf("%s: %d samples, want %d; %v", coding, len(*got), len(want), err)
		}
		for i, v := range *got {
			if math.Abs(float64(v-want[i])) > 2e-3 {
				t.Fatalf("%s: sample %d is %g, want %g", coding, i, v, want[i])
			}
		}
	}
	emit, got := collect()
	for _, coding := range []string{RawMuLaw, RawALaw} {
		s, err := NewRawStream(coding, SampleRate, 1, 0, emit)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write([]byte{0xd5, 0xff}); err != nil || s.Close() != nil {
			t.Fatal(err)
		}
	}
	if w := []float32{muLaw[0xd5], muLaw[0xff], aLaw[0xd5], aLaw[0xff]}; !slices.Equal(*got, w) {
		t.Errorf("G.711: %v, want %v", *got, w)
	}
	for _, bad := range []struct {
		coding         string
		rate, channels int
	}{{"adpcm", 8000, 1}, {RawS16, 1, 1}, {RawS16, 1 << 30, 1}, {RawS16, 8000, 0}} {
		if _, err := NewRawStream(bad.coding, bad.rate, bad.channels, 0, emit); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestStreamLimits checks that a stream that lasts too long, or that its taker refuses, ends.
func TestStreamLimits(t *testing.T) {
	emit, got := collect()
	s, err := NewOpusStream(1, time.Second, emit)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err = s.Write(silentOpus); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooLong) || len(*got) > SampleRate {
		t.Errorf("a stream of silence: %v after %d samples", err, len(*got))
	}
	if again := s.Write(silentOpus); again != err || s.Close() != err {
		t.Errorf("after its error: %v", again)
	}
	refused := errors.New("refused")
	f := NewFileStream(0, func([]float32) error { return refused })
	if err := f.Write(riffFile(chunk("fmt ", fmtBody(tagPCM, 1, 16000, 16)), chunk("data", make([]byte, 9000)))); err != refused {
		t.Errorf("%v, want that of emit", err)
	}
	f.Stop()
	if o, err := NewOpusStream(2, 0, emit); err != nil {
		t.Fatal(err)
	} else {
		for err == nil {
			err = o.Write([]byte{3, 0xff})
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("what is no Opus: %v", err)
		}
	}
	if _, err := NewOpusStream(3, 0, emit); !errors.Is(err, ErrFormat) {
		t.Errorf("Opus of 3 channels: %v", err)
	}
	for _, b := range []string{"plain text that goes on", "RIFF1234AVI LIST and so on", "x"} {
		f := NewFileStream(0, emit)
		err := f.Write([]byte(b))
		if err == nil {
			err = f.Close()
		}
		f.Stop()
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// FuzzStream writes anything in pieces. Small input yields at most what its limit allows.
func FuzzStream(f *testing.F) {
	for _, c := range fixtures {
		b := c.bytes(f)
		f.Add(b[:len(b)/3], 100)
	}
	for _, seed := range wavSeeds() {
		f.Add(seed, 7)
	}
	f.Add(silentOpus, 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		n := 0
		file := NewFileStream(100*time.Millisecond, func(pcm []float32) error { n += len(pcm); return nil })
		packets, _ := NewOpusStream(1+size&1, 100*time.Millisecond, func(pcm []float32) error { n += len(pcm); return nil })
		for piece := range slices.Chunk(b, 1+max(size, 0)%1000) {
			if err := file.Write(piece); err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrTruncated) &&
				!errors.Is(err, ErrTooLong) && !errors.Is(err, ErrNotFinite) && !errors.Is(err, ErrEmpty) {
				t.Fatal(err)
			}
			packets.Write(piece)
		}
		file.Close()
		packets.Close()
		if n > 2*SampleRate {
			t.Fatalf("%d samples of %d bytes", n, len(b))
		}
	})
}
