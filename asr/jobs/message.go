package jobs

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// Headers of messages. Those that begin with Nats- are the broker's.
const (
	headerClient = "Asr-Client"
	headerAudio  = "Asr-Audio-Seconds" // where it is known
	headerReason = "Asr-Reason"        // of a dead letter
	headerTrace  = "traceparent"       // W3C trace context
)

// Message is the body of a job on its subject, asr.jobs.PRIORITY.MODEL. It says all that a worker needs: whoever may publish there can
// submit jobs without this package, with job_id as the Nats-Msg-Id.
type Message struct {
	JobID    string       `json:"job_id"`
	Name     string       `json:"name,omitempty"`
	Model    string       `json:"model,omitempty"` // "": any that the subject leads to
	Audio    MessageAudio `json:"audio"`
	Params   asr.Params   `json:"params,omitempty"`
	ReplyTo  string       `json:"reply_to,omitempty"` // a subject that is sent the final event, in core NATS
	Callback string       `json:"callback,omitempty"`
}

// MessageAudio is the sound of a message: one of its fields.
type MessageAudio struct {
	Inline []byte  `json:"inline,omitempty"` // the file, base64 in JSON
	Object *Object `json:"object,omitempty"`
	URL    string  `json:"url,omitempty"`
}

// Object names sound in an object store.
type Object struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"` // SHA-256=base64, as NATS has it
}

// parseMessage reads the body of a message. The error is asr.ErrInvalid.
func parseMessage(body []byte) (*Message, error) {
	var m Message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: the job is not understood: %w", asr.ErrInvalid, err)
	}
	sources := 0
	for _, is := range []bool{len(m.Audio.Inline) > 0, m.Audio.Object != nil, m.Audio.URL != ""} {
		if is {
			sources++
		}
	}
	switch {
	case !validID(m.JobID):
		return nil, fmt.Errorf("%w: job_id %q: want 1 to 64 letters, digits, - and _", asr.ErrInvalid, m.JobID)
	case sources != 1:
		return nil, fmt.Errorf("%w: audio: want one of inline, object and url", asr.ErrInvalid)
	}
	return &m, nil
}

// validID reports whether an id can be part of subjects and keys.
func validID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// envelope returns a message as it is published.
func (m *Message) envelope(p asr.Priority, client string, seconds float64, trace string) (*nats.Msg, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", asr.ErrInvalid, err)
	}
	msg := &nats.Msg{Subject: subjectOf(p, m.Model), Data: body, Header: nats.Header{}}
	msg.Header.Set(nats.MsgIdHdr, m.JobID)
	if client != "" {
		msg.Header.Set(headerClient, client)
	}
	if seconds > 0 {
		msg.Header.Set(headerAudio, strconv.FormatFloat(seconds, 'f', 3, 64))
	}
	if trace != "" {
		msg.Header.Set(headerTrace, trace)
	}
	return msg, nil
}
