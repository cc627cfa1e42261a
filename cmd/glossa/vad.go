package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"glossa/audio"
)

type vadCommand struct {
	Files    []string `arg:"" name:"file" help:"Sound files, as those of transcribe."`
	vadFlags `kong:"set='vad=builtin',set='vad_kinds=builtin|FILE',set='vad_auto=',set='max_speech=no limit',set='min_silence=100',set='speech_pad=30'"`
	Format   string `enum:"txt,json" default:"txt" help:"The format of the output. (${enum})"`
}

// Run writes where speech starts and ends in each file. What is wrong with one file does not stop
// the others.
func (v *vadCommand) Run(ctx context.Context, c *console) error {
	vad, err := v.open()
	if err != nil {
		return err
	}
	files := newAhead(v.Files, maxUnread)
	defer files.close()
	c.start(int64(len(v.Files)))
	defer c.stop()
	failed := false
	for i, name := range v.Files {
		pcm, err := files.take(i)
		if err != nil {
			failed = true
			c.report(fmt.Errorf("%s: %w", name, err))
			continue
		}
		spans, err := vad.speech(ctx, pcm)
		if err != nil {
			return err
		}
		if err := v.write(c, name, spans, len(pcm)); err != nil {
			return err
		}
		c.advance(int64(i+1), "%d of %d files", i+1, len(v.Files))
	}
	if failed {
		return errReported
	}
	return nil
}

// speechOf is a line of JSON.
type speechOf struct {
	File     string       `json:"file"`
	Duration float64      `json:"duration"` // seconds
	Speech   []speechSpan `json:"speech"`
}

type speechSpan struct {
	Start float64 `json:"start"` // seconds
	End   float64 `json:"end"`
}

// write writes the spans of a file: a line of JSON, or a line for each, of start and end in seconds
// behind the name of the file if there are several.
func (v *vadCommand) write(c *console, name string, spans []audio.Span, samples int) error {
	var b strings.Builder
	if v.Format == "json" {
		line := speechOf{name, roundSeconds(samples), make([]speechSpan, len(spans))}
		for i, s := range spans {
			line.Speech[i] = speechSpan{roundSeconds(s.Start), roundSeconds(s.End)}
		}
		if err := encodeLine(&b, line); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return c.print(b.String())
	}
	for _, s := range spans {
		if len(v.Files) > 1 {
			fmt.Fprintf(&b, "%s: ", name)
		}
		fmt.Fprintf(&b, "%.3f %.3f\n", roundSeconds(s.Start), roundSeconds(s.End))
	}
	return c.print(b.String())
}

// roundSeconds is a number of samples in seconds, to the millisecond.
func roundSeconds(samples int) float64 {
	return math.Round(1000*float64(samples)/audio.SampleRate) / 1000
}
