package audio

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stated returns what is stated of bytes.
func stated(b []byte) (time.Duration, bool) { return StatedDuration(bytes.NewReader(b), int64(len(b))) }

// TestStatedDurations holds what files of all formats state against what they are decoded to.
func TestStatedDurations(t *testing.T) {
	files, err := filepath.Glob("testdata/chirp*")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	speech, err := filepath.Glob("../testdata/multilingual/*/00.flac")
	if err != nil || len(speech) < 5 {
		t.Fatal(speech, err)
	}
	for _, path := range append(files, speech...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := stated(b)
		if ext := filepath.Ext(path); ext == ".m4a" || ext == ".aac" || strings.HasSuffix(path, "chirp-8000.mp3") { // which ffmpeg reads
			if ok {
				t.Errorf("%s states %v", path, got)
			}
			continue
		}
		pcm, err := Decode(bytes.NewReader(b), Limits{})
		if err != nil {
			t.Fatal(path, err)
		}
		if off := (got - pcm.Source.Duration).Abs(); !ok || off > 60*time.Millisecond {
			t.Errorf("%s states %v, %v; it lasts %v", path, got, ok, pcm.Source.Duration)
		}
		t.Logf("%s states %v, and lasts %v", path, got, pcm.Source.Duration)
	}
}

// TestStatedByWAV checks headers of WAV, also those that were never filled in or promise more than there is.
func TestStatedByWAV(t *testing.T) {
	file := func(dataSize uint32) []byte {
		var b bytes.Buffer
		b.WriteString("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data") // 8 kHz, 16 bits
		b.Write([]byte{byte(dataSize), byte(dataSize >> 8), byte(dataSize >> 16), byte(dataSize >> 24)})
		b.Write(make([]byte, 16000))
		return b.Bytes()
	}
	for size, want := range map[uint32]time.Duration{16000: time.Second, 8000: time.Second / 2, 1 << 30: time.Second, 0xffffffff: time.Second} {
		if got, ok := stated(file(size)); !ok || got != want {
			t.Errorf("data of %d bytes: %v, %v", size, got, ok)
		}
	}
	for _, b := range [][]byte{nil, []byte("RIFF"), []byte("text"), file(0)[:30], []byte("OggS"), []byte("fLaC"), []byte("\x1a\x45\xdf\xa3")} {
		if got, ok := stated(b); ok {
			t.Errorf("%q states %v", b, got)
		}
	}
}

// FuzzStatedDuration checks that no file makes it panic, or states what is no duration.
func FuzzStatedDuration(f *testing.F) {
	files, err := filepath.Glob("testdata/chirp*")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 4000)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := stated(b); ok != (d > 0) || d > maxStated {
			t.Errorf("%v, %v", d, ok)
		}
	})
}
