package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"glossa/asr"
)

const (
	trailLength   = 256                    // checkpoints that wait to be stored; 256 windows are 2 h of sound
	progressEvery = 400 * time.Millisecond // at most, a job's record and events tell how far it is
	lastTime      = 5 * time.Second        // that a worker takes to store what is done, where it has to end
)

// trail stores the checkpoints of an attempt in their order, on a goroutine of its own, and tells of its progress.
type trail struct {
	a      *attempt
	resume []asr.Checkpoint // those that are stored already
	queue  chan asr.Checkpoint
	ended  chan struct{}

	mu     sync.Mutex
	closed bool
	full   bool // a checkpoint had no room, and so have none behind it
	gap    bool // a checkpoint could not be stored: those behind it are worth nothing
	drop   bool // those in the queue are of no use any more
	audio  float64
	done   float64       // of the newest checkpoint that is stored
	dirty  bool          // audio or done is not told yet
	untold []asr.Segment // of windows that are stored

	n     int  // windows stored
	stale bool // so are others, in whose place its own come
}

// newTrail returns a trail behind windows that are stored already, or one that begins anew in the place of others.
func newTrail(a *attempt, resume []asr.Checkpoint, stale bool) *trail {
	t := &trail{a: a, resume: resume, queue: make(chan asr.Checkpoint, trailLength), ended: make(chan struct{}), n: len(resume), stale: stale}
	for _, c := range resume {
		t.done = max(t.done, c.Done)
	}
	return t
}

// offer takes a checkpoint. It does not wait.
func (t *trail) offer(c asr.Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.full {
		return
	}
	select {
	case t.queue <- c:
	default:
		t.full = true
		t.a.log.Warn("the broker is too slow for windows: from here on they are not stored")
	}
}

// heard takes the duration of the sound in seconds.
func (t *trail) heard(audio float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.audio, t.dirty = audio, true
}

// stop ends the trail, with all that was offered, or with what is being stored at the moment alone.
func (t *trail) stop(all bool) {
	t.mu.Lock()
	t.drop = !all
	if !t.closed {
		t.closed = true
		close(t.queue)
	}
	t.mu.Unlock()
	<-t.ended
}

// run stores and tells, until stop.
func (t *trail) run(ctx context.Context) {
	defer close(t.ended)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case c, ok := <-t.queue:
			if !ok {
				t.tell(ctx)
				return
			}
			t.store(ctx, c)
		case <-tick.C:
			t.tell(ctx)
		}
	}
}

// store stores a checkpoint, if that is of use.
func (t *trail) store(ctx context.Context, c asr.Checkpoint) {
	t.mu.Lock()
	if t.drop || t.gap || t.audio > 0 && c.Done >= t.audio { // the result comes with the last
		t.untold = append(t.untold, c.Segments...)
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	a := t.a
	a.windows = true
	err := a.w.insist(ctx, func() error {
		if t.stale {
			if err := a.dropWindows(ctx); err != nil {
				return err
			}
			t.stale = false
		}
		err := a.w.s.appendWindow(ctx, a.job.ID, a.job.Attempts, t.n, c)
		if !errors.Is(err, errSuperseded) {
			return err
		}
		if _, other := a.w.s.attemptOf(ctx, a.job.ID, a.job.Attempts); other != nil {
			return other
		}
		return fmt.Errorf("%w: window %d of another attempt is there", asr.ErrInternal, t.n) // which came too late for this one to know
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.gap = true
		t.failed(err)
		return
	}
	t.n++
	t.done, t.dirty, t.untold = max(t.done, c.Done), true, append(t.untold, c.Segments...)
}

// tell changes the record of the job where there is something new.
func (t *trail) tell(ctx context.Context) {
	t.mu.Lock()
	if t.drop || !t.dirty {
		t.mu.Unlock()
		return
	}
	done, audio, segments := t.done, t.audio, t.untold
	t.dirty, t.untold = false, nil
	t.mu.Unlock()
	r, err := t.a.w.s.progress(ctx, t.a.last, done, audio, segments...)
	if err == nil {
		t.a.last = r
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirty, t.untold = true, segments
	t.failed(err)
}

// failed takes an error of the store: the attempt ends where the job is another's, or nobody's any more.
func (t *trail) failed(err error) {
	switch {
	case isOver(err):
		t.a.cancel(err)
	case errors.Is(err, asr.ErrBusy):
		t.a.w.broker.is(err)
	case !errors.Is(err, errDraining):
		t.a.log.Error("a window could not be stored: the job cannot go on behind it", "window", t.n, "error", err)
	}
}
