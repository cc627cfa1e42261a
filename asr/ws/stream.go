package ws

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	"glossa/asr"
)

// Stream serves /v1/stream: see [Config], [Ready] and [Event].
func (s *Server) Stream(w http.ResponseWriter, r *http.Request) {
	c := s.accept(w, r, "/v1/stream")
	if c == nil {
		return
	}
	c.resumable = true
	c.proto = &stream{conn: c}
	c.serve()
}

// ackEvery is how much sound comes between two acks.
const ackEvery = time.Second

// stream is the protocol of /v1/stream.
type stream struct {
	conn *conn

	// Of the reader.
	config Config
	late   bool // sound came behind close, and the client was told

	// Of the writer.
	acked   int64 // bytes
	ackedMS int64
	finalMS int64
}

// text takes a config, and then the other messages.
func (p *stream) text(message []byte) error {
	kind, err := typeOf(message)
	if err != nil {
		return err
	}
	l := p.conn.live
	switch {
	case l == nil && kind != TypeConfig:
		return invalid("the first message is a config, not %.40q", kind)
	case l == nil:
		return p.configure(message)
	}
	switch kind {
	case TypeKeepAlive:
		return nil
	case TypeFinalize, TypeUpdate:
		if l.sound.closed {
			return invalid("%s behind close has no effect", kind).lenient()
		}
	}
	switch kind {
	case TypeFinalize:
		_, err := l.sound.finalize()
		return err
	case TypeUpdate:
		return p.update(l, message)
	case TypeClose:
		return p.conn.endSound()
	case TypeConfig:
		return invalid("a session has one config; update changes it")
	}
	return invalid("there is no message of type %.40q", kind)
}

// binary takes sound.
func (p *stream) binary(message []byte) error {
	l := p.conn.live
	switch {
	case l == nil:
		return invalid("the first message is a config, not sound")
	case l.sound.closed && p.late:
		return nil
	case l.sound.closed:
		p.late = true
		return invalid("sound behind close is not heard").lenient()
	}
	_, before := l.sound.taken()
	if err := l.sound.write(message); err != nil {
		return err
	}
	if _, lasts := l.sound.taken(); lasts/ackEvery != before/ackEvery {
		p.conn.rouse()
	}
	return nil
}

// configure begins a session, or goes on with one.
func (p *stream) configure(message []byte) error {
	var err error
	if p.config, err = parseConfig(message); err != nil {
		return err
	}
	c := &p.config
	if c.Resume != nil {
		return p.resume()
	}
	limits := p.conn.server.o.Limits
	encoding := c.Encoding
	if encoding == "webm" || encoding == "ogg" {
		encoding = ""
	}
	in, err := newSound(encoding, c.SampleRate, c.Channels, limits.Session, p.conn.server.o.OverrunTimeout)
	if err != nil {
		return err
	}
	l, err := p.conn.server.listen(p.conn, c.options(), in)
	if err != nil {
		return err
	}
	l.config = p.config
	p.conn.say(p.ready(l, false))
	p.conn.begin(l)
	return nil
}

// resume goes on with a session: what the client has missed is sent again.
func (p *stream) resume() error {
	l, err := p.conn.server.resume(p.conn, p.config.Resume.SessionID)
	if err != nil {
		return err
	}
	missed, ok := l.replay.since(p.config.Resume.LastSeq)
	if !ok {
		// Let it be found again by a client that knows more.
		l.release(p.conn)
		return &failure{code: CodeNotFound, message: "what followed last_seq is kept no more; begin a new session", close: 1008, param: "last_seq"}
	}
	if w, ok := l.sound.decoder.(*wholeMilliseconds); ok && !l.sound.closed {
		w.forget()
	}
	if c := l.config; c.Encoding != p.config.Encoding || c.SampleRate != p.config.SampleRate || c.Channels != p.config.Channels {
		l.release(p.conn)
		return invalid("the session's sound is %s at %d Hz of %d channels: resume it with the same", c.Encoding, c.SampleRate, c.Channels)
	}
	p.config = l.config
	answer := append([][]byte{p.ready(l, true)}, missed...)
	if l.done {
		answer = append(answer, l.last)
	}
	p.conn.say(answer...)
	if l.done {
		p.conn.close(closing{1000, "", finished})
	}
	p.conn.ended = l.sound.closed
	p.conn.begin(l)
	return nil
}

