package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"glossa/asr"
	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// lineInterval is the time between lines of progress where there is no terminal to draw a bar on.
const lineInterval = 10 * time.Second

// The time of all is told after so many steps, or after this time where steps are slow.
const (
	stepsToEstimate = 20
	timeToEstimate  = 20 * time.Second
)

// trainWatch tells how a training goes.
type trainWatch struct {
	console *console
	out     string
	begin   time.Time
	steps   int // seen
	last    train.Progress
	line    time.Time // of the last line of progress

	first          time.Time         // when steps began
	estimated      bool              // the time has been told
	before, result *train.Evaluation // of the frozen model, and of the weights that are kept
}

// newTrainWatch says what is about to be trained.
func newTrainWatch(c *console, o *train.Options) *trainWatch {
	trained, total := 0, 0
	for _, p := range o.Trainable.Params() {
		trained += len(p.Mat.Data)
	}
	for _, p := range o.Model.Params() {
		total += len(p.Mat.Data)
	}
	what := fmt.Sprintf("a model of %d parameters", total)
	if o.Trainable.Adapter() != nil {
		what = fmt.Sprintf("an adapter of %d parameters over %s", trained, what)
	}
	c.note("training %s for %d steps on %s", what, o.Steps, o.Backend.Name())
	c.start(int64(o.Steps))
	return &trainWatch{console: c, out: o.Out, begin: time.Now(), line: time.Now(), first: time.Now()}
}

// step is called after each step.
func (w *trainWatch) step(p train.Progress) {
	if p.Step == 0 {
		w.console.note("before the training: %s", evaluated(p.Evaluation))
		w.before = p.Evaluation
		w.first = time.Now()
		return
	}
	if w.steps++; w.steps == 1 && p.Step > 1 {
		w.console.note("going on after step %d", p.Step-1)
	}
	if !w.estimated && p.Step < p.Steps && (w.steps >= stepsToEstimate || w.steps > 1 && time.Since(w.first) > timeToEstimate) {
		w.estimated = true
		w.console.note("%d steps to go will take about %s, until %s", p.Steps-p.Step, p.ETA.Round(time.Second), time.Now().Add(p.ETA).Format("15:04 on Mon 2 Jan"))
	}
	w.last = p
	state := fmt.Sprintf("step %d/%d loss %.3f accuracy %.1f%% lr %.2g %.1f examples/s ETA %s",
		p.Step, p.Steps, p.Loss, 100*p.TokenAccuracy, p.LR, p.ExamplesPerSecond, p.ETA.Round(time.Second))
	w.console.advance(int64(p.Step), "%s", state)
	if !w.console.terminal && time.Since(w.line) >= lineInterval {
		w.line = time.Now()
		w.console.note("%s", state)
	}
	if e := p.Evaluation; e != nil {
		best := ""
		if p.Best == p.Step {
			best = ", the best so far"
		}
		w.console.note("step %d: evaluation: %s%s", p.Step, evaluated(e), best)
		if p.Best == p.Step || p.Best == 0 {
			w.result = e
		}
	}
}

// evaluated tells an evaluation.
func evaluated(e *train.Evaluation) string {
	text := fmt.Sprintf("loss %.3f, accuracy %.1f%%", e.Loss, 100*e.TokenAccuracy)
	if e.WER != nil {
		text += fmt.Sprintf(", WER %.1f%%", 100**e.WER)
	}
	return text
}

