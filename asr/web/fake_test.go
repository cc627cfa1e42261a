package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr/web"

	"github.com/gorilla/websocket"
)

// fake is a server that hears the same text in every sound: a word each wordMS of it.
type fake struct {
	mu       sync.Mutex
	sessions map[string]*fakeSession
	conns    map[*websocket.Conn]bool
	refuse   int    // the close code that new sessions are refused with, 0: none are
	key      string // that is needed, "": none
	lag      bool   // sessions tell of lag
	uploads  []map[string]string
	began    int // sessions
	resumed  int
}

const (
	wordMS  = 100 // of sound, a word
	gapMS   = 700 // of silence between segments
	agreeMS = 500 // from the end of a word to its commit
	endMS   = 400 // of silence, to the end of a segment
)

// spoken is what the fake hears.
var spoken = []fakeSegment{
	{lang: "en", text: "Good morning, and welcome to the reading room of the national library."},
	{lang: "hi", adapter: "hi", text: "आज हम भारत की भाषाओं के बारे में बात करेंगे, और उनकी लिपियों के बारे में भी।"},
	{lang: "cs", adapter: "cs", text: "Příští vlak do Českých Budějovic odjíždí z třetího nástupiště v sedm hodin."},
	{lang: "en", text: "Thank you, that was everything for today."},
}

type fakeSegment struct {
	lang, adapter, text string
	start, end          int64 // milliseconds
	words               []string
}

// timed returns the spoken segments with their times, over and over.
func timed(n int) []fakeSegment {
	var all []fakeSegment
	at := int64(300)
	for i := range n {
		s := spoken[i%len(spoken)]
		for w := range strings.SplitSeq(s.text, " ") {
			s.words = append(s.words, " "+w)
		}
		s.start, s.end = at, at+int64(len(s.words))*wordMS
		at = s.end + gapMS
		all = append(all, s)
	}
	return all
}

// fakeSession is a session, which outlives its connection.
type fakeSession struct {
	id        string
	rate      int
	samples   int64 // taken
	sound     []float64
	seq       int64
	acked     int64 // ms
	segments  []fakeSegment
	segment   int
	begun     bool
	committed int
	events    []map[string]any
	configs   []map[string]any
}

func (s *fakeSession) ms() int64 { return s.samples * 1000 / int64(s.rate) }

// event makes an event, which is kept for a client that comes again.
func (s *fakeSession) event(kind string, fields map[string]any) {
	s.seq++
	fields["type"], fields["seq"] = kind, s.seq
	s.events = append(s.events, fields)
}

// advance makes the events of the sound so far. ended says that no more comes, or that the segment ends here.
func (s *fakeSession) advance(ended bool) {
	for s.segment < len(s.segments) {
		g := s.segments[s.segment]
		if s.ms() < g.start {
			return
		}
		if !s.begun {
			s.begun = true
			s.event("speech_started", map[string]any{"segment_id": s.segment, "start": g.start})
		}
		heard := min(len(g.words), int(max(0, s.ms()-g.start)/wordMS))
		if ended && heard < len(g.words) {
			if heard > 0 {
				s.final(g, heard)
			}
			return
		}
		if ended || s.ms() >= g.end+endMS {
			s.final(g, len(g.words))
			continue
		}
		agreed := min(heard, int(max(0, s.ms()-g.start-agreeMS)/wordMS))
		s.committed = max(s.committed, agreed)
		s.event("partial", map[string]any{
			"segment_id": s.segment, "committed": strings.Join(g.words[:s.committed], ""),
			"tentative": strings.Join(g.words[s.committed:max(heard, s.committed)], ""),
			"start":     g.start, "end": g.start + int64(heard)*wordMS, "language": g.lang, "adapter": g.adapter,
		})
		return
	}
}

