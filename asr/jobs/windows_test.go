package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

func aCheckpoint(n int, state []byte) asr.Checkpoint {
	return asr.Checkpoint{Done: float64(n + 1), State: state, Segments: []asr.Segment{{ID: n, Start: float64(n), End: float64(n + 1), Text: fmt.Sprint(" window ", n)}}}
}

// TestALongCheckpoint is several messages, of which the first are there where its worker was lost.
func TestALongCheckpoint(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	var want []asr.Checkpoint
	for n, size := range []int{10, 1600 << 10, 0} {
		c := aCheckpoint(n, bytes.Repeat([]byte{byte(n + 1)}, size))
		if size == 0 {
			c.State = nil
		}
		for calls := 2; calls < 4 && size > 1000; calls++ { // a worker that is lost after the first, or the second part
			killed, k := s.killedAfter(calls)
			if err := killed.appendWindow(t.Context(), "j", 10*n+calls, n, aCheckpoint(n, bytes.Repeat([]byte{9}, size))); err == nil || !k.killed() {
				t.Fatal("it was not killed", n, calls, err)
			}
			if got, err := s.storedWindows(t.Context(), "j"); err != nil || len(got) != n {
				t.Errorf("%d windows behind a broken one: %v", len(got), err)
			}
		}
		for range 2 {
			if err := s.appendWindow(t.Context(), "j", 10*n+5, n, c); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, c)
	}
	got, err := s.storedWindows(t.Context(), "j")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d windows, of %d, or others: %v", len(got), len(want), err)
	}
}

func TestWindowsDoNotInterleave(t *testing.T) {
	b := startBroker(t)
	stores := []*Store{openStore(t, b, Options{}), openStore(t, b, Options{}), openStore(t, b, Options{})}
	stored := make([][]int, len(stores)) // by attempt
	var wait sync.WaitGroup
	for attempt, s := range stores {
		wait.Go(func() {
			for n := 0; n < 30; {
				err := s.appendWindow(t.Context(), "j", attempt, n, asr.Checkpoint{Done: float64(attempt), State: []byte{byte(n)}})
				if err == nil {
					stored[attempt] = append(stored[attempt], n)
				} else if !errors.Is(err, errSuperseded) {
					t.Error(err)
					return
				}
				of, err := s.storedWindows(t.Context(), "j") // as one does who begins again
				if err != nil {
					t.Error(err)
					return
				}
				n = len(of)
			}
		})
	}
	wait.Wait()
	got, err := stores[0].storedWindows(t.Context(), "j")
	if err != nil || len(got) != 30 {
		t.Fatal(len(got), err)
	}
	newest := 0
	for n, c := range got {
		attempt := int(c.Done)
		if c.State[0] != byte(n) || len(stored[attempt]) == 0 || stored[attempt][0] != n || attempt < newest {
			t.Fatalf("window %d is %v of attempt %d, which stored %v", n, c.State, attempt, stored[attempt])
		}
		newest, stored[attempt] = attempt, stored[attempt][1:]
	}
}

func TestAnAttemptFences(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	j := submit(t, s, asr.Submission{})
	for attempt := 1; attempt <= 2; attempt++ { // the first worker is only slow
		m := pull(t, s, "m")
		if _, j, err := s.claimed(t.Context(), m, fmt.Sprint("w", attempt)); err != nil || j.Attempts != attempt || j.Worker != fmt.Sprint("w", attempt) {
			t.Fatal(j, err)
		}
		if err := m.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	m := pull(t, s, "m")
	_, progress := s.tellProgress(t.Context(), j.ID, 1, 1, 2)
	_, done := s.done(t.Context(), j.ID, 1, aResult())
	_, failed := s.finishFailed(t.Context(), m, 1, "no")
	for what, err := range map[string]error{"progress": progress, "done": done, "failed": failed, "give back": s.giveBack(t.Context(), j.ID, 1, "")} {
		if !errors.Is(err, errSuperseded) {
			t.Errorf("%s of the first attempt: %v", what, err)
		}
	}
	if _, err := s.results.Get(t.Context(), j.ID); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Error("the first attempt has left a result:", err)
	}
	if _, err := s.tellProgress(t.Context(), j.ID, 2, 1, 2); err != nil {
		t.Error(err)
	}
	if err := s.giveBack(t.Context(), j.ID, 2, ""); err != nil {
		t.Error(err)
	}
	if err := isState(t, s, j.ID, asr.JobQueued); err != nil {
		t.Error(err)
	}
	if _, err := s.tellProgress(t.Context(), j.ID, 2, 1, 2); !errors.Is(err, errSuperseded) {
		t.Error("an attempt that was given back goes on:", err)
	}
	if err := m.Nak(); err != nil {
		t.Fatal(err)
	}
	if _, j, err := s.claimed(t.Context(), pull(t, s, "m"), "w3"); err != nil || j.Attempts != 3 {
		t.Fatal(j, err)
	}
	want := &asr.Result{Text: "of the third attempt", Language: "en"}
	if _, err := s.done(t.Context(), j.ID, 3, want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Result(t.Context(), "", j.ID); err != nil || got.Text != want.Text {
		t.Error(got, err)
	}
	if _, err := s.done(t.Context(), j.ID, 1, aResult()); !errors.Is(err, errEnded) && !errors.Is(err, errSuperseded) {
		t.Error("the first attempt ends behind the third:", err)
	}
	if got, err := s.Result(t.Context(), "", j.ID); err != nil || got.Text != want.Text {
		t.Error("the result is the first attempt's:", got, err)
	}
}

func TestResults(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	big := aResult()
	for len(big.Segments) < 5000 {
		big.Segments = append(big.Segments, big.Segments[0])
	}
	for name, want := range map[string]*asr.Result{"short": aResult(), "long": big} {
		j := submit(t, s, asr.Submission{Name: name})
		m := pull(t, s, "m")
		_, j, err := s.claimed(t.Context(), m, "w")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Result(t.Context(), "", j.ID); !errors.Is(err, asr.ErrInvalid) {
			t.Error(err)
		}
		for range 2 { // the answer to the first did not come
			if j, err = s.done(t.Context(), j.ID, j.Attempts, want); err != nil || j.State != asr.JobDone || j.Done != 2.5 || j.Language != "en" || j.Adapter != "a" {
				t.Fatal(j, err)
			}
		}
		for range 2 { // it can be fetched twice
			got, err := s.Result(t.Context(), "", j.ID)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) { // NaN is not equal to itself
				t.Errorf("%s: a result of %d segments, not %d: %v", name, len(got.Segments), len(want.Segments), err)
			}
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheNewestAttemptsResultStays has attempts store results in any order.
func TestTheNewestAttemptsResultStays(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	for _, of := range []struct {
		attempt int
		want    error
	}{{2, nil}, {1, errSuperseded}, {2, nil}, {3, nil}, {2, errSuperseded}} {
		r := aResult()
		r.Text = fmt.Sprint(of.attempt)
		if err := s.storeResult(t.Context(), "j", of.attempt, r); !errors.Is(err, of.want) {
			t.Errorf("attempt %d: %v", of.attempt, err)
		}
	}
	if r, err := s.loadResult(t.Context(), "j"); err != nil || r.Text != "3" {
		t.Error(r, err)
	}
}
