package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
	"glossa/asr/jobs"
	"glossa/audio"
)

// jobsBench measures one engine directly and by jobs.
type jobsBench struct {
	flags  *benchJobsCommand
	files  [][]byte
	engine *servedEngine
	served *servedJobs
	dir    string
	steps  stepSums
}

// stepSums are sums over steps of the decoding batch.
type stepSums struct {
	mu                             sync.Mutex
	steps, rows, windows, adapters int
}

// add is told of a step.
func (s *stepSums) add(d asr.Stepped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps++
	s.rows += d.Rows
	s.windows += d.Windows
	s.adapters += d.Adapters
}

// take returns the sums as means and begins anew.
func (s *stepSums) take() jobsResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := float64(max(1, s.steps))
	r := jobsResult{Rows: float64(s.rows) / n, Windows: float64(s.windows) / n, Adapters: float64(s.adapters) / n, Steps: s.steps}
	s.steps, s.rows, s.windows, s.adapters = 0, 0, 0, 0
	return r
}

// openJobsBench opens an engine, and a broker with a worker.
func openJobsBench(ctx context.Context, flags *benchJobsCommand, files [][]byte) (b *jobsBench, err error) {
	b = &jobsBench{flags: flags, files: slices.Repeat(files, flags.Times)}
	flags.observer = &asr.Observer{Stepped: b.steps.add}
	engine, err := flags.engine()
	if err != nil {
		return nil, err
	}
	b.engine = &servedEngine{Engine: engine, adapter: flags.Adapter, detector: audio.NewLongTermDetector}
	if b.dir, err = os.MkdirTemp("", "glossa-bench-"); err == nil {
		server := &serverFlags{modelFlags: flags.modelFlags}
		o := jobs.Options{Model: server.modelNames()[0], Limits: asr.Limits{Jobs: 1 << 20}.WithDefaults()}
		if b.served, err = server.openJobs(ctx, b.dir, o, slog.New(slog.DiscardHandler)); err == nil {
			b.served.run(ctx, jobWorker(b.served.store, b.engine, workerSetup{models: server.modelNames(), slots: flags.Slots}))
		}
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close ends all, and removes what the broker kept.
func (b *jobsBench) close() {
	if b.served != nil {
		b.served.close()
	}
	b.engine.Close()
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// run measures both ways in turns.
func (b *jobsBench) run(ctx context.Context, c *console) (*jobsReport, error) {
	ways := []struct {
		name string
		run  func(context.Context, [][]byte) (float64, error)
	}{{"direct", b.direct}, {"jobs", b.asJobs}}
	report := &jobsReport{Model: b.flags.Model, Files: len(b.files)}
	c.start(int64(b.flags.Repeat*len(ways)+1), progressbar.OptionSetDescription("jobs"))
	defer c.stop()
	for _, w := range ways { // what happens but once
		if _, err := w.run(ctx, b.files[:min(len(b.files), 2*b.flags.Batch)]); err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
	}
	runs := make([][]jobsResult, len(ways))
	for round := range b.flags.Repeat {
		for i, w := range ways {
			c.advance(int64(round*len(ways)+i), "%s", w.name)
			b.steps.take()
			begin := time.Now()
			sound, err := w.run(ctx, b.files)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			took := time.Since(begin).Seconds()
			r := b.steps.take()
			r.Way, r.Seconds, r.RTFx = w.name, took, sound/took
			runs[i] = append(runs[i], r)
			report.Audio = sound
		}
	}
	for _, r := range runs {
		slices.SortFunc(r, func(a, b jobsResult) int { return cmp.Compare(a.RTFx, b.RTFx) })
		report.Ways = append(report.Ways, r[len(r)/2])
	}
	report.Ratio = report.Ways[1].RTFx / report.Ways[0].RTFx
	return report, nil
}

// params are what both ways are asked for.
func (b *jobsBench) params() asr.Params {
	return asr.Params{"beam_size": {strconv.Itoa(b.flags.Beams)}}
}

// direct transcribes files as "glossa transcribe" does, with the options that jobs have. It returns the seconds of their sound.
func (b *jobsBench) direct(ctx context.Context, files [][]byte) (sound float64, err error) {
	requests, reader := make([]asr.Request, len(files)), b.engine.reader()
	for i, file := range files {
		if requests[i], err = reader.Request(ctx, b.params()); err != nil {
			return 0, err
		}
		requests[i].Adapter = b.engine.adapter
		requests[i].Audio = func() ([]float32, error) {
			pcm, err := audio.DecodeContext(ctx, bytes.NewReader(file), audio.Limits{})
			return pcm.Samples, err
		}
	}
	var failed error
	err = b.engine.TranscribeAll(ctx, requests, func(_ int, r *asr.Result) {
		sound += r.Duration
		failed = cmp.Or(failed, r.Err)
	})
	return sound, cmp.Or(err, failed)
}

// asJobs submits files, as a client does, and waits for all results.
func (b *jobsBench) asJobs(ctx context.Context, files [][]byte) (sound float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	done := func(seconds float64, e error) {
		mu.Lock()
		defer mu.Unlock()
		sound += seconds
		if e != nil && err == nil {
			err = e
			cancel()
		}
	}
	next, kept := make(chan []byte), newQueue[string]()
	var sending, watching sync.WaitGroup
	for range submitters {
		sending.Go(func() {
			for file := range next {
				j, _, err := b.served.store.Submit(ctx, asr.Submission{Audio: asr.JobAudio{Bytes: file}, Params: b.params(), Again: true})
				if err != nil {
					done(0, err)
					continue
				}
				kept.put(j.ID)
			}
		})
	}
	for range waiters {
		watching.Go(func() {
			for id, ok := kept.take(); ok; id, ok = kept.take() {
				done(b.await(ctx, id))
			}
		})
	}
	for _, file := range files {
		next <- file
	}
	close(next)
	sending.Wait()
	kept.close()
	watching.Wait()
	return sound, err
}

// await waits for the result of a job, and returns the seconds of its sound.
func (b *jobsBench) await(ctx context.Context, id string) (float64, error) {
	var j asr.Job
	var err error
	for e, failed := range b.served.store.Follow(ctx, "", id) {
		j, err = e.Job, failed
	}
	if err != nil {
		return 0, err
	}
	if j.State != asr.JobDone {
		return 0, fmt.Errorf("job %s is %s: %w", id, j.State, errors.New(cmp.Or(j.Reason, "it did not end")))
	}
	r, err := b.served.store.Result(ctx, "", id)
	if err != nil {
		return 0, err
	}
	return r.Duration, nil
}
