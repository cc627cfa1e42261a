package simulate

import (
	"context"
	"math"
	"os"
	"testing"
	"time"

	"glossa/asr"
)

// costs returns a model of testdata/costs.json.
func costs(t testing.TB, name string) *Model {
	t.Helper()
	return modelOf(t, "testdata/costs.json", name)
}

// modelOf returns a model of a file of costs.
func modelOf(t testing.TB, file, name string) *Model {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := ReadCosts(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Model(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// list returns arrivals.
func list(as ...Arrival) Arrivals {
	return func(yield func(Arrival, error) bool) {
		for _, a := range as {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func simulate(t testing.TB, o Options, arrivals Arrivals) *Report {
	t.Helper()
	r, err := Run(t.Context(), o, arrivals)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOneRecordingTakesTheSumOfItsCosts checks one worker with one recording against a sum by hand.
func TestOneRecordingTakesTheSumOfItsCosts(t *testing.T) {
	const (
		load   = 0.001 + 2*0.003 + 2*0.001
		encode = 0.022 // between 12 and 102 ms
		first  = 0.01 + 0.002
		step   = 0.01
		steps  = 1 + 4*2
	)
	for _, c := range []struct {
		name string
		a    Arrival
		o    Options
		want float64
	}{
		{"plain", Arrival{Seconds: 2}, Options{}, load + encode + first + (steps-1)*step},
		{"later", Arrival{At: 7, Seconds: 2}, Options{}, load + encode + first + (steps-1)*step},
		{"detected", Arrival{Seconds: 2, Detect: true}, Options{}, load + encode + 0.005 + first + (steps-1)*step},
		{"words", Arrival{Seconds: 2, Words: true}, Options{}, load + encode + first + (steps-1)*step + 0.03},
		{"broker", Arrival{Seconds: 2}, Options{Broker: time.Second}, 2 + load + encode + first + (steps-1)*step},
		{"beams", Arrival{Seconds: 2}, Options{Beams: 3}, load + encode + first + (steps-1)*0.012},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Model, c.o.Workers = costs(t, "round"), 1
			r := simulate(t, c.o, list(c.a))
			l := r.Of("normal")
			if got := l.Total.Mean; math.Abs(got-c.want) > 1e-7 {
				t.Errorf("%.9f s, want %.9f", got, c.want)
			}
			if wait := l.Waiting.Mean - c.o.Broker.Seconds(); math.Abs(wait-load) > 1e-7 {
				t.Errorf("waits %.9f s, want %.9f", wait, load)
			}
		})
	}
}

// oneSecond returns a model that takes a second for a recording of 10 s, and nothing else.
func oneSecond(t testing.TB) *Model {
	t.Helper()
	m := costs(t, "round")
	m.Loading, m.Enter = Loading{}, 0
	m.Encode = []EncodeCost{{Frames: 1000, Seconds: 0.5, More: 0.5}}
	m.Step = []StepCost{{Rows: 1, Seconds: 0.1}}
	m.Text = Text{Windows: []Spoken{{Seconds: 10, Steps: []int{5}}}}
	return m
}

// TestWaitingIsThatOfTheFormula checks the mean waiting of one worker that serves one recording at a time, each as long as the others
// (M/D/1), against Pollaczek and Khinchin's ρ s / 2(1-ρ), and of exponential ones (M/M/1) against ρ s / (1-ρ).
func TestWaitingIsThatOfTheFormula(t *testing.T) {
	m := oneSecond(t)
	o := Options{Model: m, Workers: 1, Slots: 1}
	const service = 1.0
	for _, rho := range []float64{0.3, 0.5, 0.7} {
		l := Load{Rate: rho / service, Duration: 250_000 * time.Second, Durations: []float64{10}, Seed: 5}
		r := simulate(t, o, l.Arrivals())
		want := rho * service / (2 * (1 - rho))
		got := r.Of(All).Waiting.Mean
		if math.Abs(got/want-1) > 0.04 {
			t.Errorf("load %v: waiting of %.4f s, the formula has %.4f", rho, got, want)
		}
		if math.Abs(r.Utilisation/rho-1) > 0.02 {
			t.Errorf("load %v: utilisation of %.3f", rho, r.Utilisation)
		}
	}
}

// TestManyServersWaitAsErlangHasIt checks several workers of one slot against the M/D/c approximation of Cosmetatos (1975) by Erlang's C.
func TestManyServersWaitAsErlangHasIt(t *testing.T) {
	m := oneSecond(t)
	const c, rho = 4, 0.8
	r := simulate(t, Options{Model: m, Workers: c, Slots: 1}, Load{Rate: rho * c, Duration: 200_000 * time.Second, Durations: []float64{10}, Seed: 6}.Arrivals())
	sum, term := 0.0, 1.0
	for k := range c {
		sum += term
		term *= c * rho / float64(k+1)
	}
	erlangC := term / (1 - rho) / (sum + term/(1-rho))
	mmc := erlangC / (c * (1 - rho))
	mdc := mmc / 2 * (1 + (1-rho)*(c-1)*(math.Sqrt(4+5*c)-2)/(16*rho*c))
	if got := r.Of(All).Waiting.Mean; math.Abs(got/mdc-1) > 0.05 {
		t.Errorf("waiting of %.4f s, the formula has %.4f", got, mdc)
	}
}

// mixed is a load with a bit of everything.
func mixed(seed uint64) Load {
	return Load{
		Rate: 4, Duration: 10 * time.Minute, Pattern: Bursty, Languages: 20, Zipf: 1, Base: 3, Detect: 0.3, Seconds: 12, Spread: 1, Longest: 300,
		Mix: map[asr.Priority]float64{asr.Live: 0.2, asr.Normal: 0.5, asr.Bulk: 0.3}, Seed: seed,
	}
}

// TestEveryArrivalLeavesOnce checks that recordings are neither lost nor served twice, whatever happens to workers, and that their mean
// number is the rate times the mean time (Little 1961).
func TestEveryArrivalLeavesOnce(t *testing.T) {
	for seed := range uint64(6) {
		for name, o := range map[string]Options{
			"plain":   {Workers: 12},
			"few":     {Workers: 6, Slots: 4, AdapterMemory: 3000, Broker: 5 * time.Millisecond, Beams: 3},
			"failing": {Workers: 16, MTBF: 5 * time.Minute, Lease: 7 * time.Second, MaxDeliver: 2},
			"memory":  {Workers: 16, SchedulerOptions: asr.SchedulerOptions{Memory: 5000, Ahead: 1}},
			"refused": {Workers: 1, Slots: 1000, SchedulerOptions: asr.SchedulerOptions{MaxQueue: 20}},
		} {
			o.Model, o.Seed = costs(t, "whole"), seed
			l := mixed(seed)
			l.Speech, l.Words = seed%3 == 1, seed%2 == 1
			s := newSimulation(o.withDefaults())
			left, seen := make(map[string]int), make(map[int64]bool)
			s.left = func(j *job, how string) {
				if left[how]++; seen[j.index] {
					t.Errorf("%s, seed %d: recording %d leaves twice", name, seed, j.index)
				}
				seen[j.index] = true
			}
			if err := s.run(t.Context(), l.Arrivals()); err != nil {
				t.Fatal(err)
			}
			r := s.report()
			if got := r.Served + r.Refused + r.Dead; got != r.Recordings || r.Recordings < 1000 || left["served"] != int(r.Served) {
				t.Errorf("%s, seed %d: %d of %d left: %+v, %v", name, seed, got, r.Recordings, r, left)
			}
			st := &s.stats
			if st.there != 0 || st.backlog != 0 || math.Abs(st.backlogSeconds) > 1e-6 || s.queue.jobs[0].len()+s.queue.jobs[1].len()+s.queue.jobs[2].len() > 0 {
				t.Errorf("%s, seed %d: something is left: %+v", name, seed, st)
			}
			for _, w := range s.agenda.workers {
				if !w.down && (w.scheduler.Len() > 0 || len(w.jobs) > 0 || w.batch.rows != 0 || w.batch.adapters != 0 || w.batch.adapted != 0) {
					t.Errorf("%s, seed %d: worker %d has %d tasks, %d jobs, batch %+v", name, seed, w.id, w.scheduler.Len(), len(w.jobs), w.batch)
				}
			}
			if sum := r.Of(All).Total.Mean * float64(r.Served); r.Refused+r.Dead == 0 && math.Abs(st.area/sum-1) > 1e-9 {
				t.Errorf("%s, seed %d: %v recording-seconds, by their times %v", name, seed, st.area, sum)
			}
			if r.Utilisation > 1+1e-9 {
				t.Errorf("%s, seed %d: utilisation of %v", name, seed, r.Utilisation)
			}
			switch {
			case name == "refused" && r.Refused == 0, name == "failing" && (r.Failures == 0 || r.Redelivered == 0), name == "few" && r.Brought < 20:
				t.Errorf("%s, seed %d: %+v tests nothing", name, seed, r)
			}
		}
	}
}

// TestASeedHasOneOutcome checks that runs of a seed are the same, and of another not.
func TestASeedHasOneOutcome(t *testing.T) {
	run := func(seed uint64) Report {
		o := Options{Model: costs(t, "whole"), Workers: 10, MTBF: 5 * time.Minute, AdapterMemory: 5000, Seed: seed}
		return *simulate(t, o, mixed(seed).Arrivals())
	}
	a, b, c := run(1), run(1), run(2)
	same := func(a, b Report) bool {
		return a.Of(All).Total == b.Of(All).Total && a.Steps == b.Steps && a.Brought == b.Brought
	}
	if !same(a, b) || same(a, c) {
		t.Errorf("%+v\n%+v\n%+v", a.Of(All), b.Of(All), c.Of(All))
	}
}

// TestCancelledRunEnds checks that a run ends with its context.
func TestCancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Model: costs(t, "round"), Workers: 1}, mixed(1).Arrivals()); err == nil {
		t.Error("no error")
	}
}

// BenchmarkMillion simulates a million recordings of 100 languages an hour, a tenth of an hour of it.
func BenchmarkMillion(b *testing.B) {
	l := Load{Rate: 1e6 / 3600, Duration: 6 * time.Minute, Languages: 100, Zipf: 1, Mix: map[asr.Priority]float64{asr.Live: 0.1, asr.Normal: 0.6, asr.Bulk: 0.3}}
	o := Options{Model: costs(b, "whole"), Workers: 500}
	var r *Report
	for b.Loop() {
		r = simulate(b, o, l.Arrivals())
	}
	b.ReportMetric(r.Elapsed*float64(b.N)/b.Elapsed().Seconds(), "simulated-s/s")
}

// TestJobsThatComeAgainGoFirst checks that a job whose worker was lost is delivered before those that wait, and that it is counted once
// among those that are late, whatever stands around it.
func TestJobsThatComeAgainGoFirst(t *testing.T) {
	var q jobQueue
	for i := range 5 {
		q.push(&job{index: int64(i), came: time.Duration(100 + i), deliveries: 1})
	}
	q.push(&job{index: 9, came: 5, deliveries: 2})
	if n := q.overdue(50); n != 1 {
		t.Errorf("%d are late, want 1", n)
	}
	if n := q.overdue(102); n != 3 {
		t.Errorf("%d are late, want 3", n)
	}
	if q.len() != 6 || q.pop().index != 9 || q.pop().index != 0 {
		t.Error("not in order")
	}
}

// TestLostRecordingGoesOn checks what a lost worker takes along: a language that was detected before any window was done, but none of
// the windows that were.
func TestLostRecordingGoesOn(t *testing.T) {
	j := &job{untold: true, seconds: 25}
	if j.lose(); !j.detect {
		t.Error("its language is known without a window")
	}
	j.frame, j.detect = 1000, false
	if j.lose(); j.detect {
		t.Error("the language of its first window is forgotten")
	}
	// All windows are done, only the result was not stored: nothing is decoded again.
	s := newSimulation(Options{Model: costs(t, "round"), Workers: 1}.withDefaults())
	j = &job{seconds: 25, priority: asr.Normal, speech: true, done: []bool{true, true, true}, deliveries: 2}
	s.stats.arrive(j)
	s.offer(0, j)
	if err := s.run(t.Context(), list()); err != nil || s.stats.windows != 0 || s.stats.served[1] != 1 || s.stats.encodes != 0 {
		t.Errorf("%+v, %v", s.stats, err)
	}
}
