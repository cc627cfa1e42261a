package audio

import (
	"bytes"
	"context"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// encoding is one way in which a program stores sound. Its command reads the WAV file IN and writes OUT.
type encoding struct {
	out     string
	command string
	format  string        // in Source.Format
	least   float64       // correlation with the original, at the best shift
	shift   time.Duration // by which it may be late
	excess  time.Duration // by which it may be longer
}

// Where delay and padding are not stated, they last no longer than a few codec frames.
const (
	exact   = time.Millisecond
	unended = 130 * time.Millisecond
)

var encodings = []encoding{
	{"a.flac", "flac --silent -o OUT IN", "FLAC", 0.9999, 0, exact},
	{"a.mp3", "lame --quiet -V 4 IN OUT", "MP3", 0.98, 0, exact},
	{"b.mp3", "lame --quiet --resample 22.05 -b 32 IN OUT", "MP3", 0.95, unended, unended},
	{"a.opus", "opusenc --quiet --bitrate 24 IN OUT", "Ogg Opus", 0.9, 0, exact},
	{"b.opus", "opusenc --quiet --bitrate 64 --framesize 2.5 IN OUT", "Ogg Opus", 0.95, 0, exact},
	{"c.mp3", "ffmpeg -i IN -ar 44100 -ac 2 -b:a 96k OUT", "MP3", 0.98, 0, exact},
	{"d.mp3", "ffmpeg -i IN -b:a 32k -write_xing 0 OUT", "MP3", 0.95, unended, unended},
	{"e.mp3", "ffmpeg -i IN -ar 8000 -b:a 24k OUT", "MPEG 2.5", 0.8, unended, unended},
	{"a.ogg", "ffmpeg -i IN -c:a libvorbis -q:a 4 OUT", "Ogg Vorbis", 0.98, 0, exact},
	{"b.ogg", "ffmpeg -i IN -c:a libvorbis -ar 44100 -ac 2 -q:a 2 OUT", "Ogg Vorbis", 0.97, 0, exact},
	{"c.opus", "ffmpeg -i IN -c:a libopus -ac 2 -b:a 48k OUT", "Ogg Opus", 0.9, 0, exact},
	{"a.webm", "ffmpeg -i IN -c:a libopus -b:a 32k OUT", "WebM Opus", 0.9, 0, exact},
	{"b.webm", "ffmpeg -i IN -c:a libvorbis -q:a 4 OUT", "WebM Vorbis", 0.98, 0, unended},
	{"c.webm", "ffmpeg -f lavfi -i testsrc=s=64x48:r=5 -i IN -shortest -c:v libvpx -c:a libopus -live 1 OUT", "WebM Opus", 0.9, 0, unended},
	{"a.m4a", "ffmpeg -i IN -c:a aac -b:a 64k OUT", "M4A", 0.97, unended, unended},
	{"b.m4a", "ffmpeg -i IN -c:a aac -b:a 64k -movflags +faststart OUT", "M4A", 0.97, unended, unended},
	{"a.aac", "ffmpeg -i IN -c:a aac -b:a 64k OUT", "AAC", 0.97, unended, unended},
	{"a.mkv", "ffmpeg -f lavfi -i testsrc=s=64x48:r=5 -i IN -shortest -c:v mpeg4 -c:a aac OUT", "Matroska", 0.97, unended, unended},
	{"a.mov", "ffmpeg -f lavfi -i testsrc=s=64x48:r=5 -i IN -shortest -c:v mpeg4 -c:a pcm_s16le OUT", "QuickTime", 0.999, unended, unended},
	{"a.aiff", "ffmpeg -i IN OUT", "AIFF", 0.9999, 0, exact},
}

// TestEncoders has every encoder that is installed store a recording, and compares what is read with the recording: by correlation, by
// shift and by length.
func TestEncoders(t *testing.T) {
	want, in := recording(t, 6)
	for _, e := range encodings {
		t.Run(e.out+" by "+strings.Fields(e.command)[0], func(t *testing.T) {
			out := e.encode(t, in)
			pcm, err := DecodeFile(out)
			if err != nil {
				t.Fatal(err)
			}
			corr, late := correlation(pcm.Samples, want, e.shift)
			excess := pcm.Duration() - samplesDuration(int64(len(want)), SampleRate)
			t.Logf("%s: correlation %.4f, late by %v, longer by %v", pcm.Source.Format, corr, late, excess)
			if !strings.Contains(pcm.Source.Format, e.format) {
				t.Errorf("read as %q, want %q", pcm.Source.Format, e.format)
			}
			if corr < e.least {
				t.Errorf("correlation %.4f, want %.4f", corr, e.least)
			}
			if excess < -exact || excess > e.excess {
				t.Errorf("longer by %v, want at most %v", excess, e.excess)
			}
		})
	}
}

// recording is the longest WAV of the data set that is 16 kHz mono, cut to so many seconds, and the path of a WAV file of it.
func recording(t testing.TB, seconds int) (samples []float32, path string) {
	t.Helper()
	longest, size := "", int64(0)
	err := filepath.WalkDir(dataSet(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wav" {
			return err
		}
		b := make([]byte, 28)
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		f.Read(b)
		if info, err := entry.Info(); err == nil && info.Size() > size && bytes.Equal(b[22:28], []byte("\x01\x00\x80\x3e\x00\x00")) {
			longest, size = path, info.Size()
		}
		return nil
	})
	if err != nil || longest == "" {
		t.Skipf("SKIP: recording of 16 kHz absent: %v", err)
	}
	pcm, err := DecodeFile(longest)
	if err != nil {
		t.Fatal(err)
	}
	samples = pcm.Samples[:min(seconds*SampleRate, len(pcm.Samples))]
	path = filepath.Join(t.TempDir(), "in.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WriteWAV(f, samples); err != nil {
		t.Fatal(err)
	}
	return samples, path
}

