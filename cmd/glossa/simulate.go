package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
	"glossa/asr/simulate"
)

type simulateCommand struct {
	Costs   string          `required:"" placeholder:"FILE" help:"The file that glossa bench costs has written."`
	Model   string          `placeholder:"NAME" help:"The model in that file, NAME or NAME@DEVICE, for recordings that name none. (the only one)"`
	Workers []workersFlag   `sep:"none" placeholder:"[MODEL=]N,N-M/STEP,…" help:"Numbers of workers to simulate. Repeatable, for each model of the trace."`
	Target  []targetFlag    `sep:"none" placeholder:"[PRIORITY:]pNN=TIME" help:"Find the smallest number of workers that keeps a quantile of the total latency, such as p95=2s or live:p99=1s. Repeatable; all are kept."`
	Load    []float64       `default:"1" placeholder:"TIMES,…" help:"Simulate the same recordings arriving so many times as fast, 0.001 to 1000. (${default})"`
	Arrive  loadFlags       `embed:"" group:"Arrivals"`
	Worker  simulatedWorker `embed:"" group:"A worker"`
	Plot    []string        `sep:"none" placeholder:"FILE" help:"Plot latencies against workers and load to an .svg, .png or .html file. Repeatable."`
	JSON    bool            `name:"json" xor:"format" help:"Print one JSON object."`
	Mark    bool            `name:"markdown" xor:"format" help:"Print the table as Markdown."`
}

// simulatedWorker are the settings of each worker.
type simulatedWorker struct {
	Batch         int           `default:"16" help:"The greatest number of windows decoded together. (${default})"`
	Slots         int           `placeholder:"N" help:"Jobs at a time that are not live. (as many as --batch)"`
	LiveSlots     int           `placeholder:"N" help:"Live jobs beside them. (a quarter of --slots)"`
	BeamSize      int           `default:"1" help:"Beams of a window; 1 is greedy search. (${default})"`
	AdapterMemory byteSize      `placeholder:"SIZE" help:"The most memory that the adapters of a worker take. (no limit)"`
	Broker        time.Duration `placeholder:"D" help:"The time from the queue to a worker, and as much again to store a result. (0s)"`
	MTBF          time.Duration `name:"mtbf" placeholder:"D" help:"The mean time between failures of a worker, which loses what it was doing. (never)"`
	Restart       time.Duration `default:"30s" help:"The time until a failed worker is back. (${default})"`
	Lease         time.Duration `default:"30s" help:"The time until a lost job is delivered again. (${default})"`
}

// Help is shown by "glossa help simulate".
func (simulateCommand) Help() string {
	return `Each simulated worker runs the scheduler of glossa's engine; how long things take was measured by glossa bench costs.
Jobs wait in one queue for each priority. A worker takes one when it has a free slot: normal before bulk, which has one turn in four
while both wait, and live in slots of its own. Live here means a recording that somebody waits for, not a live session.

For each number of workers and each load a row says how long recordings wait until something of them is encoded, and how long they
take in all, in seconds; RTFx, seconds of sound a second; the share of time that devices compute; hypotheses and different adapters in
a step; and the greatest backlog, in recordings and in seconds of sound.

A line of a trace is a recording, in order of time: {"at": seconds, "seconds": of its sound, "language": …, "detect": true where nobody
tells it, "adapter": name or none (that of its language), "priority": live, normal or bulk, "speech": true, "words": true,
"model": …, "client": …}. All but the first two may be left out.

Examples:

    glossa bench costs bench.json
    glossa simulate --costs bench.json --rate 1000000/h --languages 100 --target p95=2s
    glossa simulate --costs bench.json --rate 20/s --mix live=1,normal=8,bulk=1 --workers 2-16 --plot workers.html
    glossa simulate --costs bench.json --rate 1000000/h --languages 100 --workers 40 --load 0.5,0.8,1,1.2 --pattern bursty
    glossa simulate --costs bench.json --trace day.jsonl --workers small=20 --workers turbo=60 --mtbf 6h`
}

// simulated is a run: a number of workers of a model at a load.
type simulated struct {
	Load float64 `json:"load"`
	*simulate.Report
}

// Run simulates what the flags ask for and prints it.
func (f *simulateCommand) Run(ctx context.Context, c *console) error {
	s, err := f.plan(ctx)
	if err != nil {
		return err
	}
	if f.Arrive.WriteTrace != "" {
		if err := writeTrace(f.Arrive.WriteTrace, s.arrivals); err != nil {
			return err
		}
	}
	if err := s.run(ctx, c); err != nil {
		return err
	}
	if err := s.print(c); err != nil {
		return err
	}
	for _, name := range f.Plot {
		if err := s.draw(name); err != nil {
			return err
		}
	}
	return nil
}

