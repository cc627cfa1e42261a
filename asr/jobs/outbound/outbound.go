// Package outbound calls addresses that clients name, without letting them reach what is internal: callbacks of jobs, and sound that is
// somewhere else.
package outbound

import (
	"context"
	"errors"
	"net/http"
)

// Guard says which addresses may be called.
type Guard struct {
	// Internal lets private, loopback, link-local and the like be called. The default value is false: they are refused after
	// names are resolved, at each connection, so that no name can change its mind in between.
	Internal bool

	// HTTP lets http:// be called beside https://.
	HTTP bool
}

// ErrForbidden is the error of an address that may not be called.
var ErrForbidden = errors.New("outbound: the address may not be called")

// Check reports what can be known to be wrong with an address before it is called.
func (g Guard) Check(url string) error { return errors.New("outbound: not there yet") }

// Client returns a client that keeps to the guard, follows no redirect and uses no proxy.
func (g Guard) Client() *http.Client { return nil }

// Get gets a file of at most so many bytes.
func (g Guard) Get(ctx context.Context, url string, limit int64) ([]byte, error) {
	return nil, errors.New("outbound: not there yet")
}
