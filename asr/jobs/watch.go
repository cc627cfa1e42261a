package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// watchAgain is how often a job is looked at of which no event comes: events are core NATS's, and can be lost with a connection.
const (
	watchAgain = 10 * time.Second
	lookTime   = 10 * time.Second // that one look takes at most
)

// Watch yields the present state of a job and then its changes, until it is final or ctx ends, whose error then is the last; segments of
// windows that are stored come first. Who stops to listen in between loses nothing but time: Watch again tells all of them again.
func (s *Store) Watch(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error] {
	return watcher{s: s, client: client, windows: windowReader{s: s, id: id}, told: make(map[toldSegment]int)}.watch(ctx)
}

// Follow is Watch without the segments, which takes less of the broker.
func (s *Store) Follow(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error] {
	return watcher{s: s, client: client, windows: windowReader{s: s, id: id}}.watch(ctx)
}

func (w watcher) watch(ctx context.Context) iter.Seq2[asr.JobEvent, error] {
	s, id := w.s, w.windows.id
	return func(yield func(asr.JobEvent, error) bool) {
		if !validID(id) {
			yield(asr.JobEvent{}, notFound(id))
			return
		}
		var changed news
		changed.some = make(chan struct{}, 1)
		// An event says that there is something to read, so that none is missed and none is told twice; but for that of a beginning, which says
		// all that there is.
		sub, err := s.nc.Subscribe(subjectEvents+id, func(m *nats.Msg) { changed.tell(m.Data) })
		if err != nil {
			yield(asr.JobEvent{}, brokerError("watch "+id, err))
			return
		}
		defer sub.Unsubscribe()
		back := newReturns(s.nc, func() { changed.tell(nil) })
		defer back.stop()

		w := w
		if w.told != nil {
			w.told = make(map[toldSegment]int)
		}
		for first := true; ; {
			looking, cancel := back.until(ctx, lookTime)
			e, isNew, err := w.look(looking)
			lost := errors.Is(looking.Err(), context.Canceled)
			cancel()
			switch {
			case err != nil && ctx.Err() != nil:
				yield(asr.JobEvent{}, fmt.Errorf("%w: %w", asr.ErrCancelled, context.Cause(ctx)))
				return
			case err != nil && lost && !s.nc.IsClosed(): // again, now that the connection is back
			case err != nil && (first || !errors.Is(err, asr.ErrBusy) || s.nc.IsClosed()):
				yield(asr.JobEvent{}, err)
				return
			case err == nil && isNew && !yield(e, nil):
				return
			case err == nil && e.Job.State.Final():
				return
			case err == nil:
				first = false
			}
			for again := true; again; {
				told, ok := changed.await(ctx)
				if !ok {
					yield(asr.JobEvent{}, fmt.Errorf("%w: %w", asr.ErrCancelled, context.Cause(ctx)))
					return
				}
				if again = w.begins(told); again && !yield(told, nil) {
					return
				}
			}
		}
	}
}

// news are what is told of a job between two looks at it.
type news struct {
	some chan struct{}

	mu     sync.Mutex
	events int
	last   []byte
}

// tell takes an event as it is published, or nil where one may have been missed.
func (n *news) tell(event []byte) {
	n.mu.Lock()
	n.events++
	n.last = event
	n.mu.Unlock()
	select {
	case n.some <- struct{}{}:
	default:
	}
}

// await waits until a job may have changed. Where that was told by one event, it is returned. !ok: ctx has ended.
func (n *news) await(ctx context.Context) (e asr.JobEvent, ok bool) {
	again := time.NewTimer(watchAgain)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return e, false
	case <-n.some:
	case <-again.C:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.events == 1 && n.last != nil {
		if e, err := decodeEvent(n.last); err == nil {
			n.events, n.last = 0, nil
			return e, true
		}
	}
	n.events, n.last = 0, nil
	return e, true
}

// returns tells when a connection has come back or was closed: what was asked before gets no answer.
type returns struct {
	nc      *nats.Conn
	status  chan nats.Status
	mu      sync.Mutex
	looking context.CancelFunc
}

// newReturns calls wake each time.
func newReturns(nc *nats.Conn, wake func()) *returns {
	r := &returns{nc: nc, status: nc.StatusChanged(nats.CONNECTED, nats.CLOSED), looking: func() {}}
	go func() {
		for range r.status {
			wake()
			r.mu.Lock()
			r.looking()
			r.mu.Unlock()
		}
	}()
	return r
}

func (r *returns) stop() { r.nc.RemoveStatusListener(r.status) }

// until returns a context that also ends then, and after a time.
func (r *returns) until(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, most)
	r.mu.Lock()
	r.looking = cancel
	r.mu.Unlock()
	return ctx, cancel
}

// watcher is what one who watches a job has been told.
type watcher struct {
	s       *Store
	client  string
	windows windowReader
	told    map[toldSegment]int // how often; nil where segments are of no interest
	last    asr.Job             // as it was told
}

// begins takes an event, and reports whether it is of an attempt that begins and came to nothing yet: it says all that there is to read.
func (w *watcher) begins(e asr.JobEvent) bool {
	j := e.Job
	if j.State != asr.JobRunning || w.last.State != asr.JobQueued || j.ID != w.last.ID || j.Attempts <= w.last.Attempts || j.Done != w.last.Done || len(e.Segments) > 0 {
		return false
	}
	w.last = j
	return true
}

// toldSegment names a segment: the same in a window and in the result.
type toldSegment struct {
	start, end float64
	text       string
}

func toldOf(of asr.Segment) toldSegment { return toldSegment{of.Start, of.End, of.Text} }

// look returns what is new of the job. The windows of one that is done are purged: what of its result has not been told is new.
func (w *watcher) look(ctx context.Context) (e asr.JobEvent, isNew bool, err error) {
	r, err := w.s.readOf(ctx, w.client, w.windows.id)
	if err != nil {
		return e, false, err
	}
	e.Job = r.Job
	if w.told == nil {
		isNew = r.State.Final() || !sameProgress(r.Job, w.last)
		w.last = r.Job
		return e, isNew, nil
	}
	if r.State == asr.JobDone {
		result, err := w.s.loadResult(ctx, r.ID)
		if err != nil && !errors.Is(err, asr.ErrNotFound) {
			return e, false, err
		}
		if err == nil {
			e.Segments = w.untold(result.Segments)
		}
		return e, true, nil
	}
	var checkpoints []asr.Checkpoint
	if r.Done > 0 { // otherwise none has been told of
		if checkpoints, err = w.windows.next(ctx); err != nil {
			return e, false, err
		}
	}
	for _, c := range checkpoints {
		e.Segments = append(e.Segments, c.Segments...)
		for _, of := range c.Segments {
			w.told[toldOf(of)]++
		}
	}
	isNew = len(e.Segments) > 0 || !sameProgress(r.Job, w.last)
	w.last = r.Job
	return e, isNew, nil
}

// sameProgress reports whether there is nothing to tell between two states of a job that has not ended.
func sameProgress(a, b asr.Job) bool {
	return a.State == b.State && a.Attempts == b.Attempts && a.Done == b.Done && a.Audio == b.Audio && a.Reason == b.Reason
}

// untold returns the segments of a result that have not been told.
func (w *watcher) untold(segments []asr.Segment) []asr.Segment {
	var left []asr.Segment
	for _, of := range segments {
		if w.told[toldOf(of)] > 0 {
			w.told[toldOf(of)]--
		} else {
			left = append(left, of)
		}
	}
	return left
}
