package httpapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/asr/jobs"
	"glossa/asr/jobs/broker"
)

var _ httpapi.Jobs = (*jobs.Store)(nil)

// TestJobsOnABroker submits jobs to a broker through the server, which a fake has stood for in the other tests: short ones, and one whose sound is
// an object; known ones, and keys; until the queue is full, and the broker is gone.
func TestJobsOnABroker(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	store, err := jobs.Open(t.Context(), nc, jobs.Options{Model: "nano", Limits: asr.Limits{Jobs: 3}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	o := jobOptions(nil)
	o.Jobs, o.Auth.Keys, o.SpoolBytes, o.TempDir = store, keys, 1000, t.TempDir()
	_, at := newServer(t, newFakeEngine(), o)
	submit := func(key, idempotency string, fields ...field) answer {
		body, kind := formOf(t, fields...)
		headers := []string{"Content-Type", kind, "X-API-Key", key}
		if idempotency != "" {
			headers = append(headers, "Idempotency-Key", idempotency)
		}
		return ask(t, "POST", at+"/v1/jobs", body, headers...)
	}
	get := func(path string) answer { return ask(t, "GET", at+path, nil, "X-API-Key", annaKey) }

	long := field{"file", tone(30)} // 960 kB
	j := submit(annaKey, "", long, field{"language", "cs"}, field{"priority", "bulk"}).job(t, 202)
	if j.Client != "anna" || j.State != asr.JobQueued || j.Priority != asr.Bulk || j.Params["language"][0] != "cs" {
		t.Errorf("%+v", j)
	}
	if again := submit(annaKey, "", long, field{"language", "cs"}).job(t, 200); again.ID != j.ID {
		t.Errorf("the same again is %s", again.ID)
	}
	if other := submit(adminKey, "", long, field{"language", "cs"}).job(t, 202); other.ID == j.ID {
		t.Error("another client has the job too")
	}
	keyed := submit(annaKey, `"key"`, field{"file", tone(0.1)}).job(t, 202)
	if again := submit(annaKey, "key", field{"file", tone(0.1)}).job(t, 200); again.ID != keyed.ID {
		t.Errorf("%+v", again)
	}
	submit(annaKey, "key", field{"file", tone(0.2)}).failed(t, 422, "idempotency_key_reused")
	submit(annaKey, "", field{"file", tone(0.3)}).failed(t, 429, "queue_full")
	submit(annaKey, "", field{"file", tone(20)}).failed(t, 429, "queue_full")

	var list struct{ Data []jobAnswer }
	if err := json.Unmarshal([]byte(get("/v1/jobs?state=queued&limit=5").body), &list); err != nil || len(list.Data) != 2 || list.Data[0].ID != keyed.ID || list.Data[1].ID != j.ID {
		t.Errorf("%v %+v", err, list)
	}
	get("/v1/jobs/"+j.ID+"/result").failed(t, 409, "job_queued")
	get("/v1/jobs/none").failed(t, 404, "job_not_found")
	get("/v1/jobs/"+strings.Repeat("x", 100)).failed(t, 404, "job_not_found")
	get("/v1/jobs?after=x").failed(t, 400, "invalid_request")
	watching := watch(t, t.Context(), at+"/v1/jobs/"+j.ID+"/events", "X-API-Key", annaKey)
	watching.want(t, "job queued")
	if c := ask(t, "DELETE", at+"/v1/jobs/"+j.ID, nil, "X-API-Key", annaKey).job(t, 200); c.State != asr.JobCancelled {
		t.Errorf("%+v", c)
	}
	watching.want(t, "done cancelled id done", "")
	ask(t, "POST", at+"/v1/jobs/"+j.ID+"/retry", nil, "X-API-Key", annaKey).failed(t, 409, "job_cancelled")
	ask(t, "DELETE", at+"/v1/jobs/"+keyed.ID, nil, "X-API-Key", adminKey).failed(t, 404, "job_not_found")

	b.Close()
	a := get("/v1/jobs/" + j.ID)
	if a.failed(t, 503, "jobs_unavailable"); a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
}
