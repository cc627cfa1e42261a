package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"glossa/asr"
	"glossa/asr/httpapi"
)

// contract is a server and what its document says of it.
type contract struct {
	handler http.Handler
	doc     *openapi3.T
	router  routers.Router
	used    map[string]bool // operations, and statuses of them
}

func newContract(t *testing.T, o httpapi.Options) *contract {
	t.Helper()
	for _, kind := range []string{"text/event-stream", "application/x-subrip", "text/vtt", "text/tab-separated-values"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.PlainBodyDecoder)
	}
	s, err := httpapi.New(newFakeEngine(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{handler: s.Handler(), used: make(map[string]bool)}
	r := httptest.NewRequest("GET", "/openapi.json", nil)
	r.Header.Set("X-API-Key", adminKey)
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	if c.doc, err = openapi3.NewLoader().LoadFromData(w.Body.Bytes()); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.router, err = gorillamux.NewRouter(c.doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// check sends a request, and holds it and its answer against the document. A request that is answered with 400 or 415 need not be as
// the document wants it.
func (c *contract) check(t *testing.T, method, path string, body []byte, kind string) *httptest.ResponseRecorder {
	t.Helper()
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://example.com"+path, bytes.NewReader(body))
		r.Header.Set("X-API-Key", adminKey)
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		return r
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, request())
	route, params, err := c.router.FindRoute(request())
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return w
	}
	c.used[method+" "+route.Path+" "+fmt.Sprint(w.Code)] = true
	in := &openapi3filter.RequestValidationInput{Request: request(), PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	if err := openapi3filter.ValidateRequest(t.Context(), in); (err != nil) != (w.Code == 400 || w.Code == 415) {
		t.Errorf("%s %s is answered with %d, the document says of it: %v\n%s", method, path, w.Code, err, w.Body)
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: w.Code, Header: w.Header(),
		Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())), Options: in.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: %d %s\n%s: %v", method, path, w.Code, w.Header().Get("Content-Type"), w.Body, err)
	}
	return w
}

// TestOpenAPIIsWhatIsServed holds the document against the handlers: every operation of it answers as it says, every route is in
// it, and so is every field.
func TestOpenAPIIsWhatIsServed(t *testing.T) {
	dir, jobs := t.TempDir(), new(fakeJobs)
	c := newContract(t, httpapi.Options{
		Jobs: jobs, CheckCallback: noInternal, CheckURL: noInternal,
		Auth: httpapi.Auth{Keys: keys}, Admin: httpapi.Admin{Enabled: true, Dirs: []string{dir}},
		MetricsHandler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "asr_queue_depth 0\n")
		}),
		Mount: map[string]httpapi.Mount{
			"GET /v1/stream": {Handler: whoAmI, Summary: "Live sessions."}, "GET /{$}": {Handler: whoAmI, Public: true, Summary: "The page."},
			"GET /hidden": {Handler: whoAmI},
		},
	})
	file := field{"file", tone(0.1)}
	forms := [][]field{
		{file}, {file, {"model", "whisper-1"}, {"language", "cs"}, {"prompt", "x"}, {"temperature", "0.3"}},
		{file, {"chunking_strategy", "auto"}}, {file, {"switch_language", "true"}, {"languages[]", "cs"}, {"languages[]", "de"}},
		{file, {"response_format", "verbose_json"}, {"timestamp_granularities[]", "word"}, {"timestamp_granularities[]", "segment"}},
		{file, {"beam_size", "2"}, {"best_of", "2"}, {"patience", "1.5"}, {"length_penalty", "0.5"}, {"seed", "3"}, {"priority", "bulk"}},
		{file, {"vad_filter", "true"}, {"hotwords", "x"}, {"condition_on_previous_text", "false"}, {"adapter", "none"}},
		{file, {"compression_ratio_threshold", "2"}, {"log_prob_threshold", "-1"}, {"no_speech_threshold", "0.5"}},
		{file, {"stream", "true"}},
		{file, {"unknown", "x"}}, {file, {"beam_size", "99"}}, {file, {"temperature", "2"}}, {file, {"priority", "live"}}, {{"language", "cs"}},
		{file, {"response_format", "diarized_json"}},
	}
	for _, format := range []string{"json", "text", "srt", "vtt", "tsv", "verbose_json"} {
		forms = append(forms, []field{file, {"response_format", format}})
	}
	for _, path := range []string{"/v1/audio/transcriptions", "/v1/audio/translations"} {
		for _, form := range forms {
			body, kind := formOf(t, form...)
			c.check(t, "POST", path, body, kind)
		}
		body, kind := formOf(t, file, field{"model", "no such model"})
		c.check(t, "POST", path, body, kind)
		c.check(t, "POST", path, []byte("{}"), "application/json")
	}
	for _, path := range []string{"/v1/models", "/v1/models/cs", "/v1/models/none", "/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/stream", "/"} {
		c.check(t, "GET", path, nil, "")
	}
	for _, q := range []struct{ path, body string }{
		{"/v1/load_lora_adapter", `{"lora_name":"x","lora_path":"/etc"}`}, {"/v1/load_lora_adapter", `{"lora_name":"x","lora_path":"/etc","more":1}`},
		{"/v1/unload_lora_adapter", `{"lora_name":"cs"}`}, {"/v1/unload_lora_adapter", `{"lora_name":"cs"}`}, {"/v1/unload_lora_adapter", `[]`},
		{"/v1/tokens", `{"expires_in":60}`}, {"/v1/tokens", `{"expires_in":"x"}`},
		{"/v1/auth/grant", `{"ttl_seconds":60}`}, {"/v1/auth/grant", `{"ttl":60}`},
		{"/v1/realtime/client_secrets", `{"expires_after":{"anchor":"created_at","seconds":60},"session":{"type":"transcription"}}`},
		{"/v1/realtime/client_secrets", `{"session":{"type":"realtime"}}`},
	} {
		c.check(t, "POST", q.path, []byte(q.body), "application/json")
	}
	c.checkJobs(t, jobs)
	c.checkAllUsed(t)
}

