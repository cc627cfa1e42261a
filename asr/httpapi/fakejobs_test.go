package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"glossa/asr"
)

// fakeJobs keeps jobs in memory. Tests do them.
type fakeJobs struct {
	mu       sync.Mutex
	jobs     []*fakeJob // the oldest first
	max      int        // that may be queued, 0 for any number
	err      error      // of everything
	watching int
}

type fakeJob struct {
	asr.Job
	submission asr.Submission
	sound      string
	result     *asr.Result
	segments   []asr.Segment
	changed    chan struct{} // closed with the next change
}

// Submit implements httpapi.Jobs. Equal keys, or else equal sound, model and params, are one job.
func (f *fakeJobs) Submit(ctx context.Context, q asr.Submission) (asr.Job, bool, error) {
	r, size := q.Audio.Reader()
	sound, err := io.ReadAll(r)
	if err != nil || int64(len(sound)) != size {
		return asr.Job{}, false, fmt.Errorf("%w: %d bytes of sound, want %d: %w", asr.ErrInternal, len(sound), size, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return asr.Job{}, false, f.err
	}
	queued := 0
	for _, j := range f.jobs {
		same := j.sound == string(sound) && j.Model == q.Model && reflect.DeepEqual(j.Params, q.Params) && j.submission.Audio.URL == q.Audio.URL
		switch {
		case q.Again || j.Client != q.Client:
		case q.Key != "" && q.Key == j.submission.Key && !same:
			return asr.Job{}, false, fmt.Errorf("%w: %q", asr.ErrKeyReused, q.Key)
		case q.Key != "" && q.Key == j.submission.Key, q.Key == "" && j.submission.Key == "" && same:
			return j.Job, false, nil
		}
		if j.State == asr.JobQueued {
			queued++
		}
	}
	if f.max > 0 && queued >= f.max {
		return asr.Job{}, false, asr.ErrQueueFull
	}
	j := &fakeJob{submission: q, sound: string(sound), changed: make(chan struct{})}
	j.Job = asr.Job{ID: fmt.Sprintf("job-%d", len(f.jobs)+1), Client: q.Client, Name: q.Name, Model: q.Model, Priority: q.Priority, Params: q.Params,
		State: asr.JobQueued, Audio: q.Seconds, Callback: q.Callback, Created: time.Date(2026, 1, 2, 3, 4, len(f.jobs), 0, time.UTC)}
	f.jobs = append(f.jobs, j)
	return j.Job, true, nil
}

// find returns a job of a client.
func (f *fakeJobs) find(client, id string) (*fakeJob, error) {
	if f.err != nil {
		return nil, f.err
	}
	for _, j := range f.jobs {
		if j.ID == id && j.Client == client {
			return j, nil
		}
	}
	return nil, fmt.Errorf("%w: job %q", asr.ErrNotFound, id)
}

// Job implements httpapi.Jobs.
func (f *fakeJobs) Job(_ context.Context, client, id string) (asr.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.find(client, id)
	if err != nil {
		return asr.Job{}, err
	}
	return j.Job, nil
}

// Jobs implements httpapi.Jobs. A page begins behind the id of a job.
func (f *fakeJobs) Jobs(_ context.Context, client string, q asr.JobQuery) (page asr.JobPage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return page, f.err
	}
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	behind := q.After == ""
	for _, j := range slices.Backward(f.jobs) {
		matches := j.Client == client && (q.Model == "" || q.Model == j.Model) && (q.States == nil || slices.Contains(q.States, j.State))
		switch {
		case !behind:
			behind = j.ID == q.After
		case matches && len(page.Jobs) == limit:
			page.Next = page.Jobs[limit-1].ID
			return page, nil
		case matches:
			page.Jobs = append(page.Jobs, j.Job)
		}
	}
	if !behind {
		return page, fmt.Errorf("%w: after %q", asr.ErrInvalid, q.After)
	}
	return page, nil
}

