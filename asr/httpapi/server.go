package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"glossa/asr"
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
)

// Engine is what this package needs of an [asr.Engine].
type Engine interface {
	Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error)
	Adapters() []flora.AdapterInfo
	Adapter(name string) (flora.AdapterInfo, error)
	Allows(client, adapter string) bool
	LoadAdapterDir(name, dir string) (flora.AdapterInfo, error)
	UnloadAdapter(name string) error
	Err() error
}

// Metrics are told of every request.
type Metrics interface {
	// Request tells of a request to a route, a path as it was registered or "other", and its status.
	Request(route string, code int, d time.Duration)
}

// Mount is what another package serves at a pattern of [http.ServeMux].
type Mount struct {
	Handler http.Handler

	// Public lets everybody in. The default value is false: a key or token is needed, and the handler finds the client's name
	// by asr.ClientOf.
	Public bool

	// Work says that a request begins work: it is refused while the server drains.
	Work bool

	// Counted says that a request is one of Limits.Requests, and that Drain waits for it. It is Work too.
	Counted bool

	// Quiet says that there are many requests that tell little, such as those for a page's parts: the ones that succeed are
	// logged at debug level.
	Quiet bool

	// Summary describes the mount in openapi.json. The default value is "": it is not listed there.
	Summary string
}

// Options say how a server serves. The zero value serves everybody who can connect.
type Options struct {
	// Limits are what clients may ask of the server: RequestBytes, JobBytes, Decoded and Requests of them are of this package.
	Limits asr.Limits

	// Auth says who may ask. The default value is the zero Auth: everybody.
	Auth Auth

	// Origins are the origins of web pages that may use the server beside its own, as browsers name them
	// ("https://example.org"), or "*" for all. The default value is nil: none. Programs that are no browsers send none, and
	// are not bound by it. A server of everybody answers over the loopback to the machine's own names alone, and those of Origins.
	Origins []string

	// Models are the names of the model; it is listed under the first. Those of OpenAI's models for transcription mean it too. The
	// default value is nil: "glossa".
	Models []string

	// Decoding is what decoding begins with where a request does not say otherwise. The default value is upstream's.
	Decoding asr.Decoding

	// Jobs keeps jobs. The default value is nil: there are none, which their routes tell.
	Jobs Jobs

	// AnyModel takes jobs for models that are not this server's, which workers elsewhere may have. The default value is false: they are
	// refused as unknown.
	AnyModel bool

	// CheckCallback and CheckURL report what is wrong with the address that a job's client wants to be called at its end, and with that of
	// its sound; what they report is told. The default values are nil: such addresses are refused.
	CheckCallback, CheckURL func(address string) error

	// Detector returns what finds speech for vad_filter and chunking_strategy. The default value is nil:
	// [audio.NewLongTermDetector].
	Detector func() audio.Detector

	// Admin lets adapters be loaded and unloaded. The default value is the zero Admin: it does not.
	Admin Admin

	// Mount is what is served beside this package's routes, by pattern. The default value is nil.
	Mount map[string]Mount

	// Logger is told of each request and of what went wrong. The default value is nil: nothing is logged.
	Logger *slog.Logger

	// Metrics are told of each request, and MetricsHandler serves /metrics, to everybody with MetricsPublic. The default values
	// are nil: there are none.
	Metrics        Metrics
	MetricsHandler http.Handler
	MetricsPublic  bool

	// Ready reports why the server should get no requests yet, at /readyz. The default value is nil: nothing speaks against it.
	Ready func(ctx context.Context) error

	// BodyTimeout is how long the body of a request may take to come, and that of a job as many times as long as it is larger than
	// Limits.RequestBytes. The default value is 5 minutes.
	BodyTimeout time.Duration

	// WriteTimeout is how long a client may take to read what was written. The default value is 1 minute.
	WriteTimeout time.Duration

	// RetryAfter is what clients are told to wait where the server is busy or drains. The default value is 2 s.
	RetryAfter time.Duration

	// SpoolBytes is how much of a file is kept in memory while it comes; the rest is kept in a file in TempDir. The
	// default value is 1 MiB, and "", os.TempDir.
	SpoolBytes int
	TempDir    string
}

