package ws

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Realtime serves /v1/realtime: transcription sessions in OpenAI's shapes, the present ones and those of the beta. Deltas
// are committed text, which never changes; they come while somebody speaks.
func (s *Server) Realtime(w http.ResponseWriter, r *http.Request) {
	if intent := r.URL.Query().Get("intent"); intent != "" && intent != "transcription" {
		answerError(w, http.StatusBadRequest, about("intent", "the sessions here are of intent=transcription"))
		return
	}
	c := s.accept(w, r, "/v1/realtime")
	if c == nil {
		return
	}
	c.pongs = true
	p := &realtime{conn: c, id: "sess_" + newID(), expires: time.Now().Add(s.o.Limits.Session), config: newRealtimeConfig()}
	p.beta = strings.Contains(r.Header.Get("OpenAI-Beta"), "realtime=v1") || offers(r, "openai-beta.realtime-v1")
	c.proto = p
	c.say(p.session("created"))
	c.serve()
}

// offers tells whether a client names a subprotocol.
func offers(r *http.Request, name string) bool {
	return slices.Contains(websocket.Subprotocols(r), name)
}

// realtime is the protocol of /v1/realtime.
type realtime struct {
	conn    *conn
	id      string
	expires time.Time

	mu        sync.Mutex
	beta      bool
	config    realtimeConfig
	items     []*realtimeItem // whose text is not complete, in the order of their sound
	previous  string          // id of the last item that was committed
	committed time.Duration   // sound up to the last commit
}

// realtimeItem is the sound between two commits.
type realtimeItem struct {
	id        string
	previous  any  // id of the item that was committed before, nil: none
	committed bool // by the client: the Final that is Finalized completes it
	cleared   bool // nothing is told of it
	failed    bool // a part of it could not be decoded
	text      strings.Builder
	delta     int // bytes of Event.Committed, since the last final, that were told
	segment   int
	start     float64 // seconds
	end       float64
	begun     bool
}

// realtimeEvent is a message of the client.
type realtimeEvent struct {
	Type    string          `json:"type"`
	EventID string          `json:"event_id"`
	Session *realtimeUpdate `json:"session"`
	Audio   *string         `json:"audio"`
}

// text takes a message. What is wrong with one, an error tells; the connection goes on.
func (p *realtime) text(message []byte) error {
	var e realtimeEvent
	if err := json.Unmarshal(message, &e); err != nil {
		f := invalid("the event is not understood: %v", err).lenient()
		f.event = e.EventID
		return f
	}
	err := p.take(&e)
	if err == nil {
		return nil
	}
	f := *failureOf(err)
	f.event = e.EventID
	if f.code == CodeInvalid || f.code == CodeNotFound {
		f.close = 0
	}
	return &f
}

// take does what an event says.
func (p *realtime) take(e *realtimeEvent) error {
	switch e.Type {
	case "session.update", "transcription_session.update":
		return p.update(e)
	case "input_audio_buffer.append":
		return p.append(e)
	case "input_audio_buffer.commit":
		return p.commit()
	case "input_audio_buffer.clear":
		return p.clear()
	case "":
		return about("type", "there is none")
	}
	return about("type", "%.60q is no event of a transcription session", e.Type)
}

// binary refuses sound that is in no event.
func (p *realtime) binary([]byte) error {
	return invalid("sound goes in the audio of input_audio_buffer.append").lenient()
}

// update changes the session.
func (p *realtime) update(e *realtimeEvent) error {
	if e.Session == nil {
		return about("session", "there is none")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	beta := e.Type == "transcription_session.update"
	config, err := p.config.apply(e.Session, beta)
	if err != nil {
		return err
	}
	if l := p.conn.live; l != nil {
		if config.encoding != p.config.encoding || config.rate != p.config.rate {
			return about("session.audio.input.format", "cannot be changed once there is sound")
		}
		if err := l.session.Update(config.options()); err != nil {
			return err
		}
	}
	p.config, p.beta = config, beta
	p.conn.say(p.session("updated"))
	return nil
}

// append takes sound. The first begins the session.
func (p *realtime) append(e *realtimeEvent) error {
	if e.Audio == nil {
		return about("audio", "there is none")
	}
	sound, err := decodeBase64(*e.Audio)
	if err != nil {
		return about("audio", "is no base64")
	}
	if err := p.begin(); err != nil {
		return err
	}
	if p.conn.live.sound.closed {
		return nil // the session is ending, and the client was told
	}
	return p.conn.live.sound.write(sound)
}

// begin begins the session where it has not begun.
func (p *realtime) begin() error {
	if p.conn.live != nil {
		return nil
	}
	p.mu.Lock()
	config := p.config
	p.mu.Unlock()
	s := p.conn.server
	in, err := newSound(config.encoding, config.rate, 1, s.o.Limits.Session, s.o.OverrunTimeout)
	if err != nil {
		return err
	}
	in.anyCut()
	l, err := s.listen(p.conn, config.options(), in)
	if err != nil {
		return err
	}
	p.conn.begin(l)
	return nil
}

// leastCommit is the shortest sound that OpenAI commits.
const leastCommit = 100 * time.Millisecond

// commit ends the item of the sound so far.
func (p *realtime) commit() error {
	l := p.conn.live
	lasts := time.Duration(0)
	if l != nil {
		_, lasts = l.sound.taken()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := lasts - p.committed; since < leastCommit {
		f := about("", "buffer too small: %d ms of sound since the last commit, at least %d are expected", since.Milliseconds(), leastCommit.Milliseconds())
		f.code, f.message = codeCommitEmpty, strings.TrimPrefix(f.message, ": ")
		return f
	}
	ended, err := l.sound.finalize()
	if !ended || err != nil {
		return err
	}
	p.committed = lasts
	item := p.last()
	item.committed = true
	p.conn.say(p.commitment(item)...)
	return nil
}

// codeCommitEmpty is OpenAI's code for a commit without sound.
const codeCommitEmpty = "input_audio_buffer_commit_empty"

// clear drops the sound since the last commit.
func (p *realtime) clear() error {
	l := p.conn.live
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.say(p.word("input_audio_buffer.cleared", nil))
	if l == nil {
		return nil
	}
	ended, err := l.sound.finalize()
	if !ended || err != nil {
		return err // there is nothing to be dropped
	}
	_, p.committed = l.sound.taken()
	item := p.last()
	item.committed, item.cleared = true, true
	return nil
}

// last returns the item of the newest sound.
func (p *realtime) last() *realtimeItem {
	if n := len(p.items); n > 0 && !p.items[n-1].committed {
		return p.items[n-1]
	}
	item := &realtimeItem{id: "item_" + newID()}
	p.items = append(p.items, item)
	return item
}
