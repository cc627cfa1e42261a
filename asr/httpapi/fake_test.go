package httpapi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/audio"
	"glossa/flora"
)

// fakeEngine answers with a text, without a model. It reads the sound.
type fakeEngine struct {
	mu       sync.Mutex
	requests []asr.Request
	adapters map[string]string // folders by name
	err      error             // of every request
	stopped  error
	hold     chan struct{} // a request waits until it is closed, where it is not nil
	begun    chan struct{} // told of each request that waits
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{adapters: map[string]string{"cs": "", "secret": ""}, begun: make(chan struct{}, 1000)}
}

// fakeSegments are those of every recording.
var fakeSegments = []asr.Segment{
	{ID: 0, Start: 0, End: 1.5, Text: " Ahoj,", Tokens: []int32{1, 2}, AvgLogProb: -0.25, CompressionRatio: 0.9, NoSpeechProb: 0.01, Temperature: 0.2,
		Words: []asr.Word{{Word: " Ahoj,", Start: 0.1, End: 1.4, Probability: 0.9}}},
	{ID: 1, Seek: 150, Start: 1.5, End: 2.25, Text: " světe & <spol>", Tokens: []int32{3}, Words: []asr.Word{{Word: " světe", Start: 1.5, End: 2}, {Word: " & <spol>", Start: 2, End: 2.25}}},
}

const fakeText = "Ahoj, světe & <spol>"

func (e *fakeEngine) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	e.mu.Lock()
	e.requests = append(e.requests, q)
	e.mu.Unlock()
	switch {
	case e.err != nil:
		return nil, e.err
	case q.Language == "xx":
		return nil, fmt.Errorf("%w: language %q", asr.ErrInvalid, q.Language)
	}
	pcm, err := q.Audio()
	if err != nil {
		return nil, err
	}
	if q.Speech != nil {
		if _, err := q.Speech(pcm); err != nil {
			return nil, err
		}
	}
	if e.hold != nil {
		e.begun <- struct{}{}
		select {
		case <-e.hold:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", asr.ErrCancelled, ctx.Err())
		}
	}
	r := &asr.Result{Text: fakeText, Language: "cs", LanguageProb: 0.75, Adapter: "cs", AdapterHash: "abc", Duration: float64(len(pcm)) / audio.SampleRate}
	for _, s := range fakeSegments {
		if q.Words == nil {
			s.Words = nil
		}
		if q.SwitchLanguage {
			s.Language, s.Adapter = "cs", "cs"
		}
		r.Segments = append(r.Segments, s)
		if q.Segment != nil {
			q.Segment(s)
		}
	}
	return r, nil
}

func (e *fakeEngine) last() asr.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.requests[len(e.requests)-1]
}

func (e *fakeEngine) Adapters() []flora.AdapterInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []flora.AdapterInfo
	for name := range e.adapters {
		list = append(list, flora.AdapterInfo{Name: name, Hash: "h-" + name, Kind: flora.LoRA, Rank: 2})
	}
	slices.SortFunc(list, func(a, b flora.AdapterInfo) int { return strings.Compare(a.Name, b.Name) })
	return append(list, flora.AdapterInfo{Name: "old", Retired: true})
}

func (e *fakeEngine) Adapter(name string) (flora.AdapterInfo, error) {
	for _, a := range e.Adapters() {
		if a.Name == name && !a.Retired {
			return a, nil
		}
	}
	return flora.AdapterInfo{}, fmt.Errorf("%w: %w: %q", asr.ErrNotFound, flora.ErrUnknown, name)
}

// Allows keeps the adapter secret from all but the client admin.
func (e *fakeEngine) Allows(client, adapter string) bool {
	return adapter != "secret" || client == "admin"
}

func (e *fakeEngine) LoadAdapterDir(name, dir string) (flora.AdapterInfo, error) {
	if filepath.Base(dir) == "broken" {
		return flora.AdapterInfo{}, fmt.Errorf("%w: no adapter_config.json", asr.ErrInvalid)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.adapters[name] = dir
	return flora.AdapterInfo{Name: name}, nil
}

func (e *fakeEngine) UnloadAdapter(name string) error {
	if _, err := e.Adapter(name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.adapters, name)
	return nil
}

func (e *fakeEngine) Err() error { return e.stopped }

// newServer returns a server and where it listens.
func newServer(t testing.TB, e httpapi.Engine, o httpapi.Options) (*httpapi.Server, string) {
	t.Helper()
	s, err := httpapi.New(e, o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.Handler())
	server.Config = httpapi.NewHTTPServer("", s.Handler(), nil)
	server.Start()
	t.Cleanup(server.Close)
	return s, server.URL
}

// field is a field of a form. Name file is the file.
type field struct{ name, value string }

// formOf returns a form and its Content-Type.
func formOf(t testing.TB, fields ...field) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, f := range fields {
		var w io.Writer
		var err error
		if f.name == "file" {
			w, err = m.CreateFormFile("file", "sound")
		} else {
			w, err = m.CreateFormField(f.name)
		}
		if err == nil {
			_, err = io.WriteString(w, f.value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m.FormDataContentType()
}

// answer is what a server answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// post posts a form.
func post(t testing.TB, url string, fields ...field) answer {
	t.Helper()
	body, kind := formOf(t, fields...)
	return ask(t, "POST", url, body, "Content-Type", kind)
}

// ask sends a request with headers, name and value in turn.
func ask(t testing.TB, method, url string, body []byte, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// apiError is an error as it was answered.
type apiError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// failed returns the error of an answer, which must have the status and the code.
func (a answer) failed(t testing.TB, status int, code string) apiError {
	t.Helper()
	var v struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Error == nil {
		t.Errorf("status %d, want %d with an error: %s", a.status, status, a.body)
		return apiError{}
	}
	if a.status != status || v.Error.Code == nil || *v.Error.Code != code || v.Error.Message == "" || v.Error.Type == "" {
		t.Errorf("status %d, want %d and code %s: %s", a.status, status, code, a.body)
	}
	return *v.Error
}

// tone returns a WAV file of so many seconds.
func tone(seconds float64) string {
	samples := make([]int16, int(seconds*audio.SampleRate))
	for i := range samples {
		samples[i] = int16(i%50*300 - 7500)
	}
	return wavHeader(2*len(samples)) + string(binaryOf(samples))
}

// wavHeader returns the header of a WAV file, mono at 16 kHz, of so many bytes of 16-bit samples.
func wavHeader(bytes int) string {
	return "RIFF" + string(binaryOf(uint32(36+bytes))) + "WAVEfmt " +
		string(binaryOf(uint32(16), uint16(1), uint16(1), uint32(audio.SampleRate), uint32(2*audio.SampleRate), uint16(2), uint16(16))) +
		"data" + string(binaryOf(uint32(bytes)))
}

func binaryOf(values ...any) (b []byte) {
	for _, v := range values {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

var errDisk = errors.New("disk /dev/sda3 is on fire")

// failsLate fails behind the last segment.
type failsLate struct{ *fakeEngine }

func (e failsLate) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	if _, err := e.fakeEngine.Transcribe(ctx, q); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", asr.ErrInternal, errDisk)
}

// slowlyTold tells the first segment, and waits before it goes on.
type slowlyTold struct {
	*fakeEngine
	goOn chan struct{}
}

func (e slowlyTold) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	told := q.Segment
	q.Segment = func(s asr.Segment) {
		if told(s); s.ID == 0 {
			<-e.goOn
		}
	}
	return e.fakeEngine.Transcribe(ctx, q)
}
