package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/asr/jobs"
	"glossa/asr/jobs/broker"
	"glossa/asr/jobs/outbound"
)

// servedJobs are the jobs of a server: what keeps them, and what does them here.
type servedJobs struct {
	broker *broker.Server // nil where it is another process
	nc     *nats.Conn
	store  *jobs.Store
	hooks  *jobs.HookOptions // nil where nobody is called
	log    *slog.Logger

	working sync.WaitGroup     // the worker of this process
	stop    context.CancelFunc // it takes no more jobs
	release context.CancelFunc // and gives those back that it has
	rest    sync.WaitGroup     // what a broker needs somebody to do
	end     context.CancelFunc // of it
	failed  chan error         // why the worker ended by itself
}

func newServedJobs(log *slog.Logger) *servedJobs {
	return &servedJobs{log: log, failed: make(chan error, 1)}
}

// errJobsElsewhere says that the folder of jobs is another process's.
var errJobsElsewhere = errors.New("another process keeps its jobs there")

// openJobs opens the store of jobs: on a broker in the folder of the server's state, or where --nats-url says.
func (f *serverFlags) openJobs(ctx context.Context, dir string, o jobs.Options, log *slog.Logger) (s *servedJobs, err error) {
	s = newServedJobs(log)
	if f.external() {
		s.nc, err = f.reach(ctx, "glossa serve", log)
	} else {
		err = s.start(ctx, f, dir, log)
	}
	if err != nil {
		return nil, err
	}
	if err := s.openStore(ctx, o); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// openStore opens the store on the broker. It waits for one that does not answer: a cluster may have to find its leader first, or is not whole yet.
func (s *servedJobs) openStore(ctx context.Context, o jobs.Options) (err error) {
	for told := (time.Time{}); ; {
		opening, cancel := context.WithTimeout(ctx, 2*dialTimeout)
		s.store, err = jobs.Open(opening, s.nc, o)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, asr.ErrBusy) || s.nc.IsClosed() {
			return err
		}
		if time.Since(told) >= waitAgain {
			s.log.Warn("the broker does not keep jobs yet, and is waited for", "error", err)
			told = time.Now()
		}
	}
}

// start starts a broker in this process.
func (s *servedJobs) start(ctx context.Context, f *serverFlags, dir string, log *slog.Logger) error {
	dir = filepath.Join(dir, "nats")
	encryption, err := f.brokerTLS()
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s.broker, err = broker.Start(starting, broker.Options{
		Dir: dir, Listen: f.NATSListen, Username: f.NATSUser, Password: string(f.NATSPassword), Token: string(f.NATSToken),
		TLS: encryption, Sync: time.Duration(f.NATSSync), Logger: log,
	})
	switch {
	case errors.Is(err, broker.ErrLocked):
		return fmt.Errorf("%s: %w", dir, errJobsElsewhere)
	case err != nil && f.NATSListen != "":
		return fmt.Errorf("--nats-listen %s: %w", f.NATSListen, err)
	case err != nil:
		return err
	}
	if s.nc, err = s.broker.Connect("glossa serve"); err != nil {
		s.broker.Close()
	}
	return err
}

// keepJobs opens the store of jobs, where the flags want one, and tells the server of it.
func (s *service) keepJobs(ctx context.Context, f *serverFlags, dir string, o *httpapi.Options, now *now) (err error) {
	if !f.TakeJobs {
		return nil
	}
	s.jobs, err = f.openJobs(ctx, dir, jobs.Options{Limits: o.Limits, Model: o.Models[0], Logger: o.Logger, Metrics: now}, o.Logger)
	switch {
	case errors.Is(err, errJobsElsewhere) && f.Data == "":
		o.Logger.Warn("there are no jobs here: name a folder by --data to have some, or turn them off by --jobs=false", "error", err)
		return nil
	case errors.Is(err, errJobsElsewhere):
		return fmt.Errorf("%w; name another folder by --data, its broker by --nats-url, or --jobs=false for none", err)
	case err != nil:
		return err
	}
	now.backlog = s.jobs.store.Backlog
	now.WatchBacklog(now.backlog)
	if s.jobs.hooks, err = f.hookOptions(dir); err != nil {
		return err
	}
	o.Jobs, o.AnyModel = s.jobs.store, f.external() || f.NATSListen != ""
	if s.jobs.hooks != nil {
		s.jobs.hooks.Metrics = now
		o.CheckCallback = f.guard().Check
	}
	if f.JobURLs {
		o.CheckURL = f.guard().Check
	}
	o.Ready = func(context.Context) error { return s.jobs.ready() }
	if at := s.jobs.address(); at != "" {
		o.Logger.Info("the broker can be reached", "address", at)
		if f.unguarded(at) {
			o.Logger.Warn("anybody who reaches the broker can use it: neither a user nor a token is asked for; see --nats-user and --nats-token", "address", at)
		}
	}
	return nil
}

