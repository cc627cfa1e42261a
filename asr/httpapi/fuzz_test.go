package httpapi

import (
	"encoding/base64"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/params"
)

// FuzzForm checks that no body of a form makes the server panic, or take more than it may.
func FuzzForm(f *testing.F) {
	part := func(name, value string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	for _, body := range []string{
		part("file", "RIFF") + part("language", "cs") + "--x--\r\n",
		part("timestamp_granularities[]", "word") + part("chunking_strategy", `{"type":"server_vad","threshold":0.5}`) + part("file", "x") + "--x--",
		part("chunking_strategy[type]", "server_vad") + part("temperature", "1e-400") + part("seed", "-1"),
		"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\\\"b\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n\r\n--x--",
		"--x--", "",
	} {
		f.Add(body)
	}
	s := &Server{options: Options{Limits: asr.Limits{RequestBytes: 200}, SpoolBytes: 50, TempDir: f.TempDir()}.withDefaults()}
	s.engine = noAdapters{}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		form, err := s.readForm(httptest.NewRecorder(), r, 200)
		if err != nil {
			if e := s.answer(r, err); e.status < 400 || e.status >= 500 {
				t.Errorf("%d: %v", e.status, err)
			}
			return
		}
		defer form.close()
		if form.file != nil && (form.file.len() > 200 || len(form.file.memory) > 50) {
			t.Errorf("a file of %d bytes, %d of them in memory", form.file.len(), len(form.file.memory))
		}
		want, err := s.wants(r.Context(), form, "transcribe")
		if err != nil {
			if e := s.answer(r, err); e.status < 400 || e.status >= 500 {
				t.Errorf("%d: %v", e.status, err)
			}
			return
		}
		if n := want.request.Decoding.BeamSize; n < 0 || n > params.MaxBeams || want.format == "" || len(want.request.Decoding.Temperatures) > 1 {
			t.Errorf("%+v", want)
		}
	})
}

// noAdapters is an engine of which nothing but its adapters is asked, which it has none of.
type noAdapters struct{ Engine }

func (noAdapters) Allows(string, string) bool { return false }

// FuzzToken checks that no token is taken that was not issued, whatever it looks like, and that parsing one gives what was parsed.
func FuzzToken(f *testing.F) {
	a, err := newAuthenticator(Auth{Keys: map[string]string{"anna": "anna-key"}, TokenSecret: []byte("0123456789abcdef")})
	if err != nil {
		f.Fatal(err)
	}
	a.now = func() time.Time { return time.Unix(1_000_000, 0) }
	said := append([]byte{tokenVersion, 0, 0, 0, 0, 0, 0x10, 0, 0}, "randomlyanna"...) // the same in every process that fuzzes
	enc := base64.RawURLEncoding
	token := tokenPrefix + enc.EncodeToString(said) + "." + enc.EncodeToString(a.sign(said, "anna"))
	long, _ := a.issue(strings.Repeat("n", maxNameBytes), time.Minute)
	if client, ok := a.verify(token); !ok || client != "anna" {
		f.Fatalf("%q, %v", client, ok)
	}
	if _, _, ok := parseToken(long); !ok {
		f.Fatal("a token of a long name is not read")
	}
	for _, seed := range []string{token, long, token[:len(token)-1], "ek_", "ek_.", "ek_AQAAAAAAAAAAAAAAAAAAAAAA.AA", "", strings.ToLower(token), token + "=", token[:20] + "\n" + token[20:], token + "\r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if client, ok := a.verify(s); ok && s != token {
			t.Errorf("%q is taken for one of %q", s, client)
		}
		if said, _, ok := parseToken(s); ok && len(said) < tokenHead {
			t.Errorf("%q has %d bytes", s, len(said))
		}
		if client, ok := a.clientOf(s); ok && s != "anna-key" {
			t.Errorf("%q is taken for the key of %q", s, client)
		}
	})
}

// FuzzCredential checks that what browsers send as subprotocols is read without panics, and a key found in it is part of it.
func FuzzCredential(f *testing.F) {
	for _, seed := range []string{"token, abc", "realtime, openai-insecure-api-key.abc", "token", ",,", "bearer,", "Token,a,b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if key := protocolCredential([]string{header}); !strings.Contains(header, key) {
			t.Errorf("%q in %q", key, header)
		}
	})
}

// FuzzJob checks that no body in JSON of a job makes the server panic, and that what is taken has sound of the size that it may have and fields that fit in
// a message.
func FuzzJob(f *testing.F) {
	for _, body := range []string{
		`{"audio":"UklGRg==","language":"cs","beam_size":2}`, `{"url":"https://example.org","chunking_strategy":{"type":"server_vad"}}`, `{"audio":"UklG","languages[]":["a",1,true,null]}`,
		`{"audio":null,"url":""}`, `{"audio":"UklG","callback_url":["https://a","https://b"],"priority":"live","model":"x"}`, `null`, `[]`, `{"a":{"b":[]}}`, `{"audio":"UklG","name":"\u0000/\ud800"}`,
	} {
		f.Add(body, `"key"`)
	}
	any := func(string) error { return nil }
	o := Options{Limits: asr.Limits{JobBytes: 200}, SpoolBytes: 50, TempDir: f.TempDir(), AnyModel: true, CheckCallback: any, CheckURL: any}.withDefaults()
	s := &Server{options: o, engine: noAdapters{}}
	f.Fuzz(func(t *testing.T, body, key string) {
		r := httptest.NewRequest("POST", "/v1/jobs", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header[idempotencyKey] = []string{key}
		form, err := s.readJob(httptest.NewRecorder(), r)
		var q *asr.Submission
		if err == nil {
			defer form.close()
			q, err = s.submission(r, form)
		}
		if err != nil {
			if e := s.answer(r, err); e.status < 400 || e.status >= 500 {
				t.Errorf("%d: %v", e.status, err)
			}
			return
		}
		size := 0
		for name, values := range q.Params {
			size += len(name) + len(strings.Join(values, ""))
		}
		if (q.Audio.URL == "") == (q.Audio.Size == 0) || q.Audio.Size > 200 || size > maxJobFields || len(q.Key) == 0 || len(q.Key) > 255 || len(q.Name) > 255 || len(q.Model) > maxJobModel {
			t.Errorf("%+v", q)
		}
	})
}