// encode runs the command and returns the path of its output.
func (e encoding) encode(t testing.TB, in string) string {
	t.Helper()
	args := strings.Fields(e.command)
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("SKIP: program %s absent: %v", args[0], err)
	}
	if args[0] == "ffmpeg" {
		args = append([]string{"ffmpeg", "-nostdin", "-loglevel", "error"}, args[1:]...)
	}
	out := filepath.Join(t.TempDir(), e.out)
	for i, a := range args {
		args[i] = map[string]string{"IN": in, "OUT": out}[a]
		if args[i] == "" {
			args[i] = a
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if said, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, said)
	}
	return out
}

// correlation is Σ got·want / √(Σ got² · Σ want²) where got is late by as much, at most, as makes it greatest.
func correlation(got, want []float32, most time.Duration) (best float64, late time.Duration) {
	best = math.Inf(-1)
	for shift := 0; shift <= int(most.Seconds()*SampleRate) && shift < len(got); shift++ {
		product, g, w := 0.0, 0.0, 0.0
		for i := range min(len(want), len(got)-shift) {
			x, y := float64(got[shift+i]), float64(want[i])
			product, g, w = product+x*y, g+x*x, w+y*y
		}
		if c := product / math.Sqrt(max(g*w, 1e-30)); c > best {
			best, late = c, samplesDuration(int64(shift), SampleRate)
		}
	}
	return best, late
}

// BenchmarkDecode reports the seconds of sound decoded in a second, for each format.
func BenchmarkDecode(b *testing.B) {
	_, in := recording(b, 30)
	for _, e := range append([]encoding{{out: "in.wav"}}, encodings...) {
		switch e.out {
		case "in.wav", "a.flac", "a.mp3", "c.mp3", "a.opus", "c.opus", "a.ogg", "b.ogg", "a.webm", "a.m4a":
		default:
			continue
		}
		b.Run(e.out, func(b *testing.B) {
			path := in
			if e.command != "" {
				path = e.encode(b, in)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				b.Fatal(err)
			}
			seconds := 0.0
			for b.Loop() {
				pcm, err := decodeBytes(file)
				if err != nil {
					b.Fatal(err)
				}
				seconds += pcm.Duration().Seconds()
			}
			b.ReportMetric(seconds/b.Elapsed().Seconds(), "RTFx")
		})
	}
}
