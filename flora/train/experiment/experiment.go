// Package experiment repeats the paper's experiment (Wen & Chaudhuri 2024, §4) at any scale: adapters of
// several kinds and ranks are trained over one frozen model for each of some languages, on the same data for
// the same number of steps, and their error rates compared. It also sets what adapters cost in time beside
// what the paper's equation 7 has them cost.
package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// ErrOptions is wrapped by the errors about an option's value.
var ErrOptions = errors.New("experiment: invalid option")

// Options are what an experiment depends on.
type Options struct {
	Out string // the folder of results

	Languages []string
	Kinds     []flora.Kind
	Ranks     []int // of every kind but IA3, which has none
	Seeds     int   // trainings of each adapter: seeds 1 to Seeds
	Target    flora.Target

	// Train are the options of every training. Its Data may hold many languages; Backend, Model, Trainable,
	// Out, Resume, Seed and Languages are those of each cell. Dev is not evaluated on, so that all train for
	// as many steps.
	Train train.Options

	// LearningRates are the peaks of the learning rate by kind; of others it is train.DefaultLearningRate.
	LearningRates map[flora.Kind]float64

	// Base is the name of the frozen model.
	Base string

	// Search tells how Worker.Score decodes: what was decoded otherwise is measured anew.
	Search string

	// Test are the utterances that error rates are measured on, of all Languages.
	Test []eval.Utterance
}

// Worker trains and measures one cell at a time. Its model keeps plain weights and is packed for its backend.
type Worker struct {
	Backend tensor.Backend
	Model   *whisper.Model

	// Score returns the score of utterances under an adapter, or of the model alone where it is nil.
	Score func(ctx context.Context, a *flora.Adapter, utterances []eval.Utterance) (eval.Score, error)
}

// None is the kind of a cell without an adapter.
const None flora.Kind = "none"

// Cell is one adapter of an experiment, trained once.
type Cell struct {
	Lang string     `json:"lang"`
	Kind flora.Kind `json:"kind"`
	Rank int        `json:"rank"` // 0 for kinds without one
	Seed uint64     `json:"seed"` // 0 for the model alone
}

// String returns a name such as "cs-lora-r2-s1".
func (c Cell) String() string {
	text := c.Lang + "-" + string(c.Kind)
	if c.Rank > 0 {
		text += fmt.Sprintf("-r%d", c.Rank)
	}
	if c.Seed > 0 {
		text += fmt.Sprintf("-s%d", c.Seed)
	}
	return text
}

// Result is what a cell came to, a line of results.jsonl. Rates are fractions.
type Result struct {
	Cell
	Settings string `json:"settings"` // identifies all that the result depends on

	Parameters   int     `json:"parameters"`
	LearningRate float64 `json:"learning_rate"`
	Steps        int     `json:"steps"`
	Loss         float64 `json:"loss"` // mean of the last tenth of the steps, nats a token

	Utterances int     `json:"utterances"`
	WER        float64 `json:"wer"`
	CER        float64 `json:"cer"`

	TrainSeconds float64 `json:"train_seconds"`
	TestSeconds  float64 `json:"test_seconds"`
	Failed       string  `json:"failed,omitempty"` // why there are no rates: the training diverged
}

// Status is where an experiment stands.
type Status struct {
	Cell        Cell
	Result      *Result // of Cell, where it is done
	Done, Total int     // cells
	Skipped     int     // of Done, those that an earlier run did
	Fraction    float64 // of the cells that are under way, in cells
	ETA         time.Duration
}

// cells returns the cells, those of one seed after another so that an interrupted experiment has a whole
// table of fewer seeds, the models alone first.
func (o *Options) cells() []Cell {
	var cells []Cell
	for _, lang := range o.Languages {
		cells = append(cells, Cell{Lang: lang, Kind: None})
	}
	for seed := range uint64(o.Seeds) {
		for i, rank := range o.Ranks {
			for _, kind := range o.Kinds {
				if kind == flora.IA3 && i > 0 {
					continue
				}
				for _, lang := range o.Languages {
					c := Cell{lang, kind, rank, seed + 1}
					if kind == flora.IA3 {
						c.Rank = 0
					}
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}

func (o *Options) check() error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{o.Out != "", "no folder for results"},
		{len(o.Languages) > 0, "no languages"},
		{len(o.Kinds) > 0, "no kinds of adapters"},
		{len(o.Ranks) > 0 && slices.Min(o.Ranks) > 0, fmt.Sprintf("ranks %v", o.Ranks)},
		{o.Seeds > 0, fmt.Sprintf("%d seeds", o.Seeds)},
	} {
		if !c.ok {
			return fmt.Errorf("%w: %s", ErrOptions, c.what)
		}
	}
	for _, k := range o.Kinds {
		if !slices.Contains(flora.Kinds(), k) {
			return fmt.Errorf("%w: kind %q; there are %v", ErrOptions, k, flora.Kinds())
		}
	}
	for _, lang := range o.Languages {
		if len(o.test(lang)) == 0 {
			return fmt.Errorf("%w: the test set has no utterance in language %q", ErrOptions, lang)
		}
	}
	return nil
}

// test returns the test utterances of a language.
func (o *Options) test(lang string) []eval.Utterance {
	return slices.DeleteFunc(slices.Clone(o.Test), func(u eval.Utterance) bool { return u.Lang != lang })
}

// Run does the cells that are not done yet, as many at a time as there are workers, and writes the tables
// and the figures (see [Table]) after each. It calls progress, one call at a time. When ctx ends, the cells
// under way leave checkpoints, from which the next run goes on.
func Run(ctx context.Context, o Options, workers []Worker, progress func(Status)) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(o.Out, cellFolder), 0o777); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	width := workers[0].Model.Dims.NTextState
	o.LearningRates = maps.Clone(o.LearningRates)
	if o.LearningRates == nil {
		o.LearningRates = make(map[flora.Kind]float64)
	}
	for _, k := range o.Kinds {
		if o.LearningRates[k] == 0 {
			o.LearningRates[k] = train.DefaultLearningRate(train.Kind(k), width)
		}
	}
	r, err := newRun(&o, workers[0].Model, progress)
	if err != nil {
		return err
	}
	defer r.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan Cell)
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			for c := range todo {
				if err := r.do(ctx, w, c); err != nil {
					cancel(fmt.Errorf("experiment: %s: %w", c, err))
					return
				}
			}
		})
	}
feed:
	for _, c := range r.todo {
		select {
		case todo <- c:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	all.Wait()
	return errors.Join(context.Cause(ctx), r.report())
}
