package httpapi

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Bounds of connections.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// NewHTTPServer returns the server of a handler at an address, with bounds that hold for every connection. How long a body may take to
// come and a client to read are not among them, since streams and websockets last: the handler of a [Server] bounds both.
func NewHTTPServer(addr string, h http.Handler, logger *slog.Logger) *http.Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// timedBody is a body that has to come in time, whoever reads it, if anybody: the server itself reads what is left of one that was
// answered too early.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
	bytes   atomic.Int64 // that were read: a handler may have left that to another goroutine
}

func newTimedBody(body io.ReadCloser, w http.ResponseWriter, timeout time.Duration) *timedBody {
	b := &timedBody{ReadCloser: body, control: http.NewResponseController(w)}
	b.control.SetReadDeadline(time.Now().Add(timeout)) // a writer of tests has none
	return b
}

// allow gives the body another time to come, from now on; b may be nil.
func (b *timedBody) allow(timeout time.Duration) {
	if b != nil {
		b.control.SetReadDeadline(time.Now().Add(timeout))
	}
}

// Read implements io.Reader. Behind the end, a client may be silent for as long as it likes.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	if err == io.EOF {
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// taken returns how many bytes of the body were read; b may be nil.
func (b *timedBody) taken() int64 {
	if b == nil {
		return 0
	}
	return b.bytes.Load()
}

// answerWriter notes what a handler answers, and gives each write its time.
type answerWriter struct {
	http.ResponseWriter
	timeout   time.Duration
	deadlines bool // of HTTP/1: HTTP/2 would take them for those of the whole stream
	status    int  // 0 until it is written
	bytes     int64
	hijacked  bool
}

// Unwrap is for http.ResponseController.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answerWriter) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
		a.deadline()
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answerWriter) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.deadline()
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

// Flush implements http.Flusher.
func (a *answerWriter) Flush() { a.FlushError() }

// FlushError is for http.ResponseController.
func (a *answerWriter) FlushError() error {
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (a *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.hijacked, a.status = true, http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// deadline gives what is written next, or is still in buffers, its time.
func (a *answerWriter) deadline() {
	if a.deadlines && !a.hijacked {
		http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(a.timeout))
	}
}
