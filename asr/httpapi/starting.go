package httpapi

import (
	"net/http"
	"sync/atomic"
	"time"
)

// defaultRetryAfter is that of [Options], and of a server that has none yet.
const defaultRetryAfter = 2 * time.Second

// Starting answers for a server that is still being made: a large model may have to be read, or a broker waited for. Until
// Started gives it the server's handler, /healthz is 200, and all else is 503 with the code "starting".
type Starting struct{ handler atomic.Pointer[http.Handler] }

// Started has h answer from now on.
func (s *Starting) Started(h http.Handler) { s.handler.Store(&h) }

// ServeHTTP implements http.Handler.
func (s *Starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/healthz" {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		return
	}
	e := &apiError{status: http.StatusServiceUnavailable, code: "starting", message: "the server is starting", retryAfter: defaultRetryAfter}
	e.write(w)
}
