package ws

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// cutter is a network that breaks: each connection of its dialer ends after a random number of bytes, one way or the
// other, without a word.
type cutter struct {
	mu     sync.Mutex
	random *rand.Rand
	least  int // bytes
	most   int
	cuts   int
	left   int // cuts
}

func (c *cutter) dialer() *websocket.Dialer {
	return &websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		cut := &cutConn{Conn: conn, cutter: c, read: 1 << 40, write: 1 << 40}
		if c.left > 0 {
			c.left--
			n := c.least + c.random.IntN(c.most-c.least)
			if c.random.IntN(2) == 0 {
				cut.read = n / 8 // less comes back
			} else {
				cut.write = n
			}
		}
		return cut, nil
	}}
}

// cutConn passes on so many bytes.
type cutConn struct {
	net.Conn
	cutter      *cutter
	mu          sync.Mutex
	read, write int
}

func (c *cutConn) broken() error {
	c.cutter.mu.Lock()
	c.cutter.cuts++
	c.cutter.mu.Unlock()
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) // no FIN: what is on its way is lost
	}
	c.Conn.Close()
	return os.ErrDeadlineExceeded
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read -= n; c.read < 0 {
		return 0, c.broken()
	}
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	n := min(len(b), c.write)
	c.write -= n
	c.mu.Unlock()
	if n < len(b) {
		c.Conn.Write(b[:n])
		return n, c.broken()
	}
	return c.Conn.Write(b)
}

// TestCutConnections cuts connections at random bytes, again and again: no word is lost, none is repeated, and all laws
// hold over the whole of the session.
func TestCutConnections(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	cuts := 0
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 7))
		network := &cutter{random: random, least: 600, most: 60_000, left: 1 + random.IntN(6)}
		c, err := Dialer{Reconnect: true, Websocket: network.dialer()}.Dial(t.Context(), url, Config{})
		if err != nil {
			continue // cut before the session began
		}
		const samples = 5*16000 + 123
		go func() {
			pace := rand.New(rand.NewPCG(seed, 8))
			for at := int64(0); at < samples; {
				n := min(int64(pace.IntN(3000)), samples-at)
				if c.Send(fakeSound(at, n)) != nil {
					return
				}
				at += n
				if pace.IntN(10) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			c.CloseSend()
		}()
		var l laws
		if err := drainEvents(c, &l); err != io.EOF {
			t.Fatalf("seed %d: after %d cuts: %v", seed, network.cuts, err)
		}
		if got := l.text.String(); l.err != nil || !l.done || got != fakeText(samples) {
			t.Errorf("seed %d: after %d cuts: %v, done %t, text %q, want %q", seed, network.cuts, l.err, l.done, got, fakeText(samples))
		}
		cuts += network.cuts
		c.Close()
	}
	if cuts < 60 {
		t.Errorf("only %d cuts", cuts)
	}
	t.Logf("%d cuts", cuts)
}

// TestTakeOver resumes a session whose connection lives: the first is told, and closed.
func TestTakeOver(t *testing.T) {
	engine := &fakeEngine{}
	s, url := start(t, quick(engine))
	first := dial(t, url, Config{})
	if err := first.Send(fakeSound(0, 16000)); err != nil {
		t.Fatal(err)
	}
	for {
		e, err := first.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == TypeFinal {
			break
		}
	}
	second := dial(t, url, Config{Resume: &Resume{SessionID: first.Ready().SessionID}})
	if r := second.Ready(); !r.Resumed || r.SessionID != first.Ready().SessionID || r.AudioOffsetMS != 1000 || r.AudioOffsetBytes != 32000 {
		t.Errorf("ready %+v", r)
	}
	var e Event
	var err error
	for err == nil && !e.Fatal {
		e, err = first.Next()
	}
	if e.Code != CodeTakenOver {
		t.Errorf("the first connection: %+v, %v", e, err)
	}
	second.Send(fakeSound(16000, 8000))
	second.CloseSend()
	var l laws
	if err := drainEvents(second, &l); err != io.EOF || l.err != nil || l.text.String() != fakeText(24000) {
		t.Errorf("the second connection: %v, %v, %q", err, l.err, l.text.String())
	}
	if n := s.Sessions(); n > 1 {
		t.Errorf("%d sessions", n)
	}
}