// withDefaults returns the options with the values that zeros stand for.
func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	if len(o.Models) == 0 {
		o.Models = []string{"glossa"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.BodyTimeout = cmp.Or(o.BodyTimeout, 5*time.Minute)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, time.Minute)
	o.RetryAfter = cmp.Or(o.RetryAfter, defaultRetryAfter)
	o.SpoolBytes = cmp.Or(o.SpoolBytes, 1<<20)
	o.TempDir = cmp.Or(o.TempDir, os.TempDir())
	return o
}

// Server serves an engine.
type Server struct {
	engine  Engine
	options Options
	auth    *authenticator
	running *running
	created time.Time
	dims    whisper.Dims // of the model; zero where it is not known
	dirs    []string     // Admin.Dirs, without symbolic links
	openapi []byte
	handler http.Handler
	watched atomic.Int64 // streams of events of jobs
}

// New returns a server of an engine. The error tells what is wrong with the options.
func New(engine Engine, o Options) (*Server, error) {
	o = o.withDefaults()
	auth, err := newAuthenticator(o.Auth)
	if err != nil {
		return nil, err
	}
	s := &Server{engine: engine, options: o, auth: auth, created: time.Now()}
	s.running = newRunning(o.Limits.Requests)
	if m, ok := engine.(interface{ Model() *whisper.Model }); ok && m.Model() != nil {
		s.dims = m.Model().Dims
	}
	for _, dir := range o.Admin.Dirs {
		if dir, err = filepath.EvalSymlinks(dir); err == nil {
			dir, err = filepath.Abs(dir)
		}
		if err != nil {
			return nil, fmt.Errorf("httpapi: folder of adapters: %w", err)
		}
		s.dirs = append(s.dirs, dir)
	}
	for _, origin := range o.Origins {
		if origin != "*" && !strings.Contains(origin, "://") && origin != "null" {
			return nil, fmt.Errorf("httpapi: origin %q is not of the form scheme://host", origin)
		}
	}
	if s.openapi, err = document(o.Mount); err != nil {
		return nil, err
	}
	mux, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.handler = s.outer(mux)
	return s, nil
}

// Handler returns the handler of all routes.
func (s *Server) Handler() http.Handler { return s.handler }

// Drain lets no new work begin, of which clients are told by 503, and /readyz too, and waits for what runs. The error is that of
// ctx, where that ends first. What is mounted ends by itself.
func (s *Server) Drain(ctx context.Context) error {
	s.running.drain()
	select {
	case <-s.running.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("httpapi: drain: %d requests still run: %w", s.running.count(), context.Cause(ctx))
	}
}

// Warm has the engine transcribe a second of sound, so that no client waits for what happens but once. Meanwhile /readyz answers
// 503.
func (s *Server) Warm(ctx context.Context) error {
	s.running.warming.Store(true)
	defer s.running.warming.Store(false)
	pcm := make([]float32, audio.SampleRate)
	_, err := s.engine.Transcribe(ctx, asr.Request{
		Audio:    func() ([]float32, error) { return pcm, nil },
		Adapter:  asr.None,
		Decoding: asr.Decoding{Temperatures: []float64{0}, SampleLen: 4},
	})
	if err != nil {
		return fmt.Errorf("httpapi: warm: %w", err)
	}
	return nil
}

// access says who may use a route.
type access int

const (
	keyed   access = iota // a key or a token
	keyOnly               // a key: what tokens are too short-lived for
	public
)

// load says what a request to a route is to the server.
type load int

const (
	light   load = iota // nothing
	work                // refused while the server drains
	counted             // that, and one of Limits.Requests
)

// route is a row of the table of routes.
type route struct {
	pattern string
	access  access
	load    load
	handler http.Handler
	quiet   bool // see [Mount]
}

