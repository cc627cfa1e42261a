package broker

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/nats-io/nats-server/v2/server"
)

// secrets are those of Options that others must know: see [server.Authentication].
type secrets struct{ username, password, token string }

// Check lets a client in who knows them, or is of this process.
func (s secrets) Check(c server.ClientAuthentication) bool {
	if a := c.RemoteAddress(); a != nil && a.Network() == "pipe" { // of net.Pipe
		return true
	}
	said := c.GetOpts()
	if s.token != "" {
		return same(said.Token, s.token)
	}
	username, password := same(said.Username, s.username), same(said.Password, s.password)
	return username && password
}

// same compares secrets in a time that tells neither where they differ nor how long they are.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
