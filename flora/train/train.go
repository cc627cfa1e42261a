package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"glossa/whisper/tensor"
)

// ErrDiverged is wrapped by the error of a training whose loss or gradient was not finite for
// Options.MaxBadSteps steps in a row.
var ErrDiverged = errors.New("train: loss or gradient not finite")

// logFile is the record of a training: a JSON object of Progress a line.
const logFile = "log.jsonl"

// trainer is a training under way.
type trainer struct {
	options   Options
	network   *network
	optimizer *adamW
	loader    *loader
	speller   speller // of what CTC is to find
	dev       []*batch
	log       *os.File

	step     int      // done so far
	at       position // of the data after it
	skipped  int
	badSteps int
	badInRow int
	speed    speedometer

	best *best // nil before the first evaluation, and where none is kept

	began         time.Time
	secondsBefore float64 // of training, before it was resumed
}

// Run trains until Options.Steps are done, or Options.Patience is at its end, and writes the result to
// Out/model. With each checkpoint it draws how the training goes (see [WriteCurve]). At the end the parameters are then those of the result. It calls progress, unless it is nil, after every
// step. Where Out holds checkpoints of the same options it resumes
// from the newest, if so told, and goes on as if it had never stopped. When ctx ends, it writes a
// checkpoint and returns the error of ctx.
//
// The errors are ErrOptions, ErrData, ErrExists, ErrCheckpoint, ErrDiverged and those of files.
func Run(ctx context.Context, o Options, progress func(Progress)) error {
	t, err := newTrainer(o)
	if err != nil {
		return err
	}
	t.began = time.Now()
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := t.restore(); err != nil {
		return err
	}
	if err := t.openDev(); err != nil {
		return err
	}
	t.log, err = os.OpenFile(filepath.Join(o.Out, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	defer t.log.Close()
	if err := t.measureBefore(progress); err != nil {
		return err
	}
	if err := t.run(ctx, progress); err != nil {
		return err
	}
	return t.publish()
}

// newTrainer checks the options, and opens the data and prepares the network and the optimiser.
func newTrainer(o Options) (*trainer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.LearningRate == 0 {
		o.LearningRate = DefaultLearningRate(o.kind(), o.Model.Dims.NTextState)
	}
	known := func(lang string) bool { _, ok := o.Model.Tokenizer.LanguageToken(lang); return ok }
	data, err := openDataset(&o, known)
	if err != nil {
		return nil, err
	}
	backend, err := o.choosePrecision()
	if err != nil {
		return nil, err
	}
	t := &trainer{options: o, at: data.start()}
	t.network = &network{
		ops: tensor.NewOps(backend), model: o.Model, adapter: o.Trainable.Adapter(),
		ctcWeight: o.CTCWeight, smoothing: float32(o.LabelSmoothing),
	}
	if o.CTCWeight > 0 {
		t.speller = newSpeller(o.CTCUnits, data, int(o.Model.Tokenizer.EOT()))
		t.network.head = newCTCHead(t.speller.size(), o.Model.Dims.NAudioState, o.Seed)
		if o.GuideWeight > 0 {
			t.network.guide = newGuide(o.Model.Dims)
			t.network.guideWeight = o.GuideWeight
			o.Model.Generation.AlignmentHeads = t.network.guide.alignment()
		}
	}
	if err := t.place(backend); err != nil {
		return nil, err
	}
	params := append(append([]NamedParam(nil), o.Trainable.Params()...), t.network.head.params()...)
	if err := checkNames(params); err != nil {
		return nil, err
	}
	t.optimizer = newAdamW(params, &o)
	t.optimizer.changed = func() { t.optimizer.send(t.network.ops) }
	t.loader = &loader{
		frames: o.BatchFrames, warn: o.Warn, at: data.start(),
		maker: &maker{
			dims: o.Model.Dims, data: data, clips: newClips(o.CacheBytes), augment: o.Augment, noSpeech: o.NoSpeech, seed: o.Seed,
			target: targeter{tokenizer: o.Model.Tokenizer, timestamps: o.Timestamps, dropout: o.BPEDropout, speller: t.speller},
		},
	}
	return t, nil
}

// place copies what the training computes with to the memory of its backend, where that is a device.
func (t *trainer) place(b tensor.Backend) error {
	if _, ok := b.(tensor.Device); !ok {
		return nil
	}
	if err := t.options.Model.Place(b); err != nil {
		return err
	}
	if err := t.options.Trainable.Place(b); err != nil {
		return err
	}
	return t.network.head.place(b)
}

// run takes the steps that are left.
func (t *trainer) run(ctx context.Context, progress func(Progress)) error {
	next := t.loader.next
	if t.options.Ahead > 0 {
		inner, cancel := context.WithCancel(ctx)
		stream := t.loader.stream(inner, t.options.Ahead)
		defer func() {
			cancel()
			for range stream { // until the loader has ended, so that nothing outlives Run
			}
		}()
		next = func() (*batch, error) {
			l, ok := <-stream
			if !ok {
				return nil, ctx.Err()
			}
			return l.batch, l.err
		}
	}
	t.speed.start(t.step)
	for t.step < t.options.Steps && !t.stopped() {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), t.save())
		}
		p, err := t.advance(next)
		if err != nil {
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), t.save())
			}
			return err
		}
		if err := t.conclude(&p); err != nil {
			return err
		}
		if progress != nil {
			progress(p)
		}
	}
	return nil
}

