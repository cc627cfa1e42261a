package audio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// What ffmpeg may cost beside Limits. Sound decodes hundreds of times faster than it lasts, so that a decoder which takes ffmpegShare of
// the longest duration allowed is not at work on sound.
const (
	ffmpegLeast      = 30 * time.Second // of CPU time, whatever the duration
	ffmpegShare      = 1.0 / 20         // of Limits.MaxDuration, CPU time in addition
	ffmpegWall       = 4                // of the CPU time: wall-clock time, on a machine that has other work
	ffmpegAllocation = 256 << 20        // bytes of one allocation of ffmpeg
	ffmpegStderr     = 4096             // bytes kept of what it says
	ffmpegKilled     = 5 * time.Second  // for its pipes to close
)

// decodeFFmpeg has ffmpeg decode r, of the format found, into a WAV stream of the first audio track, and decodes that.
//
// The input is hostile, so ffmpeg is told the container and does not guess it, opens nothing but the copy of the input (no network,
// no playlists), decodes nothing but that track, and is bounded in CPU time, wall-clock time, memory of an allocation and length of its
// output. It reads a copy on disk because many containers have their index at the end.
func decodeFFmpeg(ctx context.Context, r *bufio.Reader, found format, limits Limits, s *sink) error {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return fmt.Errorf("%w, and %s is read through it: install ffmpeg, or convert the sound to FLAC or WAV", ErrNoFFmpeg, found.name)
	}
	path, err := spool(r)
	if err != nil {
		return err
	}
	defer os.Remove(path)

	cpu := ffmpegLeast + time.Duration(float64(limits.MaxDuration)*ffmpegShare)
	running, cancel := context.WithTimeout(ctx, ffmpegWall*cpu)
	defer cancel()
	cmd := exec.CommandContext(running, program, ffmpegArgs(path, found.demuxer, cpu, limits.MaxDuration)...)
	said := &tail{max: ffmpegStderr}
	cmd.Stderr = said
	cmd.WaitDelay = ffmpegKilled
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("audio: ffmpeg: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("audio: ffmpeg: %w", err)
	}
	// Its failure explains a stream that the WAV reader refuses; a limit of the sink stands for itself.
	decodeErr := decodeWAV(bufio.NewReader(out), s)
	if decodeErr != nil {
		cancel()
	}
	waitErr := cmd.Wait()
	if errors.Is(waitErr, context.Canceled) { // it had done its work, or its output was of no use
		waitErr = nil
	}
	s.source.Format = found.name + ", by ffmpeg"
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("audio: %s: %w", found.name, ctx.Err())
	case s.frames > s.maxFrames:
		return decodeErr
	case running.Err() == context.DeadlineExceeded:
		return fmt.Errorf("%w: ffmpeg worked on %s for %v and was killed", ErrTooLong, found.name, ffmpegWall*cpu)
	case decodeErr != nil || waitErr != nil:
		return fmt.Errorf("%w: %s: ffmpeg: %s", ErrFormat, found.name, said.reason(path, waitErr, decodeErr))
	}
	return nil
}

// ffmpegArgs are the arguments with which ffmpeg decodes the file at path.
func ffmpegArgs(path, demuxer string, cpu, longest time.Duration) []string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds()) + 1) }
	return []string{
		"-nostdin", "-hide_banner", "-loglevel", "error",
		"-timelimit", seconds(cpu), "-max_alloc", strconv.Itoa(ffmpegAllocation), "-threads", "1",
		"-protocol_whitelist", "file,pipe", "-f", demuxer, "-i", "file:" + path,
		"-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1",
		"-t", seconds(longest), "-c:a", "pcm_f32le", "-f", "wav", "pipe:1",
	}
}

// spool copies r to a temporary file, which the caller removes.
func spool(r io.Reader) (path string, err error) {
	f, err := os.CreateTemp("", "glossa-*.audio")
	if err != nil {
		return "", fmt.Errorf("audio: copy for ffmpeg: %w", err)
	}
	_, err = io.Copy(f, r)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("audio: copy for ffmpeg: %w", err)
	}
	return f.Name(), nil
}

// tail keeps the last max bytes written.
type tail struct {
	max  int
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.last = append(t.last, p...)
	t.last = t.last[max(0, len(t.last)-t.max):]
	return len(p), nil
}

// reason is one line on why ffmpeg failed: what it said last, without the path of the copy, or else the first of errs that is not nil.
func (t *tail) reason(path string, errs ...error) string {
	lines := bytes.Split(bytes.TrimSpace(t.last), []byte("\n"))
	if line := strings.TrimSpace(string(lines[len(lines)-1])); line != "" {
		if strings.Contains(line, "matches no streams") {
			return "no audio track"
		}
		return strings.ToValidUTF8(strings.ReplaceAll(line, "file:"+path, "input"), "?")
	}
	for _, err := range errs {
		if err != nil {
			return err.Error()
		}
	}
	return "no output"
}
