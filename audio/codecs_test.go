package audio

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"
)

// chirp is what testdata/make.sh encodes, at SampleRate: n samples of a tone that rises from 200 to 2000 Hz within a second.
func chirp(n int, level float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		t := float64(i) / SampleRate
		x[i] = float32(level * math.Sin(2*math.Pi*(200*t+900*t*t)))
	}
	return x
}

// signalToNoise is the level of want over that of got - want, in dB, where both have samples.
func signalToNoise(got, want []float32) float64 {
	n := min(len(got), len(want))
	noise := make([]float32, n)
	for i := range noise {
		noise[i] = got[i] - want[i]
	}
	return decibels(rms(want[:n])) - decibels(rms(noise))
}

// fixture is a file of testdata.
type fixture struct {
	name   string
	source Source
	level  float64 // of the mean of the channels
	least  float64 // signal-to-noise ratio, dB; a shift by one sample leaves 2 dB
	late   int     // sample frames at SampleRate by which an encoder that states no delay is late, at most
}

var fixtures = []fixture{
	{"chirp.mp3", Source{"MP3", 48000, 1, time.Second}, 0.5, 25, 0},
	{"chirp-stereo.mp3", Source{"MP3", 44100, 2, time.Second}, 0.375, 25, 0},
	{"chirp-22050.mp3", Source{"MP3", 22050, 1, 0}, 0.5, 15, 2000},
	{"chirp.opus", Source{"Ogg Opus", 48000, 1, time.Second}, 0.5, 5, 0},
	{"chirp-60ms.opus", Source{"Ogg Opus", 48000, 1, time.Second}, 0.5, 5, 0},
	{"chirp-stereo.opus", Source{"Ogg Opus", 48000, 2, time.Second}, 0.375, 5, 0},
	{"chirp.webm", Source{"Matroska/WebM Opus", 48000, 1, time.Second}, 0.5, 5, 0},
	{"chirp.ogg", Source{"Ogg Vorbis", 48000, 1, time.Second}, 0.5, 20, 0},
	{"chirp-stereo.ogg", Source{"Ogg Vorbis", 44100, 2, time.Second}, 0.375, 20, 0},
	{"chirp-vorbis.mka", Source{"Matroska/WebM Vorbis", 48000, 1, 0}, 0.5, 20, 0},
}

// ffmpegFixtures are those that only ffmpeg decodes.
var ffmpegFixtures = []fixture{
	{"chirp.m4a", Source{"MP4/M4A, by ffmpeg", 48000, 1, 0}, 0.5, 6, 0},
	{"chirp.aac", Source{"AAC (ADTS), by ffmpeg", 48000, 1, 0}, 0.5, 6, 2048},
	{"chirp-8000.mp3", Source{"MP3 (MPEG 2.5), by ffmpeg", 8000, 1, 0}, 0.5, 20, 3000},
}

func (f fixture) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", f.name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFixturesAreDescribed finds each file's checksum in the README beside it.
func TestFixturesAreDescribed(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("testdata", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(fixtures, ffmpegFixtures...) {
		if line := fmt.Sprintf("\n| `%s` |", f.name); !bytes.Contains(readme, []byte(line)) {
			t.Errorf("%s is not described", f.name)
		}
		if sum := fmt.Sprintf("`%x`", sha256.Sum256(f.bytes(t))); !bytes.Contains(readme, []byte(sum)) {
			t.Errorf("%s has the checksum %s, not one of the README", f.name, sum)
		}
	}
}

// check compares what was decoded with what was encoded.
func (f fixture) check(t *testing.T, pcm PCM, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", f.name, err)
		return
	}
	got := pcm.Source
	if f.source.Duration == 0 {
		// The container does not state an end to the sample: whole codec frames are left at it.
		if d := got.Duration - time.Second; d < 0 || d > 150*time.Millisecond {
			t.Errorf("%s: %v, want 1 s and little more", f.name, got.Duration)
		}
		got.Duration = 0
	}
	if got != f.source {
		t.Errorf("%s: %+v, want %+v", f.name, got, f.source)
	}
	want := chirp(SampleRate, f.level)
	best, at := math.Inf(-1), 0
	for late := 0; late <= f.late && late < len(pcm.Samples); late++ {
		if ratio := signalToNoise(pcm.Samples[late:], want); ratio > best {
			best, at = ratio, late
		}
	}
	t.Logf("%s: %.1f dB, late by %d, %v", f.name, best, at, pcm.Source.Duration)
	if best < f.least {
		t.Errorf("%s: signal-to-noise ratio %.1f dB, want %.0f", f.name, best, f.least)
	}
}

