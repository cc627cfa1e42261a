package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Options say how jobs are kept.
type Options struct {
	// Limits are what clients may ask: Jobs, JobBytes and JobsKept of them are of this package. Where Jobs or JobsKept is 0, what others
	// have set stays, or is asr's default.
	Limits asr.Limits

	// Replicas is the number of brokers that keep each message. The default value is 0: what others have set, or 1, or 3 on a cluster
	// of three or more; where it had fewer at first, 3 as soon as it is opened when it has.
	Replicas int

	// Model is that of submissions that name none.
	Model string

	// Logger is told what goes wrong. The default value is nil: nobody is.
	Logger *slog.Logger

	// Metrics are told of redeliveries and dead letters. The default value is nil.
	Metrics Metrics

	ackWait   time.Duration // of tests that have no time; 0: that of the package
	maxModels int           // likewise
}

// Metrics are told what becomes of jobs.
type Metrics interface {
	JobSubmitted(p asr.Priority, duplicate bool)
	JobFinished(j asr.Job) // its state is final
	JobRedelivered()
	JobDead()
}

// noMetrics are those of nobody.
type noMetrics struct{}

func (noMetrics) JobSubmitted(asr.Priority, bool) {}
func (noMetrics) JobFinished(asr.Job)             {}
func (noMetrics) JobRedelivered()                 {}
func (noMetrics) JobDead()                        {}

// AnyClient stands for whoever asks where all jobs may be seen, as by an administrator who can reach the broker.
const AnyClient = "*"

// Store keeps jobs on a broker. All methods may be called from any goroutine. Their errors are asr.ErrInvalid, ErrNotFound, also of another
// client's job, ErrBusy where the broker is not there, or ErrQueueFull, and ErrCancelled.
type Store struct {
	*topology
	nc     *nats.Conn
	js     jetstream.JetStream
	o      Options
	log    *slog.Logger
	index  *index
	models *models
}

// Open returns the store on the broker of a connection, which it sets up where that is new; it waits for one that has just begun. The
// connection stays the caller's.
func Open(ctx context.Context, nc *nats.Conn, o Options) (*Store, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, brokerError("answer", err)
	}
	s := &Store{nc: nc, js: js, o: o, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.o.Metrics == nil {
		s.o.Metrics = noMetrics{}
	}
	setWhereZero(&s.o.Limits.JobBytes, asr.Limits{}.WithDefaults().JobBytes)
	if s.topology, err = makeInTime(ctx, js, s.o); err != nil {
		return nil, err
	}
	if s.few && s.replicas > 1 {
		s.log.Info("the cluster is whole by now, and keeps several replicas of each message", "replicas", s.replicas)
	}
	if s.replicas == 1 && nc.ConnectedClusterName() != "" {
		s.log.Warn("the cluster keeps one replica of each message: a job is lost with the disk of its broker")
	}
	s.index = newIndex(s.js, s.kept, s.log)
	s.models = &models{made: make(map[string]time.Time)}
	return s, nil
}

// makeInTime makes the topology, again and again while a broker or a cluster gets ready.
func makeInTime(ctx context.Context, js jetstream.JetStream, o Options) (*topology, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
	}
	try := 2 * time.Second // a cluster without a leader does not answer, and what it was asked is lost
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		trying, cancel := context.WithTimeout(ctx, try)
		t, err := makeTopology(trying, js, o)
		cancel()
		if err == nil || !isPassing(err) || ctx.Err() != nil {
			return t, err
		}
		try *= 2
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", brokerError("get ready", ctx.Err()), err)
		case <-time.After(wait):
		}
	}
}

// Close ends what the store does in the background. The connection stays as it is.
func (s *Store) Close() { s.index.close() }

// Job returns a job.
func (s *Store) Job(ctx context.Context, client, id string) (asr.Job, error) {
	r, err := s.readOf(ctx, client, id)
	if err != nil {
		return asr.Job{}, err
	}
	return r.Job, nil
}

// readOf returns the record of a job of a client, to whom those of others do not exist.
func (s *Store) readOf(ctx context.Context, client, id string) (*record, error) {
	r, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if client != AnyClient && r.Client != client {
		return nil, notFound(id)
	}
	return r, nil
}
