package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/asr/simulate/measure"
	"glossa/audio"
	"glossa/flora/train"
)

// loadBench puts loads on an engine.
type loadBench struct {
	flags    *benchLoadCommand
	console  *console
	costs    *simulate.Model
	engine   *asr.Engine
	observed *loadObserver
	sounds   []measure.Sound
	byName   map[string]int // index of sounds
	report   loadReport
}

func newLoadBench(f *benchLoadCommand, c *console, costs *simulate.Model) (*loadBench, error) {
	b := &loadBench{flags: f, console: c, costs: costs, observed: new(loadObserver), byName: make(map[string]int)}
	b.report = loadReport{Model: costs.Name, Device: costs.Device}
	f.observer = b.observed.observer()
	if f.Data != "" {
		us, err := train.ReadUtterances(f.Data, "", c.warn)
		if err != nil {
			return nil, err
		}
		for _, u := range us {
			if err := b.add(u.AudioFilepath, u.Lang); err != nil {
				return nil, err
			}
		}
	}
	var err error
	b.engine, err = f.engine()
	return b, err
}

// add reads a recording unless it is there.
func (b *loadBench) add(name, language string) error {
	if _, ok := b.byName[name]; ok {
		return nil
	}
	s, err := measure.ReadSound(name, language)
	if err != nil {
		return err
	}
	b.byName[name] = len(b.sounds)
	b.sounds = append(b.sounds, s)
	return nil
}

// request returns the request that an arrival stands for.
func (b *loadBench) request(a *simulate.Arrival) asr.Request {
	s := &b.sounds[b.byName[a.File]]
	q := asr.Request{
		Audio: func() ([]float32, error) {
			pcm, err := audio.Decode(bytes.NewReader(s.File), audio.Limits{})
			return pcm.Samples, err
		},
		Priority: a.Priority, Language: a.Language, Adapter: a.Adapter,
	}
	if a.Detect || a.Language == "" {
		q.Language = asr.Auto
	}
	if a.Words {
		q.Words = new(asr.WordOptions)
	}
	return q
}

// run measures what the machine can do, and then each load.
func (b *loadBench) run(ctx context.Context) error {
	if b.flags.Trace != "" {
		as, err := b.readTrace()
		if err != nil {
			return err
		}
		return b.repeat(ctx, loadResult{Name: filepath.Base(b.flags.Trace)}, func(uint64) []simulate.Arrival { return slices.Clone(as) })
	}
	if err := b.capacity(ctx); err != nil {
		return err
	}
	at := func(r loadResult, rate float64) error {
		return b.repeat(ctx, r, func(seed uint64) []simulate.Arrival { return b.arrivals(rate, seed) })
	}
	if b.flags.Rate > 0 {
		return at(loadResult{Name: b.flags.Rate.String()}, float64(b.flags.Rate))
	}
	for _, share := range b.flags.Loads {
		r := loadResult{Name: fmt.Sprintf("%.0f%%", 100*share), Load: share}
		if err := at(r, share*b.report.Capacity.Measured); err != nil {
			return err
		}
	}
	return nil
}

// repeat measures a load several times, and adds the medians to the report.
func (b *loadBench) repeat(ctx context.Context, r loadResult, arrivals func(seed uint64) []simulate.Arrival) error {
	var runs []loadResult
	for i := range b.flags.Repeat {
		run := r
		if err := b.measure(ctx, &run, arrivals(b.flags.Seed+uint64(i))); err != nil {
			return err
		}
		runs = append(runs, run)
	}
	b.report.Loads = append(b.report.Loads, medianLoad(runs))
	return nil
}

// medianLoad returns the median of each figure of some runs.
func medianLoad(runs []loadResult) loadResult {
	m := measure.Median(slices.Clone(runs)...)
	m.Recordings, m.Measured.Refused, m.Predicted.Refused, m.AtItsSpeed.Refused = 0, 0, 0, 0
	for _, r := range runs {
		m.Recordings += r.Recordings
		m.Measured.Refused += r.Measured.Refused
		m.Predicted.Refused += r.Predicted.Refused
		m.AtItsSpeed.Refused += r.AtItsSpeed.Refused
	}
	m.Runs = runs
	return m
}

// readTrace reads a trace and the files that it names, relative to it.
func (b *loadBench) readTrace() (as []simulate.Arrival, err error) {
	f, err := os.Open(b.flags.Trace)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for a, err := range simulate.ReadTrace(f) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", b.flags.Trace, err)
		case a.File == "":
			return nil, fmt.Errorf("%s: an arrival without a file to be played", b.flags.Trace)
		case a.Speech:
			return nil, fmt.Errorf("%s: an arrival whose speech is looked for, which only a simulation does", b.flags.Trace)
		}
		if !filepath.IsAbs(a.File) {
			a.File = filepath.Join(filepath.Dir(b.flags.Trace), a.File)
		}
		if err := b.add(a.File, a.Language); err != nil {
			return nil, err
		}
		a.Seconds = b.sounds[b.byName[a.File]].Seconds()
		as = append(as, a)
	}
	if len(as) == 0 {
		return nil, fmt.Errorf("%s: no arrivals", b.flags.Trace)
	}
	return as, nil
}

// arrivals returns recordings that come at a rate, so many a second.
func (b *loadBench) arrivals(rate float64, seed uint64) (as []simulate.Arrival) {
	f := b.flags
	l := simulate.Load{Rate: rate, Duration: f.Duration, Pattern: simulate.Pattern(f.Pattern), Burst: 2 * time.Second, Mix: f.Mix, Detect: f.Detect, Seed: seed}
	rng := rand.New(rand.NewPCG(seed, 4))
	for a := range l.Arrivals() {
		s := &b.sounds[rng.IntN(len(b.sounds))]
		a.File, a.Language, a.Adapter, a.Seconds = s.Name, s.Language, "", s.Seconds()
		as = append(as, a)
	}
	return as
}

