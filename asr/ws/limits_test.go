package ws

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
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
		"session":           {func(o *Options, _ *fakeEngine) { o.Limits.Session = short }, []any{plain}, CodeSessionLimit, 1008, true},
		"sound":             {func(o *Options, _ *fakeEngine) { o.Limits.Session = 3 * time.Second }, []any{plain, make([]byte, 64000), make([]byte, 64000)}, CodeSessionLimit, 1008, true},
		"sessions":          {func(o *Options, e *fakeEngine) { o.Limits.Sessions = 1 }, []any{plain}, CodeBusy, 1013, false},
		"sessions of files": {func(o *Options, e *fakeEngine) { o.Limits.Sessions = 1 }, []any{`{"type":"config","encoding":"webm"}`}, CodeBusy, 1013, false},
		"engine is full":    {func(o *Options, e *fakeEngine) { o.Listen = failing(asr.ErrBusy) }, []any{plain}, CodeBusy, 1013, false},
		"engine fails":      {func(o *Options, e *fakeEngine) { o.Listen = failing(asr.ErrInternal) }, []any{plain}, CodeInternal, 1011, false},
	} {
		t.Run(name, func(t *testing.T) {
			engine := &fakeEngine{}
			o := quick(engine)
			o.Limits.Resume = 50 * time.Millisecond
			c.set(&o, engine)
			_, url := start(t, o)
			if c.close == 1013 && o.Limits.Sessions == 1 {
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

// TestFinalizeAgain ends segments again and again without sound between: the session is asked once.
func TestFinalizeAgain(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	for path, c := range map[string]struct{ begin, again, end string }{
		"/v1/stream":   {plain, `{"type":"finalize"}`, `{"type":"close"}`},
		"/v1/listen":   {`{"type":"KeepAlive"}`, `{"type":"Finalize"}`, `{"type":"CloseStream"}`},
		"/v1/realtime": {at16k, `{"type":"input_audio_buffer.clear"}`, ""},
	} {
		conn := connect(t, url, path+"?encoding=linear16&sample_rate=16000", nil)
		sound := any(fakeSound(0, 1600))
		if path == "/v1/realtime" {
			sound = appendOf(fakeSound(0, 1600))
		}
		say(t, conn, c.begin, sound)
		for range 100 {
			say(t, conn, c.again)
		}
		if c.end != "" {
			say(t, conn, c.end)
			messagesOf(t, conn)
		} else {
			for range 100 {
				until(t, conn, "input_audio_buffer.cleared")
			}
		}
		session := engine.last()
		session.mu.Lock()
		calls := strings.Count(strings.Join(session.calls, ","), "finalize")
		session.mu.Unlock()
		if calls != 1 {
			t.Errorf("%s: the session is asked %d times", path, calls)
		}
		conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
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
