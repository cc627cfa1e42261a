package jobs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// Headers of messages. Those that begin with Nats- are the broker's.
const (
	headerClient  = "Asr-Client"
	headerAudio   = "Asr-Audio-Seconds" // where it is known
	headerReason  = "Asr-Reason"        // of a dead letter
	headerSubject = "Asr-Subject"       // that a dead letter came on
	headerTrace   = "traceparent"       // W3C trace context
	headerAgain   = "Asr-Again"         // revision of the record, failed or cancelled, that the message begins anew
)

// What bounds a message besides its sound, in bytes. A consumer's name, which holds a model's token, has 255 at most.
const (
	maxName     = 1 << 10
	maxClient   = 256
	maxModel    = 80
	maxParams   = 64 << 10
	maxAddress  = 4 << 10
	maxReplyTo  = 256
	maxTrace    = 256
	messageRoom = 16 << 10 // of the broker's greatest message: for headers that are added on its way
)

// Message is the body of a job on its subject, asr.jobs.PRIORITY.MODEL: live, normal or bulk, and the model's name, in which _ and two
// hexadecimal digits stand for each byte that is no letter, digit or -. It says all that a worker needs: whoever may publish there can
// submit jobs without this package, with job_id as the Nats-Msg-Id. Headers may say whose it is, Asr-Client, how long the sound is in
// seconds, Asr-Audio-Seconds, and what it is traced by, traceparent.
type Message struct {
	JobID    string       `json:"job_id"`
	Name     string       `json:"name,omitempty"`
	Model    string       `json:"model,omitempty"` // "": any that the subject leads to
	Audio    MessageAudio `json:"audio"`
	Params   asr.Params   `json:"params,omitempty"`
	ReplyTo  string       `json:"reply_to,omitempty"` // a subject that is sent the final event, in core NATS; not one of the broker's or this package's
	Callback string       `json:"callback,omitempty"`
	Content  string       `json:"content,omitempty"` // digest of what a submission with the same key has to ask for
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

// parseMessage reads the body of a message. The error is asr.ErrInvalid; where the message has an id, it comes beside it.
func parseMessage(body []byte) (*Message, error) {
	var m Message
	if err := decodeMessage(body, &m); err != nil {
		return &m, fmt.Errorf("%w: the job is not understood: %w", asr.ErrInvalid, err)
	}
	if !validID(m.JobID) {
		return &m, fmt.Errorf("%w: job_id %.100q: want 1 to 64 letters, digits, - and _", asr.ErrInvalid, m.JobID)
	}
	return &m, m.check()
}

// check reports what is wrong with a message, apart from its id.
func (m *Message) check() error {
	sources := 0
	for _, is := range []bool{len(m.Audio.Inline) > 0, m.Audio.Object != nil, m.Audio.URL != ""} {
		if is {
			sources++
		}
	}
	if sources != 1 {
		return fmt.Errorf("%w: audio: want one of inline, object and url", asr.ErrInvalid)
	}
	if o := m.Audio.Object; o != nil && (o.Bucket == "" || o.Name == "") {
		return fmt.Errorf("%w: audio: an object has a bucket and a name", asr.ErrInvalid)
	}
	params := 0
	for name, values := range m.Params {
		params += len(name)
		for _, v := range values {
			params += len(v)
		}
	}
	for _, of := range []struct {
		what      string
		size, max int
	}{{"name", len(m.Name), maxName}, {"model", len(m.Model), maxModel}, {"params", params, maxParams}, {"callback", len(m.Callback), maxAddress},
		{"url", len(m.Audio.URL), maxAddress}, {"reply_to", len(m.ReplyTo), maxReplyTo}} {
		if of.size > of.max {
			return fmt.Errorf("%w: %s has %d bytes: want %d at most", asr.ErrInvalid, of.what, of.size, of.max)
		}
	}
	if !utf8.ValidString(m.Name) || strings.ContainsFunc(m.Name, isControl) {
		return fmt.Errorf("%w: name: want text without control characters", asr.ErrInvalid)
	}
	if m.ReplyTo != "" && !validReplyTo(m.ReplyTo) {
		return fmt.Errorf("%w: reply_to %q: want a subject that begins neither with asr. nor with $", asr.ErrInvalid, m.ReplyTo)
	}
	return nil
}

// isControl reports whether a character has no place in a line of text or a header.
func isControl(c rune) bool { return c < ' ' || c == 0x7f }

// validReplyTo reports whether a subject is nobody's but a client's: what is published there must be no call of the broker's API, nor
// cancel the job of another.
func validReplyTo(subject string) bool {
	for t := range strings.SplitSeq(subject, ".") {
		if t == "" || strings.ContainsFunc(t, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '*' || c == '>' }) {
			return false
		}
	}
	return !strings.HasPrefix(subject, "$") && !strings.HasPrefix(subject, "asr.")
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

// size returns how many bytes a message has at most, without writing its sound.
func (m *Message) size() int64 {
	bare := *m
	bare.Audio.Inline = nil
	b, _ := json.Marshal(bare)
	return int64(len(b) + len(`"inline":"",`) + base64.StdEncoding.EncodedLen(len(m.Audio.Inline)))
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
		msg.Header.Set(headerAudio, strconv.FormatFloat(seconds, 'f', -1, 64))
	}
	if trace != "" {
		msg.Header.Set(headerTrace, trace)
	}
	return msg, nil
}
