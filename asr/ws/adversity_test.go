package ws

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
	"glossa/audio"
)

// TestLimits exceeds each limit of time and number: the client is told which, and the close code whose fault it is.
func TestLimits(t *testing.T) {
	short := 200 * time.Millisecond
	for name, c := range map[string]struct {
		set   func(o *Options, e *fakeEngine)
		send  []any
		code  string
		close int
		done  bool
	}{
		"no config": {func(o *Options, _ *fakeEngine) { o.ConfigTimeout = short }, nil, CodeIdle, 1008, false},
		"idle":      {func(o *Options, _ *fakeEngine) { o.Limits.Idle = short }, []any{plain, fakeSound(0, 16000)}, CodeIdle, 1008, false},
		"overrun": {func(o *Options, e *fakeEngine) {
			o.OverrunTimeout = short
			e.made = func(f *fakeSession) { f.busy = func() bool { return true } }
		}, []any{plain, fakeSound(0, 16000)}, CodeOverrun, 1008, true},
		"session":        {func(o *Options, _ *fakeEngine) { o.Limits.Session = short }, []any{plain}, CodeSessionLimit, 1008, true},
		"sound":          {func(o *Options, _ *fakeEngine) { o.Limits.Session = 3 * time.Second }, []any{plain, make([]byte, 64000), make([]byte, 64000)}, CodeSessionLimit, 1008, true},
		"sessions":       {func(o *Options, e *fakeEngine) { o.Limits.Sessions = 1 }, []any{plain}, CodeBusy, 1013, false},
		"engine is full": {func(o *Options, e *fakeEngine) { o.Listen = failing(asr.ErrBusy) }, []any{plain}, CodeBusy, 1013, false},
		"engine fails":   {func(o *Options, e *fakeEngine) { o.Listen = failing(asr.ErrInternal) }, []any{plain}, CodeInternal, 1011, false},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{}
			o := quick(engine)
			o.Limits.Resume = 50 * time.Millisecond
			c.set(&o, engine)
			_, url := start(t, o)
			if name == "sessions" {
				dial(t, url, Config{})
			}
			conn := raw(t, url)
			say(t, conn, c.send...)
			all, code := messagesOf(t, conn)
			i := slices.IndexFunc(all, func(m anyMessage) bool { return m["type"] == TypeError })
			if i < 0 || all[i]["code"] != c.code || code != c.close || strings.Contains(all[i]["message"].(string), "secret") {
				t.Fatalf("close %d, %v", code, all)
			}
			if done := all[len(all)-1]["type"] == TypeDone; done != c.done {
				t.Errorf("done %t, want %t: %v", done, c.done, all)
			}
		})
	}
}

// TestFaultAmidSound sends what cannot be taken in the midst of a session: text of what came before it follows, all of it, and done.
func TestFaultAmidSound(t *testing.T) {
	for name, fault := range map[string]any{
		"no JSON": "{{", "unknown type": `{"type":"dance"}`, "config": plain, "odd sound": []byte{1, 2, 3}, "oversize": make([]byte, 1<<21),
	} {
		t.Run(name, func(t *testing.T) {
			_, url := start(t, quick(&fakeEngine{}))
			const samples = 3 * audio.SampleRate
			whole := raw(t, url)
			say(t, whole, plain, fakeSound(0, samples), `{"type":"close"}`)
			good, _ := messagesOf(t, whole)
			conn := raw(t, url)
			say(t, conn, plain, fakeSound(0, samples), fault)
			all, code := messagesOf(t, conn)
			if finalsOf(all) != finalsOf(good) || finalsOf(good) == "" || all[len(all)-1]["type"] != TypeDone || code == 1000 {
				t.Errorf("close %d, text %q, want %q: %v", code, finalsOf(all), finalsOf(good), all)
			}
		})
	}
}

// finalsOf is the text of all finals.
func finalsOf(all []anyMessage) (text string) {
	for _, m := range all {
		if s, ok := m["text"].(string); ok && m["type"] == TypeFinal {
			text += s
		}
	}
	return text
}

func failing(err error) func(context.Context, asr.ListenOptions) (Session, error) {
	return func(context.Context, asr.ListenOptions) (Session, error) { return nil, fmt.Errorf("%w: secret", err) }
}