// capacitySeconds is how long the machine is kept busy to see what it can do, if not for the duration of a load.
const capacitySeconds = 4

// capacity measures how many recordings a second the engine does when there are always more, and simulates that.
func (b *loadBench) capacity(ctx context.Context) error {
	b.console.advance(0, "what the machine can do")
	as := b.arrivals(max(100, 200/b.flags.Duration.Seconds()), b.flags.Seed)
	for i := range as {
		as[i].At = 0
	}
	warm := min(len(as), 200)
	did := 0
	var took time.Duration
	for _, part := range [][]simulate.Arrival{as[:warm], as} {
		var requests []asr.Request
		for i := range part {
			requests = append(requests, b.request(&part[i]))
		}
		did, took = 0, 0
		begin := time.Now()
		for did == 0 || len(part) == len(as) && took.Seconds() < min(capacitySeconds, b.flags.Duration.Seconds()) {
			var failed error
			if err := b.engine.TranscribeAll(ctx, requests, func(i int, r *asr.Result) { failed = errors.Join(failed, r.Err) }); err != nil {
				return err
			}
			if failed != nil {
				return failed
			}
			did, took = did+len(part), time.Since(begin)
		}
	}
	b.report.Capacity.Measured = float64(did) / took.Seconds()
	o := b.options()
	o.Slots, o.LiveSlots = o.MaxWindows+4, 0
	r, err := simulate.Run(ctx, o, slicesOf(as))
	if err != nil {
		return err
	}
	b.report.Capacity.Predicted = float64(r.Served) / r.Elapsed
	return nil
}

// options returns those of a simulation of the engine, to which recordings come without a queue before it.
func (b *loadBench) options() simulate.Options {
	return simulate.Options{
		Model: b.costs, Workers: 1, Seed: b.flags.Seed, Slots: 1 << 20, LiveSlots: 1 << 20, AdapterMemory: int64(b.flags.AdapterMemory),
		SchedulerOptions: asr.SchedulerOptions{MaxWindows: b.flags.Batch},
	}
}

// slicesOf returns the arrivals of a slice.
func slicesOf(as []simulate.Arrival) simulate.Arrivals {
	return func(yield func(simulate.Arrival, error) bool) {
		for _, a := range as {
			if !yield(a, nil) {
				return
			}
		}
	}
}

// measure plays arrivals and simulates them.
func (b *loadBench) measure(ctx context.Context, r *loadResult, as []simulate.Arrival) error {
	if len(as) == 0 {
		return errors.New("nothing comes: the rate is too low for the duration")
	}
	b.console.advance(0, "%s: %d recordings in %.0f s", r.Name, len(as), as[len(as)-1].At)
	measured, busy, err := b.play(ctx, as)
	if err != nil {
		return err
	}
	r.Recordings, r.Rate, r.Measured = len(as), float64(len(as))/max(as[len(as)-1].At, 1e-9), *measured
	report, err := simulate.Run(ctx, b.options(), slicesOf(as))
	if err != nil {
		return err
	}
	r.Predicted = predicted(report)
	if r.Slower, report, err = b.asBusy(ctx, as, busy); err != nil {
		return err
	}
	r.AtItsSpeed = predicted(report)
	return nil
}

// asBusy simulates arrivals on a machine of such a speed that the device computes for so many seconds, as it did, and returns how many
// times slower that is than the costs have it.
func (b *loadBench) asBusy(ctx context.Context, as []simulate.Arrival, busy float64) (slower float64, r *simulate.Report, err error) {
	o := b.options()
	least, most := 0.2, 5.0
	for range 16 {
		slower = math.Sqrt(least * most)
		o.Model = b.costs.Slower(slower)
		if r, err = simulate.Run(ctx, o, slicesOf(as)); err != nil {
			return 0, nil, err
		}
		if r.Utilisation*r.Elapsed < busy {
			least = slower
		} else {
			most = slower
		}
	}
	return slower, r, nil
}

// play lets arrivals come to the engine at their times, which become those at which they came indeed, and returns what the engine made
// of them and how many seconds its device computed.
func (b *loadBench) play(ctx context.Context, as []simulate.Arrival) (o *loadOutcome, busy float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b.observed.reset()
	var refused, sound float64
	var mu sync.Mutex
	var running sync.WaitGroup
	begin := time.Now()
	for i := range as {
		a := &as[i]
		if sleep(ctx, time.Until(begin.Add(time.Duration(a.At*float64(time.Second))))) != nil {
			break
		}
		q := b.request(a)
		a.At = time.Since(begin).Seconds() // a busy machine is late
		running.Go(func() {
			_, err := b.engine.Transcribe(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				sound += a.Seconds
			case errors.Is(err, asr.ErrBusy):
				refused++
			default:
				cancel(err)
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, 0, err
	}
	wall := time.Since(begin).Seconds()
	o, busy = b.observed.outcome(wall)
	o.Refused, o.RTFx = int64(refused), sound/wall
	return o, busy, nil
}

// timesOf returns the quantiles of measured times.
func timesOf(times []time.Duration) simulate.Quantiles {
	if len(times) == 0 {
		return simulate.Quantiles{}
	}
	var sum time.Duration
	for _, d := range times {
		sum += d
	}
	q := func(part float64) float64 { return percentile(times, part).Seconds() }
	return simulate.Quantiles{Mean: sum.Seconds() / float64(len(times)), P50: q(0.5), P95: q(0.95), P99: q(0.99), Max: q(1)}
}
