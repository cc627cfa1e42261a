package audio

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestDecodeRefusesOtherContent(t *testing.T) {
	opus := "OggS\x00\x02" + strings.Repeat("\x00", 22) + "OpusHead\x01\x01"
	vorbis := "OggS\x00\x02" + strings.Repeat("\x00", 22) + "\x01vorbis"
	for name, c := range map[string]struct{ content, want string }{
		"text":            {"Once upon a time,\nthere was a file.\n", "text"},
		"UTF-8 text":      {"Žluťoučký kůň", "text"},
		"MP3":             {"\xff\xfb\x90\x64" + strings.Repeat("\x00", 100), "MP3"},
		"tagged MP3":      {"ID3\x04\x00\x00\x00\x00\x00\x05hello\xff\xfb\x90\x64", "MP3"},
		"cut tag":         {"ID3\x04\x00\x00\x7f\x7f\x7f\x7fhello", "MP3"},
		"AAC":             {"\xff\xf1\x50\x80" + strings.Repeat("\x00", 100), "AAC"},
		"Opus":            {opus, "Ogg Opus"},
		"Vorbis":          {vorbis, "Ogg Vorbis"},
		"M4A":             {"\x00\x00\x00\x1cftypM4A \x00\x00", "M4A"},
		"MP4":             {"\x00\x00\x00\x1cftypisom\x00\x00", "MP4"},
		"WebM":            {"\x1a\x45\xdf\xa3\x01", "WebM"},
		"AIFF":            {"FORM\x00\x00\x00\x00AIFFCOMM", "AIFF"},
		"AVI":             {"RIFF\x00\x00\x00\x00AVI LIST", "AVI"},
		"RIFF of images":  {"RIFF\x00\x00\x00\x00WEBPVP8 ", `RIFF of type "WEBP"`},
		"big-endian RIFF": {"RIFX\x00\x00\x00\x00WAVE", "RIFX"},
		"zeros":           {strings.Repeat("\x00", 5000), "unknown"},
		"one byte":        {"R", "text"},
	} {
		pcm, err := decodeBytes([]byte(c.content))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want ErrFormat with %q", name, err, c.want)
		}
		if pcm.Samples != nil {
			t.Errorf("%s: samples beside an error", name)
		}
	}
	if _, err := decodeBytes(nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("no bytes: %v, want ErrEmpty", err)
	}
}

func TestDecodeLimits(t *testing.T) {
	values := make([]float64, 8000)
	b := riffFile(chunk("fmt ", fmtBody(tagPCM, 1, 8000, 16)), chunk("data", encode(tagPCM, 16, values)))
	for name, c := range map[string]struct {
		limits Limits
		want   error
	}{
		"default":         {Limits{}, nil},
		"exact":           {Limits{MaxDuration: time.Second, MaxBytes: int64(len(b))}, nil},
		"too long":        {Limits{MaxDuration: time.Second - time.Millisecond}, ErrTooLong},
		"too large":       {Limits{MaxBytes: int64(len(b)) - 1}, ErrTooLarge},
		"too large early": {Limits{MaxBytes: 10}, ErrTooLarge},
	} {
		pcm, err := Decode(bytes.NewReader(b), c.limits)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && len(pcm.Samples) != SampleRate {
			t.Errorf("%s: %d samples", name, len(pcm.Samples))
		}
	}
	if _, err := Decode(bytes.NewReader(flacFile(t, 8000, 1, 16, 8000, true)), Limits{MaxDuration: time.Second / 2}); !errors.Is(err, ErrTooLong) {
		t.Errorf("FLAC: %v, want ErrTooLong", err)
	}
	flacBytes := flacFile(t, 8000, 1, 16, 8000, true)
	if _, err := Decode(bytes.NewReader(flacBytes), Limits{MaxBytes: int64(len(flacBytes)) - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("FLAC: %v, want ErrTooLarge", err)
	}
}

// TestDecodeReaders decodes from readers that deliver in odd pieces or fail.
func TestDecodeReaders(t *testing.T) {
	wav := riffFile(chunk("fmt ", fmtBody(tagPCM, 2, 44100, 24)), chunk("data", make([]byte, 6*30000)))
	fault := errors.New("the line dropped")
	for name, b := range map[string][]byte{"WAV": wav, "FLAC": flacFile(t, 44100, 2, 16, 30000, true)} {
		want, err := decodeBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		for piece, r := range map[string]io.Reader{
			"half": iotest.HalfReader(bytes.NewReader(b)), "one byte": iotest.OneByteReader(bytes.NewReader(b)),
			"data with EOF": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, err := Decode(r, Limits{})
			if err != nil || len(got.Samples) != len(want.Samples) || got.Source != want.Source {
				t.Errorf("%s from %s reader: %d samples, %v", name, piece, len(got.Samples), err)
			}
		}
		for _, n := range []int{0, 2, 30, 100, 5000, len(b) - 1} {
			_, err := Decode(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(fault)), Limits{})
			if !errors.Is(err, fault) || errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated) {
				t.Errorf("%s failing at byte %d: %v, want %v alone", name, n, err, fault)
			}
		}
	}
}

func TestDecodeFileErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.wav")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.wav")
	for path, want := range map[string]error{dir: ErrFormat, empty: ErrEmpty, missing: fs.ErrNotExist} {
		_, err := DecodeFile(path)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

// TestDecodeDataSet decodes every file of $GLOSSA_DATA (or ../shared/data/audio beside the repository): WAV and FLAC must decode, all others
// must be refused by the name of their format. Under the race detector it leaves out long files.
func TestDecodeDataSet(t *testing.T) {
	dir := os.Getenv("GLOSSA_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data", "audio")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIP: set of real audio files absent: %v", err)
	}
	foreignNames := map[string]string{".mp3": "MP3", ".ogg": "Ogg", ".opus": "Ogg Opus", ".m4a": "M4A", ".webm": "WebM", ".mp4": "MP4", ".aac": "AAC"}
	const longFile = 400_000 // bytes
	decoded := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		ext := strings.ToLower(filepath.Ext(path))
		name, isForeign := foreignNames[ext]
		if !isForeign && ext != ".wav" && ext != ".flac" {
			return nil
		}
		if info, err := entry.Info(); err != nil || raceDetector && info.Size() > longFile {
			return err
		}
		pcm, err := DecodeFile(path)
		switch {
		case isForeign && (!errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), name)):
			t.Errorf("%v, want ErrFormat naming %s", err, name)
		case isForeign:
		case err != nil:
			t.Error(err)
		default:
			decoded++
			level := rms(pcm.Samples)
			if level < 1e-4 || level > 0.7 {
				t.Errorf("%s: level %g is not that of speech", path, level)
			}
			if d := pcm.Duration() - pcm.Source.Duration; d < 0 || d > time.Second/SampleRate {
				t.Errorf("%s: %v of samples from %v", path, pcm.Duration(), pcm.Source.Duration)
			}
			if pcm.Source.Rate != SampleRate || pcm.Source.Channels != 1 || !strings.Contains(pcm.Source.Format, "16-bit") {
				t.Logf("%s: %+v", filepath.Base(path), pcm.Source)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if decoded == 0 {
		t.Errorf("no WAV or FLAC file under %s", dir)
	}
	t.Logf("%d files decoded", decoded)
}
