package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// unreadable is a file that cannot be read behind its first bytes.
type unreadable struct{ good int64 }

var errDisk = errors.New("disk error")

func (u unreadable) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > u.good {
		return 0, errDisk
	}
	return len(p), nil
}

// TestFilesAreReadWhereTheyLie submits files, short and long, and checks that they are the jobs that their bytes are.
func TestFilesAreReadWhereTheyLie(t *testing.T) {
	s := openStore(t, startBroker(t), Options{Limits: asr.Limits{JobBytes: 4 << 20}})
	for _, size := range []int64{1, maxInline, maxInline + 1, 3 << 20} {
		sound := bytes.Repeat([]byte{byte(size), 1, 2}, int(size)/3+1)
		file := asr.JobAudio{File: bytes.NewReader(sound), Size: size}
		j, created, err := s.Submit(t.Context(), asr.Submission{Audio: file})
		if err != nil || !created {
			t.Fatal(size, created, err)
		}
		if same, created, err := s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: sound[:size]}}); err != nil || created || same.ID != j.ID {
			t.Errorf("%d bytes that are the file's: %v %v, want %s", size, same.ID, err, j.ID)
		}
		m, _, err := s.claimed(t.Context(), pull(t, s, "m"), "w")
		if err != nil {
			t.Fatal(err)
		}
		got := m.Audio.Inline
		if o := m.Audio.Object; o != nil {
			object, err := s.audio.Get(t.Context(), o.Name)
			if err != nil {
				t.Fatal(err)
			}
			got, err = io.ReadAll(object)
			if err != nil {
				t.Fatal(err)
			}
		}
		if (m.Audio.Object != nil) != (size > maxInline) || !bytes.Equal(got, sound[:size]) {
			t.Errorf("%d bytes became %d", size, len(got))
		}
	}
	for want, audio := range map[error]asr.JobAudio{
		asr.ErrInvalid:  {File: bytes.NewReader(nil)},
		errDisk:         {File: unreadable{100}, Size: 1000},
		asr.ErrInternal: {File: unreadable{maxInline}, Size: 2 * maxInline},
	} {
		if _, _, err := s.Submit(t.Context(), asr.Submission{Audio: audio}); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, _, err := s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{File: unreadable{8 << 20}, Size: 4<<20 + 1}}); !errors.Is(err, asr.ErrInvalid) {
		t.Error(err)
	}
	if _, _, err := s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{File: unreadable{10}, Size: 10, URL: "https://example.org"}}); !errors.Is(err, asr.ErrInvalid) {
		t.Error(err)
	}
}

// TestAKeyIsOfOneSubmission checks that a key which comes with something else is refused, whoever wrote the record, and whatever became of the job.
func TestAKeyIsOfOneSubmission(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	ctx := t.Context()
	q := asr.Submission{Client: "anna", Key: "k", Audio: asr.JobAudio{Bytes: []byte("sound")}, Params: asr.Params{"language": {"cs"}}}
	first, _, err := s.Submit(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if j, created, err := s.Submit(ctx, q); err != nil || created || j.ID != first.ID {
			t.Errorf("%s: the same again: %v, %v, %v", when, j.ID, created, err)
		}
		for what, change := range map[string]func(*asr.Submission){
			"sound":  func(q *asr.Submission) { q.Audio.Bytes = []byte("other sound") },
			"params": func(q *asr.Submission) { q.Params = asr.Params{"language": {"de"}} },
			"model":  func(q *asr.Submission) { q.Model = "other" },
			"url":    func(q *asr.Submission) { q.Audio = asr.JobAudio{URL: "https://example.org"} },
		} {
			other := q
			change(&other)
			if j, created, err := s.Submit(ctx, other); !errors.Is(err, asr.ErrKeyReused) || !errors.Is(err, asr.ErrInvalid) {
				t.Errorf("%s: other %s: %v, %v, %v", when, what, j.ID, created, err)
			}
		}
		other := q
		other.Client = "bob"
		if j, _, err := s.Submit(ctx, other); err != nil || j.ID == first.ID {
			t.Errorf("%s: of another client: %v, %v", when, j.ID, err)
		}
	}
	check("it waits")
	if err := s.records.Purge(ctx, first.ID); err != nil { // as if a worker had been faster than the record
		t.Fatal(err)
	}
	var m jetstream.Msg
	for j := (asr.Job{}); j.ID != first.ID; {
		m = pull(t, s, "m")
		if _, j, err = s.claimed(ctx, m, "w"); err != nil {
			t.Fatal(err)
		}
	}
	check("a worker has it")
	if _, err := s.finishFailed(ctx, m, 1, "no sound"); err != nil {
		t.Fatal(err)
	}
	check("it has failed")
	if _, err := s.Retry(ctx, "anna", first.ID); err != nil {
		t.Fatal(err)
	}
	check("it is tried again")
}

// TestOneKeyForTwoAtATime submits different sounds under one key at once, on two stores: one is the job, the others are refused, and the record is of what
// is in the queue.
func TestOneKeyForTwoAtATime(t *testing.T) {
	b := startBroker(t)
	stores := []*Store{openStore(t, b, Options{}), openStore(t, b, Options{})}
	for round := range 8 {
		key := fmt.Sprint(round)
		var wait sync.WaitGroup
		var mu sync.Mutex
		var first []asr.Job
		for i := range 6 {
			wait.Go(func() {
				q := asr.Submission{Key: key, Audio: asr.JobAudio{Bytes: []byte(fmt.Sprint(key, i))}, Params: asr.Params{"seed": {fmt.Sprint(i)}}}
				j, created, err := stores[i%2].Submit(t.Context(), q)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && created:
					first = append(first, j)
				case !errors.Is(err, asr.ErrKeyReused):
					t.Errorf("round %d: %v, %v, %v", round, j, created, err)
				}
			})
		}
		wait.Wait()
		if len(first) != 1 {
			t.Fatalf("round %d: %d are new", round, len(first))
		}
		m, j, err := stores[0].claim(t.Context(), pull(t, stores[0], "m"), "w")
		if err != nil || j.ID != first[0].ID || string(m.Audio.Inline) != key+j.Params["seed"][0] || j.Params["seed"][0] != first[0].Params["seed"][0] {
			t.Errorf("round %d: %s with params %v, first is %v: %v", round, m.Audio.Inline, j.Params, first[0].Params, err)
		}
	}
}
