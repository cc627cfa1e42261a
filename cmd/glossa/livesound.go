package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"glossa/audio"
)

// soundFormat says how samples are encoded.
type soundFormat struct {
	encoding       string
	rate, channels int
}

// fileFormat is that of files, which are decoded here.
var fileFormat = soundFormat{encoding: "pcm_s16le", rate: audio.SampleRate, channels: 1}

// frameBytes returns the size of a sample of all channels.
func (f soundFormat) frameBytes() int {
	return f.channels * map[string]int{"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}[f.encoding]
}

// offset returns where the sample at a time is, in bytes.
func (f soundFormat) offset(ms int64) int64 {
	return ms * int64(f.rate) / 1000 * int64(f.frameBytes())
}

// milliseconds returns how long so many bytes last.
func (f soundFormat) milliseconds(bytes int64) int64 {
	return bytes / int64(f.frameBytes()) * 1000 / int64(f.rate)
}

// soundChunk is how much sound is sent in one message.
const soundChunk = 100 * time.Millisecond

// chunkBytes returns the size of a message.
func (f soundFormat) chunkBytes() int { return int(f.offset(soundChunk.Milliseconds())) }

// liveSound returns sound bit by bit, each when it is there, and io.EOF after its end.
type liveSound func(ctx context.Context) ([]byte, error)

// soundFormat checks the flags of the standard input.
func (l *listenCommand) soundFormat() (soundFormat, error) {
	if l.File != stdinName {
		return fileFormat, nil
	}
	const least, most, channels = 8000, 192_000, 8
	switch {
	case l.Rate < least || l.Rate > most:
		return soundFormat{}, fmt.Errorf("--rate %d: want %d to %d", l.Rate, least, most)
	case l.Channels < 1 || l.Channels > channels:
		return soundFormat{}, fmt.Errorf("--channels %d: want 1 to %d", l.Channels, channels)
	}
	return soundFormat{l.Encoding, l.Rate, l.Channels}, nil
}

// sound opens what is streamed.
func (l *listenCommand) sound(ctx context.Context, f soundFormat) (liveSound, error) {
	if l.File == stdinName {
		return readSound(ctx, os.Stdin, f), nil
	}
	pcm, err := readAudio(ctx, l.File)
	if err != nil {
		return nil, err
	}
	return fileSound(audio.EncodePCM(pcm), f, !l.Fast), nil
}

// fileSound returns sound that is there, in real time or as fast as it is asked for.
func fileSound(data []byte, f soundFormat, realTime bool) liveSound {
	var begin time.Time
	sent := 0
	return func(ctx context.Context) ([]byte, error) {
		if sent == len(data) {
			return nil, io.EOF
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		chunk := data[sent:min(len(data), sent+f.chunkBytes())]
		sent += len(chunk)
		if !realTime {
			return chunk, ctx.Err()
		}
		// A chunk is there when its last sample is.
		spoken := begin.Add(time.Duration(f.milliseconds(int64(sent))) * time.Millisecond)
		return chunk, sleep(ctx, time.Until(spoken))
	}
}

// sleep waits, or returns the error of ctx once that is done.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// readSound returns sound from a stream as it comes, whole samples. Nothing interrupts a read: one that goes
// on when ctx is done is left behind.
func readSound(ctx context.Context, r io.Reader, f soundFormat) liveSound {
	type read struct {
		data []byte
		err  error
	}
	reads := make(chan read)
	go func() {
		var rest []byte
		for {
			data := make([]byte, max(f.chunkBytes(), f.frameBytes()))
			n, err := r.Read(data[copy(data, rest):])
			n += len(rest)
			whole := n - n%f.frameBytes()
			rest = append([]byte(nil), data[whole:n]...)
			select {
			case reads <- read{data[:whole], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case got := <-reads:
			return got.data, got.err
		}
	}
}
