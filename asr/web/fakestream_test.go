package web_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// stream is /v1/stream. It is one goroutine that both reads and writes, so that events follow sound.
func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	if f.refused(w, r) {
		return
	}
	c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	f.mu.Lock()
	code := f.refuse
	f.conns[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	}()
	if code != 0 {
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "no"), time.Now().Add(time.Second))
		c.ReadMessage()
		return
	}
	var config map[string]any
	if c.ReadJSON(&config) != nil {
		return
	}
	s, sent := f.begin(c, config)
	if s == nil {
		return
	}
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			return
		}
		var done bool
		f.mu.Lock()
		s.samples, done = s.heard(kind, b)
		events, ack, lag := s.events[sent:], s.acked, f.lag
		sent = len(s.events)
		f.mu.Unlock()
		for _, e := range events {
			if c.WriteJSON(e) != nil {
				return
			}
			if e["type"] == "final" {
				c.WriteJSON(map[string]any{"type": "ack", "audio_ms": ack, "final_ms": ack})
			}
			if lag && e["type"] == "partial" {
				c.WriteJSON(map[string]any{"type": "lag", "ms": 1700})
			}
		}
		if done {
			c.WriteJSON(map[string]any{"type": "done", "audio_ms": s.ms(), "segments": s.segment})
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
			return
		}
	}
}

// begin answers a config: a session that begins or goes on, and the number of its events that the client has.
func (f *fake) begin(c *websocket.Conn, config map[string]any) (*fakeSession, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &fakeSession{id: fmt.Sprintf("session-%d", f.began), rate: int(config["sample_rate"].(float64)), segments: timed(40)}
	sent := 0
	if r, ok := config["resume"].(map[string]any); ok {
		if s = f.sessions[r["session_id"].(string)]; s == nil {
			c.WriteJSON(map[string]any{"type": "error", "code": "not_found", "message": "there is no such session", "fatal": true})
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.ClosePolicyViolation, "not_found"), time.Now().Add(time.Second))
			return nil, 0
		}
		f.resumed++
		for sent < len(s.events) && s.events[sent]["seq"].(int64) <= int64(r["last_seq"].(float64)) {
			sent++
		}
		s.samples = s.acked * int64(s.rate) / 1000 // sound that is not acknowledged comes again
	} else {
		f.began++
		f.sessions[s.id] = s
	}
	s.configs = append(s.configs, config)
	c.WriteJSON(map[string]any{
		"type": "ready", "session_id": s.id, "audio_offset_ms": s.acked, "model": "nano",
		"limits": map[string]any{"frame_bytes": 1 << 20, "queued_ms": 60000, "idle_ms": 30000, "resume_ms": 30000},
	})
	return s, sent
}

// heard takes a message, and returns the samples so far and whether the session is done.
func (s *fakeSession) heard(kind int, b []byte) (samples int64, done bool) {
	if kind == websocket.BinaryMessage {
		s.samples += int64(len(b) / 2)
		for i := 0; i+1 < len(b); i += 2 {
			s.sound = append(s.sound, float64(int16(binary.LittleEndian.Uint16(b[i:])))/32768)
		}
		s.advance(false)
		return s.samples, false
	}
	var message map[string]any
	if json.Unmarshal(b, &message) != nil {
		return s.samples, true
	}
	switch message["type"] {
	case "finalize":
		s.advance(true)
	case "close":
		s.advance(true)
		done = true
	case "update":
		s.configs = append(s.configs, message)
	}
	return s.samples, done
}
