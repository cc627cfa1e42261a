package jobs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr/jobs/broker"
)

// patient is how long a test waits for what must come, on a machine that may be slow.
const patient = 2 * time.Minute

// startBroker returns a broker of the test's own.
func startBroker(t testing.TB) *broker.Server {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// connect returns a connection to a broker.
func connect(t testing.TB, b *broker.Server) *nats.Conn {
	t.Helper()
	nc, err := b.Connect(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// openStore returns a store on a broker, through a connection of its own. Model is "m" where o names none.
func openStore(t testing.TB, b *broker.Server, o Options) *Store {
	t.Helper()
	if o.Model == "" {
		o.Model = "m"
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	s, err := Open(ctx, connect(t, b), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// eventually waits until a condition holds, which says what it waits for.
func eventually(t testing.TB, holds func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	t.Fatal(fmt.Errorf("it did not come: %w", err))
}

// short returns a context that ends soon.
func short(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// started returns when the store's streams were made.
func (s *Store) started(t testing.TB) time.Time {
	t.Helper()
	info, err := s.sound.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Created
}
