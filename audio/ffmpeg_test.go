package audio

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fakeFFmpeg puts a shell script in the place of ffmpeg and temporary files where leftovers are found.
func fakeFFmpeg(t *testing.T, script string) (temp string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SKIP: shell absent")
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ffmpeg"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	temp = t.TempDir()
	t.Setenv("TMPDIR", temp)
	return temp
}

// someMP4 is recognised as MP4, and nothing more.
var someMP4 = []byte("\x00\x00\x00\x1cftypM4A \x00\x00\x00\x00isommp42\x00\x00\x00\x00")

func TestFFmpegAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := decodeBytes(someMP4)
	want := "audio: ffmpeg is not on the PATH, and MP4/M4A is read through it: install ffmpeg, or convert the sound to FLAC or WAV"
	if !errors.Is(err, ErrNoFFmpeg) || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestFFmpegArguments gives a script the file and looks at how it is called.
func TestFFmpegArguments(t *testing.T) {
	wav := riffFile(chunk("fmt ", fmtBody(tagFloat, 2, 48000, 32)), chunk("data", make([]byte, 8*48000)))
	copyAt := filepath.Join(t.TempDir(), "out.wav")
	if err := os.WriteFile(copyAt, wav, 0o600); err != nil {
		t.Fatal(err)
	}
	called := filepath.Join(t.TempDir(), "args")
	temp := fakeFFmpeg(t, `for a; do echo "$a"; case "$a" in file:*) cat "${a#file:}" >`+called+`.in;; esac; done >`+called+`; cat `+copyAt)
	pcm, err := Decode(bytes.NewReader(someMP4), Limits{MaxDuration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Source{"MP4/M4A, by ffmpeg", 48000, 2, time.Second}); pcm.Source != want {
		t.Errorf("%+v, want %+v", pcm.Source, want)
	}
	given, _ := os.ReadFile(called + ".in")
	if !bytes.Equal(given, someMP4) {
		t.Errorf("given %q", given)
	}
	b, _ := os.ReadFile(called)
	args := "\n" + string(b)
	for _, want := range []string{"-nostdin", "-protocol_whitelist\nfile,pipe", "-f\nmov\n-i\nfile:", "-map\n0:a:0", "-t\n61", "-timelimit\n34"} {
		if !strings.Contains(args, "\n"+want) {
			t.Errorf("no %q among the arguments %q", want, args)
		}
	}
	noLeftovers(t, temp)
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, "glossa-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFFmpegFails(t *testing.T) {
	for script, want := range map[string]string{
		"echo one >&2; echo 'moov atom not found' >&2; exit 1":       "audio: unsupported or malformed format: MP4/M4A: ffmpeg: moov atom not found",
		"echo \"Stream map '0:a:0' matches no streams.\" >&2; false": "audio: unsupported or malformed format: MP4/M4A: ffmpeg: no audio track",
		"exit 3":        "audio: unsupported or malformed format: MP4/M4A: ffmpeg: exit status 3",
		"echo nonsense": "audio: unsupported or malformed format: MP4/M4A: ffmpeg: audio: truncated: WAV ends within its header, at byte 9",
	} {
		temp := fakeFFmpeg(t, script)
		_, err := decodeBytes(someMP4)
		if !errors.Is(err, ErrFormat) || err.Error() != want {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
		noLeftovers(t, temp)
	}
}

// TestFFmpegIsKilled has ffmpeg hang, or never stop, until its context or its output ends it.
func TestFFmpegIsKilled(t *testing.T) {
	temp := fakeFFmpeg(t, "exec sleep 600")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := DecodeContext(ctx, bytes.NewReader(someMP4), Limits{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the context's error", err)
	}
	if waited := time.Since(start); waited > time.Minute {
		t.Errorf("killed after %v", waited)
	}
	noLeftovers(t, temp)

	head := riffFile(chunk("fmt ", fmtBody(tagFloat, 2, 48000, 32)), []byte("data\xff\xff\xff\xff"))
	headAt := filepath.Join(t.TempDir(), "head.wav")
	if err := os.WriteFile(headAt, head, 0o600); err != nil {
		t.Fatal(err)
	}
	temp = fakeFFmpeg(t, "cat "+headAt+"; exec cat /dev/zero")
	var err error
	peak := peakHeap(func() { _, err = Decode(bytes.NewReader(someMP4), Limits{MaxDuration: time.Minute}) })
	if !errors.Is(err, ErrTooLong) || peak > 60*SampleRate*4+16<<20 {
		t.Errorf("endless output: %v, %d bytes of heap", err, peak)
	}
	if _, err := Decode(&endless{someMP4, []byte("x"), 1 << 40}, Limits{MaxBytes: 1 << 20}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("endless input: %v, want ErrTooLarge", err)
	}
	noLeftovers(t, temp)
}

// TestDecodeContext stops a Go decoder.
func TestDecodeContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := DecodeContext(ctx, bytes.NewReader(fixtures[0].bytes(t)), Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}