// end says how a training ended, which returned err.
func (w *trainWatch) end(ctx context.Context, err error) error {
	w.console.stop()
	took := time.Since(w.begin).Round(time.Second)
	switch {
	case err == nil:
		if w.last.Best > 0 && w.last.Step < w.last.Steps {
			w.console.note("stopped after step %d: nothing was better than step %d", w.last.Step, w.last.Best)
		}
		if b, r := w.before, w.result; b != nil && r != nil && b.WER != nil && r.WER != nil && *r.WER >= *b.WER {
			w.console.note("the adapter is no better than the model without it: WER %.1f%% before, %.1f%% after; try another learning rate or more data", 100**b.WER, 100**r.WER)
		}
		w.console.note("trained in %s; the result is in %s, its curve in %s", took, filepath.Join(w.out, "model"), filepath.Join(w.out, "curve.html"))
	case ctx.Err() != nil && err.Error() == ctx.Err().Error():
		w.console.note("stopped after step %d and %s; a checkpoint is in %s, and --resume goes on from it", w.last.Step, took, w.out)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted, without a checkpoint: %s", err) // more than an interruption
	}
	return err
}

// devSet returns the utterances to measure word error rates on: of each --dev data set those in
// the languages that are trained, at most DevLimit, evenly spread.
func devSet(o *train.Options) ([]eval.Utterance, error) {
	trained := make(map[string]bool)
	for _, s := range o.Data {
		utterances, err := train.ReadUtterances(s.Path, o.Language, nil)
		if err != nil {
			return nil, err
		}
		for _, u := range utterances {
			trained[u.Lang] = !slices.Contains(o.IdentifyOnly, u.Lang) && (len(o.Languages) == 0 || slices.Contains(o.Languages, u.Lang))
		}
	}
	var dev []eval.Utterance
	for _, path := range o.Dev {
		utterances, err := train.ReadUtterances(path, o.Language, nil)
		if err != nil {
			return nil, err
		}
		utterances = slices.DeleteFunc(utterances, func(u eval.Utterance) bool { return !trained[u.Lang] })
		n := len(utterances)
		if o.DevLimit > 0 {
			n = min(n, o.DevLimit)
		}
		for i := range n {
			dev = append(dev, utterances[i*len(utterances)/n])
		}
	}
	return dev, nil
}

// evaluation returns what computes the word error rate of a model, under adapter a unless it is
// nil, on the manifests to evaluate on; nil where they hold nothing to transcribe.
func evaluation(ctx context.Context, o *train.Options, a *flora.Adapter) (func(*whisper.Model, whisper.Adapter) (float64, error), error) {
	if len(o.Dev) == 0 {
		return nil, nil
	}
	dev, err := devSet(o)
	if err != nil {
		return nil, err
	}
	if len(dev) == 0 {
		return nil, nil
	}
	return func(m *whisper.Model, _ whisper.Adapter) (float64, error) {
		score, err := scoreUnder(ctx, m, o.Backend, a, dev, 1)
		return score.WER(), err
	}, nil
}

// scoreUnder returns the score of utterances in languages that are told, under adapter a unless it is nil,
// decoded once with so many beams, without fallback. One that fails counts as an empty text.
func scoreUnder(ctx context.Context, m *whisper.Model, b tensor.Backend, a *flora.Adapter, utterances []eval.Utterance, beams int) (eval.Score, error) {
	var adapters []*flora.Adapter
	name := asr.None
	if a != nil {
		adapters, name = append(adapters, a), a.Name
	}
	engine, err := asr.New(m, b, adapters, nil, asr.Options{})
	if err != nil {
		return eval.Score{}, err
	}
	names := make([]string, len(utterances))
	for i, u := range utterances {
		names[i] = u.AudioFilepath
	}
	files := newAhead(names, maxUnread)
	defer files.close()
	requests := make([]asr.Request, len(utterances))
	for i, u := range utterances {
		requests[i] = asr.Request{Audio: func() ([]float32, error) { return files.take(i) }, Language: u.Lang, Adapter: name, Decoding: asr.Decoding{Temperatures: []float64{0}, BeamSize: beams}}
	}
	var sum eval.Score
	err = engine.TranscribeAll(ctx, requests, func(i int, r *asr.Result) {
		sum.Add(eval.ScoreUtterance(utterances[i].Text, r.Text, utterances[i].Lang))
	})
	return sum, err
}
