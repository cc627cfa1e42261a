package jobs

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// suspectAfter is how often a job has lost its worker before it is a suspect: it may be what kills workers, or have been beside that.
const suspectAfter = 2

// quarantine lets jobs of a worker begin: together, but for suspects, each of which runs when nothing else does, and after all that is
// no suspect. Of several the one goes first that has lost the fewest workers: one that is innocent gets behind, by and by, no job that
// kills. While a suspect waits or runs, a worker asks for no more messages, for it would lose them too. Live jobs pass by.
type quarantine struct {
	mu      sync.Mutex
	running int
	alone   bool // what runs is a suspect
	waiting []*entrant
	held    chan struct{} // closed when messages may be asked for again; nil while they may
}

// entrant is a job that has come to it.
type entrant struct {
	lost  int // workers
	enter chan struct{}
}

func (e *entrant) suspect() bool { return e.lost >= suspectAfter }

// enter waits until a job that has lost workers may begin, and returns what to call at its end. The error is the cause of the end of ctx.
func (q *quarantine) enter(ctx context.Context, lost int) (leave func(), err error) {
	e := &entrant{lost: lost, enter: make(chan struct{})}
	q.mu.Lock()
	i := slices.IndexFunc(q.waiting, func(o *entrant) bool { return max(o.lost, suspectAfter-1) > max(lost, suspectAfter-1) })
	if i < 0 {
		i = len(q.waiting)
	}
	q.waiting = slices.Insert(q.waiting, i, e)
	q.admit()
	q.mu.Unlock()
	select {
	case <-e.enter:
		return q.leave, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.waiting, e); i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		q.admit()
		return nil, context.Cause(ctx)
	}
	return q.leave, nil // it was let in at that moment, and ends by ctx
}

// leave takes the end of a job.
func (q *quarantine) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.alone = false
	q.admit()
}

// admit lets in who may begin. The lock is held.
func (q *quarantine) admit() {
	for len(q.waiting) > 0 {
		e := q.waiting[0]
		if q.alone || e.suspect() && q.running > 0 {
			break
		}
		q.waiting = q.waiting[1:]
		q.running++
		q.alone = e.suspect()
		close(e.enter)
	}
	switch hold := q.alone || len(q.waiting) > 0; {
	case hold && q.held == nil:
		q.held = make(chan struct{})
	case !hold && q.held != nil:
		close(q.held)
		q.held = nil
	}
}

// hold returns what is closed when messages may be asked for again, nil where they may now.
func (q *quarantine) hold() <-chan struct{} {
	if q == nil {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held
}

// pass waits until the attempt may begin: it has not claimed its job by then, so that the record counts no worker that is lost while
// it only waits.
func (a *attempt) pass(ctx context.Context) (leave func(), err error) {
	if a.priority == asr.Live {
		return func() {}, nil
	}
	id, lost := "", 0
	if a.again() {
		err := a.w.insist(ctx, func() (err error) { id, lost, err = a.w.s.lostBy(ctx, a.msg); return err })
		if err != nil {
			return nil, err
		}
	}
	if lost >= suspectAfter {
		a.log.Warn("a job is to run alone: it may be what its workers were lost by", "job", id, "deliveries", a.delivered, "lost", lost)
	}
	return a.w.quarantine.enter(ctx, lost)
}

// again reports whether the job may have lost workers: by deliveries of the message, or of one before it.
func (a *attempt) again() bool {
	h := a.msg.Headers()
	return a.delivered > suspectAfter || h.Get(headerAgain) != "" || strings.Contains(h.Get(nats.MsgIdHdr), ":")
}
