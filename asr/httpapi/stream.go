package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"glossa/asr"
	"glossa/whisper"
)

// keepAlive is the time after which a comment is sent where there is nothing else, so that proxies see that there is life.
const keepAlive = 15 * time.Second

// deltaEvent tells what text has come.
type deltaEvent struct {
	Type  string `json:"type"`
	Delta string `json:"delta"`
}

// segmentEvent tells a segment, where verbose_json is wanted. OpenAI sends it with diarized_json, with a speaker, whom nobody knows
// here.
type segmentEvent struct {
	Type  string  `json:"type"`
	ID    string  `json:"id"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	Text  string  `json:"text"`
	Words []word  `json:"words,omitzero"`
}

// doneEvent is the last.
type doneEvent struct {
	Type  string     `json:"type"`
	Text  string     `json:"text"`
	Usage tokenUsage `json:"usage"`
	*verboseTranscription
}

// tokenUsage is the usage in a doneEvent, where OpenAI bills by token: those that were written, and the positions of the encoder that
// the sound took.
type tokenUsage struct {
	Type              string            `json:"type"`
	InputTokens       int               `json:"input_tokens"`
	OutputTokens      int               `json:"output_tokens"`
	TotalTokens       int               `json:"total_tokens"`
	InputTokenDetails inputTokenDetails `json:"input_token_details"`
	Seconds           float64           `json:"seconds"`
}

type inputTokenDetails struct {
	AudioTokens int `json:"audio_tokens"`
	TextTokens  int `json:"text_tokens"`
}

// stream answers with events as segments of the text come. Until there is the first, an error has a status of its own; behind it,
// an error is an event.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, want *wanted) error {
	var segments segmentQueue
	segments.more = make(chan struct{}, 1)
	want.request.Segment = segments.add
	type end struct {
		result *asr.Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		result, err := s.engine.Transcribe(r.Context(), want.request)
		ended <- end{result, err}
	}()
	e := &events{w: w, control: http.NewResponseController(w)}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-segments.more:
			e.tell(want, segments.take())
		case <-tick.C:
			e.comment("still at it")
		case x := <-ended:
			e.tell(want, segments.take())
			if x.err != nil && !e.begun {
				return x.err
			}
			if x.err != nil {
				answer := s.answer(r, x.err)
				s.logFault(r.Context(), answer)
				e.send(answer.body())
				return errHandled
			}
			e.finish(want, x.result)
			return nil
		}
	}
}

// segmentQueue takes segments without waiting.
type segmentQueue struct {
	mu   sync.Mutex
	list []asr.Segment
	more chan struct{}
}

func (q *segmentQueue) add(s asr.Segment) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, s)
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *segmentQueue) take() []asr.Segment {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}

// events writes server-sent events. That a client has gone, the request's context tells.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
	id      string // of the events that are sent, "" for none
	err     error  // of the first write that failed

	sent strings.Builder // all deltas
	held string          // the spaces behind them, which are no part of the text unless more follows
}

func (e *events) begin() {
	if !e.begun {
		e.begun = true
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // nginx passes events on at once
		e.w.WriteHeader(http.StatusOK)
	}
}

func (e *events) send(event any) {
	e.begin()
	body, err := json.Marshal(event)
	if err != nil {
		panic(fmt.Sprintf("httpapi: event %T: %v", event, err))
	}
	id := ""
	if e.id != "" {
		id = "id: " + e.id + "\n"
	}
	e.write("%sdata: %s\n\n", id, body)
}

func (e *events) comment(text string) {
	e.begin()
	e.write(": %s\n\n", text)
}

// write sends text at once.
func (e *events) write(format string, args ...any) {
	_, err := fmt.Fprintf(e.w, format, args...)
	e.err = cmp.Or(e.err, err, e.control.Flush())
}

// tell sends segments.
func (e *events) tell(want *wanted, segments []asr.Segment) {
	for _, s := range segments {
		e.delta(s.Text)
		if want.format == formatVerbose {
			event := segmentEvent{"transcript.text.segment", fmt.Sprintf("seg_%d", s.ID), s.Start, s.End, strings.TrimSpace(s.Text), nil}
			if want.words {
				event.Words = words(s)
			}
			e.send(event)
		}
	}
}

// delta sends the text of a segment, so that all deltas together are the text of the recording, without spaces around it.
func (e *events) delta(text string) {
	text = e.held + text
	if e.sent.Len() == 0 {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	trimmed := strings.TrimRightFunc(text, unicode.IsSpace)
	if e.held = text[len(trimmed):]; trimmed != "" {
		e.sent.WriteString(trimmed)
		e.send(deltaEvent{"transcript.text.delta", trimmed})
	}
}

// finish sends what is left, and the last event.
func (e *events) finish(want *wanted, r *asr.Result) {
	if rest, ok := strings.CutPrefix(r.Text, e.sent.String()); ok && rest != "" {
		e.send(deltaEvent{"transcript.text.delta", rest})
	}
	u := tokenUsage{Type: "tokens", Seconds: r.Duration}
	for _, s := range r.Segments {
		u.OutputTokens += len(s.Tokens)
	}
	u.InputTokens = int(r.Duration * whisper.TokensPerSecond)
	u.InputTokenDetails.AudioTokens = u.InputTokens
	u.TotalTokens = u.InputTokens + u.OutputTokens
	done := doneEvent{Type: "transcript.text.done", Text: r.Text, Usage: u}
	if want.format == formatVerbose {
		v := want.verbose(r)
		done.verboseTranscription = &v
	}
	e.send(done)
}
