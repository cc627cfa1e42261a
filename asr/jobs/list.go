package jobs

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"glossa/asr"
)

const maxPage = 1000 // jobs in a page of a list

// Jobs lists jobs, the newest first.
func (s *Store) Jobs(ctx context.Context, client string, q asr.JobQuery) (asr.JobPage, error) {
	if q.Limit < 0 || q.Limit > maxPage {
		return asr.JobPage{}, fmt.Errorf("%w: limit %d: want 1 to %d", asr.ErrInvalid, q.Limit, maxPage)
	}
	limit := cmp.Or(q.Limit, 100)
	for _, state := range q.States {
		if state != asr.JobQueued && state != asr.JobRunning && !state.Final() {
			return asr.JobPage{}, fmt.Errorf("%w: state %q: want queued, running, done, failed or cancelled", asr.ErrInvalid, state)
		}
	}
	after, err := parseCursor(q.After)
	if err != nil {
		return asr.JobPage{}, err
	}
	if err := s.index.ready(ctx); err != nil {
		return asr.JobPage{}, err
	}
	found := s.index.find(after, limit+1, func(e *entry) bool {
		return (client == AnyClient || e.client == client) && (q.Model == "" || e.model == q.Model) &&
			(len(q.States) == 0 || slices.Contains(q.States, e.state))
	})
	var page asr.JobPage
	if len(found) > limit {
		found = found[:limit]
		page.Next = found[limit-1].cursor()
	}
	page.Jobs, err = s.jobsOf(ctx, found, q.States)
	return page, err
}

// jobsOf returns the jobs of entries, without those that have left the states meanwhile or are not there any more.
func (s *Store) jobsOf(ctx context.Context, found []entry, states []asr.JobState) ([]asr.Job, error) {
	jobs, errs := make([]asr.Job, len(found)), make([]error, len(found))
	var wait sync.WaitGroup
	free := make(chan struct{}, 16)
	for i, e := range found {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			r, err := s.read(ctx, e.id)
			if errors.Is(err, asr.ErrNotFound) {
				return
			}
			if errs[i] = err; err == nil && (len(states) == 0 || slices.Contains(states, r.State)) {
				jobs[i] = r.Job
			}
		})
	}
	wait.Wait()
	return slices.DeleteFunc(jobs, func(j asr.Job) bool { return j.ID == "" }), errors.Join(errs...)
}

// cursor returns the place of an entry in the list, as a JobQuery's After.
func (e *entry) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", e.created, e.id))
}

func parseCursor(after string) (*entry, error) {
	if after == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(after)
	created, id, ok := strings.Cut(string(b), ".")
	e := &entry{id: id}
	if _, scanned := fmt.Sscan(created, &e.created); err != nil || !ok || scanned != nil || !validID(id) {
		return nil, fmt.Errorf("%w: after %q is not the next of a page", asr.ErrInvalid, after)
	}
	return e, nil
}

// Backlog is what waits, or runs, of a model and priority.
type Backlog = asr.JobBacklog

// Backlog returns what is not final, in the order of models, priorities and states. Where no list was asked for before it waits for the
// records, a second at most. Messages of others than this package have no record, and are not counted, until a worker takes them.
func (s *Store) Backlog() []Backlog {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.index.ready(ctx); err != nil {
		s.log.Warn("the backlog is not known", "error", err)
		return nil
	}
	type key struct {
		model    string
		priority asr.Priority
		state    asr.JobState
	}
	sums := make(map[key]Backlog)
	s.index.mu.Lock()
	for _, e := range s.index.entries() {
		if !e.state.Final() {
			k := key{e.model, e.priority, e.state}
			b := sums[k]
			b.Jobs++
			b.Audio += max(e.audio-e.done, 0)
			sums[k] = b
		}
	}
	s.index.mu.Unlock()
	var all []Backlog
	for k, b := range sums {
		b.Model, b.Priority, b.State = k.model, k.priority, k.state
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Backlog) int {
		return cmp.Or(strings.Compare(a.Model, b.Model), cmp.Compare(slices.Index(priorities, a.Priority), slices.Index(priorities, b.Priority)),
			strings.Compare(string(a.State), string(b.State)))
	})
	return all
}
