package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"glossa/asr/jobs/broker"
)

// TestWorkerIsStartedBeforeItsBroker waits at an address where nobody listens yet, and ends when it is told to.
func TestWorkerIsStartedBeforeItsBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	w := &workerCommand{Name: "w"}
	w.NATSURL = []natsURL{natsURL("nats://" + address)}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.reach(ctx, "w", log); err == nil || ctx.Err() == nil {
		t.Fatalf("%v where nobody listens", err)
	}
	started := make(chan *broker.Server, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		b, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir(), Listen: address, Token: "secret"})
		if err != nil {
			t.Error(err)
		}
		started <- b
	}()
	_, err = w.reach(t.Context(), "w", log) // which has no token
	b := <-started
	if b == nil {
		return
	}
	defer b.Close()
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("without the token: %v", err)
	}
	w.NATSURL = []natsURL{natsURL("nats://secret@" + address)}
	nc, err := w.reach(t.Context(), "w", log)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if n := strings.Count(said.String(), "the broker is not there, and is waited for"); n != 2 {
		t.Errorf("told %d times: %s", n, said.String())
	}
}
