package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connectTo(t *testing.T, s *Server) *nats.Conn {
	t.Helper()
	nc, err := s.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// publish stores a message in a stream, which it makes.
func publish(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage}); err != nil {
		return err
	}
	_, err = js.Publish(ctx, "s", []byte("kept"))
	return err
}

// stored returns the number of messages in the stream.
func stored(ctx context.Context, nc *nats.Conn) (uint64, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, "S")
	if err != nil {
		return 0, err
	}
	return stream.CachedInfo().State.Msgs, nil
}

func TestRestartKeepsMessagesAndConnections(t *testing.T) {
	s := start(t, Options{Sync: -1})
	if s.Addr() != "" {
		t.Error("it listens at", s.Addr())
	}
	nc := connectTo(t, s)
	heard := make(chan struct{}, 10)
	if _, err := nc.Subscribe("heard", func(*nats.Msg) { heard <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	if err := publish(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := stored(t.Context(), nc) // waits for the connection
		if err != nil || n != 1 {
			t.Fatalf("%d messages: %v", n, err)
		}
		if err := nc.Publish("heard", nil); err != nil {
			t.Fatal(err)
		}
		<-heard
	}
	s.Close()
	s.Close()
	if err := s.Restart(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error("restart of a closed server:", err)
	}
	if _, err := s.Connect("late"); !errors.Is(err, ErrClosed) {
		t.Error("connect to a closed server:", err)
	}
}

func TestAFolderHasOneServer(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	if _, err := Start(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second server: %v", err)
	}
	if err := publish(t.Context(), connectTo(t, s)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	n, err := stored(t.Context(), connectTo(t, start(t, Options{Dir: dir})))
	if err != nil || n != 1 {
		t.Errorf("%d messages after the first: %v", n, err)
	}
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, of := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no folder"},
		{Options{Dir: file}, "not a directory"},
		{Options{Dir: t.TempDir(), Listen: "nonsense"}, "HOST:PORT"},
		{Options{Dir: t.TempDir(), Listen: "127.0.0.1:99999"}, "port"},
		{Options{Dir: t.TempDir(), Listen: taken.Addr().String()}, "in use"},
		{Options{Dir: t.TempDir(), Username: "u"}, "password"},
		{Options{Dir: t.TempDir(), Token: "t", Username: "u", Password: "p"}, "either"},
	} {
		s, err := Start(t.Context(), of.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), of.want) {
			t.Errorf("%+v: error %v does not tell %q", of.o, err, of.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if s, err := Start(ctx, Options{Dir: dir}); err == nil {
		s.Close() // it was quicker
	} else if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	start(t, Options{Dir: dir}) // the lock is free
}

func TestTheServersLogIsPassedOn(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var mu sync.Mutex
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &b}, &slog.HandlerOptions{Level: level}))
		start(t, Options{Logger: log}).Close()
		newLog(log).Errorf("it %s", "burns")
		mu.Lock()
		text := b.String()
		mu.Unlock()
		if !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "it burns") || !strings.Contains(text, "part=broker") {
			t.Error(text)
		}
		if strings.Contains(text, "Starting JetStream") != (level == slog.LevelDebug) {
			t.Errorf("at level %s: %s", level, text)
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	*bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Buffer.Write(p)
}

// dial dials, in time.
func dial(t *testing.T, o DialOptions) (*nats.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := Dial(ctx, o)
	if nc != nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}
