package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glossa/asr"
)

// fakeJobs are jobs that are done a second after they are submitted. What goes wrong with a file its content says.
type fakeJobs struct {
	mu        sync.Mutex
	jobs      map[string]asr.Job
	submitted map[string]asr.Submission // by job
	full      int                       // submissions that are refused at first
	away      int                       // calls that are not answered at first
	broken    map[string]int            // watches of a job that break
	idle      time.Duration             // until a worker comes
	inFlight  int
	most      int
}

func newFakeJobs() *fakeJobs {
	return &fakeJobs{jobs: make(map[string]asr.Job), submitted: make(map[string]asr.Submission), broken: make(map[string]int)}
}

var errAway = fmt.Errorf("%w: nobody listens there", asr.ErrBusy)

// reached reports whether somebody listens.
func (f *fakeJobs) reached() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away--; f.away >= 0 {
		return errAway
	}
	return nil
}

func (f *fakeJobs) submit(ctx context.Context, q asr.Submission, file string) (j asr.Job, created bool, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return j, false, badFile(err)
	}
	f.mu.Lock()
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}()
	if err := sleep(ctx, 10*time.Millisecond); err != nil {
		return j, false, err
	}
	if err := f.reached(); err != nil {
		return j, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full--; f.full >= 0 {
		return j, false, &laterError{7 * time.Second, asr.ErrQueueFull}
	}
	id := "job-" + string(content)
	j, there := f.jobs[id]
	if !there {
		j = asr.Job{ID: id, Name: q.Name, State: asr.JobQueued, Priority: q.Priority, Params: q.Params, Created: time.Now()}
		f.jobs[id], f.submitted[id] = j, q
	}
	return j, !there, nil
}

// end brings a job to its end.
func (f *fakeJobs) end(id string) asr.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.jobs[id]
	switch {
	case strings.Contains(id, "poison"):
		j.State, j.Reason = asr.JobFailed, "this is no sound"
	case strings.Contains(id, "unwanted"):
		j.State = asr.JobCancelled
	default:
		j.State, j.Audio, j.Done, j.Language = asr.JobDone, 2, 2, "en"
	}
	f.jobs[id] = j
	return j
}

func (f *fakeJobs) follow(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return f.watch(ctx, id)
}

func (f *fakeJobs) watch(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return func(yield func(asr.JobEvent, error) bool) {
		j, err := f.job(ctx, id)
		if err != nil {
			yield(asr.JobEvent{}, err)
			return
		}
		if !yield(asr.JobEvent{Job: j}, nil) {
			return
		}
		if err := sleep(ctx, time.Second+f.idle); err != nil {
			yield(asr.JobEvent{}, err)
			return
		}
		f.mu.Lock()
		f.broken[id]--
		broken := f.broken[id] >= 0
		f.mu.Unlock()
		if broken {
			return
		}
		yield(asr.JobEvent{Job: f.end(id)}, nil)
	}
}

