package httpapi_test

import (
	"strings"
	"testing"
)

// TestIdempotencyKeys checks keys, in quotes and without, of one client and of two.
func TestIdempotencyKeys(t *testing.T) {
	f := new(fakeJobs)
	o := jobOptions(f)
	o.Auth.Keys = keys
	_, at := newServer(t, newFakeEngine(), o)
	one, kind := formOf(t, field{"file", tone(0.1)})
	other, otherKind := formOf(t, field{"file", tone(0.2)})
	again, againKind := formOf(t, field{"file", tone(0.1)}, field{"again", "true"})
	submit := func(body []byte, kind, key string, header ...string) answer {
		return ask(t, "POST", at+"/v1/jobs", body, append([]string{"Content-Type", kind, "X-API-Key", key}, header...)...)
	}
	const name = "Idempotency-Key"
	first := submit(one, kind, annaKey, name, `"8e03978e-40d5-43dd-bc93-6894a57f9324"`).job(t, 202)
	if j := submit(one, kind, annaKey, name, `8e03978e-40d5-43dd-bc93-6894a57f9324`).job(t, 200); j.ID != first.ID {
		t.Errorf("without quotes: %+v", j)
	}
	if j := submit(one, kind, adminKey, name, `8e03978e-40d5-43dd-bc93-6894a57f9324`).job(t, 202); j.ID == first.ID || j.Client != "admin" {
		t.Errorf("of another client: %+v", j)
	}
	if j := submit(one, kind, annaKey, name, `"a\"b\\c"`).job(t, 202); f.last().submission.Key != `a"b\c` || j.ID == first.ID {
		t.Errorf("key %q", f.last().submission.Key)
	}
	if e := submit(other, otherKind, annaKey, name, `"8e03978e-40d5-43dd-bc93-6894a57f9324"`).failed(t, 422, "idempotency_key_reused"); e.Param == nil || *e.Param != name {
		t.Errorf("%+v", e)
	}
	submit(again, againKind, annaKey, name, "x").failed(t, 400, "invalid_value")
	for _, wrong := range []string{`""`, `"a`, `"a"b`, `"\x"`, `"a\`, "é", "\"tab\there\"", strings.Repeat("k", 256)} {
		submit(one, kind, annaKey, name, wrong).failed(t, 400, "invalid_value")
	}
	submit(one, kind, annaKey, name, "a", name, "b").failed(t, 400, "invalid_value")
}
