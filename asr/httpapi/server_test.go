package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
)

// counted are the requests that metrics were told of.
type counted struct {
	mu   sync.Mutex
	list []string
}

func (c *counted) Request(route string, code int, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, route+" "+http.StatusText(code))
}

// TestEveryRequestIsLoggedAndCounted checks ids, routes and statuses, and that no key, query or path of a client is in the log.
func TestEveryRequestIsLoggedAndCounted(t *testing.T) {
	var log logBuffer
	var metrics counted
	s, url := newServer(t, newFakeEngine(), httpapi.Options{
		Auth: httpapi.Auth{Keys: keys}, Logger: log.logger(), Metrics: &metrics,
		Mount: map[string]httpapi.Mount{
			"GET /panic":   {Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("my secret") }), Public: true},
			"GET /{$}":     {Handler: whoAmI, Public: true},
			"GET /assets/": {Handler: whoAmI, Public: true},
		},
	})
	_ = s
	bearer := "Bearer " + annaKey
	for _, c := range []struct {
		method, path string
		id           string
		status       int
		log, count   string
	}{
		{"GET", "/v1/models?token=" + annaKey, "my-id.1", 200, "route=/v1/models status=200", "/v1/models OK"},
		{"GET", "/v1/models/cs", "a b", 200, "route=/v1/models/{id} status=200", "/v1/models/{id} OK"},
		{"GET", "/v1/models/nope", "", 404, "route=/v1/models/{id} status=404", "/v1/models/{id} Not Found"},
		{"GET", "/personal/path", strings.Repeat("x", 500), 404, "route=other status=404", "other Not Found"},
		{"GET", "/", "", 200, "route=/ status=200", "/ OK"},
		{"GET", "/assets/a.js", "", 200, "route=/assets/ status=200", "/assets/ OK"},
		{"GET", "/v1/tokens", "", 405, "status=405", "other Method Not Allowed"},
		{"DELETE", "/v1/models", "", 405, "status=405", "other Method Not Allowed"},
		{"BREW", "/v1/models", "", 405, "method=other", "other Method Not Allowed"},
		{"GET", "/panic", "", 500, "msg=panic", "/panic Internal Server Error"},
	} {
		before := len(log.String())
		a := ask(t, c.method, url+c.path, nil, "Authorization", bearer, "X-Request-Id", c.id)
		line := log.String()[before:]
		id := a.header.Get("X-Request-Id")
		if a.status != c.status || !strings.Contains(line, c.log) || metrics.list[len(metrics.list)-1] != c.count {
			t.Errorf("%s %s: %d, counted as %s, log\n%s", c.method, c.path, a.status, metrics.list[len(metrics.list)-1], line)
		}
		if given := c.id == "my-id.1"; id == "" || given != (id == c.id) || !strings.Contains(line, id) {
			t.Errorf("id %q of a request that came with %q", id, c.id)
		}
		if c.status >= 400 {
			var v struct{ Error *apiError }
			if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Error == nil || strings.Contains(a.body, "secret") {
				t.Errorf("%s %s: %s", c.method, c.path, a.body)
			}
		}
		if c.status == 405 && !strings.Contains(a.header.Get("Allow"), "T") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, a.header.Get("Allow"))
		}
	}
	for _, secret := range []string{annaKey, "personal"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, &log)
		}
	}
	if !strings.Contains(log.String(), "client=anna") {
		t.Errorf("no client is in the log:\n%s", &log)
	}
}

