package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"glossa/asr"
)

// long is sound that is an object.
var long = bytes.Repeat([]byte("sound "), maxInline/5)

// queued returns the number of messages in ASR_JOBS.
func queued(t testing.TB, s *Store) int {
	t.Helper()
	info, err := s.jobs.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(info.State.Msgs)
}

// sounds returns the number of messages in asr_audio, which is 0 where no sound is left.
func sounds(t testing.TB, s *Store) int {
	t.Helper()
	info, err := s.sound.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(info.State.Msgs)
}

func TestTheSameIsOneJob(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	first := asr.Submission{Client: "ann", Name: "a.wav", Priority: asr.Bulk, Params: asr.Params{"b": {"1"}, "a": {"x", "y"}}, Audio: asr.JobAudio{Bytes: long},
		Seconds: 3, Callback: "https://example.org"}
	j, created, err := s.Submit(t.Context(), first)
	if err != nil || !created || j.State != asr.JobQueued || j.Model != "m" || j.Audio != 3 || j.Priority != asr.Bulk || j.Callback != first.Callback {
		t.Fatalf("%+v %v %v", j, created, err)
	}
	here := sounds(t, s)
	same := func(change func(*asr.Submission)) bool {
		t.Helper()
		q := first
		change(&q)
		of, created, err := s.Submit(t.Context(), q)
		if err != nil || created == (of.ID == j.ID) {
			t.Fatal(of, created, err)
		}
		return of.ID == j.ID
	}
	if !same(func(q *asr.Submission) { q.Name, q.Priority = "other.wav", asr.Normal }) {
		t.Error("another name or priority makes another job")
	}
	if queued(t, s) != 1 || sounds(t, s) != here {
		t.Error("a duplicate left something")
	}
	for what, change := range map[string]func(*asr.Submission){
		"client": func(q *asr.Submission) { q.Client = "bob" },
		"model":  func(q *asr.Submission) { q.Model = "other" },
		"params": func(q *asr.Submission) { q.Params = asr.Params{"b": {"1"}, "a": {"xy"}} },
		"sound":  func(q *asr.Submission) { q.Audio.Bytes = append([]byte("x"), long...) },
		"url":    func(q *asr.Submission) { q.Audio = asr.JobAudio{URL: "https://example.org/a"} },
		"key":    func(q *asr.Submission) { q.Key = "k" },
		"again":  func(q *asr.Submission) { q.Again = true },
	} {
		if same(change) {
			t.Error("another", what, "does not make another job")
		}
	}
	for what, change := range map[string]func(*asr.Submission){
		"priority": func(q *asr.Submission) { q.Priority = asr.Normal },
		"callback": func(q *asr.Submission) { q.Callback = "https://example.org/other" },
	} {
		q := first
		q.Key = "k"
		change(&q)
		if _, _, err := s.Submit(t.Context(), q); !errors.Is(err, asr.ErrKeyReused) {
			t.Errorf("a key with another %s: %v", what, err)
		}
	}
	if j, created, err = s.Submit(t.Context(), asr.Submission{Client: "ann", Key: "k", Audio: asr.JobAudio{Bytes: []byte("other")}}); !errors.Is(err, asr.ErrKeyReused) {
		t.Error("another sound with the same key:", j, created, err)
	}
}

func TestSubmissionsAtATime(t *testing.T) {
	b := startBroker(t)
	stores := []*Store{openStore(t, b, Options{}), openStore(t, b, Options{})}
	for round := range 2 {
		var wait sync.WaitGroup
		var mu sync.Mutex
		ids, news := make(map[string]bool), 0
		for i := range 8 {
			wait.Go(func() {
				j, created, err := stores[i%2].Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: long}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if ids[j.ID] = true; created {
					news++
				}
			})
		}
		wait.Wait()
		s := stores[0]
		if len(ids) != 1 || news != 1 || queued(t, s) != 1 {
			t.Errorf("round %d: %d jobs, %d of them new, %d messages", round, len(ids), news, queued(t, s))
		}
		objects, err := s.audio.List(t.Context())
		if err != nil || len(objects) != 1 {
			t.Errorf("round %d: %d objects: %v", round, len(objects), err)
		}
		for id := range ids {
			if r, err := s.read(t.Context(), id); err != nil || r.Object != objects[0].Name {
				t.Errorf("round %d: object %q: %v", round, r.Object, err)
			}
			if _, err := s.Cancel(t.Context(), "", id); err != nil { // and begun anew in the next round
				t.Fatal(err)
			}
		}
		if n := sounds(t, s); n != 0 {
			t.Errorf("round %d: %d messages of sound are left", round, n)
		}
	}
}

