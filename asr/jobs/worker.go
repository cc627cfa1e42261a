package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Engine is what a worker needs of an [asr.Engine]. Where it also has its Err, a worker ends with a fault of the engine, and where it has
// its Adapters, the service asr.v1.models lists them.
type Engine interface {
	Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error)
}

// WorkerOptions say what a worker does.
type WorkerOptions struct {
	Engine Engine

	// Models are the names of the engine's model. Jobs of the first are pulled, and jobs that name another of them are taken.
	Models []string

	// Name is how the worker is called in records and logs. The default value is "": the host's name and a random ending.
	Name string

	// Slots is the number of jobs that are not live at a time. Live ones have a quarter as many beside them, at least one. The default
	// value is 0: 16.
	Slots int

	// Requests is the number of requests to the service asr.v1.transcribe that are served at a time; others are refused. The default
	// value is 0: Slots. Where it is negative, there is no service.
	Requests int

	// Version is that of the service, which has 0.0.0 where it is not of the form of SemVer. The default value is "".
	Version string

	// TempDir holds sound that is too long for a message while it is transcribed. The default value is "": that of the system.
	TempDir string

	// Request returns what the params of a job ask of its sound, without the sound. What is wrong with it is asr.ErrInvalid.
	Request func(ctx context.Context, client string, p asr.Params) (asr.Request, error)

	// Fetch gets the file behind an address. The error is asr.ErrInvalid where it is of no use to try again. The default value is
	// nil: jobs with an address are refused.
	Fetch func(ctx context.Context, url string, limit int64) ([]byte, error)
}

// Sizes of a worker.
const (
	defaultSlots = 16
	fetches      = 4               // of addresses at a time
	patience     = 2 * time.Minute // with a broker that does not answer, before a job is put off
)

// Worker takes jobs from a store and does them.
//
// It asks for a message where it has a slot for it: live jobs have their own, of the others bulk has one in four while both wait. While it is
// at a job, it tells the broker so three times in each lease, and stores windows as they come; who gets the job after it goes on behind them.
// A job that no worker can do becomes a dead letter with a reason for its client. One that this worker has not what it takes for, or no room, is
// put off, for others or for later, and becomes a dead letter with its last delivery. One whose worker dies is delivered again
// until JetStream gives it up, which Store.Run then makes a dead letter; where it has lost two workers, it runs with no other beside it.
type Worker struct {
	s          *Store
	o          WorkerOptions
	limits     asr.Limits
	log        *slog.Logger
	fetching   chan struct{}
	running    running
	broker     fault
	patience   time.Duration
	delays     delays
	quarantine quarantine
	beat       func(jetstream.Msg) error

	fail func(error) // ends Run with a fault of the engine
}

// NewWorker returns a worker.
func NewWorker(s *Store, o WorkerOptions) *Worker {
	o.Slots = cmp.Or(o.Slots, defaultSlots)
	o.Requests = cmp.Or(o.Requests, o.Slots)
	if o.Name == "" {
		o.Name = randomName()
	}
	w := &Worker{s: s, o: o, limits: s.o.Limits.WithDefaults(), log: s.o.Logger, fetching: make(chan struct{}, fetches), patience: patience,
		delays: defaultDelays, beat: jetstream.Msg.InProgress}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.log = w.log.With("worker", o.Name)
	w.broker = fault{log: w.log, what: "the broker"}
	return w
}

// randomName returns the host's name and a random ending.
func randomName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	var b [3]byte
	rand.Read(b[:])
	return host + "-" + hex.EncodeToString(b[:])
}

// Run pulls jobs and does them until ctx ends; it then takes none any more, and gives what is not done within the time that the caller
// allows (grace ends) back to the queue, from where it goes on at its last window. It also answers requests to the micro service asr. A
// fault of the engine ends it too, and is its error, asr.ErrInternal; a broker that is away does not.
func (w *Worker) Run(ctx, grace context.Context) error {
	if len(w.o.Models) == 0 || w.o.Engine == nil || w.o.Request == nil {
		return fmt.Errorf("%w: a worker without models, engine or request", asr.ErrInvalid)
	}
	pulling, stopPulling := context.WithCancelCause(ctx)
	defer stopPulling(nil)
	working, stopWorking := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWorking(nil)
	defer context.AfterFunc(grace, func() { stopPulling(errDraining); stopWorking(errDraining) })()
	var fault error
	var once sync.Once
	w.fail = func(err error) {
		once.Do(func() {
			w.log.Error("the engine is at fault: the worker ends", "error", err)
			fault = fmt.Errorf("jobs: worker %s: %w", w.o.Name, err)
			stopPulling(errFaulty)
			stopWorking(errFaulty)
		})
	}
	cancels, err := w.s.nc.Subscribe(subjectCancel+"*", func(m *nats.Msg) { w.cancelled(working, strings.TrimPrefix(m.Subject, subjectCancel)) })
	if err != nil {
		return brokerError("tell of jobs that are cancelled", err)
	}
	defer cancels.Unsubscribe()
	endService, err := w.serve(pulling, working)
	if err != nil {
		return err
	}
	w.pull(pulling, working)
	endService()
	once.Do(func() {}) // no fault is told any more
	return fault
}

// pull does jobs until pulling ends and all that have begun have ended.
func (w *Worker) pull(pulling, working context.Context) {
	q := &queues{s: w.s, model: w.o.Models[0]}
	var all sync.WaitGroup
	for _, slots := range []struct {
		n  int
		of []asr.Priority
	}{{max(1, w.o.Slots/4), priorities[:1]}, {w.o.Slots, priorities[1:]}} {
		p := &puller{w: w, queues: q, turns: newTurns(slots.n, slots.of...), fault: fault{log: w.log, what: fmt.Sprintf("pulling jobs of priority %v", slots.of)}}
		all.Go(func() {
			if slots.of[0] != asr.Live {
				p.quarantine = &w.quarantine
			}
			p.run(pulling, func(msg jetstream.Msg, p asr.Priority) {
				if pulling.Err() != nil {
					msg.Nak() // it came too late
					return
				}
				w.do(working, msg, p)
			})
		})
	}
	all.Wait()
}

// engineFault returns why the engine is of no more use, nil while it is.
func (w *Worker) engineFault() error {
	if e, ok := w.o.Engine.(interface{ Err() error }); ok {
		if err := e.Err(); err != nil {
			return fmt.Errorf("%w: %w", asr.ErrInternal, err)
		}
	}
	return nil
}

// cancelled ends the attempts at a job where its record says that it is final: whoever may publish can say that it is cancelled.
func (w *Worker) cancelled(ctx context.Context, id string) {
	for _, a := range w.running.of(id) {
		go func() {
			w.insist(ctx, func() error {
				r, err := w.s.read(ctx, id)
				if err == nil && r.State.Final() {
					a.cancel(errEnded)
				}
				return err
			})
		}()
	}
}

// running are the attempts of a worker.
type running struct {
	mu  sync.Mutex
	all []*attempt
}

func (r *running) add(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, a)
}

func (r *running) remove(a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(b *attempt) bool { return a == b })
}

func (r *running) of(id string) (list []*attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.all {
		if a.job.ID == id {
			list = append(list, a)
		}
	}
	return list
}
