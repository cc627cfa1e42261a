package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"

	"glossa/asr/httpapi"
)

type serveCommand struct {
	serverFlags
}

// Help is shown by "glossa help serve".
func (serveCommand) Help() string {
	return `Serves until it is told to end by an interrupt or SIGTERM. It then refuses new work, ends live sessions with their last text,
finishes requests and jobs, gives back what jobs do not end within --drain-timeout, and exits; a second signal ends it at once.

Jobs are kept in nats/ of --data by a broker in this process, which --nats-listen lets workers on other machines reach, or by NATS
servers that --nats-url names. One process uses such a folder at a time.
` + settingsHelp + `

Examples:

    glossa serve
    glossa serve --http 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --api-keys keys
    glossa serve --model small --adapters adapters --watch-adapters
    glossa serve --workers 0 --nats-listen 0.0.0.0:4222 --nats-token SECRET
    glossa serve --nats-url nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222`
}

// Run serves until ctx is done.
func (s *serveCommand) Run(ctx context.Context, c *console) error {
	if err := s.check(); err != nil {
		return err
	}
	log := s.logger(c)
	l, err := s.listen()
	if err != nil {
		return err
	}
	log.Info("starting", "address", l.Addr())
	starting := new(httpapi.Starting)
	server := httpapi.NewHTTPServer("", starting, log)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer server.Close()
	service, err := s.open(ctx, log)
	if err != nil {
		return err
	}
	defer service.close()
	starting.Started(service.handler)
	if s.Workers > 1 {
		c.warn(fmt.Sprintf("--workers %d: a process has one, which computes what all requests need in the same batches", s.Workers))
	}
	if s.reachable(l.Addr()) && !service.keyed {
		c.warn("anybody who reaches " + l.Addr().String() + " can use this server: no key is asked for; see --api-keys")
	}
	if err := c.print(s.announcement(l.Addr())); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return s.drain(ctx, server, service, log)
	}
}

// listen opens the socket, with TLS where there is a certificate.
func (s *serveCommand) listen() (net.Listener, error) {
	var config *tls.Config
	if s.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", s.TLSCert, s.TLSKey, err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	}
	l, err := net.Listen("tcp", s.HTTP)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--http %s: the port is in use, maybe by another glossa serve; take another, such as --http 127.0.0.1:8081, or 127.0.0.1:0 for any that is free", s.HTTP)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("--http %s: this user may not listen there; ports from 1024 on are for all", s.HTTP)
	case err != nil:
		return nil, fmt.Errorf("--http %s: %w; want HOST:PORT, such as 127.0.0.1:8080", s.HTTP, err)
	case config != nil:
		return tls.NewListener(l, config), nil
	}
	return l, nil
}

// reachable reports whether others than programs of this machine reach an address.
func (*serveCommand) reachable(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || !tcp.IP.IsLoopback()
}

// announcement tells where the server is, in a line that scripts may read.
func (s *serveCommand) announcement(a net.Addr) string {
	scheme, host, port := "http", "", ""
	if s.TLSCert != "" {
		scheme = "https"
	}
	if h, p, err := net.SplitHostPort(a.String()); err == nil {
		host, port = h, p
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return fmt.Sprintf("glossa listens on %s; the page is %s://%s/\n", a, scheme, net.JoinHostPort(host, port))
}

// drain answers the requests that are under way.
func (s *serveCommand) drain(ctx context.Context, server *http.Server, service *service, log *slog.Logger) error {
	log.Info("draining", "timeout", s.DrainTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.DrainTimeout)
	defer cancel()
	err := service.drain(drain)
	if err == nil {
		err = server.Shutdown(drain)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("--drain-timeout %v has passed, and what was under way was cut off: %w", s.DrainTimeout, err), server.Close())
	}
	log.Info("drained")
	return nil
}
