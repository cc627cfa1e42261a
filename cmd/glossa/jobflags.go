package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// jobFlags say how a server keeps jobs: on a broker of its own, in its folder, or on NATS servers elsewhere.
type jobFlags struct {
	TakeJobs bool `name:"jobs" group:"Jobs" default:"true" negatable:"" help:"Take jobs: transcription that outlives this process. (${default})"`
	Slots    int  `name:"slots" group:"Jobs" placeholder:"N" help:"Jobs that are under way in this process at a time, live ones apart. (twice --batch)"`
	JobURLs  bool `name:"job-urls" group:"Jobs" help:"Let jobs name the address of their sound, which is then fetched; internal addresses take --webhook-internal too."`

	WebhookSecret   secret `name:"webhook-secret" group:"Jobs" placeholder:"whsec_…" help:"What callbacks are signed with, as Standard Webhooks has it; other users of this machine can see a flag, GLOSSA_WEBHOOK_SECRET they cannot. (webhook.secret in --data; with --nats-url none, and no callbacks)"`
	WebhookInternal bool   `name:"webhook-internal" group:"Jobs" help:"Let callbacks, and sound of --job-urls, be at internal addresses and plain http."`
	PublicURL       string `name:"public-url" group:"Jobs" placeholder:"URL" help:"The address of this server as those who get callbacks reach it, where they are to be told of that of the result."`

	NATSListen   string   `name:"nats-listen" group:"Broker" placeholder:"ADDR" help:"An address at which workers and clients of NATS reach the broker of this process. (only this process does)"`
	NATSUser     string   `name:"nats-user" group:"Broker" placeholder:"NAME" help:"The user that they log in as."`
	NATSPassword secret   `name:"nats-password" group:"Broker" placeholder:"SECRET" help:"The password of --nats-user; other users of this machine can see a flag, GLOSSA_NATS_PASSWORD they cannot."`
	NATSToken    secret   `name:"nats-token" group:"Broker" placeholder:"SECRET" help:"A token that they log in with, in place of a user."`
	NATSTLSCert  string   `name:"nats-tls-cert" group:"Broker" placeholder:"FILE" help:"Encrypt their connections with this certificate chain, PEM."`
	NATSTLSKey   string   `name:"nats-tls-key" group:"Broker" placeholder:"FILE" help:"The key of the certificate, PEM."`
	NATSSync     natsSync `name:"nats-sync" group:"Broker" placeholder:"always|TIME" help:"How often what the broker keeps is synced to disk: always is before each answer, and loses nothing when the power fails; a killed process loses nothing either way. (2m)"`
	natsFlags
}

// natsSync is how often a broker syncs its files, syncAlways with each message; 0 stands for the default.
type natsSync time.Duration

// syncAlways syncs before a message is acknowledged.
const syncAlways natsSync = -1

// UnmarshalText reads always, or a duration.
func (s *natsSync) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "always") {
		*s = syncAlways
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < time.Millisecond {
		return fmt.Errorf("%q is neither always nor a time such as 10s", text)
	}
	*s = natsSync(d)
	return nil
}

func (s natsSync) String() string {
	switch {
	case s == 0:
		return ""
	case s < 0:
		return "always"
	}
	return settingText(time.Duration(s))
}

// check finds what is wrong with the flags before any work is done.
func (f *jobFlags) check() error {
	if err := f.natsFlags.check(); err != nil {
		return err
	}
	own := []struct { // flags of the broker of this process
		name string
		said bool
	}{
		{"nats-listen", f.NATSListen != ""}, {"nats-user", f.NATSUser != ""}, {"nats-password", f.NATSPassword != ""},
		{"nats-token", f.NATSToken != ""}, {"nats-tls-cert", f.NATSTLSCert != ""}, {"nats-tls-key", f.NATSTLSKey != ""},
		{"nats-sync", f.NATSSync != 0},
	}
	for i, flag := range own {
		listens := i > 0 && flag.name != "nats-sync"
		switch {
		case !flag.said:
		case f.external():
			return fmt.Errorf("--%s is of the broker in this process, and --nats-url names another", flag.name)
		case listens && f.NATSListen == "":
			return fmt.Errorf("--%s is for those who come by --nats-listen, which is not given", flag.name)
		}
	}
	switch {
	case f.Slots < 0:
		return fmt.Errorf("--slots %d: at least 1 is needed", f.Slots)
	case (f.NATSUser == "") != (f.NATSPassword == ""):
		return errors.New("--nats-user and --nats-password go together")
	case f.NATSUser != "" && f.NATSToken != "":
		return errors.New("--nats-user and --nats-token: one of them is asked for, not both")
	case (f.NATSTLSCert == "") != (f.NATSTLSKey == ""):
		return errors.New("--nats-tls-cert and --nats-tls-key go together")
	}
	if u, err := url.Parse(f.PublicURL); f.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--public-url %s: want an address such as https://asr.example.org", f.PublicURL)
	}
	if f.NATSListen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(f.NATSListen); err != nil {
		return fmt.Errorf("--nats-listen %s: %w; want HOST:PORT, such as 127.0.0.1:4222", f.NATSListen, err)
	}
	return nil
}

// unguarded reports whether whoever reaches the broker at an address from another machine can use it.
func (f *jobFlags) unguarded(address string) bool {
	if address == "" || f.NATSToken != "" || f.NATSUser != "" {
		return false
	}
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err != nil || ip == nil || !ip.IsLoopback()
}

// brokerTLS returns what encrypts connections to the broker of this process, nil where they are not.
func (f *jobFlags) brokerTLS() (*tls.Config, error) {
	if f.NATSTLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.NATSTLSCert, f.NATSTLSKey)
	if err != nil {
		return nil, fmt.Errorf("--nats-tls-cert %s, --nats-tls-key %s: %w", f.NATSTLSCert, f.NATSTLSKey, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