func (s *fakeSession) final(g fakeSegment, n int) {
	words := []map[string]any{}
	for i, w := range g.words[:n] {
		at := g.start + int64(i)*wordMS
		words = append(words, map[string]any{"word": strings.TrimSpace(w), "start": at, "end": at + wordMS, "probability": 0.93})
	}
	end := g.start + int64(n)*wordMS
	s.event("final", map[string]any{
		"segment_id": s.segment, "text": strings.Join(g.words[:n], ""), "words": words, "start": g.start, "end": end,
		"language": g.lang, "adapter": g.adapter, "confidence": 0.93, "speech_final": true,
	})
	s.event("utterance_end", map[string]any{"segment_id": s.segment, "end": end})
	s.acked = end
	s.segment++
	s.begun, s.committed = false, 0
}

func newFake(t *testing.T) (*fake, *httptest.Server) {
	f := &fake{sessions: make(map[string]*fakeSession), conns: make(map[*websocket.Conn]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/stream", f.stream)
	mux.HandleFunc("GET /v1/models", f.models)
	mux.HandleFunc("POST /v1/tokens", f.tokens)
	mux.HandleFunc("POST /v1/audio/transcriptions", f.transcribe)
	mux.HandleFunc("POST /fake/{what}", f.control)
	mux.HandleFunc("GET /fake/seen", f.seen)
	h := web.NewHistory(fakeSource{began: time.Now().Add(-95 * time.Minute)})
	go h.Run(t.Context())
	pages := web.Handler(web.Options{About: fakeAbout, History: h})
	for _, p := range web.Patterns() {
		mux.Handle(p, pages)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return f, s
}

var fakeAbout = web.About{Model: "nano", Version: "0.6.0", Key: true, Languages: []web.Language{
	{Code: "en", Name: "English"}, {Code: "de", Name: "German"}, {Code: "es", Name: "Spanish"}, {Code: "fr", Name: "French"},
	{Code: "pl", Name: "Polish"}, {Code: "hi", Name: "Hindi"}, {Code: "ca", Name: "Catalan"}, {Code: "cs", Name: "Czech"},
	{Code: "fi", Name: "Finnish"}, {Code: "mr", Name: "Marathi"},
}}

// token is what the fake gives for its key.
const token = "short-lived"

func (f *fake) allowed(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key == "" || r.Header.Get("Authorization") == "Bearer "+f.key || r.URL.Query().Get("token") == token
}

func (f *fake) refused(w http.ResponseWriter, r *http.Request) bool {
	if f.allowed(r) {
		return false
	}
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, `{"error":{"message":"a key is needed","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`)
	return true
}

func (f *fake) models(w http.ResponseWriter, r *http.Request) {
	if f.refused(w, r) {
		return
	}
	io.WriteString(w, `{"object":"list","data":[{"id":"nano","object":"model","root":"nano","parent":null},
		{"id":"cs","object":"model","root":"cs","parent":"nano"},{"id":"hi","object":"model","root":"hi","parent":"nano"}]}`)
}

func (f *fake) tokens(w http.ResponseWriter, r *http.Request) {
	if !f.refused(w, r) {
		json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 60})
	}
}

