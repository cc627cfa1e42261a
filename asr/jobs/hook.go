package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs/outbound"
)

// HookOptions say how callbacks are made.
type HookOptions struct {
	// Guard says which addresses may be called. The zero value is: public ones, by https.
	Guard outbound.Guard

	// Secret signs callbacks: whsec_ and 24 to 64 bytes in base64, or several with spaces between them, each of which signs, so that
	// receivers can change to another in their own time. It has to be there.
	Secret string

	// Secrets are of clients who have one of their own, in place of Secret: whoever knows a secret can make believe to be this server
	// to others who have the same. The default value is nil: none has.
	Secrets map[string]string

	// BaseURL is the server's address as receivers reach it, before /v1/jobs. The default value is "": callbacks have no address of the
	// result.
	BaseURL string

	// Parallel is the number of callbacks at a time, PerReceiver that of one host. The default values are 64 and 4.
	Parallel, PerReceiver int

	// Timeout is how long a receiver may take to answer. The default value is 20 s, the most is 30 s.
	Timeout time.Duration

	// GiveUp is the time after the end of a job behind which there is no attempt any more. The default value is 24 h.
	GiveUp time.Duration

	// Metrics are told how each attempt ends. The default value is nil.
	Metrics HookMetrics
}

// HookMetrics are told of callbacks.
type HookMetrics interface {
	// HookCalled tells how an attempt ended: delivered; failed, to be tried again; gone (410), refused (the address may not be called) or
	// expired, to be tried no more.
	HookCalled(outcome string)
}

// Outcomes of an attempt.
const (
	hookDelivered = "delivered"
	hookFailed    = "failed"
	hookGone      = "gone"
	hookRefused   = "refused"
	hookExpired   = "expired"
)

// What bounds callbacks.
const (
	hookConsumer   = "hooks"
	hookAckWait    = time.Minute // more than an attempt and its acknowledgement take
	maxHookTimeout = 30 * time.Second
	hookGrace      = 5 * time.Second // that attempts have where the process ends
)

// hooks makes the callbacks of a store.
type hooks struct {
	o       HookOptions
	stream  jetstream.Stream
	result  func(ctx context.Context, id string) (*asr.Result, error)
	client  *http.Client
	secrets map[string][]hookSecret // by client; "" for all others
	turns   *hookTurns
	first   time.Duration // the delay behind the first attempt
	ackWait time.Duration // after which a message of a process that was lost comes again
	log     *slog.Logger
}

// RunHooks makes the callbacks of jobs that have ended, until ctx ends; any number of processes may do so side by side. A callback is a POST of a
// [Hook], signed as Standard Webhooks 1.0 says, of which any answer of 2xx is the end. Others are tried again, each time after as long as has passed
// since the job's end, for about a day; 410 is not. A receiver may get one twice, with the same webhook-id.
func (s *Store) RunHooks(ctx context.Context, o HookOptions) error {
	h, err := s.newHooks(o)
	if err != nil {
		return err
	}
	return h.run(ctx)
}

// newHooks returns what makes the callbacks of a store.
func (s *Store) newHooks(o HookOptions) (*hooks, error) {
	o.Parallel, o.PerReceiver = cmp.Or(o.Parallel, 64), cmp.Or(o.PerReceiver, 4)
	o.Timeout, o.GiveUp = min(cmp.Or(o.Timeout, 20*time.Second), maxHookTimeout), cmp.Or(o.GiveUp, 24*time.Hour)
	o.BaseURL = strings.TrimSuffix(o.BaseURL, "/")
	h := &hooks{o: o, stream: s.hooks, client: o.Guard.Client(), turns: newHookTurns(o.PerReceiver), log: s.log}
	h.result = func(ctx context.Context, id string) (*asr.Result, error) { return s.Result(ctx, AnyClient, id) }
	h.first, h.ackWait, h.secrets = firstDelay, hookAckWait, make(map[string][]hookSecret)
	h.client.Timeout = o.Timeout
	for client, text := range o.Secrets {
		s, err := parseSecrets(text)
		if err != nil {
			return nil, fmt.Errorf("%w, of client %s", err, client)
		}
		h.secrets[client] = s
	}
	var err error
	h.secrets[""], err = parseSecrets(o.Secret)
	return h, err
}

// run takes messages until ctx ends, whatever becomes of the broker, and then waits for the attempts that are under way.
func (h *hooks) run(ctx context.Context) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer h.client.CloseIdleConnections()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(hookGrace, cancel) })()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, h.o.Parallel)
	for ctx.Err() == nil {
		err := h.take(ctx, slots, func(m jetstream.Msg) { h.handle(calls, m, &running, slots) })
		if ctx.Err() != nil {
			break
		}
		h.log.Warn("callbacks of jobs wait for the broker", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// take hands messages on, each with a slot, until ctx ends or the broker fails.
func (h *hooks) take(ctx context.Context, slots chan struct{}, handle func(jetstream.Msg)) error {
	consumer, err := h.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: hookConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: h.ackWait, MaxDeliver: -1,
		MaxAckPending: -1, // among them all that wait for another attempt
	})
	if err != nil {
		return err
	}
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		m, err := consumer.Next(jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(time.Second))
		if err != nil {
			<-slots
			if errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
				continue // there was nothing
			}
			return err
		}
		handle(m)
	}
}

// handle makes an attempt at a message, beside others, and frees its slot. Where its receiver has as many as may be, the message comes again
// later, so that it holds up nobody.
func (h *hooks) handle(ctx context.Context, m jetstream.Msg, running *sync.WaitGroup, slots chan struct{}) {
	free := func() { <-slots }
	e, err := decodeEvent(m.Data())
	if err != nil || e.Job.Callback == "" {
		defer free()
		h.end(m, h.log.With("subject", m.Subject()), hookVerdict{hookRefused, 0, "the message is not understood"})
		return
	}
	receiver := receiverOf(e.Job.Callback)
	if wait, ok := h.turns.begin(receiver, time.Now()); !ok {
		defer free()
		m.NakWithDelay(wait) // where that does not come through, it is after hookAckWait
		return
	}
	running.Go(func() {
		defer free()
		began := time.Now()
		v := h.attempt(ctx, e.Job, m)
		h.turns.end(receiver, time.Since(began))
		h.end(m, h.log.With("job", e.Job.ID, "receiver", receiver), v)
	})
}

// end tells the broker, and who counts, how an attempt ended.
func (h *hooks) end(m jetstream.Msg, log *slog.Logger, v hookVerdict) {
	if h.o.Metrics != nil {
		h.o.Metrics.HookCalled(v.outcome)
	}
	var err error
	switch v.outcome {
	case hookDelivered:
		err = h.acknowledge(m)
	case hookFailed:
		log.Info("a callback failed and is tried again", "reason", v.reason, "after", v.delay)
		err = m.NakWithDelay(v.delay)
	default:
		log.Warn("a callback is given up", "outcome", v.outcome, "reason", v.reason)
		err = m.TermWithReason(v.reason)
	}
	if err != nil {
		log.Warn("the end of a callback is not known to the broker, and comes again", "error", err)
	}
}

// acknowledge acknowledges a message, and waits until the broker knows: the callback would be made again. A broker that begins anew is waited
// for, as long as the message is this process's.
func (h *hooks) acknowledge(m jetstream.Msg) (err error) {
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		err = m.DoubleAck(ctx)
		cancel()
		if err == nil || errors.Is(err, nats.ErrConnectionClosed) {
			break
		}
		time.Sleep(time.Second)
	}
	return err
}
