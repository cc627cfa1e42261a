package ws

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// Session is what this package needs of an [asr.Session], whose laws it relies on.
type Session interface {
	Write(pcm []float32) error
	Wait(ctx context.Context, samples int) error
	Finalize() error
	Update(o asr.ListenOptions) error
	CloseWrite() error
	Next(ctx context.Context) (asr.Event, error)
	Dropped() int64
	Close()
}

// Metrics takes what is counted. Its methods may be called by many goroutines.
type Metrics interface {
	SessionOpened(route string)
	SessionClosed(route string)
	Committed(latency time.Duration) // from when a word had come to when it was committed
	DroppedPartials(n int64)
	Transcribed(language, adapter string, seconds float64) // sound of a final that has text
}

// Options say what a server is made of.
type Options struct {
	// Listen begins a live session, as [asr.Engine.Listen] does.
	Listen func(ctx context.Context, o asr.ListenOptions) (Session, error)

	// Transcribe is [asr.Engine.Transcribe], for files at /v1/listen. The default value is nil: they are refused.
	Transcribe func(ctx context.Context, r asr.Request) (*asr.Result, error)

	// Limits are asr's. The default value of each is its own.
	Limits asr.Limits

	// Model is the name of the model, told to clients.
	Model string

	// Origins are those whose pages may connect, such as "https://example.org"; "*" is any. A page of the server's
	// own may in any case, as may clients that are no browser. The default value is nil: no other.
	Origins []string

	// Log takes what goes wrong. The default value is nil: slog's.
	Log *slog.Logger

	// Metrics takes what is counted. The default value is nil: nothing is.
	Metrics Metrics

	// ConfigTimeout is how long the first message may take. The default value is 0: 10 s.
	ConfigTimeout time.Duration

	// WriteTimeout is how long a client may not read before its connection is broken off. The default value is 0: 10 s.
	WriteTimeout time.Duration

	// PingEvery is the time between two pings. The default value is 0: 15 s.
	PingEvery time.Duration

	// CloseTimeout is how long a connection waits for the other side to close it. The default value is 0: 1 s.
	CloseTimeout time.Duration

	// OverrunTimeout is how long sound may wait where a session takes none, before the session ends. Until then the
	// socket is not read. The default value is 0: 30 s.
	OverrunTimeout time.Duration
}

// withDefaults returns the options with the default value in each field that is zero.
func (o Options) withDefaults() Options {
	o.Limits = o.Limits.WithDefaults()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.ConfigTimeout, 10 * time.Second}, {&o.WriteTimeout, 10 * time.Second}, {&o.PingEvery, 15 * time.Second},
		{&o.CloseTimeout, time.Second}, {&o.OverrunTimeout, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return o
}

type noMetrics struct{}

func (noMetrics) SessionOpened(string)    {}
func (noMetrics) SessionClosed(string)    {}
func (noMetrics) Committed(time.Duration) {}
func (noMetrics) DroppedPartials(int64)   {}

func (noMetrics) Transcribed(string, string, float64) {}

// Server serves the three routes of live sessions. Who asks, the layer before it has found out: see [asr.WithClient].
type Server struct {
	o        Options
	upgrader websocket.Upgrader
	ctx      context.Context // of all sessions
	cancel   context.CancelFunc

	mu       sync.Mutex
	lives    map[string]*live // by id
	conns    map[*conn]bool
	gone     chan struct{} // closed and made anew as a connection goes
	draining bool
}

// New returns a server.
func New(o Options) *Server {
	s := &Server{o: o.withDefaults(), lives: map[string]*live{}, conns: map[*conn]bool{}, gone: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: s.o.WriteTimeout,
		WriteBufferPool:  &sync.Pool{},
		WriteBufferSize:  1 << 12,
		CheckOrigin:      s.originAllowed,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			answerError(w, status, &failure{code: CodeInvalid, message: reason.Error()})
		},
		// Those by which browsers, which cannot send an Authorization, say what they speak.
		Subprotocols: []string{"realtime", "token", "bearer", "glossa"},
	}
	return s
}

// Engine is the part of an [asr.Engine] that live sessions need: Options.Listen of it.
func Engine(e *asr.Engine) func(ctx context.Context, o asr.ListenOptions) (Session, error) {
	return func(ctx context.Context, o asr.ListenOptions) (Session, error) {
		session, err := e.Listen(ctx, o)
		if err != nil {
			return nil, err
		}
		return session, nil
	}
}

// Handler serves the three routes by their paths, with the file route POST /v1/listen.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/stream", s.Stream)
	mux.HandleFunc("GET /v1/listen", s.Listen)
	mux.HandleFunc("POST /v1/listen", s.ListenFile)
	mux.HandleFunc("GET /v1/realtime", s.Realtime)
	return mux
}

// Sessions returns the number of sessions, those that wait to be resumed included.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lives)
}

// originAllowed tells whether a page of the request's origin may connect.
func (s *Server) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(s.o.Origins, "*") || slices.Contains(s.o.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// admit counts a connection until it is removed. The errors are errDraining and errFull.
func (s *Server) admit(r *http.Request, route string) (*conn, *failure) {
	c := &conn{server: s, route: route, log: s.o.Log.With("route", route),
		signal: make(chan struct{}, 1), written: make(chan struct{}), over: make(chan struct{})}
	// The context of the request ends with it, the session may go on.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		c.cancel()
		return nil, errDraining
	case len(s.conns) >= 2*s.o.Limits.Sessions: // those without a session yet, and that take one over, included
		c.cancel()
		return nil, errFull
	}
	s.conns[c] = true
	return c, nil
}

// upgrade makes a websocket of a request. !ok: it has answered that it cannot.
func (s *Server) upgrade(c *conn, w http.ResponseWriter, r *http.Request, header http.Header) (ok bool) {
	ws, err := s.upgrader.Upgrade(hijackable{w}, r, header)
	if err != nil {
		return false
	}
	c.mu.Lock()
	c.ws = ws
	c.mu.Unlock()
	return true
}

// accept is admit and upgrade. Where it returns nil, it has answered.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, route string) *conn {
	c, refused := s.admit(r, route)
	if refused != nil {
		answerError(w, refused.status(), refused)
		return nil
	}
	if !s.upgrade(c, w, r, nil) {
		s.remove(c)
		return nil
	}
	return c
}

// remove forgets a connection.
func (s *Server) remove(c *conn) {
	c.cancel()
	close(c.over)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	close(s.gone)
	s.gone = make(chan struct{})
}

// hijackable finds the Hijack of writers that wrap others.
type hijackable struct{ http.ResponseWriter }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// newID returns 128 bits that nobody guesses.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Drain ends the server: new connections are refused, clients are told, their sound so far is heard, they get its text
// and their done, and are closed with 1001. Where ctx ends before that, the rest is broken off, and its error returned.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	lives, conns := slices.Collect(maps.Values(s.lives)), slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.conclude(errDraining)
	}
	for _, l := range lives {
		l.endUnowned()
	}
	defer s.cancel()
	for {
		s.mu.Lock()
		left, gone := len(s.conns), s.gone
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
			s.cancel()
			return ctx.Err()
		}
	}
}
