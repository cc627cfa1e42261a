package asr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Options size an engine.
type Options struct {
	SchedulerOptions

	// Languages are the codes that detection chooses from. The default value is nil: all that
	// the model knows.
	Languages []string

	// Adapters say how linears are computed under adapters. The default value is its zero value.
	Adapters flora.Options
}

// Engine transcribes with one model and its adapters. Any number of goroutines may use it at once:
// the windows of all requests share batches, in the order of a [Scheduler], and none changes
// another's result by a bit. One goroutine computes while there is something to do, beside those that
// load recordings.
type Engine struct {
	options  Options
	model    *whisper.Model
	adapters *flora.Batch
	byLang   map[string]string // name of the adapter of a language
	start    time.Time

	// Of the goroutine that computes.
	device    device
	scheduler *Scheduler
	tasks     map[TaskID]*recording
	tickets   map[int]*recording // in the batch

	mu      sync.Mutex
	mail    []func()      // what that goroutine has to do before it goes on
	wake    chan struct{} // of capacity 1: there is mail
	running chan struct{} // closed when it ends, nil where there is none
	stopped error         // why it never runs again
	jobs    int64         // so many have come
}

// New returns an engine for model m over backend b. byLanguage names the adapter, one of
// adapters, that Auto takes for a language.
func New(m *whisper.Model, b tensor.Backend, adapters []*flora.Adapter, byLanguage map[string]string, o Options) (*Engine, error) {
	batch, err := flora.NewBatchWith(m, b, o.Adapters, adapters...)
	if err != nil {
		return nil, err
	}
	for lang, name := range byLanguage {
		if _, err := batch.Index(name); err != nil {
			return nil, fmt.Errorf("adapter of language %s: %w", lang, err)
		}
	}
	for _, code := range o.Languages {
		if _, ok := m.Tokenizer.LanguageToken(code); !ok {
			return nil, fmt.Errorf("%w: %q", whisper.ErrLanguage, code)
		}
	}
	return newEngineOn(newModelDevice(m, b, batch), m, batch, byLanguage, o), nil
}

// newEngineOn returns an engine whose goroutine computes with d.
func newEngineOn(d device, m *whisper.Model, adapters *flora.Batch, byLanguage map[string]string, o Options) *Engine {
	e := &Engine{options: o, model: m, adapters: adapters, byLang: byLanguage, start: time.Now(), device: d}
	e.scheduler = NewScheduler(o.SchedulerOptions)
	e.tasks, e.tickets = make(map[TaskID]*recording), make(map[int]*recording)
	e.wake = make(chan struct{}, 1)
	return e
}

// Model returns the model that the engine serves.
func (e *Engine) Model() *whisper.Model { return e.model }

// Adapters returns the names of the adapters.
func (e *Engine) Adapters() []string { return e.adapters.Names() }

// AdapterOf returns the name of the adapter that Auto takes for a language, "" for the base model.
func (e *Engine) AdapterOf(language string) string { return e.byLang[language] }

// Check reports what is wrong with a request, apart from its audio. The errors are ErrInvalid and
// ErrNotFound.
func (e *Engine) Check(q Request) error {
	_, err := e.begin(q)
	return err
}

// begin checks a request.
func (e *Engine) begin(q Request) (*recording, error) {
	r, err := newRecording(q, e.model)
	if err != nil {
		return nil, err
	}
	switch q.Adapter {
	case "", Auto, None:
	default:
		if r.named, err = e.adapters.Index(q.Adapter); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
	}
	return r, nil
}

// Transcribe transcribes a recording, beside those of other calls. The errors are ErrInvalid,
// ErrNotFound, ErrBusy where too many requests wait, ErrCancelled where ctx ended first or the
// engine was closed, what Audio or Speech returned, or ErrInternal. Audio may still be running where
// ctx has ended.
func (e *Engine) Transcribe(ctx context.Context, q Request) (*Result, error) {
	done := make(chan *Result, 1)
	j, err := e.submit(q, false, func(r *Result) { done <- r })
	if err != nil {
		return nil, err
	}
	select {
	case r := <-done:
		return r, r.Err
	case <-ctx.Done():
		e.send(func() { e.cancel(j) })
		return nil, fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))
	}
}

// TranscribeAll transcribes recordings, which it begins in their order and as the engine has room,
// and calls done with the index and result of each as soon as it is finished, in no particular order,
// one call at a time. It returns an error where ctx is done, or the engine is closed or at fault; what
// is wrong with one recording is in its result.
func (e *Engine) TranscribeAll(ctx context.Context, requests []Request, done func(i int, r *Result)) error {
	type finished struct {
		index  int
		result *Result
	}
	o := e.scheduler.Options()
	atOnce := o.MaxWindows + o.Ahead
	results := make(chan finished, atOnce)
	live := make(map[int]*job)
	cancel := func() {
		for _, j := range live {
			e.send(func() { e.cancel(j) })
		}
	}
	for next := 0; next < len(requests) || len(live) > 0; {
		if err := ctx.Err(); err != nil {
			cancel()
			return fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))
		}
		if next < len(requests) && len(live) < atOnce {
			i := next
			next++
			j, err := e.submit(requests[i], true, func(r *Result) { results <- finished{i, r} })
			switch {
			case errors.Is(err, errStopped):
				return err
			case err != nil:
				done(i, &Result{Err: err})
			default:
				live[i] = j
			}
			continue
		}
		select {
		case f := <-results:
			if errors.Is(f.result.Err, errStopped) {
				return f.result.Err
			}
			delete(live, f.index)
			done(f.index, f.result)
		case <-ctx.Done():
		}
	}
	return nil
}

// Close ends the engine: requests that are not finished fail with ErrCancelled, as all later ones do.
// It returns when the engine computes no more.
func (e *Engine) Close() {
	e.send(func() { e.stop(ErrCancelled) })
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if running != nil {
		<-running
	}
}
