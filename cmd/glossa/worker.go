package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/asr/jobs"
	"glossa/asr/metrics"
)

type workerCommand struct {
	Config string `name:"config" placeholder:"FILE" help:"A YAML file of settings, which may be that of a server."`
	natsFlags
	Name  string `placeholder:"NAME" help:"How the worker is called in what is told of jobs. (the host's name and a random ending)"`
	Slots int    `placeholder:"N" help:"Jobs that are under way at a time, live ones apart. (twice --batch)"`

	modelFlags
	WatchAdapters bool   `help:"Load, replace and unload adapters as the subfolders of --adapters come, change and go."`
	VAD           string `name:"vad" default:"builtin" placeholder:"builtin|FILE" help:"What tells speech from silence: the built-in detector, or the weights of Silero VAD. (${default})"`

	JobURLs         bool          `name:"job-urls" help:"Let jobs name the address of their sound, which is then fetched."`
	WebhookInternal bool          `name:"webhook-internal" help:"Let it be at internal addresses, and plain http."`
	Decoded         time.Duration `name:"limit-decoded" placeholder:"TIME" help:"The duration of the sound in a file. (LIMIT)"`
	JobBytes        byteSize      `name:"limit-job-bytes" placeholder:"SIZE" help:"The size of a job's file. (LIMIT)"`

	HTTP         string        `name:"http" placeholder:"ADDR" help:"Serve /healthz, /readyz and /metrics at an address. (none)"`
	LogFormat    string        `enum:"text,json" default:"text" help:"The format of log lines on the standard error. (${enum})"`
	LogLevel     slog.Level    `default:"info" placeholder:"LEVEL" help:"The least important lines that are logged: debug, info, warn or error. (${default})"`
	DrainTimeout time.Duration `default:"30s" help:"How long jobs may take to end after SIGTERM. (${default})"`
}

// Help is shown by "glossa help worker".
func (workerCommand) Help() string {
	return `Does jobs that NATS servers keep: those of a glossa serve with --nats-listen, or of a cluster. Any number of workers share the jobs of
their model, and each takes as many as it has room for. On an interrupt or SIGTERM it takes no more, ends those that it has, and gives what
does not end within --drain-timeout back, from where another goes on at its last window; so it is with those of a worker that is
killed, 30 s later. A second signal ends it at once. NATS servers that are not there yet, or go away, are waited for.

Settings are flags, GLOSSA_* variables and, where --config or GLOSSA_CONFIG names it, a file, as those of "glossa serve".

Examples:

    glossa worker --nats-url nats://127.0.0.1:4222
    glossa worker --nats-url nats://nats-1:4222,nats://nats-2:4222 --nats-creds worker.creds --model small --adapters adapters
    GLOSSA_NATS_URL=nats://worker:secret@broker:4222 glossa worker --http :8081`
}

// check finds what is wrong with the flags before any work is done.
func (w *workerCommand) check() error {
	switch {
	case !w.external():
		return errors.New("--nats-url: name the NATS servers that keep the jobs, such as nats://127.0.0.1:4222")
	case w.Slots < 0:
		return fmt.Errorf("--slots %d: at least 1 is needed", w.Slots)
	case w.WatchAdapters && w.Adapters == "":
		return errors.New("--watch-adapters needs --adapters")
	case w.DrainTimeout <= 0:
		return fmt.Errorf("--drain-timeout %v: more than 0s is needed", w.DrainTimeout)
	case w.Decoded <= 0 || w.JobBytes <= 0:
		return errors.New("--limit-decoded and --limit-job-bytes: more than 0 is needed")
	}
	return w.natsFlags.check()
}

