package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"glossa/asr"
)

// How much of a submission is under way at a time.
const (
	submitters = 8  // files that are sent
	waiters    = 32 // jobs that are watched; others are looked at when their turn comes
)

// submitRun submits files, and waits for their texts where that is asked for.
type submitRun struct {
	flags   *submitCommand
	client  jobClient
	console *console
	files   []soundFile

	progress *jobProgress       // nil without --wait
	cancel   context.CancelFunc // of all

	mu        sync.Mutex
	submitted []asr.Job // by file; the ID is "" before it is submitted
	done      int       // files whose texts were delivered
	failed    int
	err       error // of the output, which ends all
	begun     bool  // a worker has taken one of the jobs
	full      bool  // that the queue is full has been told
	away      bool  // that nobody is there has been told
}

// run submits all files in their order, some at a time, and ends when all have come as far as they are to.
func (r *submitRun) run(ctx context.Context) error {
	told := ctx
	ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	if r.flags.Wait {
		r.progress = newJobProgress(r.console, r.files)
		defer r.progress.finish()
		var idle sync.WaitGroup
		idle.Go(func() { r.tellIdle(ctx) })
		defer idle.Wait()
		defer r.cancel()
	}
	next, kept := make(chan int), newQueue[int]()
	var sending, watching sync.WaitGroup
	for range min(submitters, len(r.files)) {
		sending.Go(func() {
			for i := range next {
				if r.submit(ctx, i) && r.flags.Wait {
					kept.put(i)
				}
			}
		})
	}
	if r.flags.Wait {
		for range min(waiters, len(r.files)) {
			watching.Go(func() {
				for i, ok := kept.take(); ok; i, ok = kept.take() {
					r.wait(ctx, i)
				}
			})
		}
	}
	for i := range r.files {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	sending.Wait()
	kept.close()
	watching.Wait()
	return r.outcome(told)
}

// outcome returns the error of all.
func (r *submitRun) outcome(ctx context.Context) error {
	switch {
	case r.err != nil:
		return r.err
	case ctx.Err() != nil:
		r.explain()
		return ctx.Err()
	case r.failed > 0:
		return errReported
	}
	return nil
}

// explain says how to go on after an interrupt.
func (r *submitRun) explain() {
	submitted := 0
	for _, j := range r.submitted {
		if j.ID != "" {
			submitted++
		}
	}
	if r.progress != nil {
		r.progress.finish()
	}
	switch {
	case submitted == 0:
	case r.flags.Wait && r.flags.Again:
		r.console.note("glossa: %d of %d files are submitted, and their jobs go on; \"glossa jobs list\" shows them, and --wait without --again takes them up", submitted, len(r.files))
	case r.flags.Wait:
		r.console.note("glossa: %d of %d files are submitted, and their jobs go on; the same command again takes them up", submitted, len(r.files))
	default:
		r.console.note("glossa: %d of %d files are submitted; the same command again submits the rest", submitted, len(r.files))
	}
}

// submit submits a file, and reports whether that has succeeded.
func (r *submitRun) submit(ctx context.Context, i int) bool {
	f := &r.files[i]
	q, err := r.flags.submission(f)
	var j asr.Job
	var created bool
	if err == nil {
		err = r.patiently(ctx, func() (err error) {
			j, created, err = r.client.submit(ctx, q, f.path)
			return err
		})
	}
	if err != nil {
		r.fail(ctx, i, err)
		return false
	}
	if !created {
		r.tellOther(f, q, j)
	}
	r.mu.Lock()
	r.submitted[i] = j
	r.mu.Unlock()
	if r.flags.Wait {
		return true
	}
	if r.flags.JSON {
		r.printJSON(fileState{File: f.path, JobID: j.ID, State: j.State})
	} else {
		r.print(j.ID + "  " + f.path + "\n")
	}
	return true
}

// tellOther tells what a job that was there before does not do of what is asked for now.
func (r *submitRun) tellOther(f *soundFile, q asr.Submission, j asr.Job) {
	if q.Callback != "" && q.Callback != j.Callback {
		r.console.note("glossa: %s: its job %s is there already, and --callback is not told of its end; --again makes a new one", f.path, j.ID)
	}
	if q.Priority != j.Priority && !j.State.Final() {
		r.console.note("glossa: %s: its job %s is there already, with priority %s; --again makes a new one", f.path, j.ID, j.Priority)
	}
}

// wait waits for the text of a file, and delivers it.
func (r *submitRun) wait(ctx context.Context, i int) {
	j, err := r.follow(ctx, i)
	var result *asr.Result
	if err == nil {
		err = r.patiently(ctx, func() (err error) {
			result, err = r.client.result(ctx, j.ID)
			return err
		})
	}
	f := &r.files[i]
	switch {
	case err != nil:
	case r.flags.JSON:
		r.printJSON(newFileText(j.ID, f.path, result))
	default:
		err = writeOutput(f.output(r.flags.OutputDir, r.flags.Format), result, r.flags.Format, asr.SubtitleOptions{}, r.flags.Overwrite)
	}
	if err != nil {
		r.fail(ctx, i, err)
		return
	}
	r.mu.Lock()
	r.done++
	r.mu.Unlock()
	r.progress.end(i, true)
}

// follow returns the job of a file when it is done. The error is why it will not be.
func (r *submitRun) follow(ctx context.Context, i int) (j asr.Job, err error) {
	j = r.submitted[i]
	id := j.ID
	r.update(i, j)
	if !j.State.Final() {
		err = r.patiently(ctx, func() (err error) {
			// By now it may be done, which takes less to ask than to watch.
			if j, err = r.client.job(ctx, id); err != nil || j.State.Final() {
				return err
			}
			for e, err := range r.client.follow(ctx, id) {
				if err != nil {
					return err
				}
				j = e.Job
				r.update(i, j)
			}
			if !j.State.Final() {
				return cmp.Or(ctx.Err(), errBroken)
			}
			return nil
		})
	}
	switch {
	case err != nil:
		return j, err
	case j.State == asr.JobFailed:
		return j, fmt.Errorf("%s; glossa jobs retry %s tries again", j.Reason, j.ID)
	case j.State == asr.JobCancelled:
		return j, errors.New("the job was cancelled")
	}
	return j, nil
}

// update takes what a job tells.
func (r *submitRun) update(i int, j asr.Job) {
	r.progress.update(i, j)
	if j.State != asr.JobQueued || j.Attempts > 0 {
		r.mu.Lock()
		r.begun = true
		r.mu.Unlock()
	}
}

// How long it takes until it is told that no worker takes a job, and until it is told again.
const (
	idleFirst = 15 * time.Second
	idleAgain = 5 * time.Minute
)

// tellIdle tells that no worker has taken a job, until one has, or ctx ends.
func (r *submitRun) tellIdle(ctx context.Context) {
	for wait := idleFirst; sleep(ctx, wait) == nil; wait = idleAgain {
		var waiting int
		var model string
		r.mu.Lock()
		begun := r.begun
		for _, j := range r.submitted {
			if j.ID != "" {
				waiting++
				model = j.Model
			}
		}
		r.mu.Unlock()
		if begun {
			return
		}
		if waiting > 0 {
			r.console.note("glossa: no worker has taken one of %d jobs of model %q yet: others may go before them, or no worker of that model runs; "+
				"\"glossa jobs list --state running\" shows what is done, and \"glossa worker\" begins one", waiting, model)
		}
	}
}

// errBroken is the error of a watch that ended before its job.
var errBroken = fmt.Errorf("%w: what was told of the job broke off", asr.ErrBusy)

// patience is how long it is tried again where a server, or its broker, is not there.
const patience = 5 * time.Minute

// patiently does something again and again while there is no room for it, and for some time while nobody is there to do it.
func (r *submitRun) patiently(ctx context.Context, do func() error) error {
	wait := 500 * time.Millisecond
	for failing := time.Now(); ; {
		begin := time.Now()
		err := do()
		if err == nil || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		if !errors.Is(err, asr.ErrBusy) {
			return err
		}
		pause := wait
		wait = min(2*wait, 5*time.Second)
		if later := (*laterError)(nil); errors.As(err, &later) {
			pause = max(pause, later.after)
		}
		switch {
		case errors.Is(err, asr.ErrQueueFull):
			r.tellFull()
			failing = time.Now()
		case time.Since(begin) > patience/10: // it was there meanwhile
			failing = time.Now()
		case time.Since(failing) > patience:
			return err
		}
		if !errors.Is(err, asr.ErrQueueFull) && !errors.Is(err, errBroken) {
			r.tellAway(err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tellAway says once, and why, that a server or its broker is waited for.
func (r *submitRun) tellAway(err error) {
	r.mu.Lock()
	told := r.away
	r.away = true
	r.mu.Unlock()
	if !told {
		r.console.note("glossa: %v; it is tried again for %.0f minutes", err, patience.Minutes())
	}
}

// tellFull says once that it is the queue that has to be waited for.
func (r *submitRun) tellFull() {
	r.mu.Lock()
	told := r.full
	r.full = true
	r.mu.Unlock()
	if !told {
		r.console.note("glossa: the queue is full; waiting until there is room")
	}
}

// fail tells what is wrong with a file.
func (r *submitRun) fail(ctx context.Context, i int, err error) {
	if ctx.Err() != nil {
		return // it is not the file's fault
	}
	r.mu.Lock()
	r.failed++
	id := r.submitted[i].ID
	r.mu.Unlock()
	f := &r.files[i]
	message := strings.TrimPrefix(err.Error(), asr.ErrInvalid.Error()+": ")
	if r.flags.JSON {
		r.printJSON(fileState{JobID: id, File: f.path, Error: message})
	} else {
		r.console.report(fmt.Errorf("%s: %s", f.path, message))
	}
	if r.progress != nil {
		r.progress.end(i, false)
	}
}

// fileState is a line of JSON on a file that has a job, or failed.
type fileState struct {
	JobID string       `json:"job_id,omitempty"`
	File  string       `json:"file"`
	State asr.JobState `json:"state,omitempty"`
	Error string       `json:"error,omitempty"`
}

// fileText is a line of JSON on a file that has its text.
type fileText struct {
	JobID    string        `json:"job_id"`
	File     string        `json:"file"`
	Text     string        `json:"text"`
	Language string        `json:"language"`
	Adapter  string        `json:"adapter"` // "" for the base model
	Duration float64       `json:"duration"`
	Segments []asr.Segment `json:"segments"`
}

func newFileText(id, file string, r *asr.Result) fileText {
	return fileText{id, file, r.Text, r.Language, r.Adapter, r.Duration, append([]asr.Segment{}, r.Segments...)}
}

func (r *submitRun) printJSON(line any) {
	var b strings.Builder
	if err := encodeLine(&b, line); err != nil {
		r.stop(err)
		return
	}
	r.print(b.String())
}

// print prints lines. Where that fails, all ends.
func (r *submitRun) print(text string) {
	if err := r.console.print(text); err != nil {
		r.stop(err)
	}
}

func (r *submitRun) stop(err error) {
	r.mu.Lock()
	r.err = cmp.Or(r.err, err)
	r.mu.Unlock()
	r.cancel()
}
