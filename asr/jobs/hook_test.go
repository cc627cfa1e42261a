package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"glossa/asr"
)

// TestCallbacksOfJobs has jobs end in each way: each is told, as the job is then, and signed.
func TestCallbacksOfJobs(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	r := newReceiver(t, always(204))
	var counted outcomes
	runHooks(t, s, HookOptions{Guard: r.guard, Secret: secretOne + " " + secretTwo, Secrets: map[string]string{"anna": secretTwo}, BaseURL: "https://asr.example.org/", Metrics: &counted}, nil)
	ctx := t.Context()
	done := submit(t, s, asr.Submission{Name: "done", Callback: r.URL + "/done"})
	m := pull(t, s, "m")
	if _, j, err := s.claimed(ctx, m, "w"); err != nil || j.ID != done.ID {
		t.Fatal(j, err)
	}
	if _, err := s.done(ctx, done.ID, 1, aResult()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.done(ctx, done.ID, 1, aResult()); err != nil { // again, as a worker may have to
		t.Fatal(err)
	}
	failed := submit(t, s, asr.Submission{Name: "failed", Callback: r.URL + "/failed", Client: "anna"})
	m = pull(t, s, "m")
	if _, _, err := s.claimed(ctx, m, "w"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finishFailed(ctx, m, 1, "the file holds no sound"); err != nil {
		t.Fatal(err)
	}
	cancelled := submit(t, s, asr.Submission{Name: "cancelled", Callback: r.URL + "/cancelled"})
	if _, err := s.Cancel(ctx, AnyClient, cancelled.ID); err != nil {
		t.Fatal(err)
	}
	submit(t, s, asr.Submission{Name: "none"})
	eventually(t, func() error {
		if n := len(r.got()); n < 3 {
			return fmt.Errorf("%d calls", n)
		}
		return waiting(s)
	})
	byPath := make(map[string]called)
	for _, c := range r.got() {
		byPath[c.path] = c
	}
	c := byPath["/done"]
	if c.Type != "job.done" || c.Job.ID != done.ID || c.Job.State != asr.JobDone || c.Job.Language != "en" || c.ResultURL != "https://asr.example.org/v1/jobs/"+done.ID+"/result" ||
		c.Text == nil || *c.Text != " hello" || !c.Timestamp.Equal(c.Job.Finished) || !strings.HasPrefix(c.header.Get("webhook-id"), done.ID+"_hook_") {
		t.Errorf("%s %s", c.header, c.body)
	}
	if c := byPath["/failed"]; c.Type != "job.failed" || c.Job.Reason != "the file holds no sound" || c.Job.ID != failed.ID || c.Text != nil || c.ResultURL != "" {
		t.Errorf("%s", c.body)
	}
	if c := byPath["/cancelled"]; c.Type != "job.cancelled" || c.Job.ID != cancelled.ID {
		t.Errorf("%s", c.body)
	}
	for path, secrets := range map[string][2]error{"/done": {nil, nil}, "/cancelled": {nil, nil}, "/failed": {standardwebhooks.ErrNoMatchingSignature, nil}} {
		for i, secret := range []string{secretOne, secretTwo} {
			if err := verify(secret, byPath[path]); !errors.Is(err, secrets[i]) {
				t.Errorf("%s, secret %d: %v", path, i+1, err)
			}
		}
	}
	forged := byPath["/done"]
	forged.body = append([]byte(" "), forged.body...)
	if verify(secretOne, forged) == nil {
		t.Error("a body that was changed is taken")
	}
	if len(r.got()) != 3 || counted.String() != "map[delivered:3]" {
		t.Errorf("%d calls, %v", len(r.got()), &counted)
	}
}

// TestCallbacksAreTriedAgain checks that a receiver which fails gets the callback again, under one id, and is signed for anew.
func TestCallbacksAreTriedAgain(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	statuses := []int{500, 302, 404, 429, 200}
	r := newReceiver(t, func(n int, _ called) int { return statuses[min(n, len(statuses))-1] })
	var counted outcomes
	runHooks(t, s, HookOptions{Guard: r.guard, Metrics: &counted}, nil)
	queueHook(t, s, "j1", r.URL+"/a")
	eventually(t, func() error {
		if len(r.got()) < len(statuses) {
			return fmt.Errorf("%d calls", len(r.got()))
		}
		return waiting(s)
	})
	for i, c := range r.got() {
		if id := c.header.Get("webhook-id"); id != "j1_hook_7" || string(c.body) != string(r.got()[0].body) {
			t.Errorf("call %d has id %s: %s", i, id, c.body)
		}
		if err := verify(secretOne, c); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if counted.String() != "map[delivered:1 failed:4]" {
		t.Error(&counted)
	}
}

// TestCallbacksAreGivenUp checks what is not tried again: a receiver that is gone, an address that may not be called, and one that has failed for too
// long.
func TestCallbacksAreGivenUp(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	r := newReceiver(t, func(_ int, c called) int {
		if c.path == "/gone" {
			return 410
		}
		return 500
	})
	var counted outcomes
	stop := runHooks(t, s, HookOptions{Guard: r.guard, Metrics: &counted, GiveUp: 2 * time.Second}, nil)
	queueHook(t, s, "gone", r.URL+"/gone")
	queueHook(t, s, "fails", r.URL+"/fails")
	eventually(t, func() error { return waiting(s) })
	stop()
	calls := len(r.got())
	if calls < 3 || calls > 12 {
		t.Errorf("%d calls", calls)
	}
	if got, want := counted.String(), fmt.Sprintf("map[expired:1 failed:%d gone:1]", calls-2); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	counted = outcomes{}
	r.guard.Internal = false
	runHooks(t, s, HookOptions{Guard: r.guard, Metrics: &counted}, nil)
	queueHook(t, s, "internal", r.URL+"/internal")
	queueHook(t, s, "resolved", strings.Replace(r.URL, "127.0.0.1", "localhost", 1)+"/")
	queueHook(t, s, "metadata", "https://169.254.169.254/latest/")
	queueHook(t, s, "no-address", "::")
	if _, err := s.js.Publish(t.Context(), subjectHooks+"x", []byte("{")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return waiting(s) })
	if got := counted.String(); got != "map[refused:5]" || len(r.got()) != calls {
		t.Errorf("%s, %d calls", got, len(r.got())-calls)
	}
}

// TestSlowReceivers checks that one receiver which does not answer holds up none of the others, however many callbacks it has.
func TestSlowReceivers(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	release := make(chan struct{})
	slow := newReceiver(t, func(int, called) int { <-release; return 200 })
	open := sync.OnceFunc(func() { close(release) })
	defer open()
	quick := newReceiver(t, always(200))
	slow.guard.Roots.AddCert(quick.Certificate())
	var counted outcomes
	const each = 30
	for i := range each {
		queueHook(t, s, fmt.Sprintf("slow-%d", i), slow.URL+"/")
	}
	runHooks(t, s, HookOptions{Guard: slow.guard, Parallel: 4, PerReceiver: 2, Metrics: &counted}, func(h *hooks) { h.turns.longest = time.Second })
	eventually(t, func() error {
		if n := len(slow.got()); n < 2 {
			return fmt.Errorf("%d slow calls", n)
		}
		return nil
	})
	began := time.Now()
	for i := range each {
		queueHook(t, s, fmt.Sprintf("quick-%d", i), quick.URL+"/")
	}
	eventually(t, func() error {
		if n := len(quick.got()); n < each {
			return fmt.Errorf("%d quick calls", n)
		}
		return nil
	})
	t.Logf("%d callbacks beside a receiver that does not answer: %v", each, time.Since(began).Round(time.Millisecond))
	if n := len(slow.got()); n != 2 {
		t.Errorf("%d calls of the slow receiver at a time", n)
	}
	open()
	eventually(t, func() error { return waiting(s) })
	ids := make(map[string]bool)
	for _, c := range append(slow.got(), quick.got()...) {
		ids[c.Job.ID] = true
	}
	if len(ids) != 2*each || counted.String() != fmt.Sprintf("map[delivered:%d]", 2*each) {
		t.Errorf("%d jobs were told, %v", len(ids), &counted)
	}
}

// TestCallbacksOutliveTheBroker restarts the broker between attempts, and while one is under way.
func TestCallbacksOutliveTheBroker(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	open := make(chan struct{})
	r := newReceiver(t, func(n int, c called) int {
		if c.path == "/later" && n < 3 {
			return 503
		}
		if c.path == "/under-way" {
			<-open
		}
		return 200
	})
	runHooks(t, s, HookOptions{Guard: r.guard}, func(h *hooks) { h.ackWait = 2 * time.Second }) // what the broker was told as it ended, it may not know
	queueHook(t, s, "under-way", r.URL+"/under-way")
	eventually(t, func() error {
		if len(r.got()) == 0 {
			return errors.New("no call")
		}
		return nil
	})
	queueHook(t, s, "later", r.URL+"/later")
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(open)
	eventually(t, func() error { return waiting(s) })
	ids := make(map[string]map[string]bool)
	for _, c := range r.got() {
		if ids[c.path] == nil {
			ids[c.path] = make(map[string]bool)
		}
		ids[c.path][c.header.Get("webhook-id")] = true
	}
	if len(ids) != 2 || len(ids["/later"]) != 1 || len(ids["/under-way"]) != 1 {
		t.Errorf("%v", ids)
	}
}

// TestAProcessIsLostBehindACallback loses the process between the receiver's answer and the acknowledgement: another makes the callback once
// more, with the same id.
func TestAProcessIsLostBehindACallback(t *testing.T) {
	b := startBroker(t)
	first, second := openStore(t, b, Options{}), openStore(t, b, Options{})
	r := newReceiver(t, func(n int, _ called) int {
		if n == 1 {
			first.nc.Close()
		}
		return 200
	})
	queueHook(t, second, "j", r.URL+"/")
	stop := runHooks(t, first, HookOptions{Guard: r.guard}, nil)
	eventually(t, func() error {
		if len(r.got()) == 0 {
			return errors.New("no call")
		}
		return nil
	})
	stop()
	if waiting(second) == nil {
		t.Fatal("the callback is acknowledged")
	}
	runHooks(t, second, HookOptions{Guard: r.guard}, func(h *hooks) { h.ackWait = 2 * time.Second }) // more than a slow machine takes for a call
	eventually(t, func() error { return waiting(second) })
	calls := r.got()
	if len(calls) != 2 || calls[0].header.Get("webhook-id") != calls[1].header.Get("webhook-id") || string(calls[0].body) != string(calls[1].body) {
		t.Errorf("%d calls: %v", len(calls), calls)
	}
}

// TestHookOptions checks what callbacks are not begun with.
func TestHookOptions(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	for _, o := range []HookOptions{
		{}, {Secret: " "}, {Secret: "secret"}, {Secret: "whsec_"}, {Secret: "whsec_c2hvcnQ="}, {Secret: "whsec_!!"}, {Secret: secretOne + " x"},
		{Secret: "whsec_" + strings.Repeat("A", 88)}, {Secret: secretOne, Secrets: map[string]string{"anna": "x"}},
	} {
		if err := s.RunHooks(t.Context(), o); !errors.Is(err, asr.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if err := CheckHookSecret(secretOne + " " + secretTwo); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.RunHooks(ctx, HookOptions{Secret: secretOne}); err != nil {
		t.Error(err)
	}
}
