package main

import (
	"strings"
	"testing"
	"time"
)

func TestNATSAddressesKeepSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"nats://h:4222": "nats://h:4222", "h:4222": "nats://h:4222", "h": "nats://h", "tls://h": "tls://h", "wss://h/x": "wss://h/x",
		"nats://me:hunter2@h:4222": "nats://(secret)@h:4222", "nats://hunter2@h": "nats://(secret)@h",
	} {
		var u natsURL
		if err := u.UnmarshalText([]byte(text)); err != nil || u.String() != want || u.secret() != strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s, %t, %v, want %s", text, u, u.secret(), err, want)
		}
	}
	for _, text := range []string{"", "http://h", "nats://", "nats://me:hunter2%@h", "nats://me:hunter2@"} {
		var u natsURL
		if err := u.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNATSSync(t *testing.T) {
	for text, want := range map[string]natsSync{"always": syncAlways, "Always": syncAlways, "10s": natsSync(10 * time.Second)} {
		var s natsSync
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || !strings.EqualFold(s.String(), text) {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "never", "-1s", "0s"} {
		if err := new(natsSync).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

// TestBrokerFlags checks what goes with what.
func TestBrokerFlags(t *testing.T) {
	for args, want := range map[string]string{
		"": "",
		"--nats-listen 127.0.0.1:0 --nats-user u --nats-password p --nats-sync always": "",
		"--nats-url nats://h --nats-creds f":                                           "",
		"--nats-url nats://h --nats-listen :4222":                                      "--nats-listen is of the broker in this process, and --nats-url names another",
		"--nats-url nats://h --nats-sync 1s":                                           "--nats-sync is of the broker in this process",
		"--nats-user u --nats-password p":                                              "--nats-user is for those who come by --nats-listen",
		"--nats-listen :4222 --nats-user u":                                            "--nats-user and --nats-password go together",
		"--nats-listen :4222 --nats-user u --nats-password p --nats-token t":           "one of them is asked for, not both",
		"--nats-listen :4222 --nats-tls-cert c":                                        "--nats-tls-cert and --nats-tls-key go together",
		"--nats-listen 4222":                                                           "want HOST:PORT, such as 127.0.0.1:4222",
		"--nats-creds f":                                                               "--nats-creds is for the servers of --nats-url, which names none",
		"--nats-url nats://h --nats-cert c":                                            "--nats-cert and --nats-key go together",
		"--slots=-1":                                                                   "--slots -1: at least 1 is needed",
	} {
		var got commands
		isolate(t)
		if _, err := parserOf(t, &got).Parse(append([]string{"serve"}, strings.Fields(args)...)); err != nil {
			if want == "" || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", args, err)
			}
			continue
		}
		err := got.Serve.check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

func TestUnguardedBrokers(t *testing.T) {
	for _, c := range []struct {
		address string
		flags   jobFlags
		want    bool
	}{
		{"127.0.0.1:4222", jobFlags{}, false}, {"[::1]:4222", jobFlags{}, false}, {"", jobFlags{}, false},
		{"0.0.0.0:4222", jobFlags{}, true}, {"[::]:4222", jobFlags{}, true}, {"10.0.0.1:4222", jobFlags{}, true},
		{"0.0.0.0:4222", jobFlags{NATSToken: "t"}, false}, {"0.0.0.0:4222", jobFlags{NATSUser: "u", NATSPassword: "p"}, false},
	} {
		if got := c.flags.unguarded(c.address); got != c.want {
			t.Errorf("%s %+v: %t", c.address, c.flags, got)
		}
	}
}
