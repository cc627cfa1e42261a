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
	for name, c := range map[string]struct{ content, want string }{
		"text":            {"Once upon a time,\nthere was a file.\n", "text"},
		"UTF-8 text":      {"Žluťoučký kůň", "text"},
		"ZIP":             {"PK\x03\x04", "ZIP"},
		"tagged nothing":  {"ID3\x04\x00\x00\x00\x00\x00\x05hello", "tag"},
		"tagged text":     {"ID3\x04\x00\x00\x00\x00\x00\x05hello dear", "tag"},
		"empty Ogg":       {string(oggPageOf(oggFirst|oggLast, 0, 1, []byte("nothing known"))), "ffmpeg"},
		"damaged Ogg":     {"OggS\x00\x02" + strings.Repeat("\x00", 22) + "OpusHead\x01\x01", "checksum"},
		"Opus of 3":       {string(oggPageOf(oggFirst, 0, 1, []byte("OpusHead\x01\x03\x00\x00\x80\xbb\x00\x00\x00\x00\x01\x02\x01\x00\x01\x02"))), "Opus of many channels"},
		"M4A":             {"\x00\x00\x00\x1cftypM4A \x00\x00", "M4A"},
		"MP4":             {"\x00\x00\x00\x1cftypisom\x00\x00", "MP4"},
		"AAC":             {"\xff\xf1\x50\x80" + strings.Repeat("\x00", 100), "AAC"},
		"layer II":        {"\xff\xfd\x84\x04" + strings.Repeat("\x00", 100), "layer II"},
		"MPEG 2.5":        {"\xff\xe3\x18\xc4" + strings.Repeat("\x00", 68), "MPEG 2.5"},
		"cut WebM":        {"\x1a\x45\xdf\xa3\x81", "truncated"},
		"AIFF":            {"FORM\x00\x00\x00\x00AIFFCOMM", "AIFF"},
		"AVI":             {"RIFF\x00\x00\x00\x00AVI LIST", "AVI"},
		"RIFF of images":  {"RIFF\x00\x00\x00\x00WEBPVP8 ", `RIFF of type "WEBP"`},
		"big-endian RIFF": {"RIFX\x00\x00\x00\x00WAVE", "RIFX"},
		"zeros":           {strings.Repeat("\x00", 5000), "unknown"},
		"one byte":        {"R", "text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", "")
			pcm, err := decodeBytes([]byte(c.content))
			want := ErrFormat
			switch {
			case err != nil && strings.Contains(err.Error(), "install ffmpeg"):
				want = ErrNoFFmpeg
			case c.want == "truncated":
				want = ErrTruncated
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, c.want)
			}
			if pcm.Samples != nil {
				t.Error("samples beside an error")
			}
		})
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

// dataFile is the path of a file or folder of real data: in $GLOSSA_DATA, or ../shared/data beside the repository. It skips t if absent.
func dataFile(t testing.TB, what string, path ...string) string {
	t.Helper()
	dir := os.Getenv("GLOSSA_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	name := filepath.Join(append([]string{dir}, path...)...)
	if _, err := os.Stat(name); err != nil {
		t.Skipf("SKIP: %s absent: %v (GLOSSA_DATA names the folder of data)", what, err)
	}
	return name
}

// dataSet is the folder of real recordings.
func dataSet(t testing.TB) string {
	t.Helper()
	return dataFile(t, "set of real recordings", "audio")
}

// TestDecodeDataSet decodes every sound file of the data set; those that need ffmpeg only where it is installed. Under the race detector
// and with -short it leaves out long files.
func TestDecodeDataSet(t *testing.T) {
	dir := dataSet(t)
	const longFile = 60_000 // bytes
	decoded, skipped := make(map[string]int), 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		ext := strings.ToLower(filepath.Ext(path))
		switch ext {
		case ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".mp4", ".aac":
		default:
			return nil
		}
		if info, err := entry.Info(); err != nil || (raceDetector || testing.Short()) && info.Size() > longFile {
			return err
		}
		pcm, err := DecodeFile(path)
		if errors.Is(err, ErrNoFFmpeg) {
			skipped++
			return nil
		}
		if err != nil {
			t.Error(err)
			return nil
		}
		decoded[ext]++
		if level := rms(pcm.Samples); level < 1e-4 || level > 0.7 {
			t.Errorf("%s: level %g is not that of speech", path, level)
		}
		if d := pcm.Duration() - pcm.Source.Duration; d < 0 || d > time.Second/SampleRate {
			t.Errorf("%s: %v of samples from %v", path, pcm.Duration(), pcm.Source.Duration)
		}
		if pcm.Source.Rate != SampleRate || pcm.Source.Channels != 1 || !strings.Contains(pcm.Source.Format, "16-bit") {
			t.Logf("%s: %+v", filepath.Base(path), pcm.Source)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(decoded) == 0 {
		t.Errorf("no sound file under %s", dir)
	}
	t.Logf("files decoded: %v", decoded)
	if skipped > 0 {
		t.Skipf("SKIP: program ffmpeg absent: %d files not decoded", skipped)
	}
}