// Run does jobs until ctx is done.
func (w *workerCommand) Run(ctx context.Context, c *console) error {
	if err := w.check(); err != nil {
		return err
	}
	server := &serverFlags{modelFlags: w.modelFlags, VAD: w.VAD, WatchAdapters: w.WatchAdapters}
	log := newLogger(c, w.LogFormat, w.LogLevel)
	counted := metrics.New()
	detector, err := server.detector()
	if err != nil {
		return err
	}
	server.observer, server.log, server.watched = counted.Observer(), log, w.WatchAdapters
	engine, err := server.engine()
	if err != nil {
		return err
	}
	defer engine.Close()
	counted.WatchLoad(engine.Load)
	served := newServedJobs(log)
	if served.nc, err = w.reach(ctx, "glossa worker "+w.Name, log); err != nil {
		return err
	}
	defer served.close()
	limits := asr.Limits{Decoded: w.Decoded, JobBytes: int64(w.JobBytes)}
	models := server.modelNames()
	if err := served.openStore(ctx, jobs.Options{Limits: limits, Model: models[0], Logger: log, Metrics: counted}); err != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if w.WatchAdapters {
		go watchAdapters(background, engine, w.Adapters, log)
	}
	served.run(background, jobWorker(served.store, &servedEngine{Engine: engine, adapter: w.Adapter, detector: detector}, workerSetup{
		name: w.Name, models: models, slots: w.Slots, urls: w.JobURLs, internal: w.WebhookInternal,
	}))
	return w.attend(ctx, c, served, engine, counted, log)
}

// attend serves what tells of the worker, until ctx is done and jobs have ended.
func (w *workerCommand) attend(ctx context.Context, c *console, served *servedJobs, engine *asr.Engine, counted *metrics.Metrics, log *slog.Logger) error {
	var draining atomic.Bool
	ended := make(chan error, 1)
	where := ""
	if w.HTTP != "" {
		l, err := net.Listen("tcp", w.HTTP)
		if err != nil {
			return fmt.Errorf("--http %s: %w; want HOST:PORT, such as 127.0.0.1:8081", w.HTTP, err)
		}
		server := httpapi.NewHTTPServer("", workerHealth(served, engine, &draining, counted.Handler(), log), log)
		defer server.Close()
		go func() { ended <- server.Serve(l) }()
		where = "; it tells of itself at http://" + l.Addr().String() + "/metrics"
	}
	if err := c.print(fmt.Sprintf("glossa does jobs of model %s at %s%s\n", w.Model, w.addresses(), where)); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case err := <-served.failed:
		return err
	case <-ctx.Done():
	}
	draining.Store(true)
	log.Info("draining", "timeout", w.DrainTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.DrainTimeout)
	defer cancel()
	if err := served.drain(drain); err != nil {
		return fmt.Errorf("--drain-timeout %v has passed: %w", w.DrainTimeout, err)
	}
	log.Info("drained")
	return nil
}

// workerHealth answers whether a worker lives, whether it takes jobs, and with its metrics. Why it does not is logged, and said plainly.
func workerHealth(served *servedJobs, engine *asr.Engine, draining *atomic.Bool, metrics http.Handler, log *slog.Logger) http.Handler {
	var told atomic.Value // what was said last
	told.Store("")
	answer := func(healthy func() (no string, err error), yes string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			status, said := http.StatusOK, yes
			if no, err := healthy(); no != "" {
				status, said = http.StatusServiceUnavailable, no
				if told.Swap(no) != no {
					log.Warn("the worker takes no jobs", "status", no, "error", err)
				}
			} else if r.URL.Path == "/readyz" {
				told.Store("")
			}
			rw.WriteHeader(status)
			json.NewEncoder(rw).Encode(map[string]string{"status": said})
		}
	}
	mux := http.NewServeMux()
	lives := func() (string, error) {
		if err := engine.Err(); err != nil {
			return "the engine is at fault; the log says why", err
		}
		return "", nil
	}
	mux.Handle("GET /healthz", answer(lives, "ok"))
	mux.Handle("GET /readyz", answer(func() (string, error) {
		if draining.Load() {
			return "draining", nil
		}
		if no, err := lives(); no != "" {
			return no, err
		}
		if err := engine.Ready(); err != nil {
			return "no device computes at the moment", err
		}
		if err := served.ready(); err != nil {
			return "the broker is not reached", err
		}
		return "", nil
	}, "ready"))
	mux.Handle("GET /metrics", metrics)
	return mux
}