func TestCodecs(t *testing.T) {
	for _, f := range fixtures {
		pcm, err := decodeBytes(f.bytes(t))
		f.check(t, pcm, err)
	}
}

func needFFmpeg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skipf("SKIP: program ffmpeg absent: %v", err)
	}
}

func TestCodecsOfFFmpeg(t *testing.T) {
	needFFmpeg(t)
	for _, f := range ffmpegFixtures {
		pcm, err := decodeBytes(f.bytes(t))
		f.check(t, pcm, err)
	}
}

// TestCodecsTagged decodes files behind ID3v2 tags, one after another, and MP3 behind junk.
func TestCodecsTagged(t *testing.T) {
	tag := append([]byte("ID3\x04\x00\x00\x00\x00\x01\x02"), make([]byte, 130)...)
	withFooter := append([]byte("ID3\x04\x00\x10\x00\x00\x00\x05"), make([]byte, 15)...)
	for _, f := range fixtures {
		pcm, err := decodeBytes(bytes.Join([][]byte{tag, withFooter, f.bytes(t)}, nil))
		f.check(t, pcm, err)
	}
	mp3 := fixtures[0]
	junk := bytes.Repeat([]byte{0xff, 0xfb, 0x90, 0x01, 0}, 4000)
	pcm, err := decodeBytes(append(junk, mp3.bytes(t)...))
	mp3.check(t, pcm, err)
	b := mp3.bytes(t)
	pcm, err = decodeBytes(append(append(b, "TAG"...), make([]byte, 125)...))
	mp3.check(t, pcm, err)
}

// TestCodecsReaders decodes from readers that deliver in odd pieces or fail.
func TestCodecsReaders(t *testing.T) {
	fault := errors.New("the line dropped")
	for _, f := range fixtures {
		b := f.bytes(t)
		pcm, err := Decode(iotest.OneByteReader(bytes.NewReader(b)), Limits{})
		f.check(t, pcm, err)
		for _, n := range []int{0, 3, 100, len(b) - 1} {
			_, err := Decode(readFailing(b[:n], fault), Limits{})
			if !errors.Is(err, fault) || errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated) {
				t.Errorf("%s failing at byte %d: %v, want %v alone", f.name, n, err, fault)
			}
		}
	}
}

// TestCodecsLimits exceeds each limit with each codec.
func TestCodecsLimits(t *testing.T) {
	for _, f := range fixtures {
		b := f.bytes(t)
		if _, err := Decode(bytes.NewReader(b), Limits{MaxDuration: time.Second / 2}); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v, want ErrTooLong", f.name, err)
		}
		if _, err := Decode(bytes.NewReader(b), Limits{MaxBytes: int64(len(b)) - 1}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", f.name, err)
		}
	}
}

// TestCodecsCut decodes files that end early: a cut MP3 has lost nothing but what is cut off, the others say that they are cut unless
// that happened between pages or elements.
func TestCodecsCut(t *testing.T) {
	for _, f := range fixtures {
		b := f.bytes(t)
		for n := 40; n < len(b); n += len(b) / 15 {
			pcm, err := decodeBytes(b[:n])
			switch {
			case err != nil && (errors.Is(err, ErrTruncated) || errors.Is(err, ErrFormat) || errors.Is(err, ErrEmpty) || errors.Is(err, ErrNoFFmpeg)):
			case err != nil:
				t.Errorf("%s, first %d bytes: %v", f.name, n, err)
			case len(pcm.Samples) > SampleRate+SampleRate/8:
				t.Errorf("%s, first %d bytes: %v", f.name, n, pcm.Duration())
			}
		}
	}
	half := fixtures[0].bytes(t)
	pcm, err := decodeBytes(half[:len(half)/2])
	if err != nil || pcm.Duration() < 400*time.Millisecond {
		t.Errorf("half an MP3: %v, %v", pcm.Duration(), err)
	}
}
