package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// cors answers preflights, lets pages of allowed origins read answers, and refuses what pages of others would have the
// server do: a form that is posted, or a websocket, needs no preflight, and a server on a person's own machine may take everybody's
// requests. It reports whether the request is to be served.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	allowed := slices.Contains(s.options.Origins, "*") || slices.Contains(s.options.Origins, origin)
	if allowed {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, Location")
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	switch {
	case preflight && allowed:
		h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
			h.Set("Access-Control-Allow-Headers", want)
			h.Add("Vary", "Access-Control-Request-Headers")
		}
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return false
	case allowed || sameOrigin(origin, r.Host):
		return true
	case r.Method == http.MethodGet && r.Header.Get("Upgrade") == "", r.Method == http.MethodHead:
		return true // which the page cannot read
	}
	s.writeError(w, r, &apiError{status: http.StatusForbidden, code: "origin_not_allowed", message: "pages of this origin may not use the server: its configuration lists those that may"})
	return false
}

// sameOrigin reports whether an origin is that of the host that was asked. Its scheme is not compared, for a proxy may have ended
// TLS.
func sameOrigin(origin, host string) bool {
	_, at, ok := strings.Cut(origin, "://")
	return ok && strings.EqualFold(at, host)
}

// hosted refuses what comes to a server of everybody, over the machine's own loopback, by the name of another host: a page whose
// name was made to lead there (DNS rebinding) is of the server's own origin to its browser, and could read all answers. Names that
// cannot be another's are addresses, those of the loopback, and the machine's own; the hosts of Options.Origins are meant, too, and "*" is any. A key
// is nothing that such a page has. It reports whether the request is to be served.
func (s *Server) hosted(w http.ResponseWriter, r *http.Request) bool {
	if !s.auth.open() || !overLoopback(r) || s.ownName(r.Host) {
		return true
	}
	s.writeError(w, r, &apiError{status: http.StatusForbidden, code: "host_not_allowed",
		message: "the server is not known by this name: ask by localhost, or list the origin of the name in the server's configuration"})
	return false
}

// overLoopback reports whether a request came to a loopback address.
func overLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// ownName reports whether a Host is the machine's own, or that of one of Options.Origins.
func (s *Server) ownName(host string) bool {
	if slices.ContainsFunc(s.options.Origins, func(origin string) bool { return origin == "*" || sameOrigin(origin, host) }) {
		return true
	}
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil {
		return true // nobody looks an address up
	}
	own, _ := os.Hostname()
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || strings.EqualFold(name, own)
}
