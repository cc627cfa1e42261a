package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"glossa/asr"
	"glossa/asr/jobs"
)

// jobClient is where jobs are: a server, or the NATS servers that keep them. It is safe for concurrent use. Its errors wrap those of asr
// that tell what can be done.
type jobClient interface {
	// submit submits a job whose sound is in a file.
	submit(ctx context.Context, q asr.Submission, file string) (j asr.Job, created bool, err error)

	job(ctx context.Context, id string) (asr.Job, error)
	list(ctx context.Context, q asr.JobQuery) (asr.JobPage, error)
	result(ctx context.Context, id string) (*asr.Result, error)
	cancel(ctx context.Context, id string) (asr.Job, error)
	retry(ctx context.Context, id string) (asr.Job, error)

	// watch yields the present state of a job and its changes until it is final. The last error is that of ctx, or of a connection
	// that broke: watching again tells all of it again.
	watch(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error]

	// follow is watch without segments, where that takes less.
	follow(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error]

	close()
}

// jobClientFlags say where jobs are.
type jobClientFlags struct {
	remoteFlags `group:"Server"`
	natsFlags
}

// open returns the client. NATS servers that variables name give way to a server that the command line names.
func (f *jobClientFlags) open(ctx context.Context, c *console, given []*kong.Path) (jobClient, error) {
	said := make(map[string]bool)
	for _, p := range given {
		if p.Flag != nil && !p.Resolved {
			said[p.Flag.Name] = true
		}
	}
	switch {
	case said["server"] && said["nats-url"]:
		return nil, errors.New("--server and --nats-url: jobs are at one of them")
	case f.external() && !said["server"]:
		if err := f.natsFlags.check(); err != nil {
			return nil, err
		}
		return f.openStore(ctx, c)
	}
	server, err := checkServer(f.Server)
	if err != nil {
		return nil, err
	}
	return newRemoteJobs(server, f.serverKey), nil
}

// openStore returns a client of NATS servers.
func (f *jobClientFlags) openStore(ctx context.Context, c *console) (jobClient, error) {
	log := slog.New(slog.NewTextHandler(c.stderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	nc, err := f.dial(ctx, "glossa client", log)
	if err != nil {
		return nil, err
	}
	store, err := jobs.Open(ctx, nc, jobs.Options{Logger: log})
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &storedJobs{store: store, nc: nc, model: sync.OnceValues(func() (string, error) { return onlyModel(ctx, nc) })}, nil
}

// storedJobs are the jobs of NATS servers: those of all clients.
type storedJobs struct {
	store *jobs.Store
	nc    *nats.Conn
	model func() (string, error) // of jobs that name none
}

func (s *storedJobs) submit(ctx context.Context, q asr.Submission, file string) (asr.Job, bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return asr.Job{}, false, badFile(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return asr.Job{}, false, badFile(err)
	}
	if !info.Mode().IsRegular() {
		return asr.Job{}, false, fmt.Errorf("%w: not a regular file", asr.ErrInvalid)
	}
	if q.Model == "" {
		if q.Model, err = s.model(); err != nil {
			return asr.Job{}, false, err
		}
	}
	q.Audio = asr.JobAudio{File: f, Size: info.Size()}
	return s.store.Submit(ctx, q)
}

// badFile is the error of a file that cannot be read.
func badFile(err error) error { return fmt.Errorf("%w: %w", asr.ErrInvalid, reason(err)) }

func (s *storedJobs) job(ctx context.Context, id string) (asr.Job, error) {
	return s.store.Job(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) list(ctx context.Context, q asr.JobQuery) (asr.JobPage, error) {
	return s.store.Jobs(ctx, jobs.AnyClient, q)
}
func (s *storedJobs) result(ctx context.Context, id string) (*asr.Result, error) {
	return s.store.Result(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) cancel(ctx context.Context, id string) (asr.Job, error) {
	return s.store.Cancel(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) retry(ctx context.Context, id string) (asr.Job, error) {
	return s.store.Retry(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) watch(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return s.store.Watch(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) follow(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return s.store.Follow(ctx, jobs.AnyClient, id)
}
func (s *storedJobs) close() {
	s.store.Close()
	s.nc.Close()
}
