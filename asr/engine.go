package asr

import (
	"context"
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
		r.named = i
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
	if err := e.encode(ctx, live); err != nil {
		return err
	}
	us := make([]whisper.Utterance, len(live))
	for i, r := range live {
		us[i] = whisper.Utterance{Cross: r.cross, Adapter: r.adapter, Options: r.decodeOptions()}
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

// encode runs the encoder on the windows that are not encoded yet, each under its recording's
// adapter, as many at once as Options.MaxEncoderFrames allows.
func (e *Engine) encode(ctx context.Context, live []*recording) error {
	for i := 0; i < len(live); {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("asr: encode: %w", err)
		}
		var batch []*recording
		var windows []audio.Mel
		var adapterOf []int32
		for frames := 0; i < len(live); i++ {
			if live[i].cross != nil {
				continue
			}
			w := live[i].window()
			if frames += w.Frames; len(batch) > 0 && frames > e.options.MaxEncoderFrames {
				break
			}
			batch, windows, adapterOf = append(batch, live[i]), append(windows, w), append(adapterOf, live[i].adapter)
		}
		if len(batch) == 0 {
			return nil
		}
		cross, err := e.model.Encode(e.ops, e.adapters, windows, adapterOf)
		if err != nil {
			return err
		}
		for j, r := range batch {
			r.cross = cross[j]
		}
	}
	return nil
}

// route finds language and adapter of the recordings that are new: the language by the base
// model where it is not given, the adapter by the language where it is not given. A window that
// the base model has encoded for its language stays encoded where no adapter is taken.
func (e *Engine) route(ctx context.Context, live []*recording) error {
	if err := e.detect(ctx, live); err != nil {
		return err
	}
	for _, r := range live {
		if r.routed {
			continue
		}
		r.routed = true
		if r.adapter = r.named; r.adapter == 0 && r.request.Adapter != None {
			r.adapter, _ = e.adapters.Index(e.byLang[r.result.Language]) // New has checked the names
		}
		if r.adapter != 0 {
			r.cross = nil
		}
	}
	for _, r := range live {
		r.result.Adapter = e.adapters.Name(r.adapter)
	}
	return nil
}

// detect finds the languages that are not known by the base model.
func (e *Engine) detect(ctx context.Context, live []*recording) error {
	var unknown []*recording
	for _, r := range live {
		if r.result.Language == "" {
			unknown = append(unknown, r)
		}
	}
	if err := e.encode(ctx, unknown); err != nil {
		return err
	}
	cross := make([]*whisper.CrossKV, len(unknown))
	for i, r := range unknown {
		cross[i] = r.cross
	}
	probs, err := e.model.DetectLanguage(e.ops, nil, cross, nil, e.options.Languages)
	if err != nil {
		return err
	}
	for i, r := range unknown {
		r.result.Language, r.result.LanguageProb = probs[i].Best()
	}
	return nil
}