// TestLogLines checks that a body without a length is counted, and at which level a request is logged that is one of many.
func TestLogLines(t *testing.T) {
	var log logBuffer
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("fail") {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	_, url := newServer(t, newFakeEngine(), httpapi.Options{Logger: log.logger(), Mount: map[string]httpapi.Mount{"GET /assets/": {Handler: page, Quiet: true}}})
	body, kind := formOf(t, field{"file", tone(0.1)})
	r, err := http.NewRequest("POST", url+"/v1/audio/transcriptions", struct{ io.Reader }{bytes.NewReader(body)}) // whose length is unknown
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if want := fmt.Sprintf("status=200 .*bytes_in=%d ", len(body)); !regexp.MustCompile(want).MatchString(log.String()) {
		t.Errorf("log, want %s:\n%s", want, log.String())
	}
	for path, level := range map[string]string{"/assets/a.js": "DEBUG", "/healthz": "DEBUG", "/readyz": "DEBUG", "/assets/a.js?fail": "INFO", "/v1/models": "INFO"} {
		before := len(log.String())
		ask(t, "GET", url+path, nil)
		if line := log.String()[before:]; !strings.Contains(line, "level="+level+" ") {
			t.Errorf("%s, want level %s:\n%s", path, level, line)
		}
	}
}

// TestHijackedConnections checks that a websocket goes through, beyond the time that a write has, and is counted as one.
func TestHijackedConnections(t *testing.T) {
	var metrics counted
	_, url := newServer(t, newFakeEngine(), httpapi.Options{Metrics: &metrics, WriteTimeout: 20 * time.Millisecond, Mount: map[string]httpapi.Mount{
		"GET /v1/stream": {Work: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: test\r\nConnection: Upgrade\r\n\r\n")
			time.Sleep(60 * time.Millisecond)
			io.Copy(conn, rw) // what comes goes back
		})},
	}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nhello")
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 101 ") || !strings.HasSuffix(string(got), "\r\n\r\nhello") {
		t.Errorf("%q, %v", got, err)
	}
	for range 200 {
		metrics.mu.Lock()
		list := slices.Clone(metrics.list)
		metrics.mu.Unlock()
		if len(list) > 0 {
			if list[0] != "/v1/stream Switching Protocols" {
				t.Errorf("counted as %v", list)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it is not counted")
}

// TestOrigins checks what pages of which origins may do.
func TestOrigins(t *testing.T) {
	_, url := newServer(t, newFakeEngine(), httpapi.Options{Origins: []string{"https://good.example"}})
	host := strings.TrimPrefix(url, "http://")
	body, kind := formOf(t, field{"file", tone(0.1)})
	for _, c := range []struct {
		origin  string
		allowed bool // to read
		status  int  // of a post
	}{
		{"https://good.example", true, 200}, {"https://evil.example", false, 403}, {"null", false, 403},
		{"http://" + host, false, 200}, {"https://good.example.evil.example", false, 403}, {"", false, 200},
	} {
		with := []string{"Content-Type", kind}
		if c.origin != "" {
			with = append(with, "Origin", c.origin)
		}
		a := ask(t, "POST", url+transcriptions, body, with...)
		if got := a.header.Get("Access-Control-Allow-Origin"); a.status != c.status || (got == c.origin && got != "") != c.allowed {
			t.Errorf("%q: status %d, allowed %q", c.origin, a.status, got)
		}
		a = ask(t, "GET", url+"/v1/models", nil, append(with, "Upgrade", "websocket", "Connection", "Upgrade")...)
		if a.status != c.status {
			t.Errorf("%q: a websocket has %d", c.origin, a.status)
		}
		if c.origin == "" {
			continue
		}
		a = ask(t, "OPTIONS", url+transcriptions, nil, "Origin", c.origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, x-stainless-os")
		if got := a.header.Get("Access-Control-Allow-Headers"); (a.status == 204) != c.allowed || (got == "authorization, x-stainless-os") != c.allowed {
			t.Errorf("%q: preflight %d, headers %q", c.origin, a.status, got)
		}
	}
}

// TestHosts checks that over the loopback a server of everybody answers to names that no page can have but its own.
func TestHosts(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, open := newServer(t, newFakeEngine(), httpapi.Options{Origins: []string{"https://asr.example"}})
	_, any := newServer(t, newFakeEngine(), httpapi.Options{Origins: []string{"*"}})
	_, keyed := newServer(t, newFakeEngine(), httpapi.Options{Auth: httpapi.Auth{Keys: keys}})
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost.:80": 200, "a.localhost:1": 200, "127.0.0.1:99": 200, "[::1]": 200, "[::1]:80": 200, "192.0.2.1:80": 200, own + ":80": 200,
		"asr.example": 200, "asr.example:81": 403, "evil.example": 403, "evil.example:80": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "notlocalhost": 403,
	} {
		for url, want := range map[string]int{open: want, any: 200, keyed: 401} {
			for _, origin := range []string{"", "http://" + host} {
				r, err := http.NewRequest("GET", url+"/v1/models", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = host
				if origin != "" {
					r.Header.Set("Origin", origin)
				}
				answer, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != want {
					t.Errorf("host %q: status %d, want %d", host, answer.StatusCode, want)
				}
			}
		}
	}
}

// TestRequestsAreLimited checks that what is beyond the limit is refused at once, and served once there is room; and that a
// client that has gone gives its place back.
func TestRequestsAreLimited(t *testing.T) {
	e := newFakeEngine()
	e.hold = make(chan struct{})
	_, url := newServer(t, e, httpapi.Options{Limits: asr.Limits{Requests: 2}, Mount: map[string]httpapi.Mount{
		"POST /v1/listen": {Handler: whoAmI, Counted: true}, "GET /v1/stream": {Handler: whoAmI, Work: true},
	}})
	body, kind := formOf(t, field{"file", tone(0.1)})
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for _, ctx := range []context.Context{ctx, t.Context()} {
		wait.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "POST", url+transcriptions, strings.NewReader(string(body)))
			r.Header.Set("Content-Type", kind)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		})
		<-e.begun
	}
	defer wait.Wait()
	a := post(t, url+transcriptions, field{"file", tone(0.1)})
	a.failed(t, 429, "busy")
	ask(t, "POST", url+"/v1/listen", nil).failed(t, 429, "busy")
	if live := ask(t, "GET", url+"/v1/stream", nil); live.status != 200 {
		t.Errorf("a live session beside them: %d %s", live.status, live.body)
	}
	if a.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	cancel()
	go func() {
		<-e.begun
		close(e.hold)
	}()
	for a.status == 429 { // until the server has seen that the client has gone
		time.Sleep(5 * time.Millisecond)
		a = post(t, url+transcriptions, field{"file", tone(0.1)})
	}
	if a.status != 200 {
		t.Errorf("when there is room: %d %s", a.status, a.body)
	}
}

// TestDrain checks that a server that drains ends what runs, begins nothing, and says so.
func TestDrain(t *testing.T) {
	e := newFakeEngine()
	e.hold = make(chan struct{})
	s, url := newServer(t, e, httpapi.Options{Mount: map[string]httpapi.Mount{
		"GET /v1/stream": {Handler: whoAmI, Work: true}, "POST /v1/listen": {Handler: whoAmI, Counted: true}, "GET /{$}": {Handler: whoAmI},
	}})
	if a := ask(t, "GET", url+"/readyz", nil); a.status != 200 {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	running := make(chan answer, 1)
	go func() { running <- post(t, url+transcriptions, field{"file", tone(0.1)}) }()
	<-e.begun
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Drain(short); err == nil || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("a drain that ends too early: %v", err)
	}
	for _, path := range []string{"/readyz", "/v1/stream"} {
		ask(t, "GET", url+path, nil).failed(t, 503, "draining")
	}
	ask(t, "POST", url+"/v1/listen", nil).failed(t, 503, "draining")
	a := post(t, url+transcriptions, field{"file", tone(0.1)})
	a.failed(t, 503, "draining")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for _, path := range []string{"/healthz", "/", "/v1/models"} {
		if a := ask(t, "GET", url+path, nil); a.status != 200 {
			t.Errorf("%s: %d while the server drains", path, a.status)
		}
	}
	close(e.hold)
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if a := <-running; a.status != 200 {
		t.Errorf("what ran has ended with %d %s", a.status, a.body)
	}
}

// TestHealth checks healthz and readyz of an engine that is at fault, and while the model is warmed.
func TestHealth(t *testing.T) {
	e := newFakeEngine()
	var unready error
	s, url := newServer(t, e, httpapi.Options{Ready: func(context.Context) error { return unready }})
	unready = errDisk
	if a := ask(t, "GET", url+"/readyz", nil); strings.Contains(a.body, "sda3") || a.failed(t, 503, "not_ready").Type != "server_error" {
		t.Error(a.body)
	}
	unready = nil
	e.hold = make(chan struct{})
	warmed := make(chan error, 1)
	go func() { warmed <- s.Warm(t.Context()) }()
	<-e.begun
	ask(t, "GET", url+"/readyz", nil).failed(t, 503, "warming")
	close(e.hold)
	if err := <-warmed; err != nil {
		t.Error(err)
	}
	if a := ask(t, "GET", url+"/readyz", nil); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	e.stopped = asr.ErrInternal
	ask(t, "GET", url+"/healthz", nil).failed(t, 503, "stopped")
	ask(t, "GET", url+"/readyz", nil).failed(t, 503, "not_ready")
}

// TestAdapters checks that adapters are loaded from the folders that are allowed alone, and listed for those who may have them.
func TestAdapters(t *testing.T) {
	root := t.TempDir()
	allowed, outside := filepath.Join(root, "adapters"), filepath.Join(root, "adapters-of-others")
	for _, dir := range []string{filepath.Join(allowed, "fi"), filepath.Join(allowed, "broken"), outside} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(allowed, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(allowed, "fi"), filepath.Join(allowed, "inside")); err != nil {
		t.Fatal(err)
	}
	e := newFakeEngine()
	_, url := newServer(t, e, httpapi.Options{
		Auth:  httpapi.Auth{Keys: keys},
		Admin: httpapi.Admin{Enabled: true, Dirs: []string{allowed}, Clients: []string{"admin"}},
	})
	load := func(key, name, path, more string) answer {
		q, _ := json.Marshal(map[string]string{"lora_name": name, "lora_path": path})
		return ask(t, "POST", url+"/v1/load_lora_adapter", append(q[:len(q)-1], more+"}"...), "X-API-Key", key)
	}
	load(annaKey, "fi", "fi", "").failed(t, 403, "not_admin")
	for _, path := range []string{"/etc", outside, allowed, "..", "../adapters-of-others", "fi/../../adapters-of-others", "link", filepath.Join(allowed, "link"), "/", "."} {
		load(adminKey, "fi", path, "").failed(t, 403, "path_not_allowed")
	}
	load(adminKey, "fi", "nowhere", "").failed(t, 400, "invalid_value")
	load(adminKey, "fi", filepath.Join(allowed, "nowhere"), "").failed(t, 400, "invalid_value")
	load(adminKey, "fi", filepath.Join(outside, "nowhere"), "").failed(t, 403, "path_not_allowed")
	load(adminKey, "", "fi", "").failed(t, 400, "invalid_value")
	load(adminKey, "fi", "", "").failed(t, 400, "invalid_value")
	load(adminKey, "fi", "broken", "").failed(t, 400, "invalid_request")
	load(adminKey, "cs", "fi", "").failed(t, 400, "invalid_value")
	load(adminKey, "whisper-1", "fi", "").failed(t, 400, "invalid_value") // the model's name, under which no adapter is reached
	load(adminKey, "glossa", "fi", `,"load_inplace":true`).failed(t, 400, "invalid_value")
	for _, path := range []string{"fi", "inside", filepath.Join(allowed, "fi")} {
		if a := load(adminKey, "fi", path, `,"load_inplace":true`); a.status != 200 || a.body != "Success: LoRA adapter 'fi' added successfully.\n" {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if real, _ := filepath.EvalSymlinks(filepath.Join(allowed, "fi")); e.adapters["fi"] != real {
		t.Errorf("loaded from %s", e.adapters["fi"])
	}

	list := func(key string) string {
		var v struct {
			Object string
			Data   []struct {
				ID, Object, Root string
				Parent           *string
			}
		}
		a := ask(t, "GET", url+"/v1/models", nil, "X-API-Key", key)
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || v.Object != "list" {
			t.Fatal(a.body)
		}
		names := ""
		for i, m := range v.Data {
			names += m.ID + " "
			if (m.Parent == nil) != (i == 0) || i > 0 && *m.Parent != "glossa" || m.Object != "model" || m.Root != m.ID {
				t.Errorf("%+v", m)
			}
		}
		if strings.Contains(a.body, root) {
			t.Errorf("a folder is told: %s", a.body)
		}
		return names
	}
	if got := list(annaKey); got != "glossa cs fi " {
		t.Errorf("anna has %s", got)
	}
	if got := list(adminKey); got != "glossa cs fi secret " {
		t.Errorf("admin has %s", got)
	}
	ask(t, "GET", url+"/v1/models/secret", nil, "X-API-Key", annaKey).failed(t, 404, "model_not_found")
	for _, id := range []string{"glossa", "whisper-1", "fi"} {
		if a := ask(t, "GET", url+"/v1/models/"+id, nil, "X-API-Key", annaKey); a.status != 200 || !strings.Contains(a.body, `"id":"`+id+`"`) {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
	unload := func(name string) answer {
		return ask(t, "POST", url+"/v1/unload_lora_adapter", []byte(`{"lora_name":"`+name+`","lora_int_id":3}`), "X-API-Key", adminKey)
	}
	if a := unload("fi"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	unload("fi").failed(t, 404, "adapter_not_found")
	unload("").failed(t, 400, "invalid_value")
}

// TestAdminIsOff checks that adapters cannot be loaded where nobody has turned that on.
func TestAdminIsOff(t *testing.T) {
	e := newFakeEngine()
	_, url := newServer(t, e, httpapi.Options{})
	ask(t, "POST", url+"/v1/load_lora_adapter", []byte(`{"lora_name":"x","lora_path":"/tmp"}`)).failed(t, 403, "admin_disabled")
	ask(t, "POST", url+"/v1/unload_lora_adapter", []byte(`{"lora_name":"cs"}`)).failed(t, 403, "admin_disabled")
	if len(e.adapters) != 2 {
		t.Errorf("adapters %v", e.adapters)
	}
}

// TestStarting checks what is answered before there is a server, and that the server's answers follow.
func TestStarting(t *testing.T) {
	starting := new(httpapi.Starting)
	front := httptest.NewServer(starting)
	t.Cleanup(front.Close)
	if a := ask(t, "GET", front.URL+"/healthz", nil); a.status != 200 {
		t.Errorf("/healthz: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/readyz", "/v1/models", "/"} {
		a := ask(t, "GET", front.URL+path, nil)
		a.failed(t, 503, "starting")
		if a.header.Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After %q", path, a.header.Get("Retry-After"))
		}
	}
	s, _ := newServer(t, newFakeEngine(), httpapi.Options{})
	starting.Started(s.Handler())
	if a := ask(t, "GET", front.URL+"/readyz", nil); a.status != 200 {
		t.Errorf("/readyz of the server: %d %s", a.status, a.body)
	}
}
