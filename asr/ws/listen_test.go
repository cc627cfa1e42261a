package ws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
)

// anyMessage is a message of any of the protocols.
type anyMessage = map[string]any

// connect opens a websocket at a path.
func connect(t testing.TB, url, path string, header http.Header) *websocket.Conn {
	t.Helper()
	conn, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+path, header)
	if err != nil {
		body := []byte{}
		if answer != nil {
			body, _ = io.ReadAll(answer.Body)
		}
		t.Fatalf("%v: %s", err, body)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	return conn
}

// messagesOf reads all messages of a connection, and its close code.
func messagesOf(t testing.TB, conn *websocket.Conn) (all []anyMessage, code int) {
	t.Helper()
	for {
		_, b, err := conn.ReadMessage()
		if err != nil {
			closed, ok := err.(*websocket.CloseError)
			if !ok {
				t.Fatalf("the connection ended without a close: %v", err)
			}
			return all, closed.Code
		}
		var m anyMessage
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		all = append(all, m)
	}
}

func say(t testing.TB, conn *websocket.Conn, messages ...any) {
	t.Helper()
	for _, m := range messages {
		var err error
		switch m := m.(type) {
		case []byte:
			err = conn.WriteMessage(websocket.BinaryMessage, m)
		case string:
			err = conn.WriteMessage(websocket.TextMessage, []byte(m))
		default:
			err = conn.WriteJSON(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// alternative returns the first alternative of Results.
func alternative(m anyMessage) anyMessage {
	return m["channel"].(anyMessage)["alternatives"].([]any)[0].(anyMessage)
}

// TestListen speaks as Deepgram's client does.
func TestListen(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000&interim_results=true&vad_events=true&utterance_end_ms=1000"+
		"&language=en-US&smart_format=true&punctuate=true&keyterm=Glossa&keyterm=two+words&keywords=old:2.5&endpointing=300&tag=a&extra=key:a:b", nil)
	sound := fakeSound(0, 2*16000+8000)
	hash := sha256.Sum256(sound)
	say(t, conn, sound[:16001])
	var interim anyMessage
	for interim["type"] != "Results" {
		if err := conn.ReadJSON(&interim); err != nil {
			t.Fatal(err)
		}
	}
	if interim["is_final"].(bool) || alternative(interim)["transcript"] != strings.TrimSpace(fakeText(6400)) {
		t.Errorf("%v", interim)
	}
	for at := 16001; at < len(sound); at += 3333 { // frames are cut
		say(t, conn, sound[at:min(at+3333, len(sound))])
	}
	say(t, conn, `{"type":"KeepAlive"}`, `{"type":"Finalize"}`, `{"type":"CloseStream"}`)
	all, code := messagesOf(t, conn)
	var text []string
	seen := map[string]int{}
	for i, m := range all {
		kind := m["type"].(string)
		seen[kind]++
		switch kind {
		case "Results":
			a := alternative(m)
			if m["is_final"].(bool) {
				text = append(text, a["transcript"].(string))
				if words := a["words"].([]any); len(words) == 0 || words[0].(anyMessage)["punctuated_word"] == "" || a["confidence"].(float64) != 0.5 {
					t.Errorf("%v", m)
				}
			}
			if m["from_finalize"].(bool) {
				seen["from_finalize"]++
			}
			info := m["metadata"].(anyMessage)["model_info"].(anyMessage)
			if info["name"] != "fake" || len(m["channel_index"].([]any)) != 2 {
				t.Errorf("%v", m)
			}
		case "SpeechStarted":
			if _, ok := m["timestamp"].(float64); !ok {
				t.Errorf("%v", m)
			}
		case "Metadata":
			if i != len(all)-1 || m["duration"].(float64) != 2.5 || m["sha256"] != fmt.Sprintf("%x", hash) || m["tags"].([]any)[0] != "a" || m["extra"].(anyMessage)["key"] != "a:b" {
				t.Errorf("%d of %d: %v", i, len(all), m)
			}
		}
	}
	if got, want := strings.Join(text, " "), strings.TrimSpace(fakeText(40000)); got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	if code != websocket.CloseNormalClosure || seen["Metadata"] != 1 || seen["SpeechStarted"] != 2 || seen["from_finalize"] != 1 {
		t.Errorf("close %d, %v", code, seen)
	}
	o := engine.last().options
	words := strings.Contains(o.Hotwords, "Glossa, two words") && strings.Contains(o.Hotwords, "old") && !strings.Contains(o.Hotwords, ":")
	if o.Language != "en" || !words || o.Endpointing != 300*time.Millisecond || o.NoPartials {
		t.Errorf("options %+v", o)
	}
}

// TestUtteranceEnd tells of a pause once it is as long as was asked.
func TestUtteranceEnd(t *testing.T) {
	engine := &fakeEngine{}
	engine.made = func(f *fakeSession) { f.silent = true }
	_, url := start(t, quick(engine))
	conn := connect(t, url, "/v1/listen?encoding=linear16&sample_rate=16000&utterance_end_ms=1000", nil)
	say(t, conn, fakeSound(0, 16000)) // a segment, and then silence
	for {
		var m anyMessage
		if err := conn.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		if m["type"] == "Results" {
			break
		}
	}
	for range 9 {
		say(t, conn, make([]byte, 3200))
	}
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, b, err := conn.ReadMessage(); err == nil {
		t.Errorf("before the pause was long enough: %s", b)
	}
	again := connect(t, url, "/v1/listen?encoding=linear16&sample_rate=16000&utterance_end_ms=1000", nil)
	say(t, again, fakeSound(0, 16000), make([]byte, 3200*11))
	ended := false
	for !ended {
		var m anyMessage
		if err := again.ReadJSON(&m); err != nil {
			t.Fatal(err)
		}
		ended = m["type"] == "UtteranceEnd"
		if ended && m["last_word_end"].(float64) != 1 {
			t.Errorf("%v", m)
		}
	}
}

// TestListenRefuses answers what cannot be had with a reason, before the upgrade.
func TestListenRefuses(t *testing.T) {
	engine := &fakeEngine{}
	_, url := start(t, quick(engine))
	for query, say := range map[string]string{
		"diarize=true":                    "diarize",
		"multichannel=true":               "multichannel",
		"redact=pci":                      "redact",
		"search=word":                     "search",
		"colour=red":                      "colour",
		"encoding=amr-nb":                 "amr-nb",
		"encoding=linear16":               "sample_rate",
		"encoding=linear16&sample_rate=x": "sample_rate",
		"encoding=linear16&sample_rate=9999999999": "sample_rate",
		"interim_results=maybe":                    "interim_results",
		"endpointing=soon":                         "endpointing",
		"utterance_end_ms=-1":                      "utterance_end_ms",
		"language=xx":                              "no language xx",
		"alternatives=3":                           "alternatives",
		"utterances=true":                          "utterances",
		"keywords=word:-3":                         "suppressed",
		"utt_split=0.8":                            "utt_split",
	} {
		_, answer, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/v1/listen?"+query, nil)
		if err == nil || answer == nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var refusal listenRefusal
		json.NewDecoder(answer.Body).Decode(&refusal)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(refusal.ErrMsg, say) || refusal.ErrCode == "" || refusal.RequestID == "" ||
			answer.Header.Get("Dg-Request-Id") != refusal.RequestID {
			t.Errorf("%s: %s, %+v", query, answer.Status, refusal)
		}
	}
	answer, err := http.Get(url + "/v1/listen")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("without an upgrade: %v", answer.Status)
	}
}

// TestListenEnds closes as it should where the client says nothing, or what is wrong.
func TestListenEnds(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.Idle = time.Second
	_, url := start(t, o)
	for name, c := range map[string]struct {
		send []any
		code int
		say  string
	}{
		"idle":         {nil, websocket.CloseInternalServerErr, "NET-0001"},
		"bad JSON":     {[]any{"{"}, websocket.ClosePolicyViolation, "JSON"},
		"unknown type": {[]any{`{"type":"Dance"}`}, websocket.ClosePolicyViolation, "Dance"},
		"no sound":     {[]any{[]byte("this is no sound whatever")}, websocket.ClosePolicyViolation, "DATA-0000"},
	} {
		conn := connect(t, url, "/v1/listen", nil)
		say(t, conn, c.send...)
		all, code := messagesOf(t, conn)
		if code != c.code || len(all) != 1 || all[0]["type"] != "Error" || !strings.Contains(all[0]["message"].(string), c.say) {
			t.Errorf("%s: close %d, %v", name, code, all)
		}
	}
	// The empty message is CloseStream.
	conn := connect(t, url, "/v1/listen?encoding=mulaw&sample_rate=8000", nil)
	say(t, conn, []byte{1, 2, 3}, []byte{})
	if all, code := messagesOf(t, conn); code != websocket.CloseNormalClosure || all[len(all)-1]["type"] != "Metadata" {
		t.Errorf("close %d, %v", code, all)
	}
}

// TestListenFile posts a file.
func TestListenFile(t *testing.T) {
	engine := &fakeEngine{}
	o := quick(engine)
	o.Limits.RequestBytes = 50_000
	var asked asr.Request
	o.Transcribe = func(_ context.Context, r asr.Request) (*asr.Result, error) {
		asked = r
		samples, err := r.Audio()
		if err != nil {
			return nil, err
		}
		words := []asr.Word{{Word: " Hello,", Start: 0.1, End: 0.3, Probability: 0.9}, {Word: " world.", Start: 0.3, End: 0.5, Probability: 0.7}}
		return &asr.Result{Text: " Hello, world.", Language: "en", LanguageProb: 0.75, Duration: float64(len(samples)) / 16000,
			Segments: []asr.Segment{{Start: 0.1, End: 0.5, Text: " Hello, world.", Words: words, AvgLogProb: -0.1}}}, nil
	}
	_, url := start(t, o)
	post := func(query string, kind string, body []byte) (int, anyMessage) {
		answer, err := http.Post(url+"/v1/listen?"+query, kind, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var m anyMessage
		if err := json.NewDecoder(answer.Body).Decode(&m); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, m
	}
	sound := fakeSound(0, 8000)
	status, m := post("model=nova-3&encoding=linear16&sample_rate=16000&detect_language=true&utterances=true&keyterm=x", "application/octet-stream", sound)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, m)
	}
	results := m["results"].(anyMessage)
	channel := results["channels"].([]any)[0].(anyMessage)
	a := channel["alternatives"].([]any)[0].(anyMessage)
	word := a["words"].([]any)[0].(anyMessage)
	metadata := m["metadata"].(anyMessage)
	if a["transcript"] != "Hello, world." || word["word"] != "hello" || word["punctuated_word"] != "Hello," || channel["detected_language"] != "en" ||
		len(results["utterances"].([]any)) != 1 || metadata["duration"].(float64) != 0.5 || metadata["sha256"] != fmt.Sprintf("%x", sha256.Sum256(sound)) ||
		asked.Decoding.Hotwords != "x" || asked.Words == nil || asked.Words.Appended != asr.DefaultAppended {
		t.Errorf("%v", m)
	}
	for name, c := range map[string]struct {
		query, kind string
		body        []byte
		status      int
		say         string
	}{
		"a url":   {"", "application/json", []byte(`{"url":"http://localhost/"}`), 400, "url"},
		"nothing": {"", "audio/wav", nil, 400, "empty"},
		"text":    {"", "audio/wav", []byte("hello, I am no sound"), 400, "text"},
		"large":   {"encoding=linear16&sample_rate=16000", "audio/wav", make([]byte, 50_001), 413, "50000"},
		"diarize": {"diarize=true", "audio/wav", sound, 400, "diarize"},
		"live":    {"interim_results=true", "audio/wav", sound, 400, "interim_results"},
	} {
		status, m := post(c.query, c.kind, c.body)
		if message, _ := m["err_msg"].(string); status != c.status || !strings.Contains(message, c.say) {
			t.Errorf("%s: %d %v", name, status, m)
		}
	}
}
