package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/asr/metrics"
	"glossa/asr/web"
	"glossa/asr/ws"
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
)

// service is what answers requests: an engine and the transports that speak for it.
type service struct {
	handler http.Handler
	keyed   bool // a key is asked for
	api     *httpapi.Server
	live    *ws.Server // nil without an engine
	engine  *asr.Engine
	jobs    *servedJobs        // nil where there are none
	cancel  context.CancelFunc // of what runs beside requests
}

// open opens the engine and what serves it.
func (f *serverFlags) open(ctx context.Context, log *slog.Logger) (*service, error) {
	dir, err := f.dataDir()
	if err != nil {
		return nil, err
	}
	o := httpapi.Options{Limits: f.limits(), Origins: f.CORSOrigin, Models: f.modelNames(), Logger: log, MetricsPublic: f.MetricsPublic}
	if o.Auth.Keys, err = f.keys(); err != nil {
		return nil, err
	}
	if o.Auth.TokenSecret, err = tokenSecret(dir); err != nil {
		return nil, err
	}
	if o.Detector, err = f.detector(); err != nil {
		return nil, err
	}
	if f.Admin {
		o.Admin = httpapi.Admin{Enabled: true}
		if f.Adapters != "" {
			o.Admin.Dirs = []string{f.Adapters}
		}
	}
	counted := metrics.New()
	o.Metrics, o.MetricsHandler = counted, counted.Handler()
	now := newNow(counted)
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &service{keyed: len(o.Auth.Keys) > 0, cancel: cancel}
	if err = s.keepJobs(ctx, f, dir, &o, now); err == nil && f.Workers > 0 {
		f.observer, f.log = now.observer(), o.Logger
		f.watched, f.speakers = f.WatchAdapters, o.Limits.Speakers
		if s.engine, err = f.engine(); err == nil {
			counted.WatchLoad(s.engine.Load)
			o.Ready = readyWith(s.engine, o.Ready)
		}
	}
	if err == nil {
		err = s.serve(background, f, o, now)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// serve sets the transports up.
func (s *service) serve(ctx context.Context, f *serverFlags, o httpapi.Options, now *now) (err error) {
	var engine httpapi.Engine = noWorker{}
	o.Mount = make(map[string]httpapi.Mount)
	if s.engine != nil {
		served := &servedEngine{Engine: s.engine, adapter: f.Adapter, detector: o.Detector}
		engine = served
		s.live = ws.New(ws.Options{
			Listen: served.listen, Transcribe: served.Transcribe, Limits: o.Limits, Model: o.Models[0],
			Origins: o.Origins, Log: o.Logger, Metrics: now,
		})
		now.watch(s.engine, s.live)
		mountLive(o.Mount, s.live)
	}
	history := web.NewHistory(now)
	go history.Run(ctx)
	mountPages(o.Mount, web.Handler(web.Options{About: f.about(s), History: history}))
	if s.api, err = httpapi.New(engine, o); err != nil {
		return err
	}
	s.handler = s.api.Handler()
	s.doJobs(ctx, f, o)
	if s.engine == nil {
		s.handler = withoutWorker(s.handler)
		return nil
	}
	if f.WatchAdapters {
		go watchAdapters(ctx, s.engine, f.Adapters, o.Logger)
	}
	go func() {
		if err := s.api.Warm(ctx); err != nil && ctx.Err() == nil {
			o.Logger.Error("warming the model", "error", err)
		}
	}()
	return nil
}

// readyWith returns whether both the engine computes and what else there is, if anything, is ready.
func readyWith(e *asr.Engine, other func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := e.Ready(); err != nil || other == nil {
			return err
		}
		return other(ctx)
	}
}

// mountLive adds the routes of live sessions.
func mountLive(mounts map[string]httpapi.Mount, live *ws.Server) {
	h := live.Handler()
	for pattern, summary := range map[string]string{
		"GET /v1/stream":   "Live transcription over a websocket",
		"GET /v1/listen":   "Live transcription over a websocket, in Deepgram's shapes",
		"POST /v1/listen":  "Transcription of a file, in Deepgram's shapes",
		"GET /v1/realtime": "Live transcription over a websocket, in the shapes of OpenAI's transcription sessions",
	} {
		mounts[pattern] = httpapi.Mount{Handler: h, Work: true, Counted: strings.HasPrefix(pattern, "POST"), Summary: summary}
	}
}

// mountPages adds the pages, which everybody may load; what a server does now, those with a key may know.
func mountPages(mounts map[string]httpapi.Mount, pages http.Handler) {
	for _, pattern := range web.Patterns() {
		mounts[pattern] = httpapi.Mount{Handler: pages, Public: !strings.HasSuffix(pattern, "/status.json"), Quiet: true}
	}
}

// modelNames are the names that clients may call the model by.
func (f *serverFlags) modelNames() []string {
	name := f.Model
	if i := strings.LastIndexAny(strings.TrimRight(name, `/\`), `/\`); i >= 0 { // a path is not for everybody to know
		name = strings.TrimRight(name, `/\`)[i+1:]
	}
	return slices.Compact([]string{name, "glossa"})
}

// about is what the pages tell of the server.
func (f *serverFlags) about(s *service) web.About {
	about := web.About{Model: f.modelNames()[0], Version: programVersion(), Key: s.keyed}
	if s.engine == nil {
		about.Model += ", not here"
		return about
	}
	codes := s.engine.Languages()
	for _, l := range whisper.Languages() {
		if slices.Contains(codes, l.Code) {
			about.Languages = append(about.Languages, web.Language{Code: l.Code, Name: l.Name})
		}
	}
	return about
}

// detector returns what tells speech from silence.
func (f *serverFlags) detector() (func() audio.Detector, error) {
	if f.VAD == vadBuiltin {
		return audio.NewLongTermDetector, nil
	}
	s, err := openSilero(f.VAD)
	if err != nil {
		return nil, fmt.Errorf("--vad %s: %w", f.VAD, err)
	}
	return s.Detector, nil
}

// watchAdapters loads and unloads adapters as their folders come and go.
func watchAdapters(ctx context.Context, e *asr.Engine, dir string, log *slog.Logger) {
	err := e.WatchAdapters(ctx, dir, flora.WatchOptions{Report: func(e flora.WatchEvent) {
		if e.Err != nil {
			log.Error("adapter", "event", e.String())
			return
		}
		log.Info("adapter", "event", e.String())
	}})
	if ctx.Err() == nil {
		log.Error("adapters are not watched any more", "error", err)
	}
}

// drain refuses new work and returns when none is under way.
func (s *service) drain(ctx context.Context) error {
	parts := []func(context.Context) error{s.api.Drain}
	if s.live != nil {
		parts = append(parts, s.live.Drain)
	}
	if s.jobs != nil {
		parts = append(parts, s.jobs.drain)
	}
	failed := make(chan error, len(parts))
	for _, drain := range parts {
		go func() { failed <- drain(ctx) }()
	}
	var err error
	for range parts {
		err = errors.Join(err, <-failed)
	}
	return err
}

// close ends the service, its broker last.
func (s *service) close() {
	s.cancel()
	if s.jobs != nil {
		defer s.jobs.close()
	}
	if s.live != nil {
		over, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.live.Drain(over) // what is left is broken off
	}
	if s.engine != nil {
		s.engine.Close()
	}
}