// seconds returns how long the training has taken, from its first step on.
func (t *trainer) seconds() float64 { return t.secondsBefore + time.Since(t.began).Seconds() }

// measureBefore evaluates the frozen model before the first step of an adapter, which changes nothing yet.
func (t *trainer) measureBefore(progress func(Progress)) error {
	if t.step > 0 || t.options.Trainable.Adapter() == nil {
		return nil
	}
	begin := time.Now()
	e, err := t.evaluate()
	if e == nil || err != nil {
		return err
	}
	t.speed.evaluation = time.Since(begin)
	p := Progress{Steps: t.options.Steps, Evaluation: e}
	if progress != nil {
		progress(p)
	}
	return t.write(p)
}

// write appends a line to the log.
func (t *trainer) write(p Progress) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("train: log: %w", err)
	}
	if _, err := t.log.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// conclude evaluates, logs and saves after a step where that is due.
func (t *trainer) conclude(p *Progress) error {
	begin := time.Now()
	defer func() { t.speed.pause(time.Since(begin)) }()
	o, last := &t.options, t.step == t.options.Steps
	due := func(every int) bool { return every > 0 && t.step%every == 0 || last }
	if due(o.EvaluateEvery) {
		e, err := t.evaluate()
		if err != nil {
			return err
		}
		t.consider(e)
		p.Evaluation = e
		last = last || t.stopped()
		t.speed.evaluation = time.Since(begin)
	}
	if t.best != nil {
		p.Best = t.best.Step
	}
	if due(o.LogEvery) || p.Evaluation != nil {
		if err := t.write(*p); err != nil {
			return err
		}
	}
	if due(o.CheckpointEvery) {
		if err := t.save(); err != nil {
			return fmt.Errorf("train: checkpoint: %w", err)
		}
		return WriteCurve(o.Out)
	}
	return nil
}

// advance takes one step: the gradients of some batches, and an update with them. A step whose
// loss or gradient is not finite changes nothing.
func (t *trainer) advance(next func() (*batch, error)) (Progress, error) {
	batches := make([]*batch, t.options.Accumulate)
	var tokens, text float64
	for i := range batches {
		b, err := next()
		if err != nil {
			return Progress{}, err
		}
		batches[i] = b
		n, m := b.weights()
		tokens, text = tokens+n, text+m
	}
	sums, err := t.gradient(batches, tokens, text)
	if err != nil {
		return Progress{}, err
	}
	rate := t.options.learningRate(t.step + 1)
	norm := t.optimizer.norm()
	if finite(sums.entropy) && finite(sums.ctc) && finite(norm) {
		t.optimizer.step(rate, norm)
		t.badInRow = 0
	} else {
		t.badSteps++
		if t.badInRow++; t.badInRow >= t.options.MaxBadSteps {
			return Progress{}, fmt.Errorf("%w: %d steps in a row, the last step %d at a learning rate of %.3g", ErrDiverged, t.badInRow, t.step+1, rate)
		}
	}
	t.step++
	last := batches[len(batches)-1]
	t.at, t.skipped = last.after, last.skipped
	t.speed.step(t, batches)
	p := Progress{
		Step: t.step, Steps: t.options.Steps, LR: rate, GradNorm: norm, Skipped: t.skipped, BadSteps: t.badSteps,
		Loss: ratio(sums.entropy, sums.tokens), CTC: ratio(sums.ctc, sums.text), Guide: ratio(sums.guide, sums.tokens), TokenAccuracy: ratio(sums.right, sums.tokens),
	}
	if !finite(p.Loss) || !finite(p.CTC) || !finite(p.Guide) || !finite(p.GradNorm) {
		p.Loss, p.CTC, p.Guide, p.GradNorm = 0, 0, 0, 0 // JSON has no NaN; BadSteps tells
	}
	t.speed.report(&p, t.options.EvaluateEvery)
	return p, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// gradient sets the gradient of the parameters to that of the loss over the batches.
func (t *trainer) gradient(batches []*batch, tokens, text float64) (sums losses, err error) {
	t.optimizer.zeroGrad()
	for _, b := range batches {
		loss, s := t.network.forward(b, tokens, text, true)
		t.network.ops.Backward(loss)
		var value [1]float32
		if err := t.network.ops.Read(value[:], loss); err != nil {
			return losses{}, fmt.Errorf("train: step %d: %w", t.step+1, err)
		}
		sums.add(s)
	}
	if err := t.optimizer.fetch(t.network.ops); err != nil {
		return losses{}, fmt.Errorf("train: step %d: %w", t.step+1, err)
	}
	return sums, nil
}

// publish writes the result to Out/model with its card, in place of an earlier one.
func (t *trainer) publish() error {
	dir := filepath.Join(t.options.Out, modelFolder)
	partial := dir + temporary
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	t.settle()
	if err := t.saveWithCard(partial); err != nil {
		return fmt.Errorf("train: save: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := os.Rename(partial, dir); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}