// checkJobs holds the routes of jobs against the document, in the order of a job's life.
func (c *contract) checkJobs(t *testing.T, jobs *fakeJobs) {
	t.Helper()
	file := field{"file", tone(0.1)}
	for _, form := range [][]field{
		{file}, {file}, {file, {"priority", "live"}, {"task", "translate"}, {"name", "x.wav"}, {"again", "true"}, {"callback_url", "https://example.org/hook"}},
		{{"url", "https://example.org/x.flac"}, {"languages[]", "cs"}, {"languages[]", "de"}, {"timestamp_granularities[]", "word"}, {"adapter", "none"}},
		{file, {"chunking_strategy[type]", "server_vad"}, {"chunking_strategy[threshold]", "0.4"}, {"no_speech_threshold", "none"}},
		{file, {"priority", "first"}}, {file, {"response_format", "srt"}}, {file, {"stream", "true"}}, {{"language", "cs"}}, {file, {"again", "perhaps"}}, {file, {"task", "sing"}},
	} {
		body, kind := formOf(t, form...)
		c.check(t, "POST", "/v1/jobs", body, kind)
	}
	for _, body := range []string{
		`{"audio":"UklG"}`, `{"audio":"UklG","beam_size":2,"languages":["cs"],"temperature":0.2,"vad_filter":true,"log_prob_threshold":-2,"again":true}`,
		`{"url":"https://example.org/x.flac","languages":"cs,de","chunking_strategy":{"type":"server_vad","threshold":0.5},"no_speech_threshold":"none","name":"x"}`,
		`{"url":"https://example.org/x.flac","chunking_strategy":"auto","timestamp_granularities":["word","segment"],"callback_url":"https://example.org/hook"}`,
		`{}`, `{"audio":"UklG","response_format":"srt"}`, `{"audio":"UklG","beam_size":0}`, `{"audio":7}`, `{"audio":"UklG","file":"x"}`, `[]`,
	} {
		c.check(t, "POST", "/v1/jobs", []byte(body), "application/json")
	}
	c.check(t, "POST", "/v1/jobs", []byte("RIFF"), "audio/wav")
	body, kind := formOf(t, file, field{"model", "none"})
	c.check(t, "POST", "/v1/jobs", body, kind)
	for _, query := range []string{"", "?limit=1", "?state=queued&state=failed", "?state=done,failed&model=glossa", "?limit=0", "?limit=x", "?state=lost", "?limit=1&after=job-2"} {
		c.check(t, "GET", "/v1/jobs"+query, nil, "")
	}
	jobs.begin("admin", "job-1")
	jobs.segment("admin", "job-1", fakeSegments[0])
	c.check(t, "GET", "/v1/jobs/job-1", nil, "")
	c.check(t, "GET", "/v1/jobs/job-1/result", nil, "")
	jobs.finish("admin", "job-1")
	for _, format := range []string{"json", "text", "srt", "vtt", "tsv", "verbose_json", "pdf"} {
		c.check(t, "GET", "/v1/jobs/job-1/result?format="+format, nil, "")
	}
	c.check(t, "GET", "/v1/jobs/job-1/events", nil, "")
	jobs.fail("admin", "job-2", "the file holds no sound")
	c.check(t, "GET", "/v1/jobs/job-2/result", nil, "")
	c.check(t, "POST", "/v1/jobs/job-2/retry", nil, "")
	c.check(t, "DELETE", "/v1/jobs/job-2", nil, "")
	c.check(t, "DELETE", "/v1/jobs/job-1", nil, "")
	c.check(t, "POST", "/v1/jobs/job-1/retry", nil, "")
	for _, path := range []string{"/v1/jobs/none", "/v1/jobs/none/result", "/v1/jobs/none/events"} {
		c.check(t, "GET", path, nil, "")
	}
	jobs.setErr(asr.ErrQueueFull)
	body, kind = formOf(t, file)
	c.check(t, "POST", "/v1/jobs", body, kind)
	c.check(t, "POST", "/v1/jobs/job-1/retry", nil, "")
	jobs.setErr(asr.ErrKeyReused)
	c.check(t, "POST", "/v1/jobs", body, kind)
	jobs.setErr(asr.ErrBusy)
	for _, path := range []string{"/v1/jobs", "/v1/jobs/job-1", "/v1/jobs/job-1/result", "/v1/jobs/job-1/events"} {
		c.check(t, "GET", path, nil, "")
	}
}