// TestBusyHoldsBack sends faster than is heard: nothing is lost, and the client is held back by its socket.
func TestBusyHoldsBack(t *testing.T) {
	engine := &fakeEngine{}
	engine.made = func(f *fakeSession) {
		var free time.Time
		f.busy = func() bool { return time.Now().Before(free) }
		f.took = func() { free = time.Now().Add(2 * time.Millisecond) }
	}
	_, url := start(t, quick(engine))
	c := dial(t, url, Config{})
	const samples = 20 * 16000
	go func() {
		c.Send(fakeSound(0, samples)) // one message
		c.CloseSend()
	}()
	var l laws
	if err := drainEvents(c, &l); err != io.EOF || l.err != nil || l.text.String() != fakeText(samples) {
		t.Errorf("%v, %v, %d bytes of text", err, l.err, l.text.Len())
	}
}

// TestFilesInPieces sends files as a recorder makes them, over connections that break: the session hears the whole
// file, no more.
func TestFilesInPieces(t *testing.T) {
	engine := &fakeEngine{made: func(f *fakeSession) { f.record = true }}
	_, url := start(t, quick(engine))
	for encoding, name := range map[string]string{"webm": "chirp.webm", "ogg": "chirp.opus"} {
		b, err := os.ReadFile("../../audio/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := audio.DecodeFile("../../audio/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(5) {
			network := newCutter(seed, 500, 4000, 3)
			c, err := Dialer{Reconnect: true, Websocket: network.dialer()}.Dial(t.Context(), url, Config{Encoding: encoding})
			if err != nil {
				continue
			}
			go func() {
				for piece := range slices.Chunk(b, 100+int(seed)*33) {
					c.Send(piece)
				}
				c.CloseSend()
			}()
			var l laws
			if err := drainEvents(c, &l); err != io.EOF || l.err != nil {
				t.Fatalf("%s, seed %d: %v, %v", name, seed, err, l.err)
			}
			if got := engine.last().pcm; !slices.Equal(got, want.Samples) {
				t.Errorf("%s, seed %d, %d cuts: %d samples unlike the %d of the file", name, seed, network.cuts, len(got), len(want.Samples))
			}
			c.Close()
		}
	}
}

// TestBombs sends little that lasts long: it is heard as fast as may be, and no longer than a session may last.
func TestBombs(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Session = 10 * time.Second
	_, url := start(t, o)
	silence := []byte{31<<3 | 3, 6, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xff, 0xfe} // 120 ms
	conn := raw(t, url)
	say(t, conn, `{"type":"config","encoding":"opus"}`)
	go func() {
		for range 2000 {
			if conn.WriteMessage(websocket.BinaryMessage, silence) != nil {
				return
			}
		}
	}()
	if e, code := ending(t, conn); e.Code != CodeSessionLimit || code != 1008 {
		t.Errorf("%+v, close %d", e, code)
	}
	engine.last().mu.Lock()
	defer engine.last().mu.Unlock()
	if heard := engine.last().samples; heard > 11*audio.SampleRate {
		t.Errorf("%d samples were heard", heard)
	}
}

// TestDrain tells clients, gives them the text of what they have sent and done, and refuses new ones.
func TestDrain(t *testing.T) {
	engine := &fakeEngine{}
	s, url := start(t, quick(engine))
	const n = 8
	var ready, ended sync.WaitGroup
	var failures atomic.Int32
	ready.Add(n)
	for range n {
		c := dial(t, url, Config{})
		ended.Go(func() {
			if err := c.Send(fakeSound(0, 20000)); err != nil {
				t.Error(err)
			}
			told := false
			var l laws
			for first := true; ; {
				e, err := c.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					break
				}
				l.take(e)
				if first && e.Type == TypeFinal {
					first = false
					ready.Done()
				}
				told = told || e.Code == CodeDraining && !e.Fatal
			}
			if !told || !l.done || l.err != nil || l.text.String() != fakeText(20000) {
				failures.Add(1)
				t.Errorf("told %t, done %t, %v, %q", told, l.done, l.err, l.text.String())
			}
		})
	}
	unconfigured := raw(t, url)
	listening := connect(t, url, "/v1/listen?encoding=linear16&sample_rate=16000", nil)
	say(t, listening, fakeSound(0, 3200))
	realtime := connect(t, url, "/v1/realtime", nil)
	until(t, realtime, "session.created")
	ready.Wait()
	for engine.last().options.Client == "" && s.Sessions() < n+1 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	drained := make(chan error)
	go func() { drained <- s.Drain(ctx) }()
	if e, code := ending(t, unconfigured); e.Code != CodeDraining || code != 1001 {
		t.Errorf("before config: %+v, close %d", e, code)
	}
	if all, code := messagesOf(t, listening); code != 1001 || all[len(all)-1]["type"] != "Metadata" {
		t.Errorf("listen: %v, close %d", all, code)
	}
	if _, code := messagesOf(t, realtime); code != 1001 {
		t.Errorf("realtime: close %d", code)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	ended.Wait()
	_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/v1/stream", nil)
	if err == nil || answer == nil || answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("a new connection: %v", err)
	}
}

