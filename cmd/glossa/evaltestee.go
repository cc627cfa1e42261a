package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
	"glossa/eval"
)

// testee is what is evaluated: a model in this process, or a server.
type testee interface {
	// recognise returns what becomes of a trial. What is wrong with the utterance is in the pair; an error ends the evaluation.
	recognise(ctx context.Context, t trial) (eval.Pair, error)

	// listen begins a live session for a trial.
	listen(ctx context.Context, t trial) (liveConn, error)

	adapted() bool                // there are adapters
	adapterOf(lang string) string // "" where there is none
	atOnce() int                  // utterances that fill its batches

	// identity returns what its texts hang on, by the names of settings.
	identity() map[string]string

	close()
}

// listenOptions are those of a live session for a trial, whatever is evaluated.
func (e *evalCommand) listenOptions(t trial) asr.ListenOptions {
	return asr.ListenOptions{
		Language: t.language(e.LanguageFrom), Adapter: t.adapterName(), Policy: asr.Policy(e.Policy), Hotwords: e.Hotwords, Prompt: e.InitialPrompt,
	}
}

// language returns what is told of the language of a trial.
func (t *trial) language(from string) string {
	if from == asr.Auto || t.Lang == nonSpeech {
		return asr.Auto
	}
	return t.Lang
}

// adapterName returns what is asked for as the adapter of a trial.
func (t *trial) adapterName() string {
	if t.adapter == "" {
		return asr.None
	}
	return t.adapter
}

// engineTestee is a model in this process.
type engineTestee struct {
	flags  *evalCommand
	engine *asr.Engine
	sounds *sounds
	asked  asr.Request // of every utterance
}

// openEngine opens the model that the flags name.
func (e *evalCommand) openEngine(s *sounds) (*engineTestee, error) {
	decoding, err := e.decoding()
	if err != nil {
		return nil, err
	}
	engine, err := e.engine()
	if err != nil {
		return nil, err
	}
	t := &engineTestee{flags: e, engine: engine, sounds: s, asked: asr.Request{Decoding: decoding}}
	if err := engine.Check(t.asked); err != nil {
		engine.Close()
		return nil, err
	}
	return t, nil
}

// recognise is a part of testee.
func (e *engineTestee) recognise(ctx context.Context, t trial) (eval.Pair, error) {
	p := t.pair()
	pcm, release, err := e.sounds.take(ctx, t.Utterance)
	if err != nil {
		p.Err = err.Error()
		return p, context.Cause(ctx)
	}
	defer release()
	q := e.asked
	q.Audio = func() ([]float32, error) { return pcm, nil }
	q.Language, q.Adapter = t.language(e.flags.LanguageFrom), t.adapterName()
	begin := time.Now()
	r, err := e.engine.Transcribe(ctx, q)
	switch {
	case ctx.Err() != nil:
		return p, context.Cause(ctx)
	case err != nil && e.engine.Load().Stopped:
		return p, err
	case err != nil:
		p.Err = err.Error()
		return p, nil
	}
	p.Latency = time.Since(begin).Seconds()
	p.Hypothesis, p.Duration = r.Text, r.Duration
	if r.LanguageProb > 0 {
		p.Detected = r.Language
	}
	return p, nil
}

func (e *engineTestee) listen(ctx context.Context, t trial) (liveConn, error) {
	return listenHere(ctx, e.engine, e.flags.listenOptions(t))
}

func (e *engineTestee) adapted() bool { return len(e.engine.Adapters()) > 0 }

func (e *engineTestee) adapterOf(lang string) string { return e.engine.AdapterOf(lang) }

// atOnce is two batches: one that is computed, and one whose sound is ready when the first has room.
func (e *engineTestee) atOnce() int { return 2 * e.engine.Windows() }

func (e *engineTestee) identity() map[string]string {
	var adapters []string
	for _, a := range e.engine.Adapters() {
		adapters = append(adapters, strings.TrimSuffix(a.Name+"@"+a.Hash, "@")+" "+a.Dir)
	}
	slices.Sort(adapters)
	d := e.engine.Model().Dims
	return map[string]string{
		"model": e.flags.Model, "weights": e.engine.Model().Fingerprint(), "dimensions": fmt.Sprint(d), "dtype": e.flags.DType,
		"adapters": strings.Join(adapters, ", "), "routes": strings.Join(append(e.flags.Route, e.flags.Routes), " "),
	}
}

func (e *engineTestee) close() { e.engine.Close() }

// settings returns all that texts hang on.
func (e *evalCommand) settings(of testee) (map[string]string, error) {
	s := of.identity()
	decoding, err := e.decoding()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(decoding)
	if err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	s["decoding"], s["language-from"], s["adapter"] = string(text), e.LanguageFrom, e.Adapter
	if e.Hallucinations > 0 {
		s["hallucinations"] = strconv.Itoa(e.Hallucinations)
	}
	return s, nil
}
