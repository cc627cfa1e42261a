package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"net/http/httptest"

	"glossa/asr"
	"glossa/asr/httpapi"
)

const (
	annaKey  = "anna-key-0123456789"
	adminKey = "admin-key-0123456789"
)

var keys = map[string]string{"anna": annaKey, "admin": adminKey}

// whoAmI answers with the client's name, and what the query says.
var whoAmI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Write([]byte("client " + asr.ClientOf(r.Context()) + r.URL.RawQuery))
})

// tokenOf has a server issue a token that holds for so many seconds.
func tokenOf(t testing.TB, h http.Handler, key string, seconds string) string {
	t.Helper()
	r := httptest.NewRequest("POST", "/v1/tokens", strings.NewReader(`{"expires_in":`+seconds+`}`))
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var v struct {
		Token   string
		Client  string
		Expires int64 `json:"expires_at"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Token == "" || v.Expires <= time.Now().Unix() {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return v.Token
}

// carriers are the ways to send a key or token.
var carriers = map[string]func(r *http.Request, key string){
	"bearer":     func(r *http.Request, key string) { r.Header.Set("Authorization", "Bearer "+key) },
	"lower case": func(r *http.Request, key string) { r.Header.Set("Authorization", "bearer "+key) },
	"token":      func(r *http.Request, key string) { r.Header.Set("Authorization", "Token "+key) },
	"x-api-key":  func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
	"query":      func(r *http.Request, key string) { r.URL.RawQuery = url.Values{"token": {key}}.Encode() },
	"deepgram":   func(r *http.Request, key string) { r.Header.Set("Sec-WebSocket-Protocol", "token, "+key) },
	"openai": func(r *http.Request, key string) {
		r.Header.Set("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key."+key+", openai-beta.realtime-v1")
	},
}

// forBrowsers are the carriers of a GET alone.
var forBrowsers = []string{"query", "deepgram", "openai"}

// TestAuthMatrix asks for every route with no key, a wrong one, keys, tokens and tokens that hold no more, by every carrier.
func TestAuthMatrix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := httpapi.New(newFakeEngine(), httpapi.Options{
			Auth: httpapi.Auth{Keys: keys}, MetricsHandler: whoAmI, Admin: httpapi.Admin{Enabled: true}, Jobs: new(fakeJobs),
			Mount: map[string]httpapi.Mount{"GET /v1/stream": {Handler: whoAmI, Work: true}, "GET /{$}": {Handler: whoAmI, Public: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h := s.Handler()
		expired := tokenOf(t, h, annaKey, "5")
		time.Sleep(5 * time.Second)
		token := tokenOf(t, h, annaKey, "60")
		forged := token[:len(token)-2] + "AA"
		other, err := httpapi.New(newFakeEngine(), httpapi.Options{Auth: httpapi.Auth{Keys: keys}})
		if err != nil {
			t.Fatal(err)
		}
		foreign := tokenOf(t, other.Handler(), annaKey, "60")

		wrong := []string{"", "x", "anna", annaKey + "x", annaKey[1:], strings.ToUpper(annaKey), expired, forged, foreign, token + "A", "ek_", "ek_.", "ek_AA.AA"}
		for _, route := range []struct {
			method, path string
			access       string // public, keyed, or key: no token
		}{
			{"POST", "/v1/audio/transcriptions", "keyed"}, {"POST", "/v1/audio/translations", "keyed"},
			{"POST", "/v1/jobs", "keyed"}, {"GET", "/v1/jobs", "keyed"}, {"GET", "/v1/jobs/x", "keyed"}, {"DELETE", "/v1/jobs/x", "keyed"},
			{"POST", "/v1/jobs/x/retry", "keyed"}, {"GET", "/v1/jobs/x/result", "keyed"}, {"GET", "/v1/jobs/x/events", "keyed"},
			{"GET", "/v1/models", "keyed"}, {"HEAD", "/v1/models", "keyed"}, {"GET", "/v1/models/cs", "keyed"},
			{"POST", "/v1/load_lora_adapter", "key"}, {"POST", "/v1/unload_lora_adapter", "key"},
			{"POST", "/v1/tokens", "key"}, {"POST", "/v1/realtime/client_secrets", "key"},
			{"POST", "/v1/auth/grant", "key"}, {"GET", "/metrics", "keyed"}, {"GET", "/openapi.json", "keyed"}, {"GET", "/v1/stream", "keyed"},
			{"GET", "/healthz", "public"}, {"GET", "/readyz", "public"}, {"GET", "/", "public"},
		} {
			status := func(carry func(*http.Request, string), key string) int {
				r := httptest.NewRequest(route.method, route.path, nil)
				if carry != nil {
					carry(r, key)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
					t.Errorf("%s %s: status %d with WWW-Authenticate %q", route.method, route.path, w.Code, w.Header().Get("WWW-Authenticate"))
				}
				return w.Code
			}
			if got := status(nil, ""); (got == 401) != (route.access != "public") {
				t.Errorf("%s %s: %d without a key", route.method, route.path, got)
			}
			for name, carry := range carriers {
				usable := route.method == "GET" || !slices.Contains(forBrowsers, name)
				for _, key := range wrong {
					if got := status(carry, key); (got == 401) != (route.access != "public") {
						t.Errorf("%s %s: %d with the wrong key %q by %s", route.method, route.path, got, key, name)
					}
				}
				for _, key := range []string{annaKey, adminKey} {
					if got := status(carry, key); (got == 401 || got == 403) != (route.access != "public" && !usable) {
						t.Errorf("%s %s: %d with a key by %s", route.method, route.path, got, name)
					}
				}
				want := 0
				switch {
				case route.access == "public":
				case !usable:
					want = 401
				case route.access == "key":
					want = 403
				}
				if got := status(carry, token); got != want && (want != 0 || got == 401 || got == 403) {
					t.Errorf("%s %s: %d with a token by %s, want %d", route.method, route.path, got, name, want)
				}
			}
		}
	})
}

// TestClientsNames checks whom handlers find, and that a wrong key is not made good by a right one elsewhere.
func TestClientsNames(t *testing.T) {
	s, err := httpapi.New(newFakeEngine(), httpapi.Options{Auth: httpapi.Auth{Keys: keys}, Mount: map[string]httpapi.Mount{"GET /who": {Handler: whoAmI}}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(set func(*http.Request)) (int, string) {
		r := httptest.NewRequest("GET", "/who", nil)
		set(r)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for name, carry := range carriers {
		for _, key := range []string{annaKey, tokenOf(t, s.Handler(), annaKey, "60")} {
			if code, body := ask(func(r *http.Request) { carry(r, key) }); code != 200 || body != "client anna" {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
	}
	if code, body := ask(func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer wrong")
		r.Header.Set("X-API-Key", annaKey)
	}); code != 401 {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(func(r *http.Request) { r.URL.RawQuery = "model=a%20b&token=" + annaKey + "&x_token=1" }); code != 200 || body != "client annamodel=a%20b&x_token=1" {
		t.Errorf("a token among other parameters: %d %s", code, body)
	}
	if code, body := ask(func(r *http.Request) { r.SetBasicAuth("anna", annaKey) }); code != 401 {
		t.Errorf("basic authentication: %d %s", code, body)
	}
}

// TestTokens checks what tokens may be asked for, and that they end with the key of their client.
func TestTokens(t *testing.T) {
	secret := []byte("a secret that servers share")
	server := func(keys map[string]string) http.Handler {
		s, err := httpapi.New(newFakeEngine(), httpapi.Options{
			Auth:  httpapi.Auth{Keys: keys, TokenSecret: secret, MaxTokenTTL: time.Hour},
			Mount: map[string]httpapi.Mount{"GET /who": {Handler: whoAmI}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return s.Handler()
	}
	first := server(keys)
	token := tokenOf(t, first, annaKey, "60")
	for _, c := range []struct {
		keys map[string]string
		want int
	}{{keys, 200}, {map[string]string{"anna": annaKey}, 200}, {map[string]string{"anna": "another key"}, 401}, {map[string]string{"bob": annaKey}, 401}} {
		r := httptest.NewRequest("GET", "/who?token="+token, nil)
		w := httptest.NewRecorder()
		server(c.keys).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("keys %v: %d", c.keys, w.Code)
		}
	}
	for _, c := range []struct {
		path, body string
		status     int
		has        string
	}{
		{"/v1/tokens", "", 200, `"client":"anna"`},
		{"/v1/tokens", "{}", 200, `"token":"ek_`},
		{"/v1/tokens", `{"expires_in":3601}`, 400, `"expires_in"`},
		{"/v1/tokens", `{"expires_in":0}`, 400, `"expires_in"`},
		{"/v1/tokens", `{"expires_in":"long"}`, 400, `"invalid_json"`},
		{"/v1/tokens", `{"client":"admin"}`, 400, `"invalid_json"`},
		{"/v1/tokens", `{} {}`, 400, `"invalid_json"`},
		{"/v1/tokens", `{"expires_in":` + strings.Repeat(" ", 70_000) + `1}`, 413, `"body_too_large"`},
		{"/v1/realtime/client_secrets", `{"expires_after":{"anchor":"created_at","seconds":600},"session":{"type":"transcription"}}`, 200, `"value":"ek_`},
		{"/v1/auth/grant", `{"ttl_seconds":30}`, 200, `"expires_in":30}`},
		{"/v1/auth/grant", `{"ttl_seconds":-1}`, 400, `"ttl_seconds"`},
		{"/v1/realtime/client_secrets", ``, 200, `"object":"realtime.transcription_session"`},
		{"/v1/realtime/client_secrets", `{"expires_after":{"anchor":"never"}}`, 400, `"expires_after.anchor"`},
		{"/v1/realtime/client_secrets", `{"session":{"type":"realtime"}}`, 400, `"session.type"`},
		{"/v1/realtime/client_secrets", `{"session":{"audio":{}}}`, 400, `"session.audio"`},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
		r.Header.Set("X-API-Key", annaKey)
		w := httptest.NewRecorder()
		first.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s %.60s: %d %s, want %d with %s", c.path, c.body, w.Code, w.Body, c.status, c.has)
		}
	}
}

