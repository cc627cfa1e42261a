package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// backoff is how long to wait before something is tried again: twice as long each time, up to a most, and never as long as others wait.
type backoff struct {
	first, most time.Duration
	n           int
}

// Delays of what the broker did not do.
const (
	firstRetry = 100 * time.Millisecond
	mostRetry  = 5 * time.Second
)

func (b *backoff) next() time.Duration {
	d := min(b.first<<min(b.n, 20), b.most)
	b.n++
	return d/2 + rand.N(d)
}

// fault is whether something does not work. Its beginning and its end are logged, and not what is between.
type fault struct {
	log  *slog.Logger
	what string

	mu    sync.Mutex
	since time.Time
}

// is takes an error, nil where it works.
func (f *fault) is(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.since.IsZero():
		f.since = time.Now()
		f.log.Warn(f.what+" does not work, and is tried again", "error", err)
	case err == nil && !f.since.IsZero():
		f.log.Info(f.what+" works again", "after", time.Since(f.since).Round(time.Millisecond))
		f.since = time.Time{}
	}
}

// queues are the consumers that a worker pulls from, which it makes again where they are lost.
type queues struct {
	s     *Store
	model string

	mu sync.Mutex
	of map[asr.Priority]jetstream.Consumer
}

// consumer returns that of a priority.
func (q *queues) consumer(ctx context.Context, p asr.Priority) (jetstream.Consumer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil {
		of, err := q.s.consumers(ctx, q.model)
		if err != nil {
			return nil, err
		}
		q.of = of
	}
	return q.of[p], nil
}

// lost forgets the consumers where an error says that one is not there any more, or may not be.
func (q *queues) lost(err error) {
	if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBadRequest) {
		q.mu.Lock()
		q.of = nil
		q.mu.Unlock()
	}
}

// puller gets the messages of some priorities that share slots.
type puller struct {
	w          *Worker
	queues     *queues
	turns      *turns
	fault      fault
	quarantine *quarantine // nil: none that keeps it from asking
}

// answer is what became of a request.
type answer struct {
	ask
	messages []jetstream.Msg
}

// run pulls until ctx ends, and returns when all jobs have ended.
func (p *puller) run(ctx context.Context, do func(jetstream.Msg, asr.Priority)) {
	answers, ends := make(chan answer), make(chan struct{})
	asked, running := 0, 0
	done := ctx.Done()
	for {
		held := p.quarantine.hold()
		for ctx.Err() == nil && held == nil {
			a, ok := p.turns.next()
			if !ok {
				break
			}
			asked++
			go func() { answers <- answer{a, p.ask(ctx, a)} }()
		}
		if ctx.Err() != nil && asked == 0 && running == 0 {
			return
		}
		select {
		case a := <-answers:
			asked--
			p.turns.answered(a.ask, len(a.messages))
			for _, msg := range a.messages {
				running++
				go func() {
					do(msg, p.turns.lines[a.line].priority)
					ends <- struct{}{}
				}()
			}
		case <-ends:
			running--
			p.turns.ended()
		case <-held:
		case <-done:
			done = nil
		}
	}
}

// ask asks for messages, and returns none where there are none. What fails is waited for.
func (p *puller) ask(ctx context.Context, a ask) []jetstream.Msg {
	retry := backoff{first: firstRetry, most: mostRetry}
	for {
		messages, err := p.fetch(ctx, a)
		if ctx.Err() != nil {
			return messages
		}
		p.fault.is(err)
		if err == nil {
			return messages
		}
		p.queues.lost(err)
		if !sleep(ctx, retry.next()) {
			return nil
		}
	}
}

// errNotConnected says that nothing can be asked for.
var errNotConnected = fmt.Errorf("%w: the broker is not there", asr.ErrBusy)

// fetch makes one request. Messages may come beside the end of ctx.
func (p *puller) fetch(ctx context.Context, a ask) (messages []jetstream.Msg, err error) {
	if !p.queues.s.nc.IsConnected() {
		return nil, errNotConnected
	}
	c, err := p.queues.consumer(ctx, p.turns.lines[a.line].priority)
	if err != nil {
		return nil, err
	}
	var batch jetstream.MessageBatch
	if a.wait == 0 {
		batch, err = c.FetchNoWait(a.n)
	} else {
		waiting, cancel := context.WithTimeout(ctx, a.wait)
		defer cancel()
		options := []jetstream.FetchOpt{jetstream.FetchContext(waiting)}
		if a.wait == longPull {
			options = append(options, jetstream.FetchHeartbeat(longPull/4))
		}
		batch, err = c.Fetch(a.n, options...)
	}
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		messages = append(messages, msg)
	}
	if len(messages) > 0 {
		return messages, nil // the next request tells what ended this one early
	}
	err = batch.Error()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
		err = nil // there was no message
	}
	return nil, err
}
