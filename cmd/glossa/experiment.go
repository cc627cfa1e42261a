package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/flora/train/experiment"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// experimentCommand compares adapters.
type experimentCommand struct {
	Rates ratesCommand `cmd:"" default:"withargs" help:"Train adapters of several kinds and ranks, and compare their error rates."`
	Speed speedCommand `cmd:"" help:"Draw what adapters cost in time, from measurements of glossa bench --adapters --json."`
	Ranks ranksCommand `cmd:"" help:"Draw speed over ranks beside LoRA by torch.bmm, from what whisper/tensor/cuda/run.sh measured on a GPU."`
}

// Help tells what comes of it, with examples.
func (ratesCommand) Help() string {
	return `It repeats the experiment of Wen & Chaudhuri 2024, section 4, at the scale of a model and data at hand:
the table of error rates by kind, rank and language is in OUT/table.md, its figure in OUT/wer.svg and wer.png, both in
OUT/report.html, every training in OUT/results.jsonl, and every adapter in OUT/cells. Interrupted, it goes on where
it was when it is started again; with more seeds, ranks or kinds it does those that are missing.

"glossa experiment speed" draws what adapters cost in time.

Examples:

    glossa experiment --languages cs,fi --data train.cs.jsonl --data train.fi.jsonl --test test.jsonl --out exp
    glossa bench --adapters --json > bench.json
    glossa experiment speed bench.json --out exp`
}

// ratesCommand has the flags of an experiment.
type ratesCommand struct {
	Model     string   `default:"nano" placeholder:"nano|DIR|NAME" help:"The frozen model. (${default})"`
	Data      []source `required:"" sep:"none" placeholder:"DATA[=WEIGHT]" help:"What to train on, of all languages; see glossa help train. Repeatable."`
	Test      []string `required:"" sep:"none" placeholder:"DATA" help:"What to measure error rates on. Repeatable."`
	BeamSize  int      `default:"5" help:"The number of beams in measurements; 1 is greedy search. (${default})"`
	TestLimit int      `placeholder:"N" help:"Utterances to measure on of each language, at most. (all)"`
	Out       string   `required:"" placeholder:"DIR" help:"The folder for results."`
	dataFlags

	Languages []string `required:"" placeholder:"CODES" help:"The languages to train adapters for."`
	Kinds     []string `default:"ia3,lora,flora,hira" help:"Kinds of adapters; there are also rslora and dora. (${default})"`
	Ranks     []int    `default:"1,2,4,8" help:"Their ranks; ia3 has none. (${default})"`
	Seeds     int      `default:"3" help:"Trainings of each, seeds 1, 2, … (${default})"`
	Target    string   `enum:"all,attention,decoder" default:"all" help:"The linears to adapt. (${enum})"`

	LearningRate map[string]float64 `placeholder:"KIND=RATE" help:"The peak of the learning rate of a kind. Repeatable. (as of glossa train)"`
	Steps        int                `default:"300" help:"Steps of every training. (${default})"`
	BatchFrames  int                `default:"2600" help:"Frames of 10 ms in a batch, at most. (${default})"`
	Warmup       int                `default:"30" help:"Steps over which the rate rises from 0. (${default})"`
	Timestamps   float64            `default:"0.1" help:"Probability that a text has timestamps. (${default})"`

	Parallel int `placeholder:"N" help:"Trainings at a time, which share the threads. (one for each thread, as far as memory goes: small models leave threads idle)"`
	computeFlags
	augmentFlags `group:"Augmentation" prefix:"augment-"`
}

// options returns the options of the experiment but for the test set.
func (r *ratesCommand) options(c *console) experiment.Options {
	t := train.DefaultOptions(train.Kind(flora.FLoRA))
	t.Steps, t.BatchFrames, t.Warmup, t.Timestamps, t.Language = r.Steps, r.BatchFrames, r.Warmup, r.Timestamps, r.Language
	setFields(&t.Augment, r.augmentFlags)
	t.Warn, t.Program = c.warn, programVersion()
	for _, s := range r.Data {
		t.Data = append(t.Data, train.Source(s))
	}
	o := experiment.Options{
		Out: r.Out, Languages: r.Languages, Ranks: r.Ranks, Seeds: r.Seeds, Target: flora.Target(r.Target), Train: t,
		LearningRates: make(map[flora.Kind]float64), Base: baseName(r.Model), Search: fmt.Sprintf("%d beams", r.BeamSize),
	}
	for _, k := range r.Kinds {
		o.Kinds = append(o.Kinds, flora.Kind(k))
	}
	for k, rate := range r.LearningRate {
		o.LearningRates[flora.Kind(k)] = rate
	}
	return o
}

// Run does what is not done yet, and prints the table.
func (r *ratesCommand) Run(ctx context.Context, c *console) error {
	if r.BeamSize < 1 {
		return fmt.Errorf("--beam-size %d: at least 1 is needed", r.BeamSize)
	}
	o := r.options(c)
	for _, path := range r.Test {
		utterances, err := train.ReadUtterances(path, r.Language, c.warn)
		if err != nil {
			return err
		}
		o.Test = append(o.Test, utterances...)
	}
	o.Test = limitEach(o.Test, r.TestLimit)
	workers, err := r.workers()
	if err != nil {
		return err
	}
	w := &experimentWatch{console: c, line: time.Now()}
	begin := time.Now()
	err = experiment.Run(ctx, o, workers, w.status)
	c.stop()
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			c.note("stopped after %d of %d; started again it goes on from there", w.last.Done, w.last.Total)
			return ctx.Err()
		}
		return err
	}
	text, err := os.ReadFile(filepath.Join(r.Out, "table.md"))
	if err != nil {
		return err
	}
	c.note("done in %s; the report is %s", time.Since(begin).Round(time.Second), filepath.Join(r.Out, "report.html"))
	return c.print(string(text))
}

