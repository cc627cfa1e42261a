package ws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// quick are options whose times are short.
func quick(e *fakeEngine) Options {
	return Options{
		Listen: e.listen, Model: "fake", ConfigTimeout: 5 * time.Second, CloseTimeout: 300 * time.Millisecond,
		Limits: asr.Limits{Resume: 10 * time.Second},
	}
}

// start serves, and checks at the end of the test that nothing is left.
func start(t testing.TB, o Options) (*Server, string) {
	t.Helper()
	before := runtime.NumGoroutine()
	s := New(o)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(w, r.WithContext(asr.WithClient(r.Context(), r.Header.Get("X-Client"))))
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		h.Close()
		http.DefaultClient.CloseIdleConnections()
		if n := s.Sessions(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				buffer := make([]byte, 1<<16)
				t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buffer[:runtime.Stack(buffer, true)])
				return
			}
		}
	})
	return s, h.URL
}

// dial is Dial that does not fail.
func dial(t testing.TB, url string, c Config) *Client {
	t.Helper()
	client, err := Dial(t.Context(), url, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// laws checks the events of one client against the laws of the protocol.
type laws struct {
	seq       int64
	segment   int
	committed string // of the segment, since its last final
	text      strings.Builder
	finals    int
	done      bool
	err       error
}

func (l *laws) wrong(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

func (l *laws) take(e Event) {
	if l.done {
		l.wrong("%s behind done", e.Type)
	}
	switch e.Type {
	case TypeSpeechStarted, TypePartial, TypeFinal, TypeUtteranceEnd:
		if e.Seq <= l.seq {
			l.wrong("seq %d behind %d", e.Seq, l.seq)
		}
		l.seq = e.Seq
	}
	switch e.Type {
	case TypePartial:
		if e.SegmentID == l.segment && !strings.HasPrefix(e.Committed, l.committed) {
			l.wrong("committed %q became %q", l.committed, e.Committed)
		}
		l.segment, l.committed = e.SegmentID, e.Committed
	case TypeFinal:
		if e.SegmentID == l.segment && !strings.HasPrefix(e.Text, l.committed) {
			l.wrong("committed %q became the final %q", l.committed, e.Text)
		}
		l.segment, l.committed = e.SegmentID+1, ""
		l.text.WriteString(e.Text)
		l.finals++
	case TypeDone:
		l.done = true
	}
}

// drainEvents reads all events up to the end.
func drainEvents(c *Client, l *laws) error {
	for {
		e, err := c.Next()
		if err != nil {
			return err
		}
		l.take(e)
	}
}

// TestStream sends sound, and gets its words, finals, acks and done.
func TestStream(t *testing.T) {
	engine, counted := &fakeEngine{}, newCounts()
	o := quick(engine)
	o.Metrics = counted
	o.CloseTimeout = 10 * time.Second // where a client's answer comes late, the session is kept for it
	_, url := start(t, o)
	c := dial(t, url, Config{Language: "en", Hotwords: []string{"a", "b c"}, EndpointingMS: 300})
	if r := c.Ready(); r.SessionID == "" || r.Model != "fake" || r.AudioOffsetMS != 0 || r.Limits.FrameBytes != 1<<20 || r.Limits.IdleMS != 30_000 {
		t.Errorf("ready %+v", r)
	}
	const samples = 3*16000 + 5000
	go func() {
		for at := int64(0); at < samples; at += 1000 {
			c.Send(fakeSound(at, 1000))
		}
		c.CloseSend()
	}()
	var l laws
	var acks int64
	var last Event
	for {
		e, err := c.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		l.take(e)
		if e.Type == TypeAck {
			acks = e.AudioMS
		}
		if e.Type == TypeFinal {
			if len(e.Words) == 0 || e.Confidence != 0.5 || e.Language != "en" || e.Words[0].Word[0] != 'w' || e.EndMS <= e.StartMS {
				t.Errorf("final %+v", e)
			}
		}
		last = e
	}
	if l.err != nil {
		t.Error(l.err)
	}
	if got := l.text.String(); got != fakeText(samples) {
		t.Errorf("text %q, want %q", got, fakeText(samples))
	}
	if last.Type != TypeDone || last.AudioMS != samples/16 || last.Segments != 4 {
		t.Errorf("last %+v", last)
	}
	if acks < 2000 {
		t.Errorf("acks up to %d ms", acks)
	}
	f := engine.last()
	if f.options.Language != "en" || f.options.Hotwords != "a, b c" || f.options.Endpointing != 300*time.Millisecond || !f.options.Words || f.options.MaxQueued != time.Minute {
		t.Errorf("options %+v", f.options)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("after done: %v", err)
	}
	deadline := time.Now().Add(time.Minute) // it may be kept for CloseTimeout and then for Resume
	for closed := 0; closed == 0; time.Sleep(time.Millisecond) {
		counted.mu.Lock()
		closed = counted.closed["/v1/stream"]
		counted.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("the session was not closed")
		}
	}
	counted.mu.Lock()
	defer counted.mu.Unlock()
	if counted.opened["/v1/stream"] != 1 || len(counted.latencies) != 4 {
		t.Errorf("metrics: %v opened, %d latencies", counted.opened, len(counted.latencies))
	}
}

// raw is a connection without a client.
func raw(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	return conn
}

// ending reads to the close of a connection: the last error message, and the close code.
func ending(t testing.TB, conn *websocket.Conn) (last Event, code int) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		_, b, err := conn.ReadMessage()
		if err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				t.Errorf("the connection ended without a close: %v", err)
				return last, 0
			}
			return last, closed.Code
		}
		var e Event
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if e.Type == TypeError {
			last = e
		}
	}
}