// TestWrongKeys checks the keys and options that a server does not begin with.
func TestWrongKeys(t *testing.T) {
	for name, o := range map[string]httpapi.Options{
		"all clients":      {Auth: httpapi.Auth{Keys: map[string]string{"*": annaKey}}},
		"no name":          {Auth: httpapi.Auth{Keys: map[string]string{"": annaKey}}},
		"short":            {Auth: httpapi.Auth{Keys: map[string]string{"anna": "1234567"}}},
		"empty":            {Auth: httpapi.Auth{Keys: map[string]string{"anna": ""}}},
		"twice":            {Auth: httpapi.Auth{Keys: map[string]string{"anna": annaKey, "bob": annaKey}}},
		"space":            {Auth: httpapi.Auth{Keys: map[string]string{"anna": annaKey + "\n"}}},
		"secret":           {Auth: httpapi.Auth{TokenSecret: []byte("short")}},
		"origin":           {Origins: []string{"example.org"}},
		"folder":           {Admin: httpapi.Admin{Enabled: true, Dirs: []string{"/nowhere/at/all"}}},
		"mount of nothing": {Mount: map[string]httpapi.Mount{"GET /x": {}}},
		"mount over ours":  {Mount: map[string]httpapi.Mount{"GET /v1/models": {Handler: whoAmI}}},
		"wrong pattern":    {Mount: map[string]httpapi.Mount{"GET x": {Handler: whoAmI}}},
	} {
		if _, err := httpapi.New(newFakeEngine(), o); err == nil || !strings.HasPrefix(err.Error(), "httpapi: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