// routes returns the mux of all routes, mounts among them.
func (s *Server) routes() (mux *http.ServeMux, err error) {
	table := []route{
		{"POST /v1/audio/transcriptions", keyed, counted, s.transcription("transcribe"), false},
		{"POST /v1/audio/translations", keyed, counted, s.transcription("translate"), false},
		{"POST /v1/jobs", keyed, counted, s.withJobs(s.submitJob), false},
		{"GET /v1/jobs", keyed, light, s.withJobs(s.listJobs), false},
		{"GET /v1/jobs/{id}", keyed, light, s.withJobs(s.showJob), false},
		{"DELETE /v1/jobs/{id}", keyed, light, s.withJobs(s.cancelJob), false},
		{"POST /v1/jobs/{id}/retry", keyed, work, s.withJobs(s.retryJob), false},
		{"GET /v1/jobs/{id}/result", keyed, light, s.withJobs(s.jobResult), false},
		{"GET /v1/jobs/{id}/events", keyed, light, s.withJobs(s.watchJob), false},
		{"GET /v1/models", keyed, light, s.handle(s.listModels), false},
		{"GET /v1/models/{id...}", keyed, light, s.handle(s.showModel), false},
		{"POST /v1/load_lora_adapter", keyOnly, work, s.handle(s.loadAdapter), false},
		{"POST /v1/unload_lora_adapter", keyOnly, work, s.handle(s.unloadAdapter), false},
		{"POST /v1/tokens", keyOnly, light, s.handle(s.issueToken), false},
		{"POST /v1/realtime/client_secrets", keyOnly, light, s.handle(s.issueSecret), false},
		{"POST /v1/auth/grant", keyOnly, light, s.handle(s.grantToken), false},
		{"GET /healthz", public, light, s.handle(s.healthz), true},
		{"GET /readyz", public, light, s.handle(s.readyz), true},
		{"GET /openapi.json", keyed, light, s.handle(s.showOpenAPI), false},
	}
	if s.options.MetricsHandler != nil {
		who := keyed
		if s.options.MetricsPublic {
			who = public
		}
		table = append(table, route{"GET /metrics", who, light, s.options.MetricsHandler, true})
	}
	fallback := true
	for pattern, m := range s.options.Mount {
		if m.Handler == nil {
			return nil, fmt.Errorf("httpapi: nothing is mounted at %q", pattern)
		}
		who := keyed
		if m.Public {
			who = public
		}
		l := light
		if m.Counted {
			l = counted
		} else if m.Work {
			l = work
		}
		table = append(table, route{pattern, who, l, m.Handler, m.Quiet})
		fallback = fallback && pattern != "/"
	}
	mux = http.NewServeMux()
	if fallback {
		table = append(table, route{"/", public, light, s.handle(s.notFound(mux)), false})
	}
	defer func() { // what two patterns that cannot stand beside each other do to a mux
		if fault := recover(); fault != nil {
			mux, err = nil, fmt.Errorf("httpapi: mount: %v", fault)
		}
	}()
	for _, r := range table {
		mux.Handle(r.pattern, s.guard(r))
	}
	return mux, nil
}

// guard lets those in who may use a route, while there is work to be begun.
func (s *Server) guard(to route) http.Handler {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		logged(r).quiet = to.quiet
		if to.access != public {
			who, err := s.auth.identify(r)
			if err != nil {
				return err
			}
			if who.token && to.access == keyOnly {
				return &apiError{status: http.StatusForbidden, code: "key_required", message: "a token is not enough for this: it takes a key"}
			}
			r = withoutToken(r.WithContext(asr.WithClient(r.Context(), who.client)))
			logged(r).client = who.client
		}
		switch {
		case to.load == light:
		case s.running.isDraining():
			return s.draining()
		case to.load == counted:
			end, ok := s.running.begin()
			if !ok && s.running.isDraining() {
				return s.draining()
			}
			if !ok {
				return s.busy("as many requests run as may: try again later, or with fewer at a time")
			}
			defer end()
		}
		to.handler.ServeHTTP(w, r)
		return nil
	})
}

// notFound answers what no route is for: 405 where another method would have one.
func (s *Server) notFound(mux *http.ServeMux) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var allowed []string
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			return &apiError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", message: fmt.Sprintf("this path takes %s, not %s", strings.Join(allowed, " and "), methodName(r))}
		}
		return &apiError{status: http.StatusNotFound, code: "unknown_path", message: "there is nothing at this path; /openapi.json lists what there is"}
	}
}

// errHandled is returned by handlers that have answered with an error themselves.
var errHandled = errors.New("httpapi: answered")