// limitEach returns at most n utterances of each language, evenly spread; all where n is 0.
func limitEach(utterances []eval.Utterance, n int) []eval.Utterance {
	if n <= 0 {
		return utterances
	}
	count, seen := make(map[string]int), make(map[string]int)
	for _, u := range utterances {
		count[u.Lang]++
	}
	var kept []eval.Utterance
	for _, u := range utterances {
		i, of := seen[u.Lang], count[u.Lang]
		seen[u.Lang]++
		if of <= n || i*n/of != (i+1)*n/of {
			kept = append(kept, u)
		}
	}
	return kept
}

// workers returns as many workers as there are trainings at a time, each with its share of the threads and
// a model of its own.
func (r *ratesCommand) workers() ([]experiment.Worker, error) {
	threads := r.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	if r.Parallel < 0 || r.Parallel > threads {
		return nil, fmt.Errorf("--parallel %d: at most the number of threads, %d", r.Parallel, threads)
	}
	first, err := r.worker(threads / max(r.Parallel, 1))
	if err != nil {
		return nil, err
	}
	n := r.Parallel
	if n == 0 {
		n = threads
		if available := availableMemory(); available > 0 {
			n = int(min(int64(n), max(available/2/trainingMemory(first.Model.Dims, r.BatchFrames), 1)))
		}
		if n > 1 {
			if first, err = r.worker(threads / n); err != nil {
				return nil, err
			}
		}
	}
	workers := []experiment.Worker{first}
	for len(workers) < n {
		w, err := r.worker(threads / n)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// worker returns a worker of so many threads.
func (r *ratesCommand) worker(threads int) (experiment.Worker, error) {
	flags := r.computeFlags
	flags.Threads = threads
	opened, err := flags.device()
	if err != nil {
		return experiment.Worker{}, err
	}
	b := opened.backend
	m, err := frozenModel(r.Model, b)
	if err != nil {
		return experiment.Worker{}, err
	}
	return experiment.Worker{Backend: b, Model: m, Score: func(ctx context.Context, a *flora.Adapter, us []eval.Utterance) (eval.Score, error) {
		return scoreUnder(ctx, m, b, a, us, r.BeamSize)
	}}, nil
}

// trainingMemory returns about how much memory the training of an adapter takes: the weights plain, packed
// and packed for their gradients, and what the blocks compute of a batch, kept with its gradients.
func trainingMemory(d whisper.Dims, batchFrames int) int64 {
	const wide = 2 * 24 // numbers of a block's results and gradients to one of its input
	blocks := int64(d.NAudioLayer) * int64(d.NAudioState) * int64(batchFrames) / whisper.FramesPerToken
	return 3*modelMemory(d, tensor.F32) + float32Size*wide*blocks
}

// barUnits is the parts of a cell that the progress bar shows.
const barUnits = 100

// experimentWatch tells how an experiment goes.
type experimentWatch struct {
	console *console
	begun   bool
	last    experiment.Status
	line    time.Time
}

func (w *experimentWatch) status(s experiment.Status) {
	c := w.console
	w.last = s
	if !w.begun {
		w.begun = true
		if s.Skipped > 0 {
			c.note("%d of %d trainings and measurements are done already", s.Skipped, s.Total)
		}
		c.start(int64(barUnits * s.Total))
	}
	eta := "unknown"
	if s.ETA > 0 {
		eta = s.ETA.Round(time.Second).String()
	}
	c.advance(int64(barUnits*(float64(s.Done)+s.Fraction)), "%d/%d %s ETA %s", s.Done, s.Total, s.Cell, eta)
	switch r := s.Result; {
	case r != nil && r.Failed != "":
		c.warn(fmt.Sprintf("%s: %s", r.Cell, r.Failed))
	case r != nil:
		c.note("%d/%d %s: WER %.1f%%, CER %.1f%%, in %.0f s, ETA %s", s.Done, s.Total, r.Cell, 100*r.WER, 100*r.CER, r.TrainSeconds+r.TestSeconds, eta)
	case !c.terminal && time.Since(w.line) >= time.Minute:
		c.note("%d/%d, %s under way, ETA %s", s.Done, s.Total, s.Cell, eta)
	default:
		return
	}
	w.line = time.Now()
}

// speedCommand draws measurements.
type speedCommand struct {
	Bench []string `arg:"" placeholder:"FILE" help:"What glossa bench --adapters --json wrote."`
	Out   string   `required:"" placeholder:"DIR" help:"The folder for speed.md, speed.html and the figures."`
}

// Run reads the measurements, writes tables and figures, and prints the table.
func (s *speedCommand) Run(c *console) error {
	var all []experiment.Timing
	for _, path := range s.Bench {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		timings, err := experiment.ReadTimings(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, timings...)
	}
	if err := experiment.WriteSpeed(s.Out, all); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.Out, "speed.md"))
	if err != nil {
		return err
	}
	return c.print(string(text))
}

// ranksCommand draws measurements over ranks.
type ranksCommand struct {
	Results string `arg:"" placeholder:"DIR" help:"The results of run.sh: ranks-*.json, and peer-bmm_lora.json if torch was there."`
	Out     string `required:"" placeholder:"FILE.svg" help:"The file for the figure."`
}

// Run writes the figure.
func (r *ranksCommand) Run() error {
	svg, err := experiment.DrawRanks(r.Results)
	if err != nil {
		return err
	}
	return os.WriteFile(r.Out, svg, 0o666)
}
