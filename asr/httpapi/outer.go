package httpapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// record is what is known of a request when it ends.
type record struct {
	id     string
	client string
	quiet  bool       // see [Mount]
	body   *timedBody // nil where there is none
}

type recordKey struct{}

// logged returns the record of a request.
func logged(r *http.Request) *record {
	if l, ok := r.Context().Value(recordKey{}).(*record); ok {
		return l
	}
	return new(record)
}

// RequestID returns the id of the request that a context is of, "" of others.
func RequestID(ctx context.Context) string {
	if l, ok := ctx.Value(recordKey{}).(*record); ok {
		return l.id
	}
	return ""
}

// outer is around all routes: it gives each request its id, checks where it comes from, answers for what panics, and logs and counts
// how it ended.
func (s *Server) outer(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		l := &record{id: requestID(r.Header.Get("X-Request-Id"))}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, l))
		r.Header.Set("X-Request-Id", l.id)
		w.Header().Set("X-Request-Id", l.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		a := &answerWriter{ResponseWriter: w, timeout: s.options.WriteTimeout, deadlines: r.ProtoMajor == 1}
		defer func() {
			aborted := s.recovered(a, r, recover())
			a.deadline()
			s.told(r, a, l, time.Since(began))
			if aborted {
				panic(http.ErrAbortHandler)
			}
		}()
		if r.Body != nil && r.Body != http.NoBody {
			l.body = newTimedBody(r.Body, w, s.options.BodyTimeout)
			r.Body = l.body
		}
		if s.hosted(a, r) && s.cors(a, r) {
			mux.ServeHTTP(a, r)
		}
	})
}

// recovered answers for a handler that panicked. It reports whether the connection has to be broken, since the client would take for
// whole what is not.
func (s *Server) recovered(a *answerWriter, r *http.Request, fault any) (abort bool) {
	if fault == nil {
		return false
	}
	if fault == http.ErrAbortHandler {
		return true
	}
	s.options.Logger.ErrorContext(r.Context(), "panic", "request_id", RequestID(r.Context()), "route", routeOf(r), "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	if a.status != 0 {
		return true
	}
	s.writeError(a, r, hidden(nil))
	return false
}

// told logs and counts a request. Neither keys nor queries nor texts are in the log.
func (s *Server) told(r *http.Request, a *answerWriter, l *record, d time.Duration) {
	route, status := routeOf(r), a.status
	if status == 0 {
		status = http.StatusOK // nothing was written
	}
	if m := s.options.Metrics; m != nil {
		m.Request(route, status, d)
	}
	level := slog.LevelInfo
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case l.quiet && status < 400:
		level = slog.LevelDebug
	}
	s.options.Logger.LogAttrs(r.Context(), level, "request",
		slog.String("request_id", l.id), slog.String("method", methodName(r)), slog.String("route", route), slog.Int("status", status),
		slog.Duration("duration", d), slog.Int64("bytes_in", l.body.taken()), slog.Int64("bytes_out", a.bytes),
		slog.String("client", l.client))
}

// routeOf returns the path of the route of a request that was served, "other" where it had none.
func routeOf(r *http.Request) string {
	_, path, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		path = r.Pattern
	}
	if path == "" || path == "/" && r.URL.Path != "/" {
		return "other"
	}
	return strings.TrimSuffix(strings.ReplaceAll(path, "...}", "}"), "{$}")
}

// methodName returns the method of a request, if it is one of HTTP's.
func methodName(r *http.Request) string {
	switch r.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE":
		return r.Method
	}
	return "other"
}

// requestID returns the id that a client gave its request, or a new one where it gave none that can be logged.
func requestID(given string) string {
	const most = 128
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.:/", c)
	}
	if given != "" && len(given) <= most && !strings.ContainsFunc(given, func(c rune) bool { return !plain(c) }) {
		return given
	}
	return "req_" + rand.Text()
}
