package ws

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// until reads messages up to one of a type.
func until(t testing.TB, conn *websocket.Conn, kind string) (all []anyMessage) {
	t.Helper()
	for {
		var m anyMessage
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatalf("waiting for %s behind %v: %v", kind, all, err)
		}
		all = append(all, m)
		if m["type"] == kind {
			return all
		}
		if m["type"] == "error" {
			t.Fatalf("waiting for %s: %v", kind, m)
		}
	}
}

// appendOf is the event of sound.
func appendOf(sound []byte) string {
	return `{"type":"input_audio_buffer.append","audio":"` + base64.StdEncoding.EncodeToString(sound) + `"}`
}

// at16k sets a session to the rate of the fake's sound.
const at16k = `{"type":"session.update","event_id":"mine","session":{"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm","rate":16000},
	"transcription":{"model":"whisper-1","language":"en","prompt":"about Glossa"},"noise_reduction":{"type":"near_field"},
	"turn_detection":{"type":"server_vad","threshold":0.4,"silence_duration_ms":300}}},"include":["item.input_audio_transcription.logprobs"]}}`

// transcriptOf checks the messages of each item, and returns the transcripts.
func transcriptOf(t testing.TB, all []anyMessage) (transcripts []string) {
	t.Helper()
	deltas := map[string]string{}
	for _, m := range all {
		id, _ := m["item_id"].(string)
		switch m["type"] {
		case transcription + "delta":
			deltas[id] += m["delta"].(string)
		case transcription + "completed":
			text := m["transcript"].(string)
			if strings.TrimSpace(deltas[id]) != text {
				t.Errorf("deltas %q became %q", deltas[id], text)
			}
			if usage := m["usage"].(anyMessage); usage["type"] != "duration" {
				t.Errorf("%v", m)
			}
			transcripts = append(transcripts, text)
		}
	}
	return transcripts
}

// types are those of messages.
func types(all []anyMessage) string {
	var names []string
	for _, m := range all {
		names = append(names, strings.TrimPrefix(m["type"].(string), "conversation.item."))
	}
	return strings.Join(names, " ")
}

// TestRealtime transcribes by turns.
func TestRealtime(t *testing.T) {
	engine := &fakeEngine{}
	s, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/realtime?model=gpt-4o-transcribe&intent=transcription", nil)
	created := until(t, conn, "session.created")[0]["session"].(anyMessage)
	input := created["audio"].(anyMessage)["input"].(anyMessage)
	if created["type"] != "transcription" || input["format"].(anyMessage)["rate"].(float64) != 24000 ||
		input["turn_detection"].(anyMessage)["silence_duration_ms"].(float64) != 500 {
		t.Errorf("created %v", created)
	}
	say(t, conn, at16k)
	updated := until(t, conn, "session.updated")[0]["session"].(anyMessage)["audio"].(anyMessage)["input"].(anyMessage)
	if updated["transcription"].(anyMessage)["language"] != "en" || updated["noise_reduction"] != nil || updated["turn_detection"].(anyMessage)["threshold"].(float64) != 0.5 {
		t.Errorf("updated %v", updated)
	}
	sound := fakeSound(0, 32000)
	var all []anyMessage
	for at := 0; at < len(sound); at += 4001 { // frames are cut
		say(t, conn, appendOf(sound[at:min(at+4001, len(sound))]))
	}
	all = append(until(t, conn, transcription+"completed"), until(t, conn, transcription+"completed")...)
	all = append(all, until(t, conn, "conversation.item.done")...)
	got := transcriptOf(t, all)
	words := strings.Fields(fakeText(32000))
	if len(got) != 2 || got[0] != strings.Join(words[:5], " ") || got[1] != strings.Join(words[5:], " ") {
		t.Errorf("transcripts %q", got)
	}
	order := types(all)
	for _, part := range []string{"input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped input_audio_buffer.committed added"} {
		if strings.Count(order, part) != 2 {
			t.Errorf("%q is not twice in %s", part, order)
		}
	}
	var previous, before any
	for _, m := range all {
		if m["type"] == "input_audio_buffer.committed" {
			if m["previous_item_id"] != previous {
				t.Errorf("%v behind %v", m, previous)
			}
			before = previous
			previous = m["item_id"]
		}
		if m["type"] == "conversation.item.done" && m["item"].(anyMessage)["id"] == previous && m["previous_item_id"] != before {
			t.Errorf("%v behind %v", m, before)
		}
	}
	if o := engine.last().options; o.Language != "en" || o.Prompt != "about Glossa" || o.Endpointing.Milliseconds() != 300 || s.Sessions() != 1 {
		t.Errorf("options %+v", o)
	}
}

