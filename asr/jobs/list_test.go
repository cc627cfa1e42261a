package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

// allRecords reads every record from the bucket, the newest job first.
func allRecords(t testing.TB, s *Store) []asr.Job {
	t.Helper()
	keys, err := s.records.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []asr.Job
	for id := range keys.Keys() {
		j, err := s.Job(t.Context(), AnyClient, id)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, j)
	}
	slices.SortFunc(all, func(a, b asr.Job) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(b.ID, a.ID))
	})
	return all
}

// pages lists jobs page by page.
func pages(t testing.TB, s *Store, client string, q asr.JobQuery) []asr.Job {
	t.Helper()
	var all []asr.Job
	for {
		page, err := s.Jobs(t.Context(), client, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Jobs...)
		if q.After = page.Next; page.Next == "" {
			return all
		}
		if len(page.Jobs) == 0 {
			t.Fatal("an empty page has another behind it")
		}
	}
}

// actors do random things to random jobs of stores that share a broker.
type actors struct {
	t      testing.TB
	rand   *rand.Rand
	stores []*Store
	ids    []string
}

func (a *actors) act() {
	ctx, s := a.t.Context(), a.stores[a.rand.IntN(len(a.stores))]
	id := "absent"
	if len(a.ids) > 0 {
		id = a.ids[a.rand.IntN(len(a.ids))]
	}
	var err error
	switch n := a.rand.IntN(10); {
	case n < 4:
		var j asr.Job
		j, _, err = s.Submit(ctx, asr.Submission{Client: []string{"", "ann", "bob"}[a.rand.IntN(3)], Model: []string{"m", "n"}[a.rand.IntN(2)],
			Priority: priorities[a.rand.IntN(3)], Seconds: float64(a.rand.IntN(5)), Audio: asr.JobAudio{Bytes: fmt.Append(nil, a.rand.IntN(40))}})
		if !slices.Contains(a.ids, j.ID) {
			a.ids = append(a.ids, j.ID)
		}
	case n < 7:
		err = a.work(ctx, s)
	case n < 8:
		_, err = s.Cancel(ctx, AnyClient, id)
	default:
		_, err = s.Retry(ctx, AnyClient, id)
	}
	if err != nil && !errors.Is(err, asr.ErrInvalid) && !errors.Is(err, asr.ErrNotFound) {
		a.t.Fatal(err)
	}
}

// work takes a message, if there is one, and does something of its job, not always all.
func (a *actors) work(ctx context.Context, s *Store) error {
	of, err := s.consumers(ctx, []string{"m", "n"}[a.rand.IntN(2)])
	if err != nil {
		return err
	}
	batch, err := of[priorities[a.rand.IntN(3)]].FetchNoWait(1)
	if err != nil {
		return err
	}
	m := <-batch.Messages()
	if m == nil {
		return nil
	}
	_, j, err := s.claimed(ctx, m, "w")
	if errors.Is(err, errEnded) || errors.Is(err, errDuplicate) {
		return m.DoubleAck(ctx)
	}
	if err != nil {
		return err
	}
	if _, err := s.tellProgress(ctx, j.ID, j.Attempts, j.Audio/2, j.Audio); err != nil {
		return err
	}
	switch a.rand.IntN(4) {
	case 0:
		_, err = s.done(ctx, j.ID, j.Attempts, aResult())
	case 1:
		_, err = s.finishFailed(ctx, m, j.Attempts, "at random")
	case 2:
		return errors.Join(s.giveBack(ctx, j.ID, j.Attempts, ""), m.Nak())
	default:
		return nil // and is lost
	}
	return errors.Join(err, m.DoubleAck(ctx))
}

