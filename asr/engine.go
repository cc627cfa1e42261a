package asr

import (
	"context"
	"errors"
	"fmt"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Options size an engine.
type Options struct {
	// MaxWindows is the greatest number of windows decoded together. The default value is 16.
	MaxWindows int

	// MaxEncoderFrames is the greatest number of log-mel frames, of 10 ms, encoded together, one
	// window excepted: it bounds the memory of a batch. The default value is 12,000: four windows
	// of 30 s.
	MaxEncoderFrames int

	// Languages are the codes that detection chooses from. The default value is nil: all that
	// the model knows.
	Languages []string
}

// Engine transcribes with one model and its adapters. It serves one call at a time.
type Engine struct {
	options  Options
	model    *whisper.Model
	adapters *flora.Batch
	byLang   map[string]string // name of the adapter of a language
	ops      *tensor.Ops
}

// New returns an engine for model m over backend b. byLanguage names the adapter, one of
// adapters, that Auto takes for a language.
func New(m *whisper.Model, b tensor.Backend, adapters []*flora.Adapter, byLanguage map[string]string, o Options) (*Engine, error) {
	batch, err := flora.NewBatch(m, adapters...)
	if err != nil {
		return nil, err
	}
	for lang, name := range byLanguage {
		if _, err := batch.Index(name); err != nil {
			return nil, fmt.Errorf("adapter of language %s: %w", lang, err)
		}
	}
	if o.MaxWindows <= 0 {
		o.MaxWindows = 16
	}
	if o.MaxEncoderFrames <= 0 {
		o.MaxEncoderFrames = 12_000
	}
	return &Engine{options: o, model: m, adapters: batch, byLang: byLanguage, ops: tensor.NewOps(b)}, nil
}

// Model returns the model that the engine serves.
func (e *Engine) Model() *whisper.Model { return e.model }

// Adapters returns the names of the adapters.
func (e *Engine) Adapters() []string { return e.adapters.Names() }

// AdapterOf returns the name of the adapter that Auto takes for a language, "" for the base model.
func (e *Engine) AdapterOf(language string) string { return e.byLang[language] }

// Transcribe transcribes recordings, windows of several of them in each batch, and calls done with
// the index and result of each as soon as it is finished, in no particular order. It returns an
// error where ctx is done or the device is at fault; what is wrong with one recording is in its
// result.
func (e *Engine) Transcribe(ctx context.Context, requests []Request, done func(i int, r *Result)) error {
	next := 0
	var live []*recording
	for {
		for len(live) < e.options.MaxWindows && next < len(requests) {
			r, err := e.open(next, requests[next])
			next++
			if err != nil {
				done(next-1, &Result{Err: err})
				continue
			}
			live = append(live, r)
		}
		if len(live) == 0 {
			return nil
		}
		if err := e.step(ctx, live); err != nil {
			return err
		}
		kept := live[:0]
		for _, r := range live {
			if r.result.Err == nil && !r.finished() {
				kept = append(kept, r)
				continue
			}
			r.close()
			done(r.index, &r.result)
		}
		live = kept
	}
}

// open reads a recording and checks its request.
func (e *Engine) open(index int, q Request) (*recording, error) {
	r := &recording{index: index, request: q, model: e.model}
	if q.Language != "" && q.Language != Auto {
		code, ok := whisper.LanguageCode(q.Language)
		if !ok {
			return nil, fmt.Errorf("%w: language %q", ErrInvalid, q.Language)
		}
		if err := r.setLanguage(code); err != nil {
			return nil, err
		}
	}
	switch q.Adapter {
	case "", Auto, None:
	default:
		i, err := e.adapters.Index(q.Adapter)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
		r.adapter, r.routed = i, true
	}
	pcm, err := q.Audio()
	if err != nil {
		return nil, err
	}
	return r, r.load(pcm)
}

// step takes every recording one window further.
func (e *Engine) step(ctx context.Context, live []*recording) error {
	if err := e.route(ctx, live); err != nil {
		return err
	}
	windows := make([]audio.Mel, len(live))
	adapterOf := make([]int32, len(live))
	for i, r := range live {
		windows[i], adapterOf[i] = r.window(), r.adapter
	}
	cross, err := e.encode(ctx, windows, adapterOf)
	if err != nil {
		return err
	}
	us := make([]whisper.Utterance, len(live))
	for i, r := range live {
		us[i] = whisper.Utterance{Cross: cross[i], Adapter: r.adapter, Options: r.decodeOptions()}
	}
	decoded, err := e.model.Decode(ctx, e.ops, e.adapters, us)
	if err != nil {
		return err
	}
	for i, r := range live {
		r.take(decoded[i])
	}
	return nil
}

// encode runs the encoder on the windows, as many at once as Options.MaxEncoderFrames allows.
func (e *Engine) encode(ctx context.Context, windows []audio.Mel, adapterOf []int32) ([]*whisper.CrossKV, error) {
	var cross []*whisper.CrossKV
	for from := 0; from < len(windows); {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("asr: encode: %w", err)
		}
		to, frames := from, 0
		for to < len(windows) && (to == from || frames+windows[to].Frames <= e.options.MaxEncoderFrames) {
			frames += windows[to].Frames
			to++
		}
		kv, err := e.model.Encode(e.ops, e.adapters, windows[from:to], adapterOf[from:to])
		if err != nil {
			return nil, err
		}
		cross, from = append(cross, kv...), to
	}
	return cross, nil
}

// route finds language and adapter of the recordings that are new: the language by the base
// model where it is not given, the adapter by the language where it is not given.
func (e *Engine) route(ctx context.Context, live []*recording) error {
	var unknown []*recording
	var windows []audio.Mel
	for _, r := range live {
		if r.result.Language == "" {
			unknown, windows = append(unknown, r), append(windows, r.window())
		}
	}
	if len(unknown) > 0 {
		cross, err := e.encode(ctx, windows, make([]int32, len(windows)))
		if err != nil {
			return err
		}
		probs, err := e.model.DetectLanguage(e.ops, nil, cross, nil, e.options.Languages)
		if err != nil {
			return err
		}
		for i, r := range unknown {
			r.result.Language, r.result.LanguageProb = probs[i].Best()
		}
	}
	for _, r := range live {
		if r.routed {
			continue
		}
		r.routed = true
		if r.request.Adapter != None {
			r.adapter, _ = e.adapters.Index(e.byLang[r.result.Language]) // New has checked the names
		}
	}
	for _, r := range live {
		r.result.Adapter = e.adapters.Name(r.adapter)
	}
	return nil
}

// IsDevice reports whether err is a fault of the device, after which the engine is of no use.
func IsDevice(err error) bool { return errors.Is(err, tensor.ErrDevice) }