// TestRealtimeCommits transcribes by commits, and clears.
func TestRealtimeCommits(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/realtime?intent=transcription", nil)
	until(t, conn, "session.created")
	say(t, conn, strings.Replace(at16k, `{"type":"server_vad","threshold":0.4,"silence_duration_ms":300}`, "null", 1))
	until(t, conn, "session.updated")
	words := strings.Fields(fakeText(64000))
	say(t, conn, appendOf(fakeSound(0, 19200)), `{"type":"input_audio_buffer.commit"}`) // six words: more than a segment of the fake
	all := until(t, conn, transcription+"completed")
	if got := transcriptOf(t, all); len(got) != 1 || got[0] != strings.Join(words[:6], " ") {
		t.Errorf("transcripts %q", got)
	}
	if strings.Contains(types(all), "speech_st") {
		t.Errorf("turns are told of: %s", types(all))
	}
	say(t, conn, appendOf(fakeSound(19200, 6400)), `{"type":"input_audio_buffer.clear"}`, appendOf(fakeSound(25600, 3200)), `{"type":"input_audio_buffer.commit"}`)
	all = until(t, conn, transcription+"completed")
	if got := transcriptOf(t, all); len(got) != 1 || got[0] != words[8] || !strings.Contains(types(all), "input_audio_buffer.cleared") {
		t.Errorf("behind clear: %q, %s", got, types(all))
	}
	// Several commits at once: each has an item.
	for i := range int64(3) {
		say(t, conn, appendOf(fakeSound(28800+i*3200, 3200)), `{"type":"input_audio_buffer.commit"}`)
	}
	all = nil
	for range 3 {
		all = append(all, until(t, conn, transcription+"completed")...)
	}
	if got := transcriptOf(t, all); strings.Join(got, " ") != strings.Join(words[9:12], " ") {
		t.Errorf("transcripts %q, want %q", got, words[9:12])
	}
	// Silence has an item, too.
	engine.last().mute()
	say(t, conn, appendOf(make([]byte, 6400)), `{"type":"input_audio_buffer.commit"}`)
	if got := transcriptOf(t, until(t, conn, transcription+"completed")); len(got) != 1 || got[0] != "" {
		t.Errorf("silence: %q", got)
	}
}

// TestRealtimeBeta speaks as clients of the beta do.
func TestRealtimeBeta(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/realtime?intent=transcription", http.Header{"OpenAI-Beta": {"realtime=v1"}})
	until(t, conn, "transcription_session.created")
	say(t, conn, `{"type":"transcription_session.update","session":{"input_audio_format":"g711_ulaw","input_audio_transcription":{"model":"whisper-1"},
		"turn_detection":{"type":"server_vad","silence_duration_ms":400},"input_audio_noise_reduction":{"type":"near_field"},"include":[]}}`)
	session := until(t, conn, "transcription_session.updated")[0]["session"].(anyMessage)
	if session["input_audio_format"] != "g711_ulaw" || session["turn_detection"].(anyMessage)["silence_duration_ms"].(float64) != 400 {
		t.Errorf("%v", session)
	}
	say(t, conn, appendOf(make([]byte, 2400)), `{"type":"input_audio_buffer.commit"}`)
	all := until(t, conn, transcription+"completed")
	if !strings.Contains(types(all), "input_audio_buffer.committed created") {
		t.Errorf("%s", types(all))
	}
}

