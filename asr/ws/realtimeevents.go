package ws

import (
	"encoding/base64"
	"strings"
	"time"

	"glossa/asr"
)

// fields are those of a message beside its type and id.
type fields = map[string]any

// word returns a message.
func (p *realtime) word(kind string, more fields) []byte {
	m := fields{"type": kind, "event_id": "event_" + newID()}
	for name, value := range more {
		m[name] = value
	}
	return encode(m)
}

// session tells of the session.
func (p *realtime) session(what string) []byte {
	kind := "session."
	if p.beta {
		kind = "transcription_session."
	}
	return p.word(kind+what, fields{"session": p.config.told(p.id, p.expires, p.beta)})
}

// transcription is the beginning of the types of messages of text.
const transcription = "conversation.item.input_audio_transcription."

// event words an event.
func (p *realtime) event(e asr.Event) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case asr.SpeechStarted:
		item := p.first(e)
		if p.config.turns != nil && !item.cleared {
			return [][]byte{p.word("input_audio_buffer.speech_started", fields{"audio_start_ms": milliseconds(e.Start), "item_id": item.id})}
		}
	case asr.Partial:
		return p.deltas(p.first(e), e.Committed)
	case asr.Final:
		return p.final(e)
	case asr.Failed:
		return p.undecoded(e)
	case asr.Done:
		return p.rest()
	}
	return nil
}

// first returns the item that an event is about.
func (p *realtime) first(e asr.Event) *realtimeItem {
	if len(p.items) == 0 {
		p.last()
	}
	item := p.items[0]
	if !item.begun {
		item.begun, item.start, item.segment = true, e.Start, e.Segment
	}
	item.end = max(item.end, e.End)
	return item
}

// deltas tell what is new of the committed text since the last final.
func (p *realtime) deltas(item *realtimeItem, committed string) [][]byte {
	if len(committed) <= item.delta {
		return nil
	}
	fresh := committed[item.delta:]
	item.delta = len(committed)
	return p.delta(item, fresh)
}

func (p *realtime) delta(item *realtimeItem, text string) [][]byte {
	if item.cleared || text == "" {
		return nil
	}
	item.text.WriteString(text)
	return [][]byte{p.word(transcription+"delta", fields{"item_id": item.id, "content_index": 0, "delta": text})}
}

// final tells the rest of a final's text, and completes its item where it ends that.
func (p *realtime) final(e asr.Event) [][]byte {
	item := p.first(e)
	var messages [][]byte
	if e.Segment != item.segment && item.delta == 0 && item.text.Len() > 0 && e.Text != "" && !strings.HasPrefix(e.Text, " ") {
		messages = p.delta(item, " ") // between two segments of one item
	}
	item.segment = e.Segment
	messages = append(messages, p.deltas(item, e.Text)...)
	item.delta = 0
	byTurn := e.SpeechFinal && !item.committed && p.config.turns != nil
	if !byTurn && !e.Finalized {
		return messages
	}
	var turn [][]byte
	if byTurn && item.text.Len() > 0 {
		turn = p.turn(item, e)
	}
	p.items = p.items[1:]
	if item.cleared || byTurn && item.text.Len() == 0 {
		return nil
	}
	return append(append(turn, messages...), p.completed(item)...)
}

// turn tells that silence has ended an item.
func (p *realtime) turn(item *realtimeItem, e asr.Event) [][]byte {
	if at := time.Duration(e.End * float64(time.Second)); at > p.committed {
		p.committed = at
	}
	stopped := p.word("input_audio_buffer.speech_stopped", fields{"audio_end_ms": milliseconds(e.End), "item_id": item.id})
	return append([][]byte{stopped}, p.commitment(item)...)
}

// commitment tells that an item is one.
func (p *realtime) commitment(item *realtimeItem) [][]byte {
	item.previous = optional(p.previous)
	p.previous = item.id
	added := "conversation.item.added"
	if p.beta {
		added = "conversation.item.created"
	}
	return [][]byte{
		p.word("input_audio_buffer.committed", fields{"item_id": item.id, "previous_item_id": item.previous}),
		p.word(added, fields{"previous_item_id": item.previous, "item": item.told(nil)}),
	}
}

// told is the item object.
func (i *realtimeItem) told(transcript any) fields {
	return fields{"id": i.id, "object": "realtime.item", "type": "message", "role": "user", "status": "completed",
		"content": []fields{{"type": "input_audio", "transcript": transcript}}}
}

// completed tells the whole text of an item, or that it has none since a part of it could not be decoded.
func (p *realtime) completed(item *realtimeItem) [][]byte {
	if item.failed {
		return [][]byte{p.word(transcription+"failed", fields{"item_id": item.id, "content_index": 0, "error": fields{
			"type": "server_error", "code": "transcription_failed", "message": "the sound could not be transcribed", "param": nil}})}
	}
	text := strings.TrimSpace(item.text.String())
	messages := [][]byte{p.word(transcription+"completed", fields{"item_id": item.id, "content_index": 0, "transcript": text, "logprobs": nil,
		"usage": fields{"type": "duration", "seconds": max(0, item.end-item.start)}})}
	if !p.beta {
		messages = append(messages, p.word("conversation.item.done", fields{"previous_item_id": item.previous, "item": item.told(text)}))
	}
	return messages
}

// undecoded tells that a segment has no text, where it is the last of its item.
func (p *realtime) undecoded(e asr.Event) [][]byte {
	item := p.first(e)
	byTurn := !item.committed && p.config.turns != nil
	if item.failed = true; !byTurn && !e.Finalized {
		return nil
	}
	p.items = p.items[1:]
	if item.cleared {
		return nil
	}
	var messages [][]byte
	if byTurn {
		messages = p.turn(item, e)
	}
	return append(messages, p.completed(item)...)
}

// rest completes what the end of the sound has left.
func (p *realtime) rest() (messages [][]byte) {
	for _, item := range p.items {
		switch {
		case item.cleared:
			continue
		case !item.committed && item.text.Len() == 0:
			continue
		case !item.committed:
			messages = append(messages, p.commitment(item)...)
		}
		messages = append(messages, p.completed(item)...)
	}
	p.items = nil
	return messages
}

// received has nothing to say.
func (p *realtime) received() [][]byte { return nil }

// failed words an error.
func (p *realtime) failed(f *failure) [][]byte {
	kind := "invalid_request_error"
	switch f.code {
	case CodeInternal, CodeDraining, CodeBusy, CodeUndecoded:
		kind = "server_error"
	}
	return [][]byte{p.word("error", fields{"error": fields{
		"type": kind, "code": f.code, "message": f.message, "param": optional(f.param), "event_id": optional(f.event)}})}
}

// decodeBase64 decodes with padding or without.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}