// TestSlowReaders has a hundred clients that send and never read, and one that does: it notices nothing, and memory
// stays bounded. They are closed once they have not read for too long.
func TestSlowReaders(t *testing.T) {
	engine, counted := &fakeEngine{}, newCounts()
	o := quick(engine)
	o.WriteTimeout = 300 * time.Millisecond
	o.Limits.Resume = 100 * time.Millisecond
	o.Metrics = counted
	s, url := start(t, o)
	before := heap()
	var senders sync.WaitGroup
	small := &websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			conn.(*net.TCPConn).SetReadBuffer(1 << 12)
		}
		return conn, err
	}}
	stop := make(chan struct{})
	for range 100 {
		conn, _, err := small.Dial("ws"+strings.TrimPrefix(url, "http")+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			defer conn.Close()
			if conn.WriteMessage(websocket.TextMessage, []byte(plain)) != nil {
				return
			}
			sound := fakeSound(0, 3200)
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				conn.SetWriteDeadline(time.Now().Add(time.Second))
				if conn.WriteMessage(websocket.BinaryMessage, sound) != nil {
					return
				}
			}
		})
	}
	good := dial(t, url, Config{})
	const samples = 40 * 3200
	var slowest time.Duration
	sent := make(chan time.Time, 100)
	go func() {
		for at := int64(0); at < samples; at += 3200 {
			sent <- time.Now()
			good.Send(fakeSound(at, 3200))
			time.Sleep(20 * time.Millisecond)
		}
		good.CloseSend()
	}()
	var l laws
	for {
		e, err := good.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		l.take(e)
		if e.Type == TypePartial || e.Type == TypeFinal {
			slowest = max(slowest, time.Since(<-sent))
		}
	}
	grown := int64(heap()) - int64(before)
	close(stop)
	senders.Wait()
	if l.err != nil || l.text.String() != fakeText(samples) {
		t.Errorf("the good client: %v, %q", l.err, l.text.String())
	}
	t.Logf("the good client waited %v at most; %d KB for 100 slow readers", slowest, grown>>10)
	if slowest > 5*time.Second {
		t.Errorf("the good client waited %v", slowest)
	}
	if !raceDetector && grown > 100*256<<10 {
		t.Errorf("%d bytes of memory for 100 slow readers", grown)
	}
	waitFor(t, "the slow readers' sessions to end", func() bool { return s.Sessions() == 0 })
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if counted.opened["/v1/stream"] != 101 || counted.closed["/v1/stream"] != 101 {
		t.Errorf("%v opened, %v closed", counted.opened, counted.closed)
	}
}

// heap is the live memory in bytes.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// byHand opens a websocket and sends a config, without a library, whose memory would be counted, and whose frames are
// always right.
func byHand(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n", address)
	var answer []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(answer), "\r\n\r\n"); answer = append(answer, one[0]) {
		if _, err := conn.Read(one); err != nil {
			t.Fatalf("%q: %v", answer, err)
		}
	}
	if _, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(plain)), 0, 0, 0, 0}, plain...)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestIdleSockets holds 2,000 sessions that say nothing, within bounded memory, and frees all of it.