// TestRealtimeErrors answers what is wrong by an error, and goes on.
func TestRealtimeErrors(t *testing.T) {
	engine := &fakeEngine{}
	engine.made = func(f *fakeSession) { f.failAt = 0 }
	_, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/realtime", nil)
	until(t, conn, "session.created")
	update := func(session string) string {
		return `{"type":"session.update","event_id":"e1","session":` + session + `}`
	}
	for message, c := range map[string]struct{ code, param, event string }{
		`{`:    {CodeInvalid, "", ""},
		`[]`:   {CodeInvalid, "", ""},
		`{}`:   {CodeInvalid, "type", ""},
		`null`: {CodeInvalid, "type", ""},
		`{"type":"response.create","event_id":"e0"}`:                                                                                {CodeInvalid, "type", "e0"},
		`{"type":"input_audio_buffer.append"}`:                                                                                      {CodeInvalid, "audio", ""},
		`{"type":"input_audio_buffer.append","audio":"%%"}`:                                                                         {CodeInvalid, "audio", ""},
		`{"type":"input_audio_buffer.append","audio":5}`:                                                                            {CodeInvalid, "", ""},
		`{"type":"input_audio_buffer.commit"}`:                                                                                      {codeCommitEmpty, "", ""},
		`{"type":"session.update"}`:                                                                                                 {CodeInvalid, "session", ""},
		update(`{"type":"realtime"}`):                                                                                               {CodeInvalid, "session.type", "e1"},
		update(`{"type":"transcription","audio":{"input":{"format":{"type":"audio/mp3"}}}}`):                                        {CodeInvalid, "session.audio.input.format", "e1"},
		update(`{"type":"transcription","audio":{"input":{"format":{"type":"audio/pcm","rate":1}}}}`):                               {CodeInvalid, "session.audio.input.format", "e1"},
		update(`{"type":"transcription","audio":{"input":{"turn_detection":{"type":"semantic_vad"}}}}`):                             {CodeInvalid, "session.audio.input.turn_detection.type", "e1"},
		update(`{"type":"transcription","audio":{"input":{"turn_detection":{"type":"server_vad","threshold":7}}}}`):                 {CodeInvalid, "session.audio.input.turn_detection.threshold", "e1"},
		update(`{"type":"transcription","audio":{"input":{"turn_detection":{"type":"server_vad","silence_duration_ms":9999999}}}}`): {CodeInvalid, "session.audio.input.turn_detection.silence_duration_ms", "e1"},
		update(`{"type":"transcription","audio":{"input":{"transcription":{"model":"gpt-4o-transcribe-diarize"}}}}`):                {CodeInvalid, "session.audio.input.transcription.model", "e1"},
		`{"type":"transcription_session.update","session":{"input_audio_format":"mp3"}}`:                                            {CodeInvalid, "session.input_audio_format", ""},
	} {
		say(t, conn, message)
		var m struct {
			Type  string
			Error struct {
				Type, Code, Message string
				Param               *string
				EventID             *string `json:"event_id"`
			}
		}
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		e := m.Error
		if m.Type != "error" || e.Type != "invalid_request_error" || e.Code != c.code || e.Message == "" || deref(e.Param) != c.param || deref(e.EventID) != c.event {
			b, _ := json.Marshal(m)
			t.Errorf("%s: %s", message, b)
		}
	}
	say(t, conn, []byte{1, 2})
	until2 := func(kind string) anyMessage {
		for {
			var m anyMessage
			if err := conn.ReadJSON(&m); err != nil {
				t.Fatal(err)
			}
			if m["type"] == kind {
				return m
			}
		}
	}
	until2("error")
	// The connection is as good as before. A segment that cannot be decoded is told of.
	say(t, conn, at16k, appendOf(fakeSound(0, 16000)))
	if m := until2(transcription + "failed"); m["error"].(anyMessage)["code"] != "transcription_failed" {
		t.Errorf("%v", m)
	}
	say(t, conn, strings.Replace(at16k, "16000", "24000", 1))
	until2("error")
	if answer, err := http.Get(url + "/v1/realtime?intent=conversation"); err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("another intent: %v, %v", answer, err)
	} else {
		answer.Body.Close()
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
