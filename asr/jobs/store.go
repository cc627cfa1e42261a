package jobs

import (
	"context"
	"errors"
	"iter"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Options say how jobs are kept.
type Options struct {
	// Limits are what clients may ask: Jobs, JobBytes and JobsKept of them are of this package.
	Limits asr.Limits

	// Replicas is the number of brokers that keep each message. The default value is 0: 1, or 3 on a cluster of three or more.
	Replicas int

	// Model is that of submissions that name none.
	Model string

	// Logger is told what goes wrong. The default value is nil: nobody is.
	Logger *slog.Logger

	// Metrics are told of redeliveries and dead letters. The default value is nil.
	Metrics Metrics
}

// Metrics are told what becomes of jobs.
type Metrics interface {
	JobSubmitted(p asr.Priority, duplicate bool)
	JobFinished(j asr.Job) // its state is final
	JobRedelivered()
	JobDead()
}

// AnyClient stands for whoever asks where all jobs may be seen, as by an administrator who can reach the broker.
const AnyClient = "*"

// Store keeps jobs on a broker. All methods may be called from any goroutine. Their errors are asr.ErrInvalid, ErrNotFound, also of another
// client's job, ErrBusy where the queue is full or the broker is not there, and ErrCancelled.
type Store struct {
	*topology
	nc *nats.Conn
	js jetstream.JetStream
	o  Options
}

var errTODO = errors.New("jobs: not there yet")

// Open returns the store on the broker of a connection, which it sets up where that is new. The connection stays the caller's.
func Open(ctx context.Context, nc *nats.Conn, o Options) (*Store, error) { return nil, errTODO }

// Submit submits a job, and returns it. !created: it was there before. Of its errors asr.ErrQueueFull and ErrKeyReused have names of their own.
func (s *Store) Submit(ctx context.Context, q asr.Submission) (j asr.Job, created bool, err error) {
	return asr.Job{}, false, errTODO
}

// Job returns a job.
func (s *Store) Job(ctx context.Context, client, id string) (asr.Job, error) {
	return asr.Job{}, errTODO
}

// Jobs lists jobs, the newest first.
func (s *Store) Jobs(ctx context.Context, client string, q asr.JobQuery) (asr.JobPage, error) {
	return asr.JobPage{}, errTODO
}

// Result returns the result of a job that is done. The error is asr.ErrInvalid where it is not, and tells its state.
func (s *Store) Result(ctx context.Context, client, id string) (*asr.Result, error) {
	return nil, errTODO
}

// Cancel ends a job that is not final, and returns it; one that is cancelled stays so. The error is asr.ErrInvalid where it is done or failed.
func (s *Store) Cancel(ctx context.Context, client, id string) (asr.Job, error) {
	return asr.Job{}, errTODO
}

// Retry queues a failed job again. The error is asr.ErrInvalid where it is not failed.
func (s *Store) Retry(ctx context.Context, client, id string) (asr.Job, error) {
	return asr.Job{}, errTODO
}

// Watch yields the present state of a job and then its changes, until it is final or ctx ends, whose error then is the last; segments of
// windows that are stored come first. Who stops to listen in between loses nothing but time: Watch again tells all of them again.
func (s *Store) Watch(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error] {
	return nil
}

// Backlog is what waits, or runs, of a model and priority.
type Backlog = asr.JobBacklog

// Backlog returns what is not final, in the order of models, priorities and states.
func (s *Store) Backlog() []Backlog { return nil }

// Run does what a broker needs somebody to do, on one or many machines: dead letters get their reasons. It returns when ctx ends.
func (s *Store) Run(ctx context.Context) error { return errTODO }
