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
	return func(yield func(asr.JobEvent, error) bool) {
		if !validID(id) {
			yield(asr.JobEvent{}, notFound(id))
			return
		}
		changed := make(chan struct{}, 1)
		wake := func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		// An event only says that there is something to read: so none is missed, and none is told twice.
		sub, err := s.nc.Subscribe(subjectEvents+id, func(*nats.Msg) { wake() })
		if err != nil {
			yield(asr.JobEvent{}, brokerError("watch "+id, err))
			return
		}
		defer sub.Unsubscribe()
		back := newReturns(s.nc, wake)
		defer back.stop()

		w := watcher{s: s, client: client, windows: windowReader{s: s, id: id}, told: make(map[toldSegment]int)}
		for first := true; ; {
			looking, cancel := back.until(ctx, lookTime)
			e, news, err := w.look(looking)
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
			case err == nil && news && !yield(e, nil):
				return
			case err == nil && e.Job.State.Final():
				return
			case err == nil:
				first = false
			}
			if !await(ctx, changed) {
				yield(asr.JobEvent{}, fmt.Errorf("%w: %w", asr.ErrCancelled, context.Cause(ctx)))
				return
			}
		}
	}
}

// await waits until a job may have changed. !ok: ctx has ended.
func await(ctx context.Context, changed <-chan struct{}) (ok bool) {
	again := time.NewTimer(watchAgain)
	defer again.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-again.C:
	}
	return true
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
	s        *Store
	client   string
	windows  windowReader
	told     map[toldSegment]int // how often
	revision uint64
}

// toldSegment names a segment: the same in a window and in the result.
type toldSegment struct {
	start, end float64
	text       string
}

func toldOf(of asr.Segment) toldSegment { return toldSegment{of.Start, of.End, of.Text} }

// look returns what is new of the job. The windows of one that is done are purged: what of its result has not been told is new.
func (w *watcher) look(ctx context.Context) (e asr.JobEvent, news bool, err error) {
	r, err := w.s.readOf(ctx, w.client, w.windows.id)
	if err != nil {
		return e, false, err
	}
	e.Job = r.Job
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
	checkpoints, err := w.windows.next(ctx)
	if err != nil {
		return e, false, err
	}
	for _, c := range checkpoints {
		e.Segments = append(e.Segments, c.Segments...)
		for _, of := range c.Segments {
			w.told[toldOf(of)]++
		}
	}
	news = r.revision != w.revision || len(e.Segments) > 0
	w.revision = r.revision
	return e, news, nil
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