// TestResumeFromTheBeginning sends again more messages than a client that does not read may cause.
func TestResumeFromTheBeginning(t *testing.T) {
	_, url := start(t, quick(&fakeEngine{}))
	first := dial(t, url, Config{Interim: new(false), Words: new(false)})
	const samples = 120 * 16000
	go first.Send(fakeSound(0, samples))
	finals := func(c *Client) (text strings.Builder, events int) {
		for text.Len() < len(fakeText(samples)) {
			e, err := c.Next()
			if err != nil {
				t.Fatalf("behind %d events: %v", events, err)
			}
			events++
			text.WriteString(e.Text)
		}
		return text, events
	}
	finals(first)
	second := dial(t, url, Config{Resume: &Resume{SessionID: first.Ready().SessionID}})
	if text, events := finals(second); text.String() != fakeText(samples) || events < 300 {
		t.Errorf("%d events, %d bytes of text", events, text.Len())
	}
	second.CloseSend()
	for {
		if _, err := second.Next(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("behind the text: %v", err)
		}
	}
}

// TestResumeRefused resumes what is not there, or another's, or what has waited too long.
func TestResumeRefused(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Resume = 200 * time.Millisecond
	s, url := start(t, o)
	mine := http.Header{"X-Client": {"ann"}}
	resume := func(id string, c Config, h http.Header) error {
		c.Resume = &Resume{SessionID: id}
		client, err := Dial(t.Context(), url, c, h)
		if err == nil {
			client.Close()
		}
		return err
	}
	c, err := Dial(t.Context(), url, Config{}, mine)
	if err != nil {
		t.Fatal(err)
	}
	id := c.Ready().SessionID
	if err := resume(id, Config{}, http.Header{"X-Client": {"bob"}}); !errors.Is(err, asr.ErrNotFound) {
		t.Errorf("another client's session: %v", err)
	}
	if err := resume(id, Config{Encoding: "mulaw"}, mine); !errors.Is(err, asr.ErrInvalid) {
		t.Errorf("another encoding: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); s.Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session waits longer than it may")
		}
	}
	if err := resume(id, Config{}, mine); !errors.Is(err, asr.ErrNotFound) {
		t.Errorf("a session that has waited too long: %v", err)
	}
}

// TestClosedByClient ends sessions whose client closes the connection in order.
func TestClosedByClient(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Resume = time.Hour
	s, url := start(t, o)
	c := dial(t, url, Config{})
	c.Send(fakeSound(0, 5000))
	c.Close()
	for deadline := time.Now().Add(time.Minute); s.Sessions() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the session is still there")
		}
	}
}

// TestReplayIsBounded keeps the newest messages, and refuses to leave any out.
func TestReplayIsBounded(t *testing.T) {
	var r replay
	message := make([]byte, 1000)
	for seq := int64(1); seq <= 1000; seq++ {
		r.add(seq, message, seq%2 == 0)
	}
	if r.bytes > maxReplay || len(r.kept) > maxReplay/1000+1 {
		t.Errorf("%d bytes, %d messages", r.bytes, len(r.kept))
	}
	if _, ok := r.since(0); ok {
		t.Error("what is lost was not missed")
	}
	got, ok := r.since(990)
	if !ok || len(got) != 6 { // the finals 991, 993, …, 999, and the last partial
		t.Errorf("%d messages behind 990, %t", len(got), ok)
	}
}

// newCutter returns a network with so many cuts, each behind a number of bytes between two.
func newCutter(seed uint64, least, most, cuts int) *cutter {
	return &cutter{random: rand.New(rand.NewPCG(seed, 7)), least: least, most: most, left: cuts}
}
