package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/asr/ws"
	"glossa/audio"
	"glossa/flora"
)

// servedEngine is an engine with what the server's flags say where requests do not.
type servedEngine struct {
	*asr.Engine
	adapter  string // asr.Auto, or that of requests that name none
	detector func() audio.Detector
}

// reader returns what reads the params of jobs.
func (e *servedEngine) reader() params.Reader {
	return params.Reader{Detector: e.detector, Dims: e.Model().Dims}
}

// Transcribe is that of the engine.
func (e *servedEngine) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	q.Adapter = cmp.Or(q.Adapter, e.adapter)
	return e.Engine.Transcribe(ctx, q)
}

// listen is Listen of the engine.
func (e *servedEngine) listen(ctx context.Context, o asr.ListenOptions) (ws.Session, error) {
	o.Adapter, o.Detector = cmp.Or(o.Adapter, e.adapter), e.detector
	s, err := ws.Engine(e.Engine)(ctx, o)
	if err != nil {
		return nil, err
	}
	return &servedSession{s, e.adapter}, nil
}

// servedSession is a session of a servedEngine.
type servedSession struct {
	ws.Session
	adapter string // that of options that name none
}

// Update is that of the session.
func (s *servedSession) Update(o asr.ListenOptions) error {
	o.Adapter = cmp.Or(o.Adapter, s.adapter)
	return s.Session.Update(o)
}

// noWorker stands where there is no engine: there are no adapters either.
type noWorker struct{}

var errNoWorker = fmt.Errorf("%w: this server has no worker", asr.ErrBusy)

func (noWorker) Transcribe(context.Context, asr.Request) (*asr.Result, error) {
	return nil, errNoWorker
}
func (noWorker) Adapters() []flora.AdapterInfo { return nil }
func (noWorker) Adapter(name string) (flora.AdapterInfo, error) {
	return flora.AdapterInfo{}, fmt.Errorf("%w: adapter %q", asr.ErrNotFound, name)
}
func (noWorker) Allows(string, string) bool { return true }
func (noWorker) LoadAdapterDir(string, string) (flora.AdapterInfo, error) {
	return flora.AdapterInfo{}, errNoWorker
}
func (noWorker) UnloadAdapter(name string) error {
	return fmt.Errorf("%w: adapter %q", asr.ErrNotFound, name)
}
func (noWorker) Err() error { return nil }

// withoutWorker answers 503 for routes that would transcribe.
func withoutWorker(next http.Handler) http.Handler {
	const answer = `{"error":{"message":"this server transcribes nothing itself: it was started with --workers 0","type":"server_error","param":null,"code":"no_worker"}}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/v1/audio/"), path == "/v1/stream", path == "/v1/listen", path == "/v1/realtime":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, answer+"\n")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
