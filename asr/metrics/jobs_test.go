package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/metrics"
)

// TestMetricsOfJobs checks that each metric is there, with what was told of it.
func TestMetricsOfJobs(t *testing.T) {
	m := metrics.New()
	backlog := []asr.JobBacklog{
		{Model: "nano", Priority: asr.Live, State: asr.JobQueued, Jobs: 3, Audio: 120.5}, {Model: "nano", Priority: asr.Live, State: asr.JobRunning, Jobs: 1, Audio: 2},
		{Model: "large", Priority: asr.Bulk, State: asr.JobQueued, Jobs: 7},
	}
	m.WatchBacklog(func() []asr.JobBacklog { return backlog })
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.JobSubmitted(asr.Bulk, false)
	m.JobSubmitted(asr.Bulk, true)
	m.JobSubmitted(asr.Live, false)
	m.JobFinished(asr.Job{State: asr.JobDone, Priority: asr.Bulk, Created: created, Finished: created.Add(100 * time.Second)})
	m.JobFinished(asr.Job{State: asr.JobDone, Priority: asr.Live, Created: created, Finished: created.Add(-time.Second)}) // of another clock
	m.JobFinished(asr.Job{State: asr.JobCancelled, Created: created})
	m.JobRedelivered()
	m.JobDead()
	m.JobDead()
	m.HookCalled("delivered")
	m.HookCalled("failed")
	m.HookCalled("failed")
	got := scrape(t, m)
	for _, want := range []string{
		`asr_jobs_submitted_total{duplicate="false",priority="bulk"} 1`, `asr_jobs_submitted_total{duplicate="true",priority="bulk"} 1`, `asr_jobs_submitted_total{duplicate="false",priority="live"} 1`,
		`asr_jobs_finished_total{priority="bulk",state="done"} 1`, `asr_jobs_finished_total{priority="live",state="done"} 1`, `asr_jobs_finished_total{priority="normal",state="cancelled"} 1`,
		`asr_jobs_redelivered_total 1`, `asr_jobs_dead_total 2`, `asr_jobs_seconds_sum{state="done"} 100`, `asr_jobs_seconds_count{state="done"} 2`, `asr_jobs_seconds_bucket{state="done",le="60"} 1`,
		`asr_hooks_total{outcome="delivered"} 1`, `asr_hooks_total{outcome="failed"} 2`,
		`asr_jobs_backlog{model="nano",priority="live",state="queued"} 3`, `asr_jobs_backlog{model="nano",priority="live",state="running"} 1`, `asr_jobs_backlog{model="large",priority="bulk",state="queued"} 7`,
		`asr_jobs_backlog_audio_seconds{model="nano",priority="live",state="queued"} 120.5`, `asr_jobs_backlog_audio_seconds{model="large",priority="bulk",state="queued"} 0`,
	} {
		if !strings.Contains(got, "\n"+want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(got, `asr_jobs_seconds_count{state="cancelled"}`) {
		t.Error("a job without an end has a duration")
	}
	backlog = nil
	if strings.Contains(scrape(t, m), "\nasr_jobs_backlog{") {
		t.Error("a backlog is told that is none")
	}
	for i := range 1000 {
		backlog = append(backlog, asr.JobBacklog{Model: fmt.Sprint("model ", i), State: asr.JobQueued, Jobs: 1, Audio: 2})
	}
	got = scrape(t, m)
	if n := strings.Count(got, "\nasr_jobs_backlog{"); n != 63 || !strings.Contains(got, `asr_jobs_backlog{model="other",priority="normal",state="queued"} 938`) {
		t.Errorf("%d series of a thousand models", n)
	}
}
