package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"

	"glossa/asr"
	"glossa/asr/httpapi"
)

// checked is asr.Engine's Check of a fake.
type checked struct{ *fakeEngine }

func (e checked) Check(q asr.Request) error {
	if q.Language == "xx" {
		return fmt.Errorf("%w: language %q", asr.ErrInvalid, q.Language)
	}
	return nil
}

var errForbidden = fmt.Errorf("%w: it leads to an internal address", asr.ErrInvalid)

// noInternal refuses what has that in it.
func noInternal(address string) error {
	if strings.Contains(address, "internal") {
		return errForbidden
	}
	return nil
}

// jobOptions are those of a server with jobs.
func jobOptions(f *fakeJobs) httpapi.Options {
	return httpapi.Options{Jobs: f, Models: []string{"nano", "tiny"}, CheckCallback: noInternal, CheckURL: noInternal}
}

// jobAnswer is a job as it was answered.
type jobAnswer struct {
	Object string
	asr.Job
}

func (a answer) job(t testing.TB, status int) (j jobAnswer) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &j); err != nil || a.status != status || j.Object != "job" {
		t.Fatalf("%d, want %d and a job: %v\n%s", a.status, status, err, a.body)
	}
	return j
}

// TestSubmitJob submits jobs in all ways, and checks what is kept of each.
func TestSubmitJob(t *testing.T) {
	f := new(fakeJobs)
	o := jobOptions(f)
	o.TempDir, o.SpoolBytes = t.TempDir(), 1000
	_, at := newServer(t, checked{newFakeEngine()}, o)
	sound := tone(0.1) // more than the spool keeps in memory
	a := post(t, at+"/v1/jobs", field{"file", sound}, field{"language", "cs"}, field{"languages[]", ""}, field{"timestamp_granularities[]", "word"}, field{"timestamp_granularities[]", "segment"},
		field{"priority", "live"}, field{"task", "translate"}, field{"callback_url", "https://example.org/hook?x=1"}, field{"model", "whisper-1"})
	j := a.job(t, 202)
	want := asr.Params{"language": {"cs"}, "timestamp_granularities": {"word", "segment"}, "task": {"translate"}}
	if a.header.Get("Location") != "/v1/jobs/job-1" || j.ID != "job-1" || j.State != asr.JobQueued || j.Priority != asr.Live || j.Name != "sound" || j.Audio != 0.1 ||
		j.Model != "nano" || j.Callback != "https://example.org/hook?x=1" || !reflect.DeepEqual(j.Params, want) || f.last().sound != sound {
		t.Errorf("%s %s", a.header, a.body)
	}
	a = post(t, at+"/v1/jobs", field{"file", sound}, field{"language", "cs"}, field{"timestamp_granularities[]", "word"}, field{"timestamp_granularities[]", "segment"}, field{"task", "translate"})
	if j := a.job(t, 200); j.ID != "job-1" || a.header.Get("Location") != "/v1/jobs/job-1" {
		t.Errorf("the same again: %s", a.body)
	}
	if j := post(t, at+"/v1/jobs", field{"file", sound}, field{"again", "true"}, field{"name", "talks/one.wav"}, field{"model", "cs"}).job(t, 202); j.ID != "job-2" || j.Name != "one.wav" || j.Priority != asr.Normal || !reflect.DeepEqual(j.Params, asr.Params{"adapter": {"cs"}}) {
		t.Errorf("again: %+v", j)
	}

	send := func(body string, header ...string) answer {
		return ask(t, "POST", at+"/v1/jobs", []byte(body), append([]string{"Content-Type", "application/json; charset=utf-8"}, header...)...)
	}
	j = send(`{"audio":"`+base64.StdEncoding.EncodeToString([]byte(sound))+`","beam_size":2,"vad_filter":true,"languages":["cs","de"],"name":"two.flac","priority":"bulk",
		"chunking_strategy":{"type":"server_vad","threshold":0.5},"prompt":null}`, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").job(t, 202)
	want = asr.Params{"beam_size": {"2"}, "vad_filter": {"true"}, "languages": {"cs", "de"}, "chunking_strategy": {`{"type":"server_vad","threshold":0.5}`}}
	if last := f.last(); !reflect.DeepEqual(j.Params, want) || last.sound != sound || j.Name != "two.flac" || j.Priority != asr.Bulk || last.submission.TraceParent == "" {
		t.Errorf("%+v, %q", j, last.submission.TraceParent)
	}
	if send(`{"url":"https://example.org/talk.flac"}`).job(t, 202); f.last().submission.Audio.URL != "https://example.org/talk.flac" || f.last().sound != "" {
		t.Errorf("%+v", f.last().submission)
	}
	if left, err := os.ReadDir(o.TempDir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder of temporary files: %v, %v", left, err)
	}
}

// TestWrongSubmissions checks that each is refused by what is wrong with it, and nothing of it kept.
func TestWrongSubmissions(t *testing.T) {
	f := new(fakeJobs)
	o := jobOptions(f)
	o.Limits = asr.Limits{JobBytes: 50_000, RequestBytes: 10_000}
	_, at := newServer(t, checked{newFakeEngine()}, o)
	file := field{"file", tone(0.5)} // larger than a request's may be
	for _, c := range []struct {
		fields []field
		status int
		code   string
		param  string
	}{
		{[]field{{"language", "cs"}}, 400, "missing_parameter", "file"},
		{[]field{{"file", ""}}, 400, "empty_audio", "file"},
		{[]field{{"file", tone(2)}}, 413, "file_too_large", "file"},
		{[]field{file, {"beam_size", "99"}}, 400, "invalid_value", "beam_size"},
		{[]field{file, {"unknown", "x"}}, 400, "unknown_parameter", "unknown"},
		{[]field{file, {"priority", "highest"}}, 400, "invalid_value", "priority"},
		{[]field{file, {"task", "sing"}}, 400, "invalid_value", "task"},
		{[]field{file, {"language", "xx"}}, 400, "invalid_request", ""},
		{[]field{file, {"model", "large-v9"}}, 404, "model_not_found", "model"},
		{[]field{file, {"model", "secret"}}, 404, "model_not_found", "model"},
		{[]field{file, {"model", "cs"}, {"adapter", "de"}}, 400, "invalid_value", "adapter"},
		{[]field{file, {"response_format", "srt"}}, 400, "unsupported_parameter", "response_format"},
		{[]field{file, {"stream", "true"}}, 400, "unsupported_parameter", "stream"},
		{[]field{file, {"known_speaker_names", "x"}}, 400, "unsupported_parameter", "known_speaker_names"},
		{[]field{file, {"callback_url", "https://internal.example/"}}, 400, "invalid_value", "callback_url"},
		{[]field{file, {"url", "https://example.org/"}}, 400, "invalid_value", "url"},
		{[]field{{"url", "https://internal.example/"}}, 400, "invalid_value", "url"},
		{[]field{{"url", "https://a.example/"}, {"url", "https://b.example/"}}, 400, "invalid_value", "url"},
		{[]field{file, {"prompt", strings.Repeat("x", 40_000)}, {"hotwords", strings.Repeat("x", 40_000)}}, 413, "field_too_large", ""},
	} {
		e := post(t, at+"/v1/jobs", c.fields...).failed(t, c.status, c.code)
		if got := e.Param; (got == nil) != (c.param == "") || got != nil && *got != c.param {
			t.Errorf("%.80v: %+v", c.fields, e)
		}
	}
	for body, code := range map[string]string{
		"": "invalid_json", "[]": "invalid_json", "null": "invalid_json", `{"audio":"UklG"} {}`: "invalid_json", `{"audio":"U`: "invalid_json",
		`{"audio":7}`: "invalid_value", `{"audio":"!!"}`: "invalid_value", `{"audio":""}`: "empty_audio", `{"audio":null}`: "missing_parameter", `{}`: "missing_parameter",
		`{"audio":"UklG","language":{"a":1}}`: "invalid_json", `{"audio":"UklG","file":"x"}`: "unknown_parameter", `{"url":["https://a.example","https://b.example"]}`: "invalid_value",
		`{"audio":"UklG","chunking_strategy":{"type":"other"}}`: "invalid_value",
	} {
		ask(t, "POST", at+"/v1/jobs", []byte(body), "Content-Type", "application/json").failed(t, 400, code)
	}
	ask(t, "POST", at+"/v1/jobs", []byte(`{"audio":"`+strings.Repeat("A", 1<<20+80_000)+`"}`), "Content-Type", "application/json").failed(t, 413, "body_too_large")
	ask(t, "POST", at+"/v1/jobs", []byte(`{"audio":"`+strings.Repeat("A", 80_000)+`"}`), "Content-Type", "application/json").failed(t, 413, "file_too_large")
	ask(t, "POST", at+"/v1/jobs", []byte(`{}`), "Content-Type", "application/json", "Content-Encoding", "gzip").failed(t, 415, "unsupported_media_type")
	ask(t, "POST", at+"/v1/jobs", []byte(tone(0.1)), "Content-Type", "audio/wav").failed(t, 415, "unsupported_media_type")
	if len(f.jobs) != 0 {
		t.Errorf("%d jobs", len(f.jobs))
	}

	o.CheckCallback, o.CheckURL = nil, nil
	_, at = newServer(t, newFakeEngine(), o)
	post(t, at+"/v1/jobs", file, field{"callback_url", "https://example.org/"}).failed(t, 400, "unsupported_parameter")
	post(t, at+"/v1/jobs", field{"url", "https://example.org/"}).failed(t, 400, "unsupported_parameter")
	post(t, at+"/v1/jobs", file, field{"adapter", "secret"}).failed(t, 404, "adapter_not_found") // where the engine has no Check
}

// TestJobsForModelsElsewhere checks that a server which takes jobs for any model takes those, and leaves to their workers what they alone know.
func TestJobsForModelsElsewhere(t *testing.T) {
	f := new(fakeJobs)
	o := jobOptions(f)
	o.AnyModel = true
	_, at := newServer(t, checked{newFakeEngine()}, o)
	file := field{"file", tone(0.1)}
	if j := post(t, at+"/v1/jobs", file, field{"model", "openai/whisper-large-v3"}, field{"language", "xx"}, field{"adapter", "theirs"}).job(t, 202); j.Model != "openai/whisper-large-v3" || j.Params["adapter"][0] != "theirs" {
		t.Errorf("%+v", j)
	}
	if j := post(t, at+"/v1/jobs", file, field{"model", "tiny"}).job(t, 202); j.Model != "nano" {
		t.Errorf("%+v", j)
	}
	if j := post(t, at+"/v1/jobs", file, field{"model", "cs"}).job(t, 202); j.Model != "nano" || j.Params["adapter"][0] != "cs" {
		t.Errorf("%+v", j)
	}
	post(t, at+"/v1/jobs", file, field{"model", "elsewhere"}, field{"beam_size", "x"}).failed(t, 400, "invalid_value")
	post(t, at+"/v1/jobs", file, field{"model", strings.Repeat("x", 65)}).failed(t, 404, "model_not_found")
	post(t, at+"/v1/jobs", file, field{"language", "xx"}).failed(t, 400, "invalid_request")
}

// TestJobsOfClients checks that a client sees, changes and reads its own jobs alone.
func TestJobsOfClients(t *testing.T) {
	f := new(fakeJobs)
	o := jobOptions(f)
	o.Auth.Keys = keys
	_, at := newServer(t, newFakeEngine(), o)
	for i := range 5 {
		body, kind := formOf(t, field{"file", tone(0.1)}, field{"seed", fmt.Sprint(i)})
		ask(t, "POST", at+"/v1/jobs", body, "Content-Type", kind, "X-API-Key", annaKey).job(t, 202)
	}
	f.finish("anna", "job-2")
	f.fail("anna", "job-3", "the file holds no sound")
	f.begin("anna", "job-4")
	list := func(key, query string) (ids []string, next string) {
		a := ask(t, "GET", at+"/v1/jobs"+query, nil, "X-API-Key", key)
		var v struct {
			Object  string
			Data    []jobAnswer
			HasMore bool `json:"has_more"`
			Next    string
		}
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 || v.Object != "list" || v.Data == nil || v.HasMore != (v.Next != "") {
			t.Fatalf("%s: %d %s", query, a.status, a.body)
		}
		for _, j := range v.Data {
			ids = append(ids, strings.TrimPrefix(j.ID, "job-"))
		}
		return ids, v.Next
	}
	for query, want := range map[string]string{
		"": "5 4 3 2 1", "?state=queued": "5 1", "?state=failed,done&state=running": "4 3 2", "?model=nano": "5 4 3 2 1", "?model=whisper-1&state=failed": "3", "?model=other": "",
		"?limit=2": "5 4", "?limit=2&after=job-4": "3 2", "?limit=1000&after=job-3": "2 1", "?state=cancelled": "",
	} {
		if got, _ := list(annaKey, query); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
		if got, _ := list(adminKey, query[:max(0, strings.Index(query, "&after"))]); len(got) > 0 {
			t.Errorf("%s: another's %v", query, got)
		}
	}
	if _, next := list(annaKey, "?limit=2"); next != "job-4" {
		t.Errorf("next %q", next)
	}
	for _, query := range []string{"?state=lost", "?limit=0", "?limit=1001", "?limit=x", "?unknown=1", "?after=a&after=b"} {
		if a := ask(t, "GET", at+"/v1/jobs"+query, nil, "X-API-Key", annaKey); a.status != 400 {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/jobs/job-2"}, {"GET", "/v1/jobs/job-2/result"}, {"GET", "/v1/jobs/job-2/events"}, {"DELETE", "/v1/jobs/job-1"}, {"POST", "/v1/jobs/job-3/retry"},
	} {
		ask(t, c.method, at+c.path, nil, "X-API-Key", adminKey).failed(t, 404, "job_not_found")
		ask(t, c.method, at+strings.Replace(c.path, "job-", url.PathEscape("../ *"), 1), nil, "X-API-Key", annaKey).failed(t, 404, "job_not_found")
	}
	if got, _ := list(annaKey, "?state=cancelled"); len(got) > 0 {
		t.Errorf("another has cancelled %v", got)
	}
}

// TestChangingJobs cancels jobs and tries them again, where that can be and where it cannot.
func TestChangingJobs(t *testing.T) {
	f := new(fakeJobs)
	_, at := newServer(t, newFakeEngine(), jobOptions(f))
	for i := range 4 {
		post(t, at+"/v1/jobs", field{"file", tone(0.1)}, field{"seed", fmt.Sprint(i)}).job(t, 202)
	}
	f.begin("", "job-2")
	f.finish("", "job-3")
	f.fail("", "job-4", "the file holds no sound")
	change := func(method, id string) answer {
		path := at + "/v1/jobs/" + id
		if method == "POST" {
			path += "/retry"
		}
		return ask(t, method, path, nil)
	}
	for _, id := range []string{"job-1", "job-2", "job-2"} {
		if j := change("DELETE", id).job(t, 200); j.State != asr.JobCancelled {
			t.Errorf("%+v", j)
		}
	}
	for id, code := range map[string]string{"job-3": "job_done", "job-4": "job_failed"} {
		a := change("DELETE", id)
		a.failed(t, 409, code)
		var v struct{ Job jobAnswer }
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || "job_"+string(v.Job.State) != code {
			t.Errorf("%s: %s", id, a.body)
		}
		change("POST", "job-1").failed(t, 409, "job_cancelled")
		change("POST", "job-3").failed(t, 409, "job_done")
	}
	if j := change("POST", "job-4").job(t, 202); j.State != asr.JobQueued || j.Reason != "" {
		t.Errorf("%+v", j)
	}
}

// TestJobResults gets the result of a job in all formats, and that of jobs that have none.
func TestJobResults(t *testing.T) {
	f := new(fakeJobs)
	_, at := newServer(t, newFakeEngine(), jobOptions(f))
	get := func(query string) answer { return ask(t, "GET", at+"/v1/jobs/job-1/result"+query, nil) }
	post(t, at+"/v1/jobs", field{"file", tone(2.25)}).job(t, 202)
	get("").failed(t, 409, "job_queued")
	f.begin("", "job-1")
	if a := get("?format=srt"); !strings.Contains(a.body, `"state":"running"`) || a.failed(t, 409, "job_running").Message == "" {
		t.Errorf("%s", a.body)
	}
	f.fail("", "job-1", "the file holds no sound")
	if e := get("").failed(t, 409, "job_failed"); !strings.Contains(e.Message, "the file holds no sound") {
		t.Errorf("%+v", e)
	}
	f.finish("", "job-1")
	get("?format=pdf").failed(t, 400, "invalid_value")
	get("?format=diarized_json").failed(t, 400, "invalid_value")
	get("?language=cs").failed(t, 400, "unknown_parameter")
	for query, c := range map[string]struct{ kind, has string }{
		"":                     {"application/json", `{"text":"Ahoj, světe \u0026 \u003cspol\u003e","usage":{"type":"duration","seconds":2.25}}`},
		"?format=json":         {"application/json", `"text":"Ahoj,`},
		"?format=text":         {"text/plain; charset=utf-8", fakeText + "\n"},
		"?format=srt":          {"application/x-subrip; charset=utf-8", "00:00:01,500 --> 00:00:02,"},
		"?format=vtt":          {"text/vtt; charset=utf-8", "WEBVTT"},
		"?format=tsv":          {"text/tab-separated-values; charset=utf-8", "start\tend\ttext\n"},
		"?format=verbose_json": {"application/json", `"words":[{"word":"Ahoj,"`},
	} {
		if a := get(query); a.status != 200 || a.header.Get("Content-Type") != c.kind || !strings.Contains(a.body, c.has) {
			t.Errorf("%s: %d %s %s", query, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	if a := get("?format=verbose_json"); !strings.Contains(a.body, `"task":"transcribe"`) || !strings.Contains(a.body, `"segments":[{"id":0`) || get("?format=verbose_json").body != a.body {
		t.Errorf("%s", a.body)
	}
	post(t, at+"/v1/jobs", field{"file", tone(2.25)}, field{"task", "translate"}).job(t, 202)
	f.finish("", "job-2")
	if a := ask(t, "GET", at+"/v1/jobs/job-2/result?format=verbose_json", nil); !strings.Contains(a.body, `"task":"translate","language":"english"`) || strings.Contains(a.body, "usage") {
		t.Errorf("%s", a.body)
	}
}

// TestJobsThatCannotBeKept checks the answers of a full queue, of a broker that is away, and of a server without jobs, which are told apart.
func TestJobsThatCannotBeKept(t *testing.T) {
	f := &fakeJobs{max: 1}
	var log logBuffer
	o := jobOptions(f)
	o.Logger = log.logger()
	s, at := newServer(t, newFakeEngine(), o)
	post(t, at+"/v1/jobs", field{"file", tone(0.1)}).job(t, 202)
	a := post(t, at+"/v1/jobs", field{"file", tone(0.2)})
	if a.failed(t, 429, "queue_full"); a.header.Get("Retry-After") != "2" {
		t.Errorf("%v", a.header)
	}
	f.setErr(fmt.Errorf("%w: the broker at 10.0.0.7 did not answer", asr.ErrBusy))
	routes := []struct{ method, path string }{
		{"GET", "/v1/jobs"}, {"GET", "/v1/jobs/job-1"}, {"DELETE", "/v1/jobs/job-1"}, {"POST", "/v1/jobs/job-1/retry"}, {"GET", "/v1/jobs/job-1/result"}, {"GET", "/v1/jobs/job-1/events"},
	}
	for _, c := range routes {
		a := ask(t, c.method, at+c.path, nil)
		if a.failed(t, 503, "jobs_unavailable"); a.header.Get("Retry-After") == "" || strings.Contains(a.body, "10.0.0.7") {
			t.Errorf("%s: %v %s", c.path, a.header, a.body)
		}
	}
	post(t, at+"/v1/jobs", field{"file", tone(0.1)}).failed(t, 503, "jobs_unavailable")
	if !strings.Contains(log.String(), "10.0.0.7") {
		t.Error("the reason is not logged")
	}
	f.setErr(errors.New("disk full at /var/lib"))
	for _, c := range routes {
		ask(t, c.method, at+c.path, nil).failed(t, 500, "internal_error")
	}
	f.setErr(nil)
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	post(t, at+"/v1/jobs", field{"file", tone(0.3)}).failed(t, 503, "draining")
	ask(t, "POST", at+"/v1/jobs/job-1/retry", nil).failed(t, 503, "draining")
	for _, path := range []string{"/v1/jobs", "/v1/jobs/job-1"} {
		if a := ask(t, "GET", at+path, nil); a.status != 200 {
			t.Errorf("%s while the server drains: %d %s", path, a.status, a.body)
		}
	}
	if j := ask(t, "DELETE", at+"/v1/jobs/job-1", nil).job(t, 200); j.State != asr.JobCancelled {
		t.Errorf("%+v", j)
	}

	_, at = newServer(t, newFakeEngine(), httpapi.Options{})
	for _, c := range append(routes, struct{ method, path string }{http.MethodPost, "/v1/jobs"}) {
		ask(t, c.method, at+c.path, nil).failed(t, 503, "no_jobs")
	}
	ask(t, "PUT", at+"/v1/jobs/job-1", nil).failed(t, 405, "method_not_allowed")
}

// TestFileNames checks what is kept of the names that clients give files.
func TestFileNames(t *testing.T) {
	f := new(fakeJobs)
	_, at := newServer(t, newFakeEngine(), jobOptions(f))
	long := strings.Repeat("řeč", 200) + ".wav"
	for given, want := range map[string]string{`C:\talks\a.wav`: "a.wav", "/etc/passwd": "passwd", "..": "..", "a\x00\nb": "ab", "": "", "dir/": ""} {
		b, _ := json.Marshal(map[string]any{"audio": "UklG", "name": given, "again": true})
		if j := ask(t, "POST", at+"/v1/jobs", b, "Content-Type", "application/json").job(t, 202); j.Name != want {
			t.Errorf("%q: %q, want %q", given, j.Name, want)
		}
	}
	b, _ := json.Marshal(map[string]any{"audio": "UklG", "name": long, "again": true})
	if j := ask(t, "POST", at+"/v1/jobs", b, "Content-Type", "application/json").job(t, 202); len(j.Name) > 255 || len(j.Name) < 200 || !strings.HasPrefix(long, j.Name) {
		t.Errorf("%q", j.Name)
	}
}