// transcribe answers as a stream of events, with the segments and words of the whole at its end.
func (f *fake) transcribe(w http.ResponseWriter, r *http.Request) {
	if f.refused(w, r) {
		return
	}
	if err := r.ParseMultipartForm(1 << 20); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fields := map[string]string{}
	for k, v := range r.MultipartForm.Value {
		fields[k] = strings.Join(v, " ")
	}
	file := r.MultipartForm.File["file"][0]
	fields["file"] = file.Filename
	f.mu.Lock()
	f.uploads = append(f.uploads, fields)
	f.mu.Unlock()
	if strings.Contains(file.Filename, "broken") {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		io.WriteString(w, `{"error":{"message":"the file holds no sound that is known here","type":"invalid_request_error"}}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(v any) {
		b, _ := json.Marshal(v)
		io.WriteString(w, "data: "+string(b)+"\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(50 * time.Millisecond)
	}
	var text string
	var segments, words []map[string]any
	for i, s := range timed(3) {
		joined := strings.Join(s.words, "")
		text += joined
		send(map[string]any{"type": "transcript.text.delta", "delta": joined})
		for k, word := range s.words {
			at := float64(s.start+int64(k)*wordMS) / 1000
			words = append(words, map[string]any{"word": strings.TrimSpace(word), "start": at, "end": at + wordMS/1000.0, "probability": 0.9})
		}
		segment := map[string]any{"start": float64(s.start) / 1000, "end": float64(s.end) / 1000, "text": joined}
		if file.Filename != "deltas.wav" {
			told := maps.Clone(segment)
			told["type"], told["id"], told["text"] = "transcript.text.segment", fmt.Sprintf("seg_%d", i), strings.TrimSpace(joined)
			told["words"] = words[len(words)-len(s.words):]
			send(told)
		}
		segment["id"], segment["language"], segment["adapter"] = i, s.lang, nil
		if s.adapter != "" {
			segment["adapter"] = s.adapter
		}
		segments = append(segments, segment)
	}
	send(map[string]any{"type": "transcript.text.done", "text": text, "duration": 14.5, "language": "english", "language_code": "en", "adapter": nil, "segments": segments, "words": words})
}

// control does what a test asks: break cuts all connections, forget also loses their sessions, refuse and key set those,
// reset makes all as it was.
func (f *fake) control(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.PathValue("what") {
	case "break", "forget":
		if r.PathValue("what") == "forget" {
			clear(f.sessions)
		}
		for c := range f.conns {
			c.NetConn().Close()
		}
	case "refuse":
		f.refuse, _ = strconv.Atoi(r.URL.Query().Get("code"))
	case "key":
		f.key = r.URL.Query().Get("key")
	case "lag":
		f.lag = true
	case "reset":
		f.refuse, f.key, f.lag = 0, "", false
		clear(f.sessions)
	}
}

func (f *fake) seen(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var configs []map[string]any
	for _, s := range f.sessions {
		configs = append(configs, s.configs...)
	}
	json.NewEncoder(w).Encode(map[string]any{"uploads": f.uploads, "configs": configs, "began": f.began, "resumed": f.resumed})
}

// fakeSource is a server with much to do.
type fakeSource struct{ began time.Time }

func (s fakeSource) Status() web.Status {
	x := time.Since(s.began).Seconds()
	wave := func(period, low, high float64) float64 {
		return low + (high-low)*(0.5+0.35*math.Sin(x*2*math.Pi/period)+0.15*math.Sin(x*7.3*math.Pi/period))
	}
	return web.Status{
		Started: s.began, QueueDepth: int(wave(140, 0, 12)), QueueSeconds: wave(140, 0, 160), Requests: int(wave(140, 6, 30)),
		Sessions: int(wave(300, 20, 44)), Speaking: int(wave(90, 6, 19)),
		QueueWait:     web.Quantiles{Count: 80, P50: wave(140, 0.02, 0.2), P95: wave(140, 0.15, 0.8), P99: wave(140, 0.2, 1)},
		CommitLatency: web.Quantiles{Count: 300, P50: wave(200, 0.5, 0.8), P95: wave(200, 0.9, 1.5), P99: wave(200, 1, 1.9)},
		Jobs:          &web.Jobs{Queued: int(wave(200, 3, 90)), Running: int(wave(90, 8, 16)), Failed: 2, BacklogSeconds: wave(200, 300, 5400)},
		AudioSeconds:  x * 14, BusySeconds: x * 0.7, MemoryBytes: uint64(wave(500, 3.1e8, 4.2e8)), MaxWindows: 48,
		Batch: []web.Batch{
			{Language: "en", Priority: "live", Windows: 7}, {Language: "hi", Adapter: "hi", Priority: "live", Windows: 4},
			{Language: "cs", Adapter: "cs", Priority: "live", Windows: 3}, {Language: "hi", Adapter: "hi", Priority: "bulk", Windows: 9},
			{Language: "mr", Adapter: "mr", Priority: "normal", Windows: 2},
		},
		Adapters: []web.Adapter{
			{Name: "cs", Kind: "flora", Rank: 1, Tier: "resident", Bytes: 79360, Pins: 3, Requests: 1204},
			{Name: "hi", Kind: "lora", Rank: 8, Tier: "resident", Bytes: 634880, Pins: 13, Requests: 20144},
			{Name: "mr", Kind: "flora", Rank: 1, Tier: "disk", Bytes: 0, Pins: 0, Requests: 0},
		},
	}
}