func TestTheIndexIsWhatTheRecordsAre(t *testing.T) {
	b := startBroker(t)
	a := &actors{t: t, rand: rand.New(rand.NewPCG(1, 2)), stores: []*Store{openStore(t, b, Options{}), openStore(t, b, Options{}), openStore(t, b, Options{})}}
	pages(t, a.stores[0], AnyClient, asr.JobQuery{}) // begins to watch where nothing is
	for i := range 300 {
		if i == 100 {
			pages(t, a.stores[1], AnyClient, asr.JobQuery{})
		}
		if i == 200 {
			if err := b.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.act()
	}
	want := allRecords(t, a.stores[0])
	if states := countStates(want); len(states) < 5 {
		t.Errorf("the jobs are only %v", states)
	}
	for i, s := range a.stores {
		eventually(t, func() error {
			if got := pages(t, s, AnyClient, asr.JobQuery{Limit: 7}); !slices.EqualFunc(got, want, sameJob) {
				return fmt.Errorf("store %d lists %d jobs of %d, or others", i, len(got), len(want))
			}
			return sameBacklog(s.Backlog(), want)
		})
		for range 20 {
			client := []string{"", "ann", "bob", AnyClient}[a.rand.IntN(4)]
			q := asr.JobQuery{Limit: 1 + a.rand.IntN(20), Model: []string{"", "m", "n"}[a.rand.IntN(3)],
				States: [][]asr.JobState{nil, {asr.JobQueued}, {asr.JobDone, asr.JobFailed}}[a.rand.IntN(3)]}
			some := slices.DeleteFunc(slices.Clone(want), func(j asr.Job) bool {
				return client != AnyClient && j.Client != client || q.Model != "" && j.Model != q.Model || q.States != nil && !slices.Contains(q.States, j.State)
			})
			if got := pages(t, s, client, q); !slices.EqualFunc(got, some, sameJob) {
				t.Errorf("%q %+v: %d jobs of %d, or others", client, q, len(got), len(some))
			}
		}
	}
}

func sameJob(a, b asr.Job) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func countStates(jobs []asr.Job) map[asr.JobState]int {
	states := make(map[asr.JobState]int)
	for _, j := range jobs {
		states[j.State]++
	}
	return states
}

// sameBacklog compares a backlog with the records.
func sameBacklog(got []Backlog, jobs []asr.Job) error {
	want := make(map[string]Backlog)
	for _, j := range jobs {
		if !j.State.Final() {
			key := fmt.Sprint(j.Model, j.Priority, j.State)
			b := want[key]
			want[key] = Backlog{Model: j.Model, Priority: j.Priority, State: j.State, Jobs: b.Jobs + 1, Audio: b.Audio + j.Audio - j.Done}
		}
	}
	for _, b := range got {
		if key := fmt.Sprint(b.Model, b.Priority, b.State); want[key] != b {
			return fmt.Errorf("backlog %+v: want %+v", b, want[key])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("backlog %+v: want %+v", got, want)
	}
	return nil
}

func TestAPageIsStable(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	var ids []string
	for i := range 5 {
		ids = append(ids, submit(t, s, asr.Submission{Name: fmt.Sprint(i)}).ID)
	}
	page, err := s.Jobs(t.Context(), "", asr.JobQuery{Limit: 2})
	if err != nil || len(page.Jobs) != 2 || page.Jobs[0].ID != ids[4] || page.Next == "" {
		t.Fatal(page, err)
	}
	submit(t, s, asr.Submission{Name: "newer"})
	if _, err := s.Cancel(t.Context(), "", ids[3]); err != nil { // the one that the page ends with
		t.Fatal(err)
	}
	page, err = s.Jobs(t.Context(), "", asr.JobQuery{Limit: 3, After: page.Next})
	if err != nil || len(page.Jobs) != 3 || page.Jobs[0].ID != ids[2] || page.Next != "" {
		t.Error(page, err)
	}
	for _, q := range []asr.JobQuery{{Limit: -1}, {Limit: maxPage + 1}, {After: "x"}, {After: "eA"}, {States: []asr.JobState{"lost"}}} {
		if _, err := s.Jobs(t.Context(), "", q); !errors.Is(err, asr.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// TestFinalJobsExpire also has the index forget them.
func TestFinalJobsExpire(t *testing.T) {
	s := openStore(t, startBroker(t), Options{Limits: asr.Limits{JobsKept: time.Second}})
	stays := submit(t, s, asr.Submission{Name: "stays"})
	goes := submit(t, s, asr.Submission{Name: "goes"})
	if got := pages(t, s, "", asr.JobQuery{}); len(got) != 2 {
		t.Fatal(got)
	}
	if _, err := s.Cancel(t.Context(), "", goes.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if got := pages(t, s, "", asr.JobQuery{}); len(got) != 1 || got[0].ID != stays.ID {
			return fmt.Errorf("%d jobs", len(got))
		}
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		if len(s.index.byID) != 1 {
			return errors.New("the index has it")
		}
		return nil
	})
	if _, err := s.Job(t.Context(), "", goes.ID); !errors.Is(err, asr.ErrNotFound) {
		t.Error(err)
	}
	if again := submit(t, s, asr.Submission{Name: "goes"}); again.State != asr.JobQueued {
		t.Error(again)
	}
}