func TestBegunAnew(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	q := asr.Submission{Audio: asr.JobAudio{Bytes: long}}
	j := submit(t, s, q)
	m := pull(t, s, "m")
	if _, _, err := s.claimed(t.Context(), m, "w"); err != nil {
		t.Fatal(err)
	}
	if err := s.appendWindow(t.Context(), j.ID, 1, 0, asr.Checkpoint{Done: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cancel(t.Context(), "", j.ID); err != nil {
		t.Fatal(err)
	}
	again, created, err := s.Submit(t.Context(), q)
	if err != nil || !created || again.ID != j.ID || again.State != asr.JobQueued {
		t.Fatal(again, created, err)
	}
	if _, err := s.tellProgress(t.Context(), j.ID, 1, 2, 3); !errors.Is(err, errSuperseded) {
		t.Error("the worker of the cancelled attempt goes on:", err)
	}
	if err := m.Ack(); err != nil {
		t.Fatal(err)
	}
	m = pull(t, s, "m")
	_, again, err = s.claimed(t.Context(), m, "w")
	if err != nil || again.Attempts != 2 {
		t.Fatal(again, err)
	}
	if of, err := s.storedWindows(t.Context(), j.ID); err != nil || len(of) != 0 {
		t.Error("windows of the cancelled attempt:", of, err)
	}
	if _, err := s.finishFailed(t.Context(), m, 2, "no"); err != nil {
		t.Fatal(err)
	}
	again, created, err = s.Submit(t.Context(), q)
	if err != nil || !created || again.State != asr.JobQueued || again.Reason != "" {
		t.Fatal(again, created, err)
	}
	if objects, err := s.audio.List(t.Context()); err != nil || len(objects) != 1 {
		t.Error("sound of the failed one:", objects, err)
	}
	if _, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID); !isGone(err) {
		t.Error("the dead letter is still there:", err)
	}
	// What a client has named stays what it is.
	named := submit(t, s, asr.Submission{Key: "k"})
	if _, err := s.Cancel(t.Context(), "", named.ID); err != nil {
		t.Fatal(err)
	}
	if named, created, err := s.Submit(t.Context(), asr.Submission{Key: "k", Audio: asr.JobAudio{Bytes: []byte("sound of ")}}); err != nil || created || named.State != asr.JobCancelled {
		t.Error(named, created, err)
	}
}

// TestAWorkerIsFasterThanTheRecord has the message of a submission that begins a job anew claimed before its record is written.
func TestAWorkerIsFasterThanTheRecord(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	q := asr.Submission{Audio: asr.JobAudio{Bytes: []byte("s")}}
	j := submit(t, s, q)
	if _, err := s.Cancel(t.Context(), "", j.ID); err != nil {
		t.Fatal(err)
	}
	before, err := s.read(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := (&Message{JobID: j.ID, Model: "m", Audio: MessageAudio{Inline: []byte("s")}}).envelope(asr.Normal, "", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	beginsAnew(msg, before)
	if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if _, j, err = s.claimed(t.Context(), pull(t, s, "m"), "w"); err != nil || j.State != asr.JobRunning {
		t.Fatal(j, err)
	}
	r := &record{Job: asr.Job{ID: j.ID, State: asr.JobQueued}, Sequence: 99}
	if r, created, err := s.record(t.Context(), r, before, remains{}, false); err != nil || !created || r.State != asr.JobRunning {
		t.Error(r, created, err)
	}
}

func TestAFullQueueLeavesNothingBehind(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{Limits: asr.Limits{Jobs: 3}})
	var ids []string
	for i := range 3 {
		ids = append(ids, submit(t, s, asr.Submission{Name: fmt.Sprint(i)}).ID)
	}
	_, _, err := s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: long}})
	if !errors.Is(err, asr.ErrBusy) || !strings.Contains(err.Error(), "3 jobs") {
		t.Error(err)
	}
	if n := sounds(t, s); n != 0 {
		t.Errorf("%d messages of sound are left", n)
	}
	if j, created, err := s.Submit(t.Context(), asr.Submission{Name: "0", Audio: asr.JobAudio{Bytes: []byte("sound of 0")}}); err != nil || created || j.ID != ids[0] {
		t.Error("a duplicate in a full queue:", j, created, err)
	}
	page, err := s.Jobs(t.Context(), "", asr.JobQuery{})
	if err != nil || len(page.Jobs) != 3 {
		t.Error(page, err)
	}
	for range ids { // nothing is lost
		if _, j, err := s.claimed(t.Context(), pull(t, s, "m"), "w"); err != nil || j.State != asr.JobRunning {
			t.Error(j, err)
		}
	}
	if _, err := s.Cancel(t.Context(), "", ids[1]); err != nil {
		t.Fatal(err)
	}
	submit(t, s, asr.Submission{Name: "there is room"})

	if other := openStore(t, b, Options{}); other.maxJobs != 3 {
		t.Error("who sets no limit changes it:", other.maxJobs)
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := openStore(t, startBroker(t), Options{Limits: asr.Limits{JobBytes: 1000}})
	sound := asr.JobAudio{Bytes: []byte("s")}
	for want, q := range map[string]asr.Submission{
		"(limit-job-bytes) is 1000": {Audio: asr.JobAudio{Bytes: make([]byte, 1001)}},
		"one of inline":             {},
		"want one of":               {Audio: asr.JobAudio{Bytes: []byte("s"), URL: "u"}},
		"priority":                  {Audio: sound, Priority: 7},
		"client":                    {Audio: sound, Client: AnyClient},
		"client ":                   {Audio: sound, Client: "a\nb"},
		"spaces around":             {Audio: sound, Client: "ann "},
		"key":                       {Audio: sound, Key: strings.Repeat("k", maxName+1)},
		"name":                      {Audio: sound, Name: strings.Repeat("n", maxName+1)},
		"control":                   {Audio: sound, Name: "a\x00"},
		"without control":           {Audio: sound, Name: "\xff"},
		"params":                    {Audio: sound, Params: asr.Params{"p": {strings.Repeat("p", maxParams)}}},
		"model":                     {Audio: sound, Model: strings.Repeat("m", maxModel+1)},
		"callback":                  {Audio: sound, Callback: strings.Repeat("c", maxAddress+1)},
		"url":                       {Audio: asr.JobAudio{URL: strings.Repeat("u", maxAddress+1)}},
		"NaN":                       {Audio: sound, Seconds: math.NaN()},
		"traceparent":               {Audio: sound, TraceParent: "a\r\nb"},
	} {
		if _, _, err := s.Submit(t.Context(), q); !errors.Is(err, asr.ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%s: %v", want, err)
		}
	}
	s.o.Model = ""
	if _, _, err := s.Submit(t.Context(), asr.Submission{Audio: sound}); !errors.Is(err, asr.ErrInvalid) {
		t.Error("no model:", err)
	}
	if queued(t, s) != 0 {
		t.Error("something is queued")
	}
}