// checkAllUsed checks that every operation of the document was used with success, or is refused by what it says.
func (c *contract) checkAllUsed(t *testing.T) {
	t.Helper()
	want := []string{
		"DELETE /v1/jobs/{id}", "GET /", "GET /healthz", "GET /metrics", "GET /openapi.json", "GET /readyz", "GET /v1/jobs", "GET /v1/jobs/{id}", "GET /v1/jobs/{id}/events", "GET /v1/jobs/{id}/result",
		"GET /v1/models", "GET /v1/models/{id}", "GET /v1/stream",
		"POST /v1/audio/transcriptions", "POST /v1/audio/translations", "POST /v1/auth/grant", "POST /v1/jobs", "POST /v1/jobs/{id}/retry", "POST /v1/load_lora_adapter", "POST /v1/realtime/client_secrets", "POST /v1/tokens",
		"POST /v1/unload_lora_adapter",
	}
	var got []string
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			operation := method + " " + path
			got = append(got, operation)
			if !c.used[operation+" 200"] && !c.used[operation+" 202"] && !c.used[operation+" 403"] {
				t.Errorf("%s was not used: %v", operation, slices.Sorted(maps.Keys(c.used)))
			}
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the document has\n%v, want\n%v", got, want)
	}
}

// TestEveryRouteIsInOpenAPI asks for paths by every method: what answers anything but 404 and 405 has to be in the document.
func TestEveryRouteIsInOpenAPI(t *testing.T) {
	c := newContract(t, httpapi.Options{MetricsHandler: whoAmI})
	paths := slices.Collect(maps.Keys(c.doc.Paths.Map()))
	for _, path := range append(paths, "/", "/v1", "/v1/", "/v1/audio", "/v1/jobs/", "/v1/jobs/{id}/retry/x", "/metrics/x", "/v1/models/") {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, httptest.NewRequest(method, strings.ReplaceAll(path, "{id}", "cs"), nil))
			item := c.doc.Paths.Value(path)
			if there := item != nil && item.GetOperation(method) != nil; there == (w.Code == 404 || w.Code == 405) {
				t.Errorf("%s %s: %d, in the document: %v", method, path, w.Code, there)
			}
		}
	}
}

// TestEveryFieldIsInOpenAPI checks that the fields of the document are those that are taken: each is not unknown.
func TestEveryFieldIsInOpenAPI(t *testing.T) {
	_, url := newServer(t, newFakeEngine(), jobOptions(new(fakeJobs)))
	c := newContract(t, httpapi.Options{})
	taken := func(name string, a answer) {
		var v struct{ Error *apiError }
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Error == nil || *v.Error.Code == "unknown_parameter" {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	for name := range c.doc.Components.Schemas["Form"].Value.Properties {
		taken(name, post(t, url+transcriptions, field{name, "@"}))
	}
	for name := range c.doc.Components.Schemas["JobForm"].Value.Properties {
		taken(name, post(t, url+"/v1/jobs", field{name, "@"}, field{"beam_size", "@"}))
	}
	for name := range c.doc.Components.Schemas["JobObject"].Value.Properties {
		taken(name, ask(t, "POST", url+"/v1/jobs", []byte(`{"`+name+`":"@@","seed":"@"}`), "Content-Type", "application/json"))
	}
}
