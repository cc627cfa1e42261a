package asr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"glossa/audio"
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

	// Written are the codes of the languages that the base model writes, where it has tokens for more than that:
	// without Languages, detection chooses from these and from those that have an adapter. The default value
	// is nil: all that the model knows.
	Written []string

	// Routes say which adapters requests are given that leave it to their language. The default value
	// is the zero Routes: those of New alone.
	Routes Routes

	// AdapterMemory is the greatest memory of adapters in bytes, but for those that requests need at
	// the moment: see [flora.BankOptions]. The default value is 0: there is none.
	AdapterMemory int64

	// KeepAdapters are the names of adapters that stay in memory. The default value is nil.
	KeepAdapters []string

	// Observer is told what the engine does. The default value is nil: nobody is.
	Observer *Observer

	// Speakers is the number of live sessions that are heard at a time: see [Limits]. The default value is 0: that of Limits.
	Speakers int

	// Strategies say how linears are computed under adapters. The default value is the zero value, that
	// of [flora.NewBatch].
	Strategies flora.Options

	// Fallback returns what is computed on when no device is left in service; it is called once. Requests wait for it.
	// The default value is nil: there is nothing, and they fail.
	Fallback func() (Device, error)
}

// Engine transcribes with one model and its adapters, on one device or several. Any number of goroutines may
// use it at once: the windows of all requests share batches, in the order of a [Scheduler], and none changes
// another's result by a bit. One goroutine decides while there is something to do, beside those that
// load recordings; it computes too where there is one device, and each of several has a goroutine for what it is at. The log-mels of
// recordings of more than one window are computed by devices that can.
//
// A device that fails is taken out of service: its windows go on from their beginnings on others, or on Options.Fallback.
// One that has too little memory gives windows back, until it has enough. Observer.Device is told of both.
type Engine struct {
	options Options
	model   *whisper.Model
	bank    *flora.Bank
	routes  Routes
	start   time.Time

	fingerprint func() string // of the model

	speakers *speakers
	spectra  *spectra         // of recordings
	tables   *audio.Extractor // of the model's log-mel, for live sessions

	// Of the goroutine that decides.
	scheduler *Scheduler
	stations  []*station // by number
	busy      int        // of them
	finished  chan finished
	tasks     map[TaskID]*recording
	fellBack  bool // Options.Fallback was called

	mu      sync.Mutex
	mail    []func()      // what that goroutine has to do before it goes on
	wake    chan struct{} // of capacity 1: there is mail
	running chan struct{} // closed when it ends, nil where there is none
	stopped error         // why it never runs again
	missing error         // why no device is in service while the fallback is made ready
	jobs    int64         // so many have come
}

// New returns an engine for model m over backend b with adapters to begin with, each by its name;
// more are loaded and unloaded while it serves. byLanguage names the adapter, one of adapters, of a
// language that Options.Routes have none for.
func New(m *whisper.Model, b tensor.Backend, adapters []*flora.Adapter, byLanguage map[string]string, o Options) (*Engine, error) {
	return NewOn([]Device{{Name: b.Name(), Model: m, Backend: b}}, adapters, byLanguage, o)
}

// NewOn is New over devices, one at least, which have the same model.
func NewOn(devices []Device, adapters []*flora.Adapter, byLanguage map[string]string, o Options) (*Engine, error) {
	m := devices[0].Model
	o.Devices = len(devices)
	e, err := newEngineOn(m, devices[0].Backend, o)
	if err != nil {
		return nil, err
	}
	for i, d := range devices {
		if d.Model.Dims != m.Dims {
			return nil, fmt.Errorf("%w: device %s has another model", ErrInvalid, d.Name)
		}
		if i > 0 {
			if _, err := e.bank.AddBatch(d.Model, d.Backend); err != nil {
				return nil, err
			}
		}
		e.scheduler.SetMemory(i, windowMemory(d.Backend, e.scheduler.Options().Memory))
		e.stations = append(e.stations, newStation(d, i, e.bank.BatchAt(i)))
		e.spectra.add(i, d)
	}
	for _, code := range slices.Concat(o.Languages, o.Written) {
		if _, ok := m.Tokenizer.LanguageToken(code); !ok {
			return nil, fmt.Errorf("%w: %q", whisper.ErrLanguage, code)
		}
	}
	for _, a := range adapters {
		if err := e.addFirst(a); err != nil {
			return nil, err
		}
	}
	codes, err := byCode(byLanguage)
	if err != nil {
		return nil, err
	}
	for lang, name := range codes {
		if !e.bank.Has(name) {
			return nil, fmt.Errorf("adapter of language %s: %w: %q", lang, flora.ErrUnknown, name)
		}
		if _, ok := e.routes.Languages[lang]; !ok {
			e.routes.Languages[lang] = name
		}
	}
	return e, nil
}

// newEngineOn returns an engine that has no device yet, and no adapters.
func newEngineOn(m *whisper.Model, b tensor.Backend, o Options) (*Engine, error) {
	routes, err := o.Routes.check()
	if err != nil {
		return nil, err
	}
	e := &Engine{options: o, model: m, routes: routes, start: time.Now()}
	e.scheduler = NewScheduler(o.SchedulerOptions)
	e.tasks, e.wake = make(map[TaskID]*recording), make(chan struct{}, 1)
	e.finished = make(chan finished)
	e.fingerprint = sync.OnceValue(func() string { return modelFingerprint(m) })
	limits := Limits{Speakers: o.Speakers}.WithDefaults()
	e.speakers = newSpeakers(limits.Speakers)
	e.spectra, err = newSpectra(m, func(device string, err error) {
		e.send(func() { e.observeDevice(DeviceEvent{Kind: DeviceLogMel, Device: device, Err: err}) })
	})
	if err != nil {
		return nil, err
	}
	e.tables = e.spectra.tables
	e.bank, err = flora.NewBank(m, b, flora.BankOptions{
		MaxBytes: o.AdapterMemory, Keep: o.KeepAdapters, Reserved: []string{Auto, None}, Strategies: o.Strategies,
		Wake: func() { e.send(e.sweep) },
	})
	return e, err
}

// addFirst loads an adapter before the engine serves, and puts it into the batches.
func (e *Engine) addFirst(a *flora.Adapter) error {
	if _, err := e.bank.Load(a.Name, a); err != nil {
		return err
	}
	p, err := e.bank.Pin(a.Name)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := p.Ready(); err != nil {
		return err
	}
	for _, s := range e.stations {
		if _, _, err := p.IndexIn(s.number); err != nil {
			return err
		}
	}
	return nil
}

// Model returns the model that the engine serves.
func (e *Engine) Model() *whisper.Model { return e.model }

// Windows returns the number of windows, live ones apart, that the devices of the beginning decode at a time.
func (e *Engine) Windows() int {
	o := e.scheduler.Options()
	return o.Devices * o.MaxWindows
}

// Check reports what is wrong with a request, apart from its audio. The errors are ErrInvalid and
// ErrNotFound.
func (e *Engine) Check(q Request) error {
	j, err := e.begin(q)
	if err == nil {
		j.unpin()
	}
	return err
}

// begin checks a request, and pins what it is sure to need.
func (e *Engine) begin(q Request) (*job, error) {
	r, err := newRecording(q, e.model)
	if err != nil {
		return nil, err
	}
	j := &job{checked: r}
	r.job, r.spectra = j, e.spectra
	if err := e.keep(j, r); err != nil {
		return nil, err
	}
	if err := e.pinFirst(j, r); err != nil {
		return nil, err
	}
	return j, nil
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
	atOnce := o.Devices * (o.MaxWindows + o.Ahead)
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
