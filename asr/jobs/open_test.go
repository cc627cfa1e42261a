package jobs

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"glossa/asr"
)

func TestSettingsStayWhereNobodySetsThem(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	if s.maxJobs != 10_000 || s.kept != 7*24*time.Hour || s.replicas != 1 {
		t.Errorf("%d jobs, kept %s, %d replicas", s.maxJobs, s.kept, s.replicas)
	}
	openStore(t, b, Options{Limits: asr.Limits{Jobs: 5, JobsKept: time.Hour}})
	for range 2 {
		s = openStore(t, b, Options{})
		if s.maxJobs != 5 || s.kept != time.Hour {
			t.Errorf("%d jobs, kept %s", s.maxJobs, s.kept)
		}
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(t.Context(), s.nc, Options{Limits: asr.Limits{JobsKept: time.Millisecond}}); !errors.Is(err, asr.ErrInvalid) {
		t.Error(err)
	}
	if _, err := Open(short(t), s.nc, Options{Replicas: 2}); err == nil {
		t.Error("one broker keeps two replicas")
	}
}

func TestOpenedAtATime(t *testing.T) {
	b := startBroker(t)
	var wait sync.WaitGroup
	for range 4 {
		nc := connect(t, b)
		wait.Go(func() {
			s, err := Open(t.Context(), nc, Options{Model: "m"})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, _, err := s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: []byte("s")}}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := queued(t, openStore(t, b, Options{})); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestTheBrokerRestarts has stores with open connections go on, and nothing lost.
func TestTheBrokerRestarts(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	run(t, s)
	var jobs []asr.Job
	for i := range 4 {
		jobs = append(jobs, submit(t, s, asr.Submission{Name: string(rune('a' + i))}))
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := pages(t, s, "", asr.JobQuery{}); len(got) != len(jobs) {
		t.Errorf("%d jobs", len(got))
	}
	for range jobs {
		m := pull(t, s, "m")
		_, j, err := s.claimed(t.Context(), m, "w")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.finishFailed(t.Context(), m, j.Attempts, "no"); err != nil {
			t.Fatal(err)
		}
		if err := m.TermWithReason("no"); err != nil {
			t.Fatal(err)
		}
	}
	for _, j := range jobs {
		if err := isState(t, s, j.ID, asr.JobFailed); err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() error { return sameBacklog(s.Backlog(), nil) })
	lost := submit(t, s, asr.Submission{Name: "lost"}) // Run goes on too
	lose(t, s, "m")
	eventually(t, func() error { return isState(t, s, lost.ID, asr.JobFailed) })
}

// TestOnlyLeadersAnswer holds for all that is read by sequence or subject, where there are replicas: one that lags would answer that it is not
// there. A single broker may answer directly.
func TestOnlyLeadersAnswer(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	n := 0
	streams := s.js.ListStreams(t.Context())
	for info := range streams.Info() {
		n++
		alone := slices.Contains([]string{streamWindows, "KV_" + bucketJobs, "KV_" + bucketResults}, info.Config.Name)
		if info.Config.AllowDirect != alone || info.Config.MirrorDirect {
			t.Errorf("stream %s is read from any replica: %v", info.Config.Name, info.Config.AllowDirect)
		}
	}
	if err := streams.Err(); err != nil || n != 9 {
		t.Errorf("%d streams: %v", n, err)
	}
	if s.replicas = 3; s.direct() {
		t.Error("replicas would answer")
	}
}
