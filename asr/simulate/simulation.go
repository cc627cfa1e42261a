package simulate

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"glossa/asr"
)

// simulation is one run.
type simulation struct {
	options    Options
	prices     *prices
	speaker    *speaker
	random     *rand.Rand
	agenda     agenda
	queue      dispatcher
	again      fifo[redelivery]
	stats      stats
	names      map[string]int32 // of adapters
	transcript func(at time.Duration, line string)
	left       func(j *job, how string) // is told of each that leaves, in tests
}

// redelivery is a job whose worker was lost.
type redelivery struct {
	at  time.Duration
	job *job
}

func newSimulation(o Options) *simulation {
	s := &simulation{options: o, prices: newPrices(o.Model), speaker: newSpeaker(o.Model, o.Seed), names: make(map[string]int32)}
	s.random = rand.New(rand.NewPCG(o.Seed, 3))
	for i := range o.Workers {
		w := newWorker(s, i)
		s.agenda.add(w)
		s.queue.ask(w)
	}
	return s
}

// Run simulates workers until all that arrives has been served. The errors are those of the arrivals, ErrOptions, ErrCosts, and that of
// ctx.
func Run(ctx context.Context, o Options, arrivals Arrivals) (*Report, error) {
	o = o.withDefaults()
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := newSimulation(o)
	if err := s.run(ctx, arrivals); err != nil {
		return nil, err
	}
	return s.report(), nil
}

// look is the number of events between two looks at whether to go on.
const look = 1 << 14

// run lets time pass from event to event. Of equal times the workers' come first, and arrivals last.
func (s *simulation) run(ctx context.Context, arrivals Arrivals) error {
	next, stop := iter.Pull2(arrivals)
	defer stop()
	arrival, ok, err := s.nextArrival(next, 0)
	for n := 0; err == nil; n++ {
		if n%look == 0 {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if s.options.Progress != nil {
				s.options.Progress(s.options.Workers, s.stats.now, s.stats.arrived)
			}
			if s.hopeless() {
				return nil
			}
		}
		if !ok && s.stats.there == 0 {
			return nil
		}
		at, w := s.agenda.first()
		if s.again.len() > 0 && s.again.first().at < at {
			at, w = s.again.first().at, nil
		}
		switch comes := arrival.time(); {
		case ok && comes < at:
			s.stats.pass(comes)
			s.arrive(comes, &arrival)
			arrival, ok, err = s.nextArrival(next, arrival.At)
		case w == nil:
			s.stats.pass(at)
			s.offer(at, s.again.pop().job)
		default:
			s.stats.pass(at)
			w.work(at)
			s.agenda.update(w)
		}
	}
	return err
}

// nextArrival returns the next arrival, !ok behind the last.
func (s *simulation) nextArrival(next func() (Arrival, error, bool), after float64) (a Arrival, ok bool, err error) {
	a, err, ok = next()
	if ok && err == nil {
		err = a.Check(after)
	}
	return a, ok, err
}

// arrive lets a recording come.
func (s *simulation) arrive(now time.Duration, a *Arrival) {
	j := &job{
		index: s.stats.arrived, came: now, seconds: a.Seconds, priority: a.Priority, untold: a.Detect, detect: a.Detect, speech: a.Speech, words: a.Words,
		language: a.Language, adapter: s.adapterOf(a), deliveries: 1,
	}
	s.stats.arrive(j)
	s.offer(now, j)
}

// adapterOf returns the number of an arrival's adapter.
func (s *simulation) adapterOf(a *Arrival) int32 {
	name := a.Adapter
	switch {
	case name == asr.None || s.prices.Adapters == nil:
		return 0
	case name == "" || name == asr.Auto:
		if name = a.Language; name == "" || !s.prices.hasAdapter(name) {
			return 0
		}
	}
	n, ok := s.names[name]
	if !ok {
		n = int32(len(s.names) + 1)
		s.names[name] = n
	}
	return n
}

// begun notes that sound of a job is encoded.
func (s *simulation) begun(now time.Duration, j *job) {
	if !j.begun {
		j.begun = true
		s.stats.begin(now, j)
	}
}

// leave stores the result of a job, whose worker then asks for another.
func (s *simulation) leave(now time.Duration, j *job) {
	w := j.worker
	if s.transcript != nil {
		s.transcript(now, fmt.Sprintf("recording %d has its text after %.6f s", j.index, (now-j.came).Seconds()))
	}
	w.drop(j)
	s.stats.leave(now, j)
	s.leaves(j, "served")
	s.pull(now, w)
}

// refuse lets a job go that an engine did not take.
func (s *simulation) refuse(now time.Duration, j *job) {
	w := j.worker
	w.drop(j)
	s.stats.refuse(now, j)
	s.leaves(j, "refused")
	s.pull(now, w)
}

// redeliver lets a job come again at a time, or gives it up.
func (s *simulation) redeliver(at time.Duration, j *job) {
	if j.deliveries >= s.options.MaxDeliver {
		s.stats.giveUp(j)
		s.leaves(j, "dead")
		return
	}
	j.deliveries++
	s.stats.redelivered++
	s.again.push(redelivery{at, j})
}

// leaves tells of a job that has left.
func (s *simulation) leaves(j *job, how string) {
	if s.left != nil {
		s.left(j, how)
	}
}
