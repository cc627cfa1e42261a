package jobs

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"sync"
)

// What sound stands between in a message that this package has written.
var (
	inlineBegins = []byte(`"inline":"`)
	inlineEnds   = []byte(`"`)
)

// standIn is what decodeMessage has in place of sound: bytes that nobody has guessed who wrote a message.
var standIn = sync.OnceValue(func() []byte {
	b := make([]byte, 24)
	rand.Read(b)
	return b
})

// decodeMessage is json.Unmarshal of a message. Where its sound is written as this package writes it, it is taken out before, since
// encoding/json takes longer to read so long a text than all else takes that becomes of a short job: twenty times as long as base64.
func decodeMessage(body []byte, m *Message) error {
	rest, sound, ok := takeInline(body)
	if ok && json.Unmarshal(rest, m) == nil && bytes.Equal(m.Audio.Inline, standIn()) {
		m.Audio.Inline = sound
		return nil
	}
	*m = Message{} // the sound was that of something else, or there is none
	return json.Unmarshal(body, m)
}

// takeInline returns a message with a stand-in for its sound, and the sound. !ok: it is not found, or is no base64.
func takeInline(body []byte) (rest, sound []byte, ok bool) {
	before, after, ok := bytes.Cut(body, inlineBegins)
	if !ok {
		return nil, nil, false
	}
	text, behind, ok := bytes.Cut(after, inlineEnds)
	if !ok || bytes.IndexByte(text, '\\') >= 0 || bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return nil, nil, false // base64 passes over the last two, which JSON does not have in a text
	}
	sound = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(sound, text)
	if err != nil {
		return nil, nil, false
	}
	rest = append(rest, before...)
	rest = append(rest, inlineBegins...)
	rest = base64.StdEncoding.AppendEncode(rest, standIn())
	rest = append(rest, inlineEnds...)
	return append(rest, behind...), sound[:n], true
}
