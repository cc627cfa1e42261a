package ws

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// TestRefusals answers connections that cannot be in the shape of the route, with a status that says whose fault it is.
func TestRefusals(t *testing.T) {
	o := quick(&fakeEngine{})
	o.Limits.Sessions = 1
	s, url := start(t, o)
	refused := func(path, origin string, status int, code string) {
		t.Helper()
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+path, header)
		if err == nil || answer == nil {
			t.Fatalf("%s: %v", path, err)
		}
		var m struct {
			Error struct{ Code, Message string }
			listenRefusal
		}
		if err := json.NewDecoder(answer.Body).Decode(&m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := m.Error.Code + m.ErrCode; got != code || m.Error.Message+m.ErrMsg == "" || answer.StatusCode != status {
			t.Errorf("%s: %s, %+v, want %d %s", path, answer.Status, m, status, code)
		}
		if wait := answer.Header.Get("Retry-After") != ""; wait != (status == http.StatusTooManyRequests) {
			t.Errorf("%s: %v", path, answer.Header)
		}
	}
	refused("/v1/stream", "https://evil.example", http.StatusForbidden, CodeInvalid)
	raw(t, url)
	raw(t, url) // twice as many connections as sessions
	waitFor(t, "two connections", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 2
	})
	refused("/v1/stream", "", http.StatusTooManyRequests, CodeBusy)
	refused("/v1/realtime", "", http.StatusTooManyRequests, CodeBusy)
	refused("/v1/listen", "", http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
}

// panicking is a session with a fault.
type panicking struct{ *fakeSession }

func (panicking) Finalize() error { panic(http.ErrAbortHandler) } // which is not logged

// TestPanicEndsTheConnectionAlone has a message at which the server panics: the connection breaks, and its session is free.
func TestPanicEndsTheConnectionAlone(t *testing.T) {
	o := quick(&fakeEngine{})
	o.Limits.Resume = time.Hour
	o.Listen = func(ctx context.Context, o asr.ListenOptions) (Session, error) {
		return panicking{newFake(ctx, o)}, nil
	}
	s, url := start(t, o)
	conn := raw(t, url)
	say(t, conn, plain, `{"type":"finalize"}`)
	for err := error(nil); err == nil; {
		_, _, err = conn.ReadMessage()
	}
	waitFor(t, "the session to end", func() bool { return s.Sessions() == 0 })
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