// ready answers a config.
func (p *stream) ready(l *live, resumed bool) []byte {
	o := p.conn.server.o
	bytes, lasts := l.sound.position()
	return encode(Ready{
		Type: TypeReady, SessionID: l.id, AudioOffsetMS: lasts.Milliseconds(), AudioOffsetBytes: bytes, Resumed: resumed, Model: o.Model,
		Limits: Limits{
			FrameBytes: o.Limits.FrameBytes, QueuedMS: o.Limits.Queued.Milliseconds(), IdleMS: o.Limits.Idle.Milliseconds(),
			ResumeMS: o.Limits.Resume.Milliseconds(), SessionMS: o.Limits.Session.Milliseconds(),
			Sessions: o.Limits.Sessions, Speakers: o.Limits.Speakers,
		},
	})
}

// update changes what begins after the present segment. What cannot be changed leaves the session as it is.
func (p *stream) update(l *live, message []byte) error {
	config, err := p.config.updated(message)
	if err == nil {
		err = l.session.Update(config.options())
	}
	if err != nil {
		if f := failureOf(err); f.code == CodeInvalid || f.code == CodeNotFound {
			return f.lenient()
		}
		return err
	}
	p.config, l.config = config, config
	return nil
}

// event words an event, and keeps it for a client that comes back.
func (p *stream) event(e asr.Event) [][]byte {
	l := p.conn.live
	m := Event{Seq: e.Seq, SegmentID: e.Segment, StartMS: milliseconds(e.Start), EndMS: milliseconds(e.End), Language: e.Language, Adapter: e.Adapter}
	switch e.Kind {
	case asr.SpeechStarted:
		m.Type = TypeSpeechStarted
	case asr.Partial:
		m.Type, m.Committed, m.Tentative = TypePartial, e.Committed, e.Tentative
	case asr.Final:
		m.Type, m.Text, m.SpeechFinal = TypeFinal, e.Text, e.SpeechFinal
		m.Words, m.Confidence = wordsOf(e), confidence(e)
	case asr.UtteranceEnd:
		m.Type = TypeUtteranceEnd
	case asr.Lag:
		return [][]byte{encode(Event{Type: TypeLag, SegmentID: e.Segment, MS: e.Behind.Milliseconds()})}
	case asr.Failed:
		return [][]byte{encode(Event{Type: TypeError, SegmentID: e.Segment, StartMS: m.StartMS, EndMS: m.EndMS, Code: CodeUndecoded,
			Message: "the segment could not be decoded, and has no text"})}
	case asr.Done:
		_, lasts := l.sound.taken()
		l.last = encode(Event{Type: TypeDone, SegmentID: e.Segment, AudioMS: lasts.Milliseconds(), Segments: l.segments})
		return [][]byte{l.last}
	}
	if e.SpeechFinal {
		l.segments++
	}
	message := encode(m)
	l.replay.add(e.Seq, message, e.Kind == asr.Partial)
	messages := [][]byte{message}
	if final := milliseconds(e.Acked); final > p.finalMS {
		p.finalMS = final
		messages = append(messages, p.ack(l))
	}
	return messages
}

// received acknowledges sound.
func (p *stream) received() [][]byte {
	l := p.conn.live
	if _, lasts := l.sound.position(); l.done || lasts.Milliseconds() < p.ackedMS+ackEvery.Milliseconds() {
		return nil
	}
	return [][]byte{p.ack(l)}
}

// ack tells what the session does not need again.
func (p *stream) ack(l *live) []byte {
	bytes, lasts := l.sound.position()
	p.acked, p.ackedMS = bytes, lasts.Milliseconds()
	return encode(Event{Type: TypeAck, AudioMS: p.ackedMS, AudioBytes: bytes, FinalMS: p.finalMS})
}

// failed words an error.
func (p *stream) failed(f *failure) [][]byte {
	return [][]byte{encode(Event{Type: TypeError, Code: f.code, Message: f.message, Param: f.param, Fatal: f.close != 0})}
}

// encode returns a message as JSON.
func encode(message any) []byte {
	b, err := json.Marshal(message)
	if err != nil { // no message has what JSON has not, but for numbers that are none
		b, _ = json.Marshal(Event{Type: TypeError, Code: CodeInternal, Message: "internal error"})
	}
	return b
}

// milliseconds are those of seconds.
func milliseconds(seconds float64) int64 { return int64(math.Round(seconds * 1000)) }

// wordsOf returns the words of a final.
func wordsOf(e asr.Event) []Word {
	words := make([]Word, len(e.Words))
	for i, w := range e.Words {
		words[i] = Word{strings.TrimSpace(w.Word), milliseconds(w.Start), milliseconds(w.End), w.Probability}
	}
	return words
}

// confidence of a final is the mean probability of its words, or that of its tokens where it has none.
func confidence(e asr.Event) float64 {
	if len(e.Words) == 0 {
		return finite(math.Exp(e.AvgLogProb))
	}
	sum := 0.0
	for _, w := range e.Words {
		sum += w.Probability
	}
	return finite(sum / float64(len(e.Words)))
}

// finite is x, or 0 where it is no number of JSON.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}