// simulationPlan is what is to be simulated, and what it came to.
type simulationPlan struct {
	flags    *simulateCommand
	arrivals simulate.Arrivals
	horizon  float64 // seconds until the last arrival
	models   []*modelPlan
	results  []simulated
}

// modelPlan is what is to be simulated of a model.
type modelPlan struct {
	name    string // in the trace
	costs   *simulate.Model
	workers []int
	found   int // the smallest number that keeps the targets, at the first load
}

// check finds what is wrong with the flags before any work is done.
func (f *simulateCommand) check() error {
	for _, l := range f.Load {
		if !(l >= 1e-3 && l <= 1e3) {
			return fmt.Errorf("--load %g: want 0.001 to 1000", l)
		}
	}
	for _, name := range f.Plot {
		if !slices.Contains(plotFormats, filepath.Ext(name)) {
			return fmt.Errorf("--plot %s: its name must end with one of: %s", name, strings.Join(plotFormats, " "))
		}
	}
	switch {
	case len(f.Workers) == 0 && len(f.Target) == 0:
		return errors.New("--workers or --target is needed: how many there are, or what they have to keep")
	case f.Worker.Batch < 1:
		return fmt.Errorf("--batch %d: at least 1 is needed", f.Worker.Batch)
	case f.Worker.BeamSize < 1:
		return fmt.Errorf("--beam-size %d: at least 1 is needed", f.Worker.BeamSize)
	}
	return nil
}

// plan checks the flags and finds out which models there are.
func (f *simulateCommand) plan(ctx context.Context) (*simulationPlan, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	costs, err := readCosts(f.Costs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; glossa bench costs %s measures them", err, f.Costs)
	} else if err != nil {
		return nil, err
	}
	s := &simulationPlan{flags: f}
	if s.arrivals, s.horizon, err = f.Arrive.arrivals(ctx); err != nil {
		return nil, err
	}
	names, err := s.modelNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		m := &modelPlan{name: name}
		which := name
		if name == "" {
			which = f.Model
		}
		if m.costs, err = costs.Model(which); err != nil {
			return nil, fmt.Errorf("%s: %w; name one with --model, or in the trace", f.Costs, err)
		}
		for _, w := range f.Workers {
			if w.model == "" && len(names) == 1 || w.model != "" && (w.model == name || w.model == m.costs.Name) {
				m.workers = append(m.workers, w.numbers...)
			}
		}
		if len(m.workers) == 0 && len(f.Target) == 0 {
			return nil, fmt.Errorf("--workers: none is of model %s; name it as %s=N", m.costs.Name, m.costs.Name)
		}
		s.models = append(s.models, m)
	}
	return s, nil
}

// modelNames returns the models that arrivals name, in their order.
func (s *simulationPlan) modelNames() (names []string, err error) {
	if s.flags.Arrive.Trace == "" {
		for _, err := range s.arrivals {
			return []string{""}, err
		}
		return nil, errors.New("nothing arrives: --rate is too low for --duration")
	}
	for a, err := range s.arrivals {
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, a.Model) {
			names = append(names, a.Model)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: nothing arrives", s.flags.Arrive.Trace)
	}
	slices.Sort(names)
	return names, nil
}

// of returns the arrivals of a model at a load.
func (s *simulationPlan) of(m *modelPlan, load float64) simulate.Arrivals {
	own := func(yield func(simulate.Arrival, error) bool) {
		for a, err := range s.arrivals {
			if (err != nil || a.Model == m.name) && !yield(a, err) {
				return
			}
		}
	}
	return simulate.Faster(own, load)
}

// options returns those of a model.
func (s *simulationPlan) options(m *modelPlan) simulate.Options {
	w := &s.flags.Worker
	return simulate.Options{
		Model: m.costs, SchedulerOptions: asr.SchedulerOptions{MaxWindows: w.Batch}, Slots: w.Slots, LiveSlots: w.LiveSlots, Beams: w.BeamSize,
		AdapterMemory: int64(w.AdapterMemory), Broker: w.Broker, MTBF: w.MTBF, Restart: w.Restart, Lease: w.Lease, Seed: s.flags.Arrive.Seed,
	}
}

