// Package broker runs a NATS server with JetStream inside the process, and connects to it or to another.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	_ "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options say how the embedded server runs.
type Options struct {
	// Dir holds its files. One process uses a folder at a time: the error is ErrLocked where another does.
	Dir string

	// Listen is an address that others reach it at, HOST:PORT. The default value is "": none, only this process does.
	Listen string

	// Username and Password are asked of others, or Token. The default values are "": nothing is.
	Username, Password, Token string

	// TLS is used for others. The default value is nil: connections are not encrypted.
	TLS *tls.Config

	// Sync is how often files are synced to disk; negative: with every message, which outlives a loss of power. The default value is 0: the
	// server's, 2 minutes; a killed process loses nothing either way.
	Sync time.Duration

	// Logger is told what the server logs. The default value is nil: nobody is.
	Logger *slog.Logger
}

// ErrLocked says that another process uses the folder.
var ErrLocked = errors.New("broker: another process uses the folder")

// Server is an embedded server.
type Server struct{}

var errTODO = errors.New("broker: not there yet")

// Start starts a server, and returns when JetStream is ready.
func Start(ctx context.Context, o Options) (*Server, error) { return nil, errTODO }

// Connect returns a connection from within the process, which never gives up.
func (s *Server) Connect(name string) (*nats.Conn, error) { return nil, errTODO }

// Addr returns the address that it listens at, "" for none.
func (s *Server) Addr() string { return "" }

// Close ends the server: what is acknowledged is in its files.
func (s *Server) Close() {}

// DialOptions say how another server is reached.
type DialOptions struct {
	URL         string // nats://, tls:// or ws://, or several with commas between them; may hold user:password@ or token@
	Credentials string // a .creds file
	NKey        string // a file with an nkey seed
	CA          string // a PEM file of authorities
	Cert, Key   string // PEM files of a client's certificate
	Name        string // of the connection
	Logger      *slog.Logger
}

// Dial connects, for as long as the process lives: it tries again where the connection breaks, but the first time must succeed before ctx ends.
func Dial(ctx context.Context, o DialOptions) (*nats.Conn, error) { return nil, errTODO }
