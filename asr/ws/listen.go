package ws

import (
	"crypto/sha256"
	"encoding/json"
	"hash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// Listen serves live sound at /v1/listen in Deepgram's shapes. A Results message with is_final carries the text since
// the last such; all of them, one behind the other, are the text. Interim ones carry what follows, committed or not.
func (s *Server) Listen(w http.ResponseWriter, r *http.Request) {
	id := newUUID()
	if !websocket.IsWebSocketUpgrade(r) {
		s.refuse(w, id, http.StatusBadRequest, "Bad Request", "live sound needs a websocket; files are posted")
		return
	}
	q, err := parseListen(r.URL.Query(), ofFiles)
	if err != nil {
		s.refuseFor(w, id, err)
		return
	}
	c, refused := s.admit(r, "/v1/listen")
	if refused != nil {
		s.refuseFor(w, id, refused)
		return
	}
	p := &listen{conn: c, query: q, id: id, created: time.Now(), hash: newHash()}
	c.proto = p
	l, err := p.begin()
	if err != nil {
		s.refuseFor(w, id, err)
		s.remove(c)
		return
	}
	if !s.upgrade(c, w, r, http.Header{"Dg-Request-Id": {id}}) {
		l.finish()
		s.remove(c)
		return
	}
	c.begin(l)
	c.serve()
}

// listen is the protocol of live sound at /v1/listen.
type listen struct {
	conn    *conn
	query   listenQuery
	id      string
	created time.Time

	mu   sync.Mutex
	hash hash.Hash // of the messages of sound

	awaiting atomic.Bool // whether a pause becomes an UtteranceEnd, more sound tells

	// Of the writer.
	lastWord float64 // where the words ended before the pause
}

// newHash is that of Metadata.
func newHash() hash.Hash { return sha256.New() }

// begin begins the session that the parameters ask for.
func (p *listen) begin() (*live, error) {
	s, q := p.conn.server, &p.query
	encoding := q.encoding
	if encoding == "opus" {
		encoding = opusOrOgg
	}
	in, err := newSound(encoding, q.rate, q.channels, s.o.Limits.Session, s.o.OverrunTimeout)
	if err != nil {
		return nil, err
	}
	in.anyCut()
	return s.listen(p.conn, q.options, in)
}

// refuse answers with an error in Deepgram's shape.
func (s *Server) refuse(w http.ResponseWriter, id string, status int, code, message string) {
	w.Header().Set("Dg-Request-Id", id)
	w.Header().Set("Dg-Error", message)
	answer(w, status, listenRefusal{ErrCode: code, ErrMsg: message, RequestID: id})
}

// refuseFor is refuse for an error.
func (s *Server) refuseFor(w http.ResponseWriter, id string, err error) {
	f := failureOf(err)
	code := "Bad Request"
	switch status := f.status(); {
	case status == http.StatusRequestEntityTooLarge:
		code = "PAYLOAD_TOO_LARGE"
	case status != http.StatusBadRequest:
		code = strings.ReplaceAll(strings.ToUpper(http.StatusText(status)), " ", "_")
	case f.param != "":
		code = "INVALID_QUERY_PARAMETER"
	}
	if f.code == CodeInternal {
		s.o.Log.Error("listen", "request", id, "error", err)
	}
	s.refuse(w, id, f.status(), code, f.message)
}

// text takes KeepAlive, Finalize and CloseStream.
func (p *listen) text(message []byte) error {
	var m struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		return invalid("the message is no JSON object: %v", err)
	}
	l := p.conn.live
	switch m.Type {
	case "KeepAlive":
		return nil
	case "Finalize":
		if l.sound.closed {
			return nil
		}
		_, err := l.sound.finalize()
		return err
	case "CloseStream":
		return p.conn.endSound()
	}
	return invalid("there is no message of type %.40q; KeepAlive, Finalize and CloseStream are known", m.Type)
}

// binary takes sound; without any it is CloseStream.
func (p *listen) binary(message []byte) error {
	l := p.conn.live
	switch {
	case len(message) == 0:
		return p.conn.endSound()
	case l.sound.closed:
		return nil // the client has closed the stream itself
	}
	p.mu.Lock()
	p.hash.Write(message)
	p.mu.Unlock()
	if err := l.sound.write(message); err != nil {
		return err
	}
	if p.awaiting.Load() {
		p.conn.rouse()
	}
	return nil
}

// event words an event.
func (p *listen) event(e asr.Event) [][]byte {
	switch e.Kind {
	case asr.SpeechStarted:
		p.awaiting.Store(false)
		if p.query.vadEvents {
			return [][]byte{encode(listenSpeechStarted{"SpeechStarted", []int{0}, e.Start})}
		}
	case asr.Partial:
		return [][]byte{p.results(e, e.Committed+e.Tentative)}
	case asr.Final, asr.Failed:
		e.SpeechFinal = e.SpeechFinal || e.Kind == asr.Failed
		return [][]byte{p.results(e, e.Text)}
	case asr.UtteranceEnd:
		if p.query.utteranceEnd > 0 {
			p.lastWord = e.End
			p.awaiting.Store(true)
		}
	case asr.Done:
		p.mu.Lock()
		sum := p.hash.Sum(nil)
		p.mu.Unlock()
		_, lasts := p.conn.live.sound.taken()
		m := p.conn.server.metadata(p.id, p.created, sum, lasts, 1)
		m.Type, m.Tags, m.Extra = "Metadata", p.query.tags, p.query.extra
		return [][]byte{encode(m)}
	}
	return nil
}

// results words text.
func (p *listen) results(e asr.Event, text string) []byte {
	final := e.Kind != asr.Partial
	a := listenAlternative{Transcript: strings.TrimSpace(text), Words: listenWords(e.Words, "")}
	if a.Transcript != "" {
		a.Confidence = confidence(e)
	}
	if e.Language != "" {
		a.Languages = []string{e.Language}
	}
	s := p.conn.server
	return encode(listenResults{
		Type: "Results", ChannelIndex: []int{0, 1}, Start: e.Start, Duration: max(0, e.End-e.Start), IsFinal: final, SpeechFinal: e.SpeechFinal,
		Channel: listenChannel{Alternatives: []listenAlternative{a}}, FromFinalize: e.Finalized,
		Metadata: listenModel{p.id, s.info(), modelUUID(s.o.Model)},
	})
}

// received tells of a pause once it is long enough.
func (p *listen) received() [][]byte {
	if !p.awaiting.Load() || p.conn.live.sound.given() < p.lastWord+p.query.utteranceEnd.Seconds() {
		return nil
	}
	p.awaiting.Store(false)
	return [][]byte{encode(listenUtteranceEnd{"UtteranceEnd", []int{0, 1}, p.lastWord})}
}

// failed words an error, and closes as Deepgram does.
func (p *listen) failed(f *failure) [][]byte {
	variant := f.code
	switch f.code {
	case CodeIdle:
		f.close, variant = websocket.CloseInternalServerErr, "NET-0001"
	case CodeInvalidAudio:
		variant = "DATA-0000"
	case CodeDraining, CodeSessionLimit:
		if f.close == 0 {
			return nil // the close frame will say it
		}
	}
	f.message = variant + ": " + f.message
	return [][]byte{encode(listenError{"Error", variant, f.message, f.message, p.id})}
}
