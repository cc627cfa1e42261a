// Package broker runs a NATS server with JetStream inside the process, and connects to it or to another.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Options say how the embedded server runs.
type Options struct {
	// Dir holds its files. One process uses a folder at a time: the error is ErrLocked where another does.
	Dir string

	// Listen is an address that others reach it at, HOST:PORT; port 0 is one that is free. The default value is "": none, only this process does.
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

// Errors of servers.
var (
	ErrLocked = errors.New("broker: another process uses the folder")
	ErrClosed = errors.New("broker: the server is closed")
)

// Server is an embedded server. Its methods may be called from any goroutine.
type Server struct {
	o    Options
	lock io.Closer // of the folder

	ns atomic.Pointer[server.Server] // nil between two of them; connections ask for it while a Restart waits for them

	mu     sync.Mutex
	conns  []*nats.Conn // of Connect
	addr   string
	closed bool
}

// Start starts a server, and returns when JetStream is ready.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, lock: lock}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// check reports what is wrong with options.
func (o Options) check() error {
	switch {
	case o.Dir == "":
		return errors.New("broker: no folder for its files")
	case o.Token != "" && (o.Username != "" || o.Password != ""):
		return errors.New("broker: want either a token or a username and a password")
	case (o.Username == "") != (o.Password == ""):
		return errors.New("broker: want both a username and a password")
	}
	if _, _, err := splitListen(o.Listen); err != nil {
		return err
	}
	return nil
}

// splitListen splits an address to listen at. Port 0 becomes server.RANDOM_PORT.
func splitListen(listen string) (host string, port int, err error) {
	if listen == "" {
		return "", 0, nil
	}
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("broker: address %q: want HOST:PORT", listen)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("broker: address %q: want a port of 0 to 65535", listen)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// serverOptions returns the server's own. listen is an address that is understood.
func (o Options) serverOptions(listen string) *server.Options {
	host, port, _ := splitListen(listen)
	so := &server.Options{
		ServerName: "glossa", JetStream: true, StoreDir: o.Dir, Host: host, Port: port, DontListen: listen == "",
		NoSigs: true, NoLog: true, DisableJetStreamBanner: true, SyncAlways: o.Sync < 0, SyncInterval: max(o.Sync, 0),
	}
	if o.TLS != nil {
		so.TLS, so.TLSConfig, so.TLSTimeout = true, o.TLS, 5
	}
	if o.Username != "" || o.Token != "" {
		so.CustomClientAuthentication = secrets{o.Username, o.Password, o.Token}
	}
	return so
}

// start starts a server on the folder. The lock on s is held, or s is new.
func (s *Server) start(ctx context.Context) error {
	listen := s.o.Listen
	if s.addr != "" {
		listen = s.addr // the same port as before
	}
	ns, err := server.NewServer(s.o.serverOptions(listen))
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	log := newLog(s.o.Logger)
	ns.SetLoggerV2(log, s.o.Logger != nil && s.o.Logger.Enabled(ctx, slog.LevelDebug), false, false)
	go ns.Start()
	if err := ready(ctx, ns, log); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return err
	}
	if a := ns.Addr(); a != nil {
		s.addr = a.String()
	}
	s.ns.Store(ns)
	return nil
}

// ready waits until a server answers.
func ready(ctx context.Context, ns *server.Server, log *log) error {
	for !ns.ReadyForConnections(10*time.Millisecond) || !ns.JetStreamEnabled() {
		select {
		case err := <-log.fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("broker: the server is not ready: %w", context.Cause(ctx))
		default:
		}
	}
	return nil
}

// Connect returns a connection from within the process, which never gives up: it outlives a Restart.
func (s *Server) Connect(name string) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(lasting(name, s.o.Logger), nats.InProcessServer(s), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0))...)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(slices.DeleteFunc(s.conns, (*nats.Conn).IsClosed), nc)
	return nc, nil
}

// InProcessConn returns a connection to the server of the moment: see [nats.InProcessServer].
func (s *Server) InProcessConn() (net.Conn, error) {
	if ns := s.ns.Load(); ns != nil {
		return ns.InProcessConn()
	}
	return nil, ErrClosed
}

// Addr returns the address that it listens at, "" for none.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Restart ends the server and starts it again on the same folder and address. Connections come back by themselves, and those of Connect lose
// nothing that they are given afterwards: it waits until they know that the server is gone, and keep what they cannot send.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.stop()
	for slices.ContainsFunc(s.conns, (*nats.Conn).IsConnected) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return s.start(ctx)
}

// stop ends the server and waits. The lock on s is held.
func (s *Server) stop() {
	if ns := s.ns.Swap(nil); ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// Close ends the server, and waits for its end: what is acknowledged is in its files.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.stop()
	s.lock.Close()
}