// guard says which addresses of clients may be called.
func (f *jobFlags) guard() outbound.Guard {
	return outbound.Guard{Internal: f.WebhookInternal, HTTP: f.WebhookInternal}
}

// hookOptions say how callbacks are made, nil where none are: those of several servers need a secret that all know.
func (f *jobFlags) hookOptions(dir string) (*jobs.HookOptions, error) {
	o := &jobs.HookOptions{Guard: f.guard(), Secret: string(f.WebhookSecret), BaseURL: f.PublicURL}
	if o.Secret == "" && f.external() {
		return nil, nil
	}
	if o.Secret == "" {
		var err error
		o.Secret, err = webhookSecret(dir)
		return o, err
	}
	if err := jobs.CheckHookSecret(o.Secret); err != nil {
		return nil, fmt.Errorf("--webhook-secret: %w", err)
	}
	return o, nil
}

// doJobs has jobs looked after, and done here where there is an engine.
func (s *service) doJobs(ctx context.Context, f *serverFlags, o httpapi.Options) {
	if s.jobs == nil {
		return
	}
	var worker *jobs.Worker
	if s.engine != nil {
		worker = jobWorker(s.jobs.store, &servedEngine{Engine: s.engine, adapter: f.Adapter, detector: o.Detector}, workerSetup{
			models: o.Models, slots: f.Slots, urls: f.JobURLs, internal: f.WebhookInternal,
		})
	}
	s.jobs.run(ctx, worker)
}

// address returns where others reach the broker of this process, "" where they do not.
func (s *servedJobs) address() string {
	if s.broker == nil {
		return ""
	}
	return s.broker.Addr()
}

// run has the broker's needs seen to, and a worker do jobs, nil for none, until they are stopped.
func (s *servedJobs) run(ctx context.Context, w *jobs.Worker) {
	running, end := context.WithCancel(ctx)
	s.end = end
	s.rest.Go(func() {
		if err := s.store.Run(running); err != nil && running.Err() == nil {
			s.log.Error("jobs are not looked after any more", "error", err)
		}
	})
	if s.hooks != nil {
		s.rest.Go(func() {
			if err := s.store.RunHooks(running, *s.hooks); err != nil && running.Err() == nil {
				s.log.Error("callbacks are not made any more", "error", err)
			}
		})
	}
	if w == nil {
		return
	}
	taking, stop := context.WithCancel(ctx)
	grace, release := context.WithCancel(ctx)
	s.stop, s.release = stop, release
	s.working.Go(func() {
		if err := w.Run(taking, grace); taking.Err() == nil {
			s.log.Error("jobs are not done here any more", "error", err)
			s.failed <- cmp.Or(err, errEnded)
		}
	})
}

// errEnded is the error of a worker that ended without one.
var errEnded = errors.New("the worker has ended")

// releaseTime is how long before the end of a drain jobs that are not done are given back.
const releaseTime = 2 * time.Second

// drain takes no more jobs, and waits for those that are under way; what is not done shortly before ctx ends goes back to the queue.
func (s *servedJobs) drain(ctx context.Context) error {
	if s.stop == nil {
		return nil
	}
	s.stop()
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		timer := time.AfterFunc(left-min(left/4, releaseTime), s.release)
		defer timer.Stop()
	}
	done := make(chan struct{})
	go func() {
		s.working.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jobs are still under way: %w", context.Cause(ctx))
	}
}

// close ends all that is under way, the broker last.
func (s *servedJobs) close() {
	for _, end := range []context.CancelFunc{s.stop, s.release} {
		if end != nil {
			end()
		}
	}
	s.working.Wait()
	if s.end != nil {
		s.end()
	}
	s.rest.Wait()
	if s.store != nil {
		s.store.Close()
	}
	s.nc.Close()
	if s.broker != nil {
		s.broker.Close()
	}
}

// ready reports why jobs cannot be taken at the moment.
func (s *servedJobs) ready() error {
	if !s.nc.IsConnected() {
		return errors.New("the broker is not reached")
	}
	return nil
}