const plain = `{"type":"config"}`

// TestMalformed sends what is wrong: an error message says what, and the close code whose fault.
func TestMalformed(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.FrameBytes = 1 << 16
	_, url := start(t, o)
	text := func(s string) []any { return []any{s} }
	for name, c := range map[string]struct {
		send  []any // text or []byte
		code  string
		close int
		say   string // in the message
	}{
		"no JSON":            {text(`{"type":`), CodeInvalid, 1008, "JSON"},
		"a number":           {text(`12`), CodeInvalid, 1008, "JSON"},
		"no type":            {text(`{}`), CodeInvalid, 1008, "no type"},
		"unknown type":       {[]any{plain, `{"type":"dance"}`}, CodeInvalid, 1008, "dance"},
		"text before config": {text(`{"type":"finalize"}`), CodeInvalid, 1008, "config"},
		"sound first":        {[]any{[]byte{1, 2}}, CodeInvalid, 1008, "config"},
		"two configs":        {[]any{plain, plain}, CodeInvalid, 1008, "update"},
		"unknown field":      {text(`{"type":"config","colour":1}`), CodeInvalid, 1008, "colour"},
		"encoding":           {text(`{"type":"config","encoding":"mp5"}`), CodeInvalid, 1008, "webm"},
		"rate":               {text(`{"type":"config","sample_rate":1}`), CodeInvalid, 1008, "sample_rate"},
		"huge rate":          {text(`{"type":"config","sample_rate":2000000000}`), CodeInvalid, 1008, "sample_rate"},
		"channels":           {text(`{"type":"config","channels":900}`), CodeInvalid, 1008, "channels"},
		"opus of 3 channels": {text(`{"type":"config","encoding":"opus","channels":3}`), CodeInvalid, 1008, "channels"},
		"endpointing":        {text(`{"type":"config","endpointing_ms":-5}`), CodeInvalid, 1008, "endpointing_ms"},
		"policy":             {text(`{"type":"config","policy":"guess"}`), CodeInvalid, 1008, "alignatt"},
		"prompt":             {text(`{"type":"config","prompt":"` + strings.Repeat("x", 9000) + `"}`), CodeInvalid, 1008, "prompt"},
		"language":           {text(`{"type":"config","language":"xx"}`), CodeInvalid, 1008, "xx"},
		"odd pcm":            {[]any{plain, []byte{1, 2, 3}}, CodeInvalidAudio, 1008, "3 bytes"},
		"NaN":                {[]any{`{"type":"config","encoding":"pcm_f32le"}`, []byte("\x00\x00\xc0\x7f" + strings.Repeat("\x00", 400))}, CodeInvalidAudio, 1008, "NaN"},
		"no webm":            {[]any{`{"type":"config","encoding":"webm"}`, []byte("this is not a WebM file at all")}, CodeInvalidAudio, 1008, "text"},
		"lying webm":         {[]any{`{"type":"config","encoding":"webm"}`, []byte("\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x16\x54\xae\x6b\x01\x00\xff\xff\xff\xff\xff\xff")}, CodeInvalidAudio, 1008, "bytes"},
		"wrong opus":         {append([]any{`{"type":"config","encoding":"opus"}`}, many([]byte{3, 0xff}, 40)...), CodeInvalidAudio, 1008, "damaged"},
		"oversize text":      {text(`{"type":"config","prompt":"` + strings.Repeat("x", 1<<16) + `"}`), CodeTooLarge, 1009, "65536"},
		"oversize sound":     {[]any{plain, make([]byte, 1<<16+2)}, CodeTooLarge, 1009, "65536"},
		"unknown session":    {text(`{"type":"config","resume":{"session_id":"nobody","last_seq":1}}`), CodeNotFound, 1008, "no such session"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := raw(t, url)
			for _, m := range c.send {
				switch m := m.(type) {
				case string:
					conn.WriteMessage(websocket.TextMessage, []byte(m))
				case []byte:
					conn.WriteMessage(websocket.BinaryMessage, m)
				}
			}
			e, code := ending(t, conn)
			begun := len(c.send) > 1 // text of what came, and done, follow the error
			if e.Code != c.code || code != c.close || e.Fatal == begun || !strings.Contains(e.Message, c.say) {
				t.Errorf("%+v, close %d", e, code)
			}
		})
	}
}

func many(message []byte, n int) []any {
	var all []any
	for range n {
		all = append(all, message)
	}
	return all
}

// TestRandomDriver sends random messages in random order: the laws hold, and the text is that of the sound.
func TestRandomDriver(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 1))
		interim := random.IntN(3) > 0
		c := dial(t, url, Config{Interim: &interim})
		samples := int64(0)
		sent := make(chan error, 1)
		go func() {
			sent <- func() error {
				for range 100 {
					var err error
					switch random.IntN(8) {
					case 0:
						err = c.KeepAlive()
					case 1:
						err = c.Update(Config{Language: []string{"de", "auto", "xx"}[random.IntN(3)]})
					case 2:
						time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
					default:
						n := int64(random.IntN(4000))
						err = c.Send(fakeSound(samples, n))
						samples += n
					}
					if err != nil {
						return err
					}
				}
				return c.CloseSend()
			}()
		}()
		var l laws
		if err := drainEvents(c, &l); err != io.EOF {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if l.err != nil || !l.done || l.text.String() != fakeText(samples) {
			t.Errorf("seed %d: %v, done %t, text %q, want %q", seed, l.err, l.done, l.text.String(), fakeText(samples))
		}
	}
}