// TestTheLongestMessage has a message with all that it may have published, claimed and buried.
func TestTheLongestMessage(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	full := strings.Repeat("x", maxParams-1)
	j := submit(t, s, asr.Submission{Client: strings.Repeat("c", maxClient), Name: strings.Repeat("n", maxName), Model: strings.Repeat("/", maxModel),
		Params: asr.Params{"p": {full}}, Callback: strings.Repeat("a", maxAddress), TraceParent: strings.Repeat("t", maxTrace), Audio: asr.JobAudio{Bytes: long[:maxInline]}})
	m := pull(t, s, strings.Repeat("/", maxModel))
	message, running, err := s.claimed(t.Context(), m, "w")
	if err != nil || message.Params["p"][0] != full || len(message.Audio.Inline) != maxInline {
		t.Fatal(err)
	}
	if _, err := s.finishFailed(t.Context(), m, running.Attempts, strings.Repeat("r", 5000)); err != nil {
		t.Fatal(err)
	}
	if j, err = s.Retry(t.Context(), AnyClient, j.ID); err != nil || j.State != asr.JobQueued {
		t.Fatal(j, err)
	}
	// Control characters take six bytes each in JSON: then the sound is an object.
	j = submit(t, s, asr.Submission{Params: asr.Params{"p": {strings.Repeat("\x01", maxParams-1)}}, Audio: asr.JobAudio{Bytes: long[:maxInline]}})
	if r, err := s.read(t.Context(), j.ID); err != nil || r.Object == "" {
		t.Error(err)
	}
}

func TestABrokerThatIsAway(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	b.Close()
	if _, _, err := s.Submit(short(t), asr.Submission{Audio: asr.JobAudio{Bytes: long}}); !errors.Is(err, asr.ErrBusy) {
		t.Error(err)
	}
	if _, err := s.Job(short(t), "", "x"); !errors.Is(err, asr.ErrBusy) {
		t.Error(err)
	}
	if _, err := s.Jobs(short(t), "", asr.JobQuery{}); !errors.Is(err, asr.ErrBusy) {
		t.Error(err)
	}
	if _, err := Open(short(t), s.nc, Options{}); err == nil {
		t.Error("opened")
	}
}

// TestModelsAreBounded submits jobs of more models than may have queues.
func TestModelsAreBounded(t *testing.T) {
	b := startBroker(t)
	submit := func(s *Store, model string) error {
		_, _, err := s.Submit(t.Context(), asr.Submission{Model: model, Audio: asr.JobAudio{Bytes: []byte("sound of " + model)}})
		return err
	}
	s := openStore(t, b, Options{maxModels: 2})
	for _, model := range []string{"a", "b", "a"} {
		if err := submit(s, model); err != nil {
			t.Fatal(err)
		}
	}
	if err := submit(s, "c"); !errors.Is(err, asr.ErrInvalid) {
		t.Errorf("a third model: %v", err)
	}
	if err := submit(openStore(t, b, Options{maxModels: 2}), "b"); err != nil {
		t.Errorf("a model that has its queues: %v", err)
	}
}
