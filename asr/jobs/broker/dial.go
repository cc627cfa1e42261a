package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// DialOptions say how another server is reached.
type DialOptions struct {
	URL         string // nats://, tls://, ws:// or wss://, or several with commas between them; may hold user:password@ or token@
	Credentials string // a .creds file
	NKey        string // a file with an nkey seed
	CA          string // a PEM file of authorities
	Cert, Key   string // PEM files of a client's certificate
	Name        string // of the connection
	Logger      *slog.Logger
}

// Dial connects, for as long as the process lives: it tries again where the connection breaks, but the first time must succeed before ctx
// ends, and is not tried again. No error tells a secret.
func Dial(ctx context.Context, o DialOptions) (*nats.Conn, error) {
	servers, err := splitURLs(o.URL)
	if err != nil {
		return nil, err
	}
	options, err := o.options()
	if err != nil {
		return nil, err
	}
	type dialled struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan dialled, 1)
	go func() {
		nc, err := nats.Connect(strings.Join(servers, ","), options...)
		done <- dialled{nc, err}
	}()
	select {
	case d := <-done:
		if d.err != nil {
			return nil, fmt.Errorf("broker: connect to %s: %w", redacted(servers), d.err)
		}
		return d.nc, nil
	case <-ctx.Done():
		go func() {
			if d := <-done; d.nc != nil {
				d.nc.Close()
			}
		}()
		return nil, fmt.Errorf("broker: connect to %s: %w", redacted(servers), context.Cause(ctx))
	}
}

// splitURLs returns the addresses of servers, each with a scheme.
func splitURLs(urls string) ([]string, error) {
	var servers []string
	for i, s := range strings.Split(urls, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			return nil, errors.New("broker: want an address such as nats://HOST:4222")
		}
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" { // err may hold a password
			return nil, fmt.Errorf("broker: address %d is not understood: want one such as nats://HOST:4222, where special characters of a password are %%XX", i+1)
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return nil, fmt.Errorf("broker: %s: want nats://, tls://, ws:// or wss://", u.Redacted())
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// redacted returns addresses without what is secret in them.
func redacted(servers []string) string {
	var hosts []string
	for _, s := range servers {
		if u, err := url.Parse(s); err == nil {
			hosts = append(hosts, u.Scheme+"://"+u.Host) // without the user, which may be a token
		}
	}
	return strings.Join(hosts, ",")
}

// options returns those of the client.
func (o DialOptions) options() ([]nats.Option, error) {
	options := append(lasting(o.Name, o.Logger), nats.Timeout(5*time.Second), nats.ReconnectWait(time.Second))
	for what, name := range map[string]string{"credentials": o.Credentials, "nkey": o.NKey, "authorities": o.CA, "certificate": o.Cert, "certificate's key": o.Key} {
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("broker: the file of the %s: %w", what, err)
		}
		f.Close()
	}
	if o.Credentials != "" {
		options = append(options, nats.UserCredentials(o.Credentials))
	}
	if o.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("broker: %s holds no nkey seed", o.NKey) // err may hold it
		}
		options = append(options, nkey)
	}
	if o.CA != "" {
		options = append(options, nats.RootCAs(o.CA))
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("broker: want both a certificate and its key")
	}
	if o.Cert != "" {
		options = append(options, nats.ClientCert(o.Cert, o.Key))
	}
	return options, nil
}

// lasting returns the options of a connection that comes back whenever it breaks.
func lasting(name string, to *slog.Logger) []nats.Option {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	to = to.With("connection", name)
	return []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(false), nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() && err != nil {
				to.Warn("the connection to the broker broke", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			to.Info("the connection to the broker is back", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			to.Warn("the connection to the broker reports an error", "subject", subject, "error", err)
		}),
	}
}
