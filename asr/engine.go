package asr

import (
	"context"
	"fmt"
	"slices"

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

	// decode decodes windows: the model's Decode.
	decode func(ctx context.Context, us []whisper.Utterance) ([]whisper.Decoded, error)
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
	for _, code := range o.Languages {
		if _, ok := m.Tokenizer.LanguageToken(code); !ok {
			return nil, fmt.Errorf("%w: %q", whisper.ErrLanguage, code)
		}
	}
	if o.MaxWindows <= 0 {
		o.MaxWindows = 16
	}
	if o.MaxEncoderFrames <= 0 {
		o.MaxEncoderFrames = 12_000
	}
	e := &Engine{options: o, model: m, adapters: batch, byLang: byLanguage, ops: tensor.NewOps(b)}
	e.decode = func(ctx context.Context, us []whisper.Utterance) ([]whisper.Decoded, error) {
		return m.Decode(ctx, e.ops, e.adapters, us)
	}
	return e, nil
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
	_, err := e.begin(0, q)
	return err
}

// Transcribe transcribes recordings, windows of several of them in each batch, and calls done with
// the index and result of each as soon as it is finished, in no particular order. It returns an
// error where ctx is done or the device is at fault; what is wrong with one recording is in its
// result.
func (e *Engine) Transcribe(ctx context.Context, requests []Request, done func(i int, r *Result)) error {
	in := &intake{engine: e, requests: requests, done: done}
	var live []*recording
	for {
		for len(live) < e.options.MaxWindows {
			r := in.take()
			if r == nil {
				break
			}
			if r.ended() { // of sound that cannot be heard, or all of its clips are behind its end
				in.finish(r)
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
		live = slices.DeleteFunc(live, func(r *recording) bool {
			if r.ended() {
				in.finish(r)
			}
			return r.ended()
		})
	}
}

// begin checks a request.
func (e *Engine) begin(index int, q Request) (*recording, error) {
	r, err := newRecording(index, q, e.model)
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

// step takes every recording one window further, or one attempt at a window.
func (e *Engine) step(ctx context.Context, live []*recording) error {
	if err := e.detect(ctx, live); err != nil {
		return err
	}
	for _, r := range live {
		e.route(r)
	}
	if err := e.encodeMissing(ctx, live); err != nil {
		return err
	}
	us := make([]whisper.Utterance, len(live))
	for i, r := range live {
		us[i] = whisper.Utterance{Cross: r.window.cross, Adapter: r.window.adapter, Options: r.decodeOptions()}
	}
	decoded, err := e.decode(ctx, us)
	if err != nil {
		return err
	}
	for i, r := range live {
		r.take(decoded[i])
	}
	if err := e.timeWords(live); err != nil {
		return err
	}
	for _, r := range live {
		r.settle()
	}
	return nil
}

// timeWords finds the words of the windows whose text was taken, where they are asked for.
func (e *Engine) timeWords(live []*recording) error {
	var asked []*recording
	var windows []spokenWindow
	for _, r := range live {
		if r.window.taken && r.request.Words != nil {
			asked, windows = append(asked, r), append(windows, r.spoken())
		}
	}
	if len(asked) == 0 {
		return nil
	}
	if err := timeWords(e.model, e.ops, e.adapters, windows); err != nil {
		return err
	}
	for i, r := range asked {
		r.takeWords(windows[i])
	}
	return nil
}

// detect finds the languages of windows that are not known, by the base model, and keeps what it
// has encoded for it where that is the window. Windows of one recording have the language of its
// first.
func (e *Engine) detect(ctx context.Context, live []*recording) error {
	var unknown []*recording
	var mels []audio.Mel
	var allowed [][]string
	for _, r := range live {
		if r.window.language != "" || r.follows() {
			continue
		}
		mel, _ := r.languageMel()
		languages := r.request.Languages
		if len(languages) == 0 {
			languages = e.options.Languages
		}
		unknown, mels, allowed = append(unknown, r), append(mels, mel), append(allowed, languages)
	}
	cross, err := e.encode(ctx, mels, make([]int32, len(mels)))
	if err != nil {
		return err
	}
	probs, err := e.model.DetectLanguage(e.ops, nil, cross, nil, allowed)
	if err != nil {
		return err
	}
	for i, r := range unknown {
		language, prob := probs[i].Best()
		r.window.language = language
		if r.result.Language == "" {
			r.result.Language, r.result.LanguageProb = language, prob
		}
		if _, ofWindow := r.languageMel(); ofWindow {
			r.window.cross = cross[i]
		}
	}
	for _, r := range live {
		if r.window.language == "" { // it follows one that is known by now
			first := r.whole.parts[0].result
			r.window.language, r.result.Language, r.result.LanguageProb = first.Language, first.Language, first.LanguageProb
		}
	}
	return nil
}

// route finds the adapter of a window that is new: the one that the request names, or that of the
// language. A window that the base model has encoded stays so where no adapter is taken.
func (e *Engine) route(r *recording) {
	w := &r.window
	if w.routed {
		return
	}
	w.routed = true
	if w.adapter = r.named; w.adapter == 0 && r.request.Adapter != None {
		w.adapter, _ = e.adapters.Index(e.byLang[w.language]) // New has checked the names
	}
	if w.adapter != 0 {
		w.cross = nil
	}
	if r.seek == r.clips[0][0] {
		r.result.Adapter = e.adapters.Name(w.adapter)
	}
}

// encodeMissing encodes the windows that are not encoded yet, each under its adapter.
func (e *Engine) encodeMissing(ctx context.Context, live []*recording) error {
	var missing []*recording
	var mels []audio.Mel
	var adapterOf []int32
	for _, r := range live {
		if r.window.cross == nil {
			missing, mels, adapterOf = append(missing, r), append(mels, r.windowMel()), append(adapterOf, r.window.adapter)
		}
	}
	cross, err := e.encode(ctx, mels, adapterOf)
	for i, c := range cross {
		missing[i].window.cross = c
	}
	return err
}

// encode runs the encoder on windows, as many at once as Options.MaxEncoderFrames allows.
func (e *Engine) encode(ctx context.Context, mels []audio.Mel, adapterOf []int32) (cross []*whisper.CrossKV, err error) {
	for from := 0; from < len(mels); from = len(cross) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("asr: encode: %w", err)
		}
		to, frames := from+1, mels[from].Frames
		for to < len(mels) && frames+mels[to].Frames <= e.options.MaxEncoderFrames {
			frames += mels[to].Frames
			to++
		}
		batch, err := e.model.Encode(e.ops, e.adapters, mels[from:to], adapterOf[from:to])
		if err != nil {
			return nil, err
		}
		cross = append(cross, batch...)
	}
	return cross, nil
}
