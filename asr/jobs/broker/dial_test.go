package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestOthersNeedTheSecret(t *testing.T) {
	const secret = "correct-horse"
	for name, of := range map[string]struct {
		o           Options
		right, user string
	}{
		"password": {Options{Username: "glossa", Password: secret}, "glossa:" + secret, "glossa:wrong-staple"},
		"token":    {Options{Token: secret}, secret, "wrong-staple"},
	} {
		t.Run(name, func(t *testing.T) {
			of.o.Listen = "127.0.0.1:0"
			s := start(t, of.o)
			if err := publish(t.Context(), connectTo(t, s)); err != nil {
				t.Fatal("from within the process:", err)
			}
			nc, err := dial(t, DialOptions{URL: "nats://" + of.right + "@" + s.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := stored(t.Context(), nc); n != 1 || err != nil {
				t.Error(n, err)
			}
			for _, who := range []string{of.user + "@", ""} {
				_, err := dial(t, DialOptions{URL: "nats://" + who + s.Addr()})
				if err == nil || !strings.Contains(err.Error(), "Authorization") || strings.Contains(err.Error(), "staple") {
					t.Errorf("%q: %v", who, err)
				}
			}
			// A restart keeps the port, and the connection comes back.
			addr := s.Addr()
			back := make(chan struct{}, 1)
			nc.SetReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
			if err := s.Restart(t.Context()); err != nil || s.Addr() != addr {
				t.Fatal(s.Addr(), addr, err)
			}
			<-back
			if n, err := stored(t.Context(), nc); n != 1 || err != nil {
				t.Error(n, err)
			}
		})
	}
}

// certificate writes a certificate for 127.0.0.1, which is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(pair.Leaf)
	s := start(t, Options{Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert}})
	if err := publish(t.Context(), connectTo(t, s)); err != nil {
		t.Fatal("from within the process:", err)
	}
	url := "tls://" + s.Addr()
	nc, err := dial(t, DialOptions{URL: url, CA: cert, Cert: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := stored(t.Context(), nc); n != 1 || err != nil {
		t.Error(n, err)
	}
	if _, err := dial(t, DialOptions{URL: url}); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Error("unknown authority:", err)
	}
	if _, err := dial(t, DialOptions{URL: url, CA: cert}); err == nil {
		t.Error("a client without a certificate is let in")
	}
}

func TestDialTellsWhatIsWrong(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(bad, []byte("SU-not-a-seed-hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		o    DialOptions
		want string
	}{
		{DialOptions{}, "want an address"},
		{DialOptions{URL: "nats://u:hunter2%zz@host"}, "not understood"},
		{DialOptions{URL: "http://u:hunter2@host"}, "nats://"},
		{DialOptions{URL: "nats://u:hunter2@127.0.0.1:1"}, "nats://127.0.0.1:1"},
		{DialOptions{URL: "hunter2@127.0.0.1:1"}, "nats://127.0.0.1:1"},
		{DialOptions{URL: "nats://h", Credentials: "/absent"}, "credentials"},
		{DialOptions{URL: "nats://h", CA: "/absent"}, "authorities"},
		{DialOptions{URL: "nats://h", NKey: bad}, "no nkey seed"},
		{DialOptions{URL: "nats://h", Cert: bad}, "key"},
		{DialOptions{URL: "nats://127.0.0.1:1", Credentials: bad}, "broker: "},
	} {
		_, err := dial(t, of.o)
		if err == nil || !strings.Contains(err.Error(), of.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: error %v does not tell %q, or a secret", of.o, err, of.want)
		}
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, DialOptions{URL: "nats://" + silent.Addr().String()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
