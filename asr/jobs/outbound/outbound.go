// Package outbound calls addresses that clients name, without letting them reach what is internal: callbacks of jobs, and sound that is
// somewhere else.
//
// An address is looked at twice: as it is spelt, by [Guard.Check], so that a client is told early; and at each connection, when its name is
// resolved, so that no spelling and no change of a name in between leads anywhere else. The second is what counts.
package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"glossa/asr"
)

// Guard says which addresses may be called. The zero value allows https:// to public ones.
type Guard struct {
	// Internal lets private, loopback, link-local and the like be called. The default value is false: they are refused after
	// names are resolved, at each connection, so that no name can change its mind in between.
	Internal bool

	// HTTP lets http:// be called beside https://.
	HTTP bool

	// Resolver resolves names. The default value is nil: net.DefaultResolver.
	Resolver *net.Resolver

	// Roots are the authorities whose certificates are trusted. The default value is nil: the system's.
	Roots *x509.CertPool
}

// ErrForbidden is the error of an address that may not be called. It is asr.ErrInvalid: to try again is of no use.
var ErrForbidden = fmt.Errorf("%w: the address may not be called", asr.ErrInvalid)

// Bounds of a call. How long all of it may take, the caller's context or client says.
const (
	maxURL         = 2048 // bytes
	connectTime    = 10 * time.Second
	handshakeTime  = 10 * time.Second
	headerTime     = 30 * time.Second // until an answer begins
	idleTime       = 90 * time.Second // that a connection waits for the next call
	maxHeaderBytes = 64 << 10
	maxIdleConns   = 64
)

// forbiddenError says why an address may not be called.
type forbiddenError struct{ why string }

func (e *forbiddenError) Error() string { return ErrForbidden.Error() + ": " + e.why }
func (e *forbiddenError) Unwrap() error { return ErrForbidden }

func forbidden(format string, args ...any) error {
	return &forbiddenError{fmt.Sprintf(format, args...)}
}

// Check reports what can be known to be wrong with an address before it is called: no name is resolved. The error is ErrForbidden, and can be
// told to who named the address.
func (g Guard) Check(address string) error {
	if len(address) > maxURL {
		return forbidden("it has more than %d bytes", maxURL)
	}
	u, err := url.Parse(address)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // which does not repeat the address
		}
		return forbidden("it is not a URL: %v", err)
	}
	return g.checkURL(u)
}

func (g Guard) checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && g.HTTP):
		if g.HTTP {
			return forbidden("it must begin with https:// or http://")
		}
		return forbidden("it must begin with https://")
	case u.User != nil:
		return forbidden("it must hold no user or password")
	case u.Hostname() == "":
		return forbidden("it names no host")
	case strings.HasSuffix(u.Host, ":"):
		return forbidden("the port is missing")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return forbidden("the port is not a number from 1 to 65535")
		}
	}
	return g.checkHost(u.Hostname())
}

// checkHost reports what is wrong with a host as it is spelt.
func (g Guard) checkHost(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.checkAddr(ip)
	}
	if strings.ContainsAny(host, ":%[]") {
		return forbidden("the host is no address")
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case last == "":
		return forbidden("the host is no name")
	case endsInNumber(last):
		return forbidden("the host is neither a name nor an address of four decimal numbers")
	case !g.Internal && last == "localhost":
		return errInternal
	}
	return nil
}

// endsInNumber reports whether the last label of a host makes a browser, or the C library, take all of it for an IPv4 address, which may be one
// number, octal or hexadecimal (WHATWG URL, "ends in a number").
func endsInNumber(last string) bool {
	digits, hexadecimal := strings.CutPrefix(last, "0x")
	allowed := "0123456789"
	if hexadecimal {
		allowed += "abcdef"
	}
	return strings.Trim(digits, allowed) == ""
}

// errInternal does not tell which address it was: what internal names resolve to is not told to outsiders.
var errInternal = forbidden("it leads to an internal address")

// checkAddr reports whether an address may be connected to.
func (g Guard) checkAddr(ip netip.Addr) error {
	if g.Internal || public(ip) {
		return nil
	}
	return errInternal
}

// control is asked before each connection, with the address that a name was resolved to (net.Dialer.Control).
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return forbidden("it leads to no address")
	}
	return g.checkAddr(to.Addr())
}

// Client returns a client that keeps to the guard, follows no redirect, which then is the response, and uses no proxy. It decompresses nothing. Its
// errors wrap ErrForbidden where the guard refuses. Whoever is done with it for good calls its CloseIdleConnections.
func (g Guard) Client() *http.Client {
	dialer := &net.Dialer{Timeout: connectTime, Resolver: g.Resolver, Control: g.control}
	t := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: handshakeTime, ResponseHeaderTimeout: headerTime, MaxResponseHeaderBytes: maxHeaderBytes,
		IdleConnTimeout: idleTime, MaxIdleConns: maxIdleConns, MaxIdleConnsPerHost: 2,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.Roots},
	}
	return &http.Client{
		Transport:     guarded{g, t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded checks the address of each request.
type guarded struct {
	Guard
	*http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.checkURL(r.URL); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return t.Transport.RoundTrip(r)
}