func (f *fakeJobs) job(_ context.Context, id string) (asr.Job, error) {
	if err := f.reached(); err != nil {
		return asr.Job{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	j, ok := f.jobs[id]
	if !ok {
		return j, asr.ErrNotFound
	}
	return j, nil
}

func (f *fakeJobs) result(ctx context.Context, id string) (*asr.Result, error) {
	j, err := f.job(ctx, id)
	if err != nil || j.State != asr.JobDone {
		return nil, cmpErr(err, asr.ErrInvalid)
	}
	text := " text of " + strings.TrimPrefix(id, "job-")
	return &asr.Result{Text: strings.TrimSpace(text), Language: "en", Duration: 2, Segments: []asr.Segment{{End: 2, Text: text}}}, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (f *fakeJobs) list(_ context.Context, q asr.JobQuery) (asr.JobPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var page asr.JobPage
	for _, id := range slices.Sorted(maps.Keys(f.jobs)) {
		if j := f.jobs[id]; id > q.After && (q.States == nil || slices.Contains(q.States, j.State)) {
			if len(page.Jobs) == q.Limit {
				page.Next = page.Jobs[len(page.Jobs)-1].ID
				break
			}
			page.Jobs = append(page.Jobs, j)
		}
	}
	return page, nil
}

func (f *fakeJobs) cancel(ctx context.Context, id string) (asr.Job, error) {
	return f.become(id, asr.JobCancelled, asr.JobQueued)
}

func (f *fakeJobs) retry(ctx context.Context, id string) (asr.Job, error) {
	return f.become(id, asr.JobQueued, asr.JobFailed)
}

func (f *fakeJobs) become(id string, state, from asr.JobState) (asr.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, ok := f.jobs[id]
	switch {
	case !ok:
		return j, asr.ErrNotFound
	case j.State != from:
		return j, fmt.Errorf("%w: it is %s", asr.ErrInvalid, j.State)
	}
	j.State = state
	f.jobs[id] = j
	return j, nil
}

func (f *fakeJobs) close() {}

// submitted runs a submission of files, whose contents are by path, and returns what it printed.
func submitFiles(ctx context.Context, t *testing.T, client jobClient, contents map[string]string, flags submitCommand) (dir, stdout, stderr string, err error) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range contents {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := soundFiles([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	if flags.Format == "" {
		flags.Format = "txt"
	}
	r := &submitRun{flags: &flags, client: client, console: newConsole(&out, &said), files: files, submitted: make([]asr.Job, len(files))}
	err = r.run(ctx)
	clean := func(b *bytes.Buffer) string { return strings.ReplaceAll(b.String(), dir, "DIR") }
	return dir, clean(&out), clean(&said), err
}

func TestSubmitPrintsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newFakeJobs()
		jobs.full = 2
		begin := time.Now()
		_, stdout, stderr, err := submitFiles(t.Context(), t, jobs, map[string]string{"a.wav": "a", "b/c.flac": "c"}, submitCommand{Priority: "bulk"})
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		slices.Sort(lines)
		if want := []string{"job-a  DIR/a.wav", "job-c  DIR/b/c.flac"}; err != nil || !slices.Equal(lines, want) {
			t.Errorf("%q, %v, want %q", lines, err, want)
		}
		if strings.Count(stderr, "the queue is full") != 1 || time.Since(begin) < 7*time.Second {
			t.Errorf("after %v: %q", time.Since(begin), stderr)
		}
		if got := jobs.submitted["job-c"]; got.Priority != asr.Bulk || got.Name != filepath.Join("b", "c.flac") {
			t.Errorf("submitted %+v", got)
		}
	})
}

func TestSubmitWaitsForTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newFakeJobs()
		jobs.broken["job-a"] = 2
		jobs.away = 3
		contents := map[string]string{
			"a.wav": "a", "sub/b.wav": "b", "sub/same.wav": "b", "bad.wav": "poison", "no.wav": "unwanted",
			"taken.wav": "t", "taken.txt": "somebody's notes", "again.wav": "g", "again.txt": "text of g\n",
		}
		dir, stdout, stderr, err := submitFiles(t.Context(), t, jobs, contents, submitCommand{Wait: true})
		if !errors.Is(err, errReported) || stdout != "" {
			t.Errorf("%v, stdout %q", err, stdout)
		}
		for name, want := range map[string]string{
			"a.txt": "text of a\n", "sub/b.txt": "text of b\n", "sub/same.txt": "text of b\n", "taken.txt": "somebody's notes", "again.txt": "text of g\n",
		} {
			if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v, want %q", name, got, err, want)
			}
		}
		said := strings.Split(strings.TrimSpace(stderr), "\n")
		slices.Sort(said)
		want := []string{
			"glossa: DIR/bad.wav: this is no sound; glossa jobs retry job-poison tries again",
			"glossa: DIR/no.wav: the job was cancelled",
			"glossa: DIR/taken.wav: DIR/taken.txt: another file is there; --overwrite replaces it, --output-dir writes elsewhere",
			"glossa: " + errAway.Error() + "; it is tried again for 5 minutes",
		}
		if !slices.Equal(said, want) {
			t.Errorf("stderr %q, want %q", said, want)
		}
	})
}

func TestSubmitOverwrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, _, _, err := submitFiles(t.Context(), t, newFakeJobs(), map[string]string{"a.wav": "a", "a.srt": "old"}, submitCommand{Wait: true, Overwrite: true, Format: "srt"})
		got, _ := os.ReadFile(filepath.Join(dir, "a.srt"))
		if want := "1\n00:00:00,000 --> 00:00:02,000\ntext of a\n\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	})
}

func TestSubmitPrintsJSONAsTextsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, stdout, stderr, err := submitFiles(t.Context(), t, newFakeJobs(), map[string]string{"a.wav": "a", "b.wav": "poison"}, submitCommand{Wait: true, JSON: true})
		if !errors.Is(err, errReported) || stderr != "" {
			t.Errorf("%v, stderr %q", err, stderr)
		}
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[10:], b[10:]) })
		var text fileText
		var failure fileState
		if len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &text) != nil || json.Unmarshal([]byte(lines[1]), &failure) != nil {
			t.Fatalf("stdout %q", stdout)
		}
		if text.JobID != "job-a" || text.File != "DIR/a.wav" || text.Text != "text of a" || text.Language != "en" || len(text.Segments) != 1 {
			t.Errorf("%+v", text)
		}
		if want := (fileState{JobID: "job-poison", File: "DIR/b.wav", Error: "this is no sound; glossa jobs retry job-poison tries again"}); failure != want {
			t.Errorf("%+v, want %+v", failure, want)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*.txt")); err != nil || len(left) > 0 {
			t.Errorf("%q, %v were written", left, err)
		}
	})
}

func TestSubmitIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newFakeJobs()
		contents := make(map[string]string)
		for i := range 100 {
			contents[fmt.Sprintf("%03d.wav", i)] = fmt.Sprint(i)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, _, stderr, err := submitFiles(ctx, t, jobs, contents, submitCommand{Wait: true})
		if !errors.Is(err, context.DeadlineExceeded) || stderr != "glossa: 100 of 100 files are submitted, and their jobs go on; the same command again takes them up\n" {
			t.Errorf("%v, %q", err, stderr)
		}
		if jobs.most != submitters {
			t.Errorf("%d files are sent at a time, want %d", jobs.most, submitters)
		}
		dir, _, stderr, err := submitFiles(t.Context(), t, jobs, contents, submitCommand{Wait: true})
		texts, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
		if err != nil || stderr != "" || len(texts) != 100 || len(jobs.jobs) != 100 {
			t.Errorf("%v, %q, %d texts of %d jobs", err, stderr, len(texts), len(jobs.jobs))
		}
	})
}

func TestSubmitTellsThatNoWorkerComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for idle, want := range map[time.Duration]int{0: 0, 30 * time.Second: 1, 11 * time.Minute: 3} {
			jobs := newFakeJobs()
			jobs.idle = idle
			_, _, stderr, err := submitFiles(t.Context(), t, jobs, map[string]string{"a.wav": "a", "b.wav": "b"}, submitCommand{Wait: true})
			if n := strings.Count(stderr, "no worker has taken one of 2 jobs"); err != nil || n != want || strings.Count(stderr, "\n") != want {
				t.Errorf("a worker comes after %v: %q, %v; want to be told %d times", idle, stderr, err, want)
			}
		}
	})
}

func TestSubmitTellsOfAJobThatIsThereOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newFakeJobs()
		contents := map[string]string{"a.wav": "a"}
		for _, c := range []struct {
			flags submitCommand
			want  string
		}{
			{submitCommand{Priority: "bulk"}, ""},
			{submitCommand{Priority: "bulk"}, ""},
			{submitCommand{Priority: "live"}, "glossa: DIR/a.wav: its job job-a is there already, with priority bulk; --again makes a new one\n"},
			{submitCommand{Priority: "bulk", Callback: "https://x.example"}, "glossa: DIR/a.wav: its job job-a is there already, and --callback is not told of its end; --again makes a new one\n"},
		} {
			if _, _, stderr, err := submitFiles(t.Context(), t, jobs, contents, c.flags); err != nil || stderr != c.want {
				t.Errorf("%+v: %q, %v; want %q", c.flags, stderr, err, c.want)
			}
		}
	})
}

func TestSubmitGivesUpOnAServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs := newFakeJobs()
		jobs.away = 1 << 20
		begin := time.Now()
		_, _, stderr, err := submitFiles(t.Context(), t, jobs, map[string]string{"a.wav": "a"}, submitCommand{})
		if !errors.Is(err, errReported) || !strings.Contains(stderr, "nobody listens there") {
			t.Errorf("%v, %q", err, stderr)
		}
		if took := time.Since(begin); took < patience || took > patience+time.Minute {
			t.Errorf("after %v", took)
		}
	})
}

func TestSubmitEndsWhenItsOutputCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	var files []soundFile
	for i := range 50 {
		name := filepath.Join(dir, fmt.Sprint(i, ".wav"))
		if err := os.WriteFile(name, []byte(fmt.Sprint(i)), 0o666); err != nil {
			t.Fatal(err)
		}
		files = append(files, soundFile{path: name})
	}
	r := &submitRun{flags: &submitCommand{}, client: newFakeJobs(), console: newConsole(&fullDisk{room: 1}, &bytes.Buffer{}), files: files, submitted: make([]asr.Job, len(files))}
	if err := r.run(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("%v, want %v", err, errFull)
	}
}