// run simulates everything.
func (s *simulationPlan) run(ctx context.Context, c *console) error {
	for _, m := range s.models {
		if len(s.flags.Target) > 0 {
			if err := s.search(ctx, c, m); err != nil {
				return err
			}
		}
		if err := s.runAll(ctx, c, m); err != nil {
			return err
		}
	}
	return nil
}

// search looks for the smallest number of workers of a model at the first load, and adds it to those that are simulated: with a plot,
// numbers around it too.
func (s *simulationPlan) search(ctx context.Context, c *console, m *modelPlan) error {
	c.start(-1, progressbar.OptionSetDescription("workers"), progressbar.OptionSpinnerType(14))
	defer c.stop()
	var targets []simulate.Target
	for _, t := range s.flags.Target {
		targets = append(targets, simulate.Target(t))
	}
	o := s.options(m)
	load := s.flags.Load[0]
	o.Progress = func(workers int, at time.Duration, _ int64) {
		c.advance(0, "%s: %d workers, %.0f%%", m.costs.Name, workers, 100*at.Seconds()*load/max(s.horizon, 1e-9))
	}
	r, err := simulate.Search(ctx, o, s.of(m, load), targets, nil)
	if err != nil {
		return err
	}
	m.found = r.Workers
	m.workers = append(m.workers, r.Workers)
	if len(s.flags.Plot) > 0 {
		for _, times := range []float64{0.7, 0.85, 0.95, 1.1, 1.25, 1.5, 2} {
			m.workers = append(m.workers, max(1, int(times*float64(r.Workers))))
		}
	}
	return nil
}

// runAll simulates all numbers of workers of a model at all loads, as many at a time as there are processors.
func (s *simulationPlan) runAll(ctx context.Context, c *console, m *modelPlan) error {
	slices.Sort(m.workers)
	m.workers = slices.Compact(m.workers)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	const parts = 1000 // of a run, that the bar counts
	runs := len(m.workers) * len(s.flags.Load)
	c.start(int64(runs*parts), progressbar.OptionSetPredictTime(true))
	defer c.stop()
	var done atomic.Int64
	results := make([]simulated, runs)
	var running sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range runs {
		load, workers := s.flags.Load[i%len(s.flags.Load)], m.workers[i/len(s.flags.Load)]
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			o := s.options(m)
			o.Workers = workers
			told := int64(0)
			o.Progress = func(_ int, at time.Duration, _ int64) {
				part := min(int64(parts*at.Seconds()*load/max(s.horizon, 1e-9)), parts)
				now := done.Add(part - told)
				told = part
				c.advance(min(now, int64(runs*parts)-1), "%s", m.costs.Name)
			}
			r, err := simulate.Run(ctx, o, s.of(m, load))
			if err != nil {
				cancel(err)
				return
			}
			results[i] = simulated{load, r}
		})
	}
	running.Wait()
	s.results = append(s.results, results...)
	return context.Cause(ctx)
}

// workersFlag are numbers of workers, of a model or of the only one.
type workersFlag struct {
	model   string
	numbers []int
}

// mostWorkers bounds a number of workers, and how many numbers a range has.
const mostWorkers = 1 << 20

// UnmarshalText reads numbers such as 8, 2-16, 10-100/10 or small=4,8.
func (w *workersFlag) UnmarshalText(text []byte) error {
	list := string(text)
	if i := strings.LastIndexByte(list, '='); i >= 0 {
		w.model, list = list[:i], list[i+1:]
	}
	for part := range strings.SplitSeq(list, ",") {
		span, by, stepped := strings.Cut(part, "/")
		first, last, ranged := strings.Cut(span, "-")
		from, err := strconv.Atoi(first)
		to, step := from, 1
		if err == nil && ranged {
			to, err = strconv.Atoi(last)
		}
		if err == nil && stepped {
			step, err = strconv.Atoi(by)
		}
		if err != nil || from < 1 || to < from || step < 1 || to > mostWorkers || (to-from)/step >= 1000 {
			return fmt.Errorf("%q is no number of workers; want those such as 8, 2-16, 10-100/10 or small=4,8", part)
		}
		for n := from; n <= to; n += step {
			w.numbers = append(w.numbers, n)
		}
	}
	return nil
}

// targetFlag is a target.
type targetFlag simulate.Target

// UnmarshalText reads a target.
func (t *targetFlag) UnmarshalText(text []byte) error {
	target, err := simulate.ParseTarget(string(text))
	*t = targetFlag(target)
	return err
}

// plotFormats are the endings of the names of plots.
var plotFormats = []string{".svg", ".png", ".html"}
