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
	dev       []*batch
	log       *os.File

	step     int      // done so far
	at       position // of the data after it
	skipped  int
	badSteps int
	badInRow int
	speed    speedometer
}

// Run trains until Options.Steps are done, and writes the result to Out/model. It calls progress,
// unless it is nil, after every step. Where Out holds checkpoints of the same options it resumes
// from the newest, if so told, and goes on as if it had never stopped. When ctx ends, it writes a
// checkpoint and returns the error of ctx.
//
// The errors are ErrOptions, ErrData, ErrExists, ErrCheckpoint, ErrDiverged and those of files.
func Run(ctx context.Context, o Options, progress func(Progress)) error {
	t, err := newTrainer(o)
	if err != nil {
		return err
	}
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
	known := func(lang string) bool { _, ok := o.Model.Tokenizer.LanguageToken(lang); return ok }
	data, err := openDataset(o.Data, o.Temperature, o.IdentifyOnly, o.Seed, known)
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
		t.network.head = newCTCHead(t.nText(), o.Model.Dims.NAudioState, o.Seed)
	}
	params := append(append([]NamedParam(nil), o.Trainable.Params()...), t.network.head.params()...)
	if err := checkNames(params); err != nil {
		return nil, err
	}
	t.optimizer = newAdamW(params, &o)
	t.loader = &loader{
		frames: o.BatchFrames, warn: o.Warn, at: data.start(),
		maker: &maker{
			dims: o.Model.Dims, data: data, clips: newClips(o.CacheBytes), augment: o.Augment, noSpeech: o.NoSpeech, seed: o.Seed,
			target: targeter{tokenizer: o.Model.Tokenizer, timestamps: o.Timestamps, dropout: o.BPEDropout},
		},
	}
	return t, nil
}

// nText returns the number of text tokens: those before the special ones.
func (t *trainer) nText() int { return int(t.options.Model.Tokenizer.EOT()) }

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
	for t.step < t.options.Steps {
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

// conclude evaluates, logs and saves after a step where that is due.
func (t *trainer) conclude(p *Progress) error {
	o, last := &t.options, t.step == t.options.Steps
	due := func(every int) bool { return every > 0 && t.step%every == 0 || last }
	if due(o.EvaluateEvery) {
		e, err := t.evaluate()
		if err != nil {
			return err
		}
		p.Evaluation = e
	}
	if due(o.LogEvery) || p.Evaluation != nil {
		line, err := json.Marshal(p)
		if err != nil {
			return fmt.Errorf("train: log: %w", err)
		}
		if _, err := t.log.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	if due(o.CheckpointEvery) {
		if err := t.save(); err != nil {
			return fmt.Errorf("train: checkpoint: %w", err)
		}
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
		Loss: ratio(sums.entropy, sums.tokens), CTC: ratio(sums.ctc, sums.text), TokenAccuracy: ratio(sums.right, sums.tokens),
	}
	if !finite(p.Loss) || !finite(p.CTC) || !finite(p.GradNorm) {
		p.Loss, p.CTC, p.GradNorm = 0, 0, 0 // JSON has no NaN; BadSteps tells
	}
	t.speed.report(&p)
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
	return sums, nil
}

// publish writes the result to Out/model, in place of an earlier one.
func (t *trainer) publish() error {
	dir := filepath.Join(t.options.Out, modelFolder)
	partial := dir + temporary
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := t.saveModel(partial); err != nil {
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

// speedometer averages the speed over the last steps.
type speedometer struct {
	first    int // step at the start
	at       []moment
	examples float64
	audio    float64
	products float64
}

// moment is where the counts stood at a time.
type moment struct {
	time                      time.Time
	step                      int
	examples, audio, products float64
}

// speedWindow is the number of steps that speeds are averaged over.
const speedWindow = 50

func (s *speedometer) start(step int) {
	s.first = step
	s.at = append(s.at, moment{time: time.Now(), step: step})
}

func (s *speedometer) step(t *trainer, batches []*batch) {
	_, isAdapter := t.options.Trainable.(*adapter)
	nText := 0
	if t.options.CTCWeight > 0 {
		nText = t.nText()
	}
	for _, b := range batches {
		s.examples += float64(b.examples)
		s.audio += b.seconds
		s.products += products(t.options.Model.Dims, b, nText, !isAdapter)
	}
	s.at = append(s.at, moment{time.Now(), t.step, s.examples, s.audio, s.products})
	if len(s.at) > speedWindow+1 {
		s.at = s.at[1:]
	}
}

func (s *speedometer) report(p *Progress) {
	from, to := s.at[0], s.at[len(s.at)-1]
	seconds := to.time.Sub(from.time).Seconds()
	if seconds <= 0 {
		return
	}
	p.ExamplesPerSecond = (to.examples - from.examples) / seconds
	p.AudioPerSecond = (to.audio - from.audio) / seconds
	p.GFLOPs = (to.products - from.products) / seconds / 1e9
	perStep := seconds / float64(to.step-from.step)
	p.ETA = time.Duration(float64(p.Steps-p.Step) * perStep * float64(time.Second))
}
