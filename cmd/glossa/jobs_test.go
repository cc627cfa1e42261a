package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

// withJobs returns fake jobs in given states, named a, b, c ….
func withJobs(states ...asr.JobState) *fakeJobs {
	f := newFakeJobs()
	for i, s := range states {
		id := string(rune('a' + i))
		f.jobs[id] = asr.Job{ID: id, State: s}
	}
	return f
}

func TestListJobsByPages(t *testing.T) {
	f := newFakeJobs()
	for i := range 2*pageSize + 500 {
		id := fmt.Sprintf("%05d", i)
		f.jobs[id] = asr.Job{ID: id, State: asr.JobQueued}
	}
	for limit, want := range map[int]struct {
		n    int
		more bool
	}{0: {2*pageSize + 500, false}, 1: {1, true}, pageSize + 1: {pageSize + 1, true}, 2*pageSize + 500: {2*pageSize + 500, false}, 9999: {2*pageSize + 500, false}} {
		found, more, err := listJobs(t.Context(), f, asr.JobQuery{}, limit)
		if err != nil || len(found) != want.n || more != want.more {
			t.Errorf("limit %d: %d, more %t, %v, want %+v", limit, len(found), more, err, want)
		}
	}
}

func TestForJobs(t *testing.T) {
	for _, c := range []struct {
		ids  string
		all  bool
		want string // printed
		said string
		err  string
	}{
		{ids: "a c", want: "a  cancelled\nc  cancelled\n"},
		{all: true, want: "a  cancelled\nc  cancelled\n"},
		{ids: "b a x", want: "a  cancelled\n", said: "glossa: b: asr: invalid request: it is done\nglossa: x: asr: not found\n", err: errReported.Error()},
		{err: "name jobs, or give --all-queued"},
		{ids: "a", all: true, err: "--all-queued means all; name jobs or give the flag"},
	} {
		f := withJobs(asr.JobQueued, asr.JobDone, asr.JobQueued)
		var stdout, stderr bytes.Buffer
		err := forJobs(t.Context(), newConsole(&stdout, &stderr), f, strings.Fields(c.ids), c.all, "--all-queued", asr.JobQueued, f.cancel)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if stdout.String() != c.want || stderr.String() != c.said || got != c.err {
			t.Errorf("%+v: %q, %q, %q", c, &stdout, &stderr, got)
		}
	}
}

func TestJobsTable(t *testing.T) {
	now := time.Now()
	found := []asr.Job{
		{ID: "j1", State: asr.JobRunning, Priority: asr.Bulk, Name: "talk\x1b[2J.wav", Audio: 60, Done: 15, Worker: "w-1", Created: now.Add(-90 * time.Second)},
		{ID: "j2", State: asr.JobDone, Name: strings.Repeat("x", 50) + ".wav", Language: "cs", Adapter: "cs", Audio: 2.5, Created: now.Add(-50 * time.Hour)},
	}
	want := []string{
		"job  state    priority  lang  adapter  worker  file                                      age   audio  done",
		"j1   running  bulk      -     -        w-1     talk?[2J.wav                               2m  60.0 s   25%",
		"j2   done     normal    cs    cs       -       …" + strings.Repeat("x", 35) + ".wav   2d   2.5 s  100%",
	}
	if got := strings.Split(strings.TrimSuffix(jobsTable(found), "\n"), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	dead := deadTable([]asr.Job{{ID: "j3", Name: "a.wav", Reason: "no\nsound\x07", Finished: now.Add(-3 * time.Hour)}})
	if want := "job  failed  file   reason\nj3   3h      a.wav  no sound?\n"; dead != want {
		t.Errorf("%q, want %q", dead, want)
	}
}

func TestJobText(t *testing.T) {
	now := time.Now()
	text := jobText(asr.Job{
		ID: "j1", Name: "a.wav", State: asr.JobFailed, Reason: "no sound", Model: "nano", Audio: 2, Attempts: 3,
		Params: asr.Params{"language": {"cs"}, "languages": {"a", "b"}}, Created: now.Add(-time.Minute),
	}, now)
	for _, want := range []string{"job:       j1\n", "state:     failed\n", "reason:    no sound\n", "audio:     2.0 s, 0.0 s of it done (0%)\n", "attempts:  3\n", "asked:     language=cs\nasked:     languages=a,b\n", ", 1m ago\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "finished") || strings.Contains(text, "callback") {
		t.Errorf("what is not known is told:\n%s", text)
	}
}

func TestShowFollowsAJob(t *testing.T) {
	for state, want := range map[string]error{"job-a": nil, "job-poison": errReported} {
		f := newFakeJobs()
		f.jobs[state] = asr.Job{ID: state, State: asr.JobQueued}
		var stdout bytes.Buffer
		err := (&jobsShowCommand{IDs: []string{state}}).follow(t.Context(), newConsole(&stdout, &bytes.Buffer{}), f)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", state, err, want)
		}
		if lines := map[string]string{"job-a": "queued\ndone, 2.0 of 2.0 s\n", "job-poison": "queued\nfailed: this is no sound\n"}[state]; stdout.String() != lines {
			t.Errorf("%s: %q, want %q", state, &stdout, lines)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := withJobs(asr.JobQueued)
	if err := (&jobsShowCommand{IDs: []string{"a"}}).follow(ctx, newConsole(&bytes.Buffer{}, &bytes.Buffer{}), f); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWriteEvent(t *testing.T) {
	var b strings.Builder
	writeEvent(&b, asr.Job{State: asr.JobQueued}, asr.JobEvent{Job: asr.Job{State: asr.JobRunning, Worker: "w", Attempts: 2, Audio: 90, Done: 30}, Segments: []asr.Segment{{Start: 61.234, End: 62, Text: " one"}}})
	if want := "[01:01.23 - 01:02.00] one\nrunning at w, attempt 2, 30.0 of 90.0 s\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