// Result implements httpapi.Jobs.
func (f *fakeJobs) Result(_ context.Context, client, id string) (*asr.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.find(client, id)
	if err != nil {
		return nil, err
	}
	if j.State != asr.JobDone {
		return nil, fmt.Errorf("%w: the job is %s", asr.ErrInvalid, j.State)
	}
	return j.result, nil
}

// Cancel implements httpapi.Jobs.
func (f *fakeJobs) Cancel(_ context.Context, client, id string) (asr.Job, error) {
	return f.change(client, id, func(j *fakeJob) error {
		if j.State == asr.JobDone || j.State == asr.JobFailed {
			return fmt.Errorf("%w: the job is %s", asr.ErrInvalid, j.State)
		}
		j.State = asr.JobCancelled
		return nil
	})
}

// Retry implements httpapi.Jobs.
func (f *fakeJobs) Retry(_ context.Context, client, id string) (asr.Job, error) {
	return f.change(client, id, func(j *fakeJob) error {
		if j.State != asr.JobFailed {
			return fmt.Errorf("%w: the job is %s", asr.ErrInvalid, j.State)
		}
		j.State, j.Reason = asr.JobQueued, ""
		return nil
	})
}

// change changes a job and tells those who watch it.
func (f *fakeJobs) change(client, id string, to func(*fakeJob) error) (asr.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.find(client, id)
	if err != nil {
		return asr.Job{}, err
	}
	if err := to(j); err != nil {
		return asr.Job{}, err
	}
	close(j.changed)
	j.changed = make(chan struct{})
	return j.Job, nil
}

// Watch implements httpapi.Jobs.
func (f *fakeJobs) Watch(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error] {
	return func(yield func(asr.JobEvent, error) bool) {
		f.mu.Lock()
		f.watching++
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			f.watching--
			f.mu.Unlock()
		}()
		for told := 0; ; {
			f.mu.Lock()
			j, err := f.find(client, id)
			if err != nil {
				f.mu.Unlock()
				yield(asr.JobEvent{}, err)
				return
			}
			event, changed := asr.JobEvent{Job: j.Job, Segments: slices.Clone(j.segments[told:])}, j.changed
			told = len(j.segments)
			f.mu.Unlock()
			if !yield(event, nil) || event.Job.State.Final() {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				yield(asr.JobEvent{}, fmt.Errorf("%w: %w", asr.ErrCancelled, ctx.Err()))
				return
			}
		}
	}
}

func (f *fakeJobs) watchers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watching
}

// last returns the newest job.
func (f *fakeJobs) last() *fakeJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jobs[len(f.jobs)-1]
}

// begin, segment, finish and fail do what a worker does.
func (f *fakeJobs) begin(client, id string) {
	f.change(client, id, func(j *fakeJob) error { j.State, j.Attempts = asr.JobRunning, j.Attempts+1; return nil })
}

func (f *fakeJobs) segment(client, id string, s asr.Segment) {
	f.change(client, id, func(j *fakeJob) error { j.segments, j.Done = append(j.segments, s), s.End; return nil })
}

func (f *fakeJobs) finish(client, id string) {
	f.change(client, id, func(j *fakeJob) error {
		var text strings.Builder
		for _, s := range fakeSegments {
			text.WriteString(s.Text)
		}
		j.result = &asr.Result{Text: strings.TrimSpace(text.String()), Segments: fakeSegments, Language: "cs", LanguageProb: 0.75, Adapter: "cs", AdapterHash: "abc", Duration: 2.25}
		j.State, j.Language, j.Adapter, j.Audio, j.Done = asr.JobDone, "cs", "cs", 2.25, 2.25
		return nil
	})
}

func (f *fakeJobs) fail(client, id, reason string) {
	f.change(client, id, func(j *fakeJob) error { j.State, j.Reason = asr.JobFailed, reason; return nil })
}

// setErr has everything fail.
func (f *fakeJobs) setErr(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	for _, j := range f.jobs {
		close(j.changed)
		j.changed = make(chan struct{})
	}
}