func TestIdleSockets(t *testing.T) {
	const n = 2000
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Sessions = n
	s, url := start(t, o)
	address := strings.TrimPrefix(url, "http://")
	before, goroutines := heap(), runtime.NumGoroutine()
	conns := make([]net.Conn, 0, n)
	for range n { // by hand: a client of the library would need more memory than the server
		conns = append(conns, byHand(t, address))
	}
	waitFor(t, "2,000 sessions", func() bool { return s.Sessions() == n })
	grown, more := int64(heap())-int64(before), runtime.NumGoroutine()-goroutines
	t.Logf("%d KB and %.1f goroutines a socket, the client's end and the fake session with it", grown/n>>10, float64(more)/n)
	if more > 2*n+10 {
		t.Errorf("%d goroutines of %d sockets", more, n)
	}
	if most := int64(48 << 10); !raceDetector && grown/n > most {
		t.Errorf("%d bytes a socket, want at most %d", grown/n, most)
	}
	extra := raw(t, url)
	say(t, extra, plain)
	if e, code := ending(t, extra); e.Code != CodeBusy || code != 1013 {
		t.Errorf("one more: %+v, close %d", e, code)
	}
	for _, conn := range conns {
		// A close frame of code 1000: the client wants no resumption.
		conn.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 0xe8})
		conn.Close()
	}
	waitFor(t, "all sessions to end", func() bool { return s.Sessions() == 0 })
	waitFor(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
}

// TestVanishingClients breaks connections in the middle of a word, of a message and of a handshake, and half-open ones
// that answer nothing: no session, goroutine or memory stays.
func TestVanishingClients(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Resume, o.Limits.Idle, o.PingEvery = 200*time.Millisecond, 2*time.Second, 50*time.Millisecond
	o.ConfigTimeout = 2 * time.Second
	s, url := start(t, o)
	address := strings.TrimPrefix(url, "http://")
	var open []net.Conn
	for i := range 60 {
		if i%3 == 0 { // a message that never ends, of a length that lies
			conn := byHand(t, address)
			conn.Write([]byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3})
			if i%2 == 0 {
				open = append(open, conn) // half open: nobody is there, and nobody says so
			} else {
				conn.Close()
			}
			continue
		}
		conn := raw(t, url)
		say(t, conn, plain, fakeSound(0, 5000))
		if i%3 == 1 {
			conn.NetConn().(*net.TCPConn).SetLinger(0)
		}
		conn.NetConn().Close()
	}
	c := dial(t, url, Config{})
	go func() {
		c.Send(fakeSound(0, 16000))
		c.CloseSend()
	}()
	var l laws
	if err := drainEvents(c, &l); err != io.EOF || l.text.String() != fakeText(16000) {
		t.Errorf("beside them: %v, %q", err, l.text.String())
	}
	waitFor(t, "all sessions to end", func() bool { return s.Sessions() == 0 })
	for _, conn := range open {
		conn.Close()
	}
}

// TestWaitingClient is silent behind close, and stays connected as long as it answers pings.
func TestWaitingClient(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Idle, o.PingEvery = 500*time.Millisecond, 300*time.Millisecond
	hold := make(chan struct{})
	o.Listen = func(ctx context.Context, lo asr.ListenOptions) (Session, error) {
		return &holding{fakeSession: newFake(ctx, lo), hold: hold}, nil
	}
	_, url := start(t, o)
	c := dial(t, url, Config{})
	c.Send(fakeSound(0, 3200))
	c.CloseSend()
	time.AfterFunc(1500*time.Millisecond, func() { close(hold) })
	var l laws
	if err := drainEvents(c, &l); err != io.EOF || l.text.String() != fakeText(3200) {
		t.Errorf("%v, %q", err, l.text.String())
	}
}

// holding is a session whose events come late.
type holding struct {
	*fakeSession
	hold chan struct{}
}

func (h *holding) Next(ctx context.Context) (asr.Event, error) {
	select {
	case <-h.hold:
		return h.fakeSession.Next(ctx)
	case <-ctx.Done():
		return asr.Event{}, asr.ErrCancelled
	}
}

// TestOrigins lets pages of other origins in where they are named alone.
func TestOrigins(t *testing.T) {
	o := quick(&fakeEngine{})
	o.Origins = []string{"https://good.example"}
	_, url := start(t, o)
	for origin, want := range map[string]bool{"": true, url: true, "https://good.example": true, "https://evil.example": false, "http://good.example": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/v1/stream", header)
		if (err == nil) != want {
			t.Errorf("%q: %v", origin, err)
		}
		if err == nil {
			conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
			conn.Close()
		}
	}
}
