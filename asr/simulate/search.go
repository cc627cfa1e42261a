package simulate

import (
	"context"
	"errors"
	"fmt"
)

// late counts the recordings of a target's priority that took too long: exactly, where histograms have buckets.
type late struct {
	Target
	total int64 // recordings of its priority in the trace
	late  int64
}

func (l *late) of(j *job) bool { return l.Priority == All || l.Priority == j.priority.String() }

// missed reports whether the target is missed whatever happens to the rest, with so many late ones besides.
func (l *late) missed(besides int) bool {
	return float64(l.late+int64(besides)) > (1-l.Quantile)*float64(l.total)+1e-9
}

// hopeless reports whether a target is missed already, by those that are still in the queue too.
func (s *simulation) hopeless() bool {
	for i := range s.stats.late {
		l := &s.stats.late[i]
		overdue := 0
		for rank, p := range priorities {
			if l.Priority == All || l.Priority == p.String() {
				overdue += s.queue.jobs[rank].overdue(s.stats.now - l.Within)
			}
		}
		if l.missed(overdue) {
			return true
		}
	}
	return false
}

// ErrUnreachable is the error of a target that no number of workers keeps.
var ErrUnreachable = errors.New("simulate: no number of workers keeps the target")

// Search looks for the smallest number of workers that keeps all targets, of the same arrivals each time, and returns what they come to.
// Runs that miss one are broken off. tried, where it is not nil, is told of each number and what it came to, nil where it misses. The
// errors are those of Run, and ErrUnreachable.
func Search(ctx context.Context, o Options, arrivals Arrivals, targets []Target, tried func(workers int, r *Report)) (*Report, error) {
	counts, err := count(arrivals)
	if err != nil {
		return nil, err
	}
	if err := reachable(ctx, o, arrivals, targets); err != nil {
		return nil, err
	}
	try := func(n int) (*Report, error) {
		o.Workers = n
		r, err := attempt(ctx, o, arrivals, counts, targets)
		if tried != nil && err == nil {
			tried(n, r)
		}
		return r, err
	}
	bad, good := 0, 1
	best, err := try(good)
	for best == nil && err == nil {
		bad, good = good, 2*good
		if good > maxWorkers || int64(bad) > 16*counts[All] {
			return nil, fmt.Errorf("%w: %v with %d workers", ErrUnreachable, targets, bad)
		}
		best, err = try(good)
	}
	for err == nil && good-bad > 1 {
		n := bad + (good-bad)/2
		var r *Report
		if r, err = try(n); r != nil {
			best, good = r, n
		} else {
			bad = n
		}
	}
	return best, err
}

// count returns the number of arrivals of each priority, and of All.
func count(arrivals Arrivals) (map[string]int64, error) {
	counts := make(map[string]int64)
	for a, err := range arrivals {
		if err != nil {
			return nil, err
		}
		counts[a.Priority.String()]++
		counts[All]++
	}
	return counts, nil
}

// Recordings that are tried alone, and the seconds between them.
const (
	alone   = 2000
	farAway = 1e5
)

// reachable reports ErrUnreachable where a target is missed by recordings that are alone.
func reachable(ctx context.Context, o Options, arrivals Arrivals, targets []Target) error {
	o.Workers, o.MTBF, o.Progress = 1, 0, nil
	r, err := Run(ctx, o, func(yield func(Arrival, error) bool) {
		n := 0
		for a, err := range arrivals {
			a.At = float64(n) * farAway
			if n++; n > alone || !yield(a, err) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	for _, t := range targets {
		if took := r.took(t); took > t.Within.Seconds()*histogramRatio {
			return fmt.Errorf("%w: %v, and a recording alone takes %.3g s there", ErrUnreachable, t, took)
		}
	}
	return nil
}

// attempt simulates a number of workers. The report is nil where they miss a target.
func attempt(ctx context.Context, o Options, arrivals Arrivals, counts map[string]int64, targets []Target) (*Report, error) {
	o = o.withDefaults()
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := newSimulation(o)
	for _, t := range targets {
		s.stats.late = append(s.stats.late, late{Target: t, total: counts[t.Priority]})
	}
	if err := s.run(ctx, arrivals); err != nil {
		return nil, err
	}
	if s.hopeless() {
		return nil, nil
	}
	return s.report(), nil
}
