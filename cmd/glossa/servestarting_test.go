package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"
)

// TestServeWaitsForNATS checks that a server that waits for its broker is well but not ready, and ends when it is told to.
func TestServeWaitsForNATS(t *testing.T) {
	isolate(t)
	ctx, cancel := context.WithCancel(t.Context())
	var log lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--http", "127.0.0.1:0", "--data", t.TempDir(), "--nats-url", "nats://127.0.0.1:1"}, io.Discard, &log)
	}()
	address := regexp.MustCompile(`msg=starting address=(\S+)`)
	var m []string
	for deadline := time.Now().Add(time.Minute); m == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		m = address.FindStringSubmatch(log.String())
	}
	if m == nil {
		t.Fatalf("the server never said where it is:\n%s", &log)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		r, err := http.Get("http://" + m[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	cancel()
	if status := <-ended; status != statusInterrupted {
		t.Errorf("the server ended with status %d\n%s", status, &log)
	}
}
