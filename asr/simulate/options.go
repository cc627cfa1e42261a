package simulate

import (
	"errors"
	"fmt"
	"time"

	"glossa/asr"
)

// Options say what is simulated.
type Options struct {
	Model   *Model
	Workers int

	// SchedulerOptions are those of every worker's engine.
	asr.SchedulerOptions

	// Slots is the number of jobs that are not live that a worker has at a time. The default value is 0: MaxWindows. LiveSlots is the
	// number of live ones beside them. The default value is 0: a quarter of Slots, at least one.
	Slots, LiveSlots int

	// Beams is the number of beams at temperature 0. The default value is 0: greedy search.
	Beams int

	// AdapterMemory bounds the memory of a worker's adapters in bytes; those that its jobs need are never evicted. The default value
	// is 0: no bound.
	AdapterMemory int64

	// Broker is the time from the queue to a worker, and the same again until a result is stored. The default value is 0.
	Broker time.Duration

	// MTBF is the mean time between failures of a worker, exponentially distributed; a failed worker loses what it was doing. The default
	// value is 0: workers never fail. Restart is the time until a failed worker is back, by default 30 s.
	MTBF, Restart time.Duration

	// Lease is the time after which a lost job is delivered again, by default 30 s. MaxDeliver is the number of deliveries after which
	// a job is given up, by default 5.
	Lease      time.Duration
	MaxDeliver int

	// Seed is that of the random numbers: one seed has one outcome.
	Seed uint64

	// Progress is called now and then with the number of workers, the simulated time, and the recordings that have arrived. The default
	// value is nil.
	Progress func(workers int, at time.Duration, arrived int64)
}

// ErrOptions is wrapped by every error about options.
var ErrOptions = errors.New("simulate: bad options")

const (
	defaultLease      = 30 * time.Second
	defaultRestart    = 30 * time.Second
	defaultMaxDeliver = 5
	maxWorkers        = 1 << 20
	maxBeams          = 64
)

func (o Options) withDefaults() Options {
	o.SchedulerOptions = asr.NewScheduler(o.SchedulerOptions).Options()
	or := func(x *int, value int) {
		if *x == 0 {
			*x = value
		}
	}
	or(&o.Slots, o.MaxWindows)
	or(&o.LiveSlots, max(1, o.Slots/4))
	or(&o.MaxDeliver, defaultMaxDeliver)
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Restart == 0 {
		o.Restart = defaultRestart
	}
	return o
}

// Check reports what is wrong with options. The error wraps ErrOptions, or ErrCosts for the model.
func (o Options) Check() error {
	if o.Model == nil {
		return fmt.Errorf("%w: no model", ErrOptions)
	}
	if err := o.Model.check(); err != nil {
		return fmt.Errorf("%w: model %q: %w", ErrCosts, o.Model.Name, err)
	}
	for _, f := range []struct {
		name            string
		value, min, max int
	}{
		{"workers", o.Workers, 1, maxWorkers}, {"windows decoded together", o.MaxWindows, 0, maxRows / maxBeams}, {"slots", o.Slots, 0, 1 << 20},
		{"live slots", o.LiveSlots, 0, 1 << 20}, {"live windows", o.LiveWindows, 0, maxRows / maxBeams}, {"beams", o.Beams, 0, maxBeams}, {"deliveries", o.MaxDeliver, 0, 1 << 20},
	} {
		if f.value < f.min || f.value > f.max {
			return fmt.Errorf("%w: %d %s, not %d to %d", ErrOptions, f.value, f.name, f.min, f.max)
		}
	}
	for name, d := range map[string]time.Duration{"broker": o.Broker, "MTBF": o.MTBF, "restart": o.Restart, "lease": o.Lease} {
		if d < 0 || d.Seconds() > maxAt {
			return fmt.Errorf("%w: %s of %v", ErrOptions, name, d)
		}
	}
	if o.AdapterMemory < 0 {
		return fmt.Errorf("%w: %d bytes of adapters", ErrOptions, o.AdapterMemory)
	}
	return nil
}

// hypotheses returns the greatest number of a window's.
func (o *Options) hypotheses() int { return max(1, o.Beams) }
