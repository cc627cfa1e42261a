package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// startServer runs "glossa serve" at a free port until the test ends, and returns its address.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	return startServerLogging(t, &lockedBuffer{}, args...)
}

// startServerLogging is startServer of a server whose log can be read.
func startServerLogging(t *testing.T, log *lockedBuffer, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	address, ended := runServer(t, ctx, log, args...)
	t.Cleanup(func() {
		cancel()
		if status := <-ended; status != statusOK {
			t.Errorf("the server ended with status %d", status)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	return address
}

// runServer runs "glossa serve" at a free port until ctx ends, and returns its address and where its exit status comes.
func runServer(t *testing.T, ctx context.Context, log *lockedBuffer, args ...string) (address string, ended chan int) {
	t.Helper()
	isolate(t)
	read, write := io.Pipe()
	ended = make(chan int, 1)
	go func() {
		status := run(ctx, append([]string{"serve", "--http", "127.0.0.1:0", "--data", t.TempDir()}, args...), write, log)
		write.Close()
		ended <- status
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	m := announced.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("the server said %q, %v\n%s", line, err, log)
	}
	return m[1], ended
}

// serveOnce serves at a free port until the test ends, and returns the address.
func serveOnce(t *testing.T, server *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

// get returns what is at an address.
func get(t *testing.T, address string) string {
	t.Helper()
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", address, r.Status, err, text)
	}
	return string(text)
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// newCertificate writes a certificate of 127.0.0.1 that signs itself, and its key, and returns the files' names.
func newCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", bytes)
}
