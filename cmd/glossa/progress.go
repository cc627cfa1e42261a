package main

import (
	"context"
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
)

// transcribe runs requests and calls pass with their results in the order of the requests, each as
// soon as those before it are done. It ends at the first error that pass returns.
func transcribe(ctx context.Context, e *asr.Engine, requests []asr.Request, p *progress, pass func(i int, r *asr.Result) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results, next := make([]*asr.Result, len(requests)), 0
	var failed error
	err := e.TranscribeAll(ctx, requests, func(i int, r *asr.Result) {
		results[i] = r
		for ; next < len(results) && results[next] != nil && failed == nil; next++ {
			if failed = pass(next, results[next]); failed != nil {
				cancel(failed)
			}
			results[next] = nil
		}
		p.add(r)
	})
	p.finish()
	if failed != nil {
		return failed
	}
	return err
}

// progress counts recordings as they are done.
type progress struct {
	console     *console
	what        string
	done, total int
	audio       time.Duration
	begin       time.Time
}

// newProgress begins to count total recordings.
func newProgress(c *console, total int, what string) *progress {
	p := &progress{console: c, what: what, total: total, begin: time.Now()}
	c.start(int64(total), progressbar.OptionSetDescription(what), progressbar.OptionSetPredictTime(true))
	return p
}

func (p *progress) add(r *asr.Result) {
	p.done++
	p.audio += time.Duration(r.Duration * float64(time.Second))
	p.console.advance(int64(p.done), "%d/%d %s, %s", p.done, p.total, p.what, p.speed())
}

// speed tells how much audio was done and RTFx, its seconds for each second of work.
func (p *progress) speed() string {
	return fmt.Sprintf("%.1f s of audio, RTFx %.1f", p.audio.Seconds(), p.audio.Seconds()/time.Since(p.begin).Seconds())
}

// finish takes the bar away, and leaves its last words on a terminal.
func (p *progress) finish() {
	p.console.stop()
	if p.console.terminal {
		p.console.note("%d/%d %s, %s", p.done, p.total, p.what, p.speed())
	}
}
