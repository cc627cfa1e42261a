package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr/jobs/broker"
)

// natsFlags name the NATS servers that keep jobs, where that is no server of glossa's own.
type natsFlags struct {
	NATSURL   []natsURL `name:"nats-url" group:"Broker" setting:"shared" placeholder:"URL,…" help:"NATS servers with JetStream, such as nats://nats-1:4222,nats://nats-2:4222; user:password@ or token@ may stand before a host."`
	NATSCreds string    `name:"nats-creds" group:"Broker" setting:"shared" placeholder:"FILE" help:"A .creds file to log in there with."`
	NATSNKey  string    `name:"nats-nkey" group:"Broker" setting:"shared" placeholder:"FILE" help:"A file with the seed of an nkey to log in there with."`
	NATSCA    string    `name:"nats-ca" group:"Broker" setting:"shared" placeholder:"FILE" help:"PEM of the authorities that may have signed their certificates. (the system's)"`
	NATSCert  string    `name:"nats-cert" group:"Broker" setting:"shared" placeholder:"FILE" help:"PEM of a certificate that they know this client by."`
	NATSKey   string    `name:"nats-key" group:"Broker" setting:"shared" placeholder:"FILE" help:"PEM of its key."`
}

// natsURL is the address of a NATS server. It never prints what is secret in it.
type natsURL string

// UnmarshalText reads an address; one without a scheme is of nats://.
func (u *natsURL) UnmarshalText(text []byte) error {
	address := strings.TrimSpace(string(text))
	if address != "" && !strings.Contains(address, "://") {
		address = "nats://" + address
	}
	parsed, err := url.Parse(address)
	if err != nil || parsed.Hostname() == "" {
		return errors.New("want an address such as nats://127.0.0.1:4222") // without the text, which may hold a password
	}
	switch parsed.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return fmt.Errorf("%s:// is none of nats, tls, ws, wss", parsed.Scheme)
	}
	*u = natsURL(address)
	return nil
}

// secret reports whether the address holds a password or a token.
func (u natsURL) secret() bool {
	parsed, err := url.Parse(string(u))
	return err != nil || parsed.User != nil
}

// String returns the address without what is secret.
func (u natsURL) String() string {
	parsed, err := url.Parse(string(u))
	if err != nil {
		return "(secret)"
	}
	if parsed.User != nil {
		return parsed.Scheme + "://(secret)@" + parsed.Host
	}
	return string(u)
}

// secret is a text that is never printed.
type secret string

// UnmarshalText reads the text.
func (s *secret) UnmarshalText(text []byte) error {
	*s = secret(text)
	return nil
}

func (s secret) secret() bool { return s != "" }

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// external reports whether the flags name servers.
func (f *natsFlags) external() bool { return len(f.NATSURL) > 0 }

// addresses returns the servers for people to read.
func (f *natsFlags) addresses() string {
	texts := make([]string, len(f.NATSURL))
	for i, u := range f.NATSURL {
		texts[i] = u.String()
	}
	return strings.Join(texts, ",")
}

// check finds what is wrong with the flags before any work is done.
func (f *natsFlags) check() error {
	if !f.external() {
		for name, value := range map[string]string{"creds": f.NATSCreds, "nkey": f.NATSNKey, "ca": f.NATSCA, "cert": f.NATSCert, "key": f.NATSKey} {
			if value != "" {
				return fmt.Errorf("--nats-%s is for the servers of --nats-url, which names none", name)
			}
		}
	}
	if (f.NATSCert == "") != (f.NATSKey == "") {
		return errors.New("--nats-cert and --nats-key go together")
	}
	return nil
}

// dialTimeout is how long NATS servers may take to answer for the first time.
const dialTimeout = 15 * time.Second

// dial connects to the servers.
func (f *natsFlags) dial(ctx context.Context, name string, log *slog.Logger) (*nats.Conn, error) {
	urls := make([]string, len(f.NATSURL))
	for i, u := range f.NATSURL {
		urls[i] = string(u)
	}
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := broker.Dial(dialing, broker.DialOptions{
		URL: strings.Join(urls, ","), Credentials: f.NATSCreds, NKey: f.NATSNKey, CA: f.NATSCA, Cert: f.NATSCert, Key: f.NATSKey,
		Name: cmp.Or(name, "glossa"), Logger: log,
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("--nats-url %s: %w; is a NATS server there that this client may use?", f.addresses(), err)
	}
	return nc, nil
}

// waitAgain is how often it is told that a broker is still waited for.
const waitAgain = time.Minute

// reach is dial that waits for servers that do not listen yet, or have no name yet: what uses brokers and they themselves may be started in any
// order.
func (f *natsFlags) reach(ctx context.Context, name string, log *slog.Logger) (*nats.Conn, error) {
	for told := (time.Time{}); ; {
		nc, err := f.dial(ctx, name, log)
		refused := (*net.OpError)(nil)
		if err == nil || !errors.Is(err, nats.ErrNoServers) && !errors.As(err, &refused) && !errors.Is(err, context.DeadlineExceeded) {
			return nc, err
		}
		if time.Since(told) >= waitAgain {
			log.Warn("the broker is not there, and is waited for", "error", err)
			told = time.Now()
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}
