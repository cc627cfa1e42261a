//go:build unix

package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs/broker"
)

// killJob is a job and what is to become of it.
type killJob struct {
	kind      string // short, long, stored, twice, cancelled, noise, lacking, deadly
	file      []byte
	prompt    string
	id        string
	cancelled bool // the store said so
}

// killKinds are the kinds of jobs, as often as they come.
var killKinds = slices.Concat(slices.Repeat([]string{"short"}, 50), slices.Repeat([]string{"long"}, 18), slices.Repeat([]string{"twice"}, 9),
	slices.Repeat([]string{"cancelled"}, 9), slices.Repeat([]string{"noise"}, 6), slices.Repeat([]string{"lacking"}, 4), slices.Repeat([]string{"stored"}, 4))

// newKillJob returns the i-th job.
func newKillJob(rng *rand.Rand, i, n int) *killJob {
	j := &killJob{kind: killKinds[rng.IntN(len(killKinds))], prompt: fmt.Sprint("job", i)}
	if i%300 == 20 { // each takes five workers with it, and what runs beside it
		j.kind, j.prompt = "deadly", killPrompt
	}
	windows := 1 + rng.IntN(4)
	switch j.kind {
	case "long", "cancelled":
		windows = 20 + rng.IntN(60)
	case "stored":
		windows = 170 + rng.IntN(20) // too long for a message
	case "deadly":
		windows = 5
	case "noise":
		j.file = []byte(fmt.Sprintf("this is no sound but text, number %d of all", i))
		return j
	}
	j.file = fakeSound(uint64(1000+i), windows)
	return j
}

// killing is a run of TestKilledProcesses.
type killing struct {
	t      *testing.T
	store  *Store
	jobs   []*killJob
	mu     sync.Mutex
	counts map[string]int
}

func (k *killing) count(what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts[what]++
}

// submit submits a job, as often as it takes while the broker is away, and cancels it where it is of that kind.
func (k *killing) submit(ctx context.Context, rng *rand.Rand, j *killJob) error {
	q := asr.Submission{Audio: asr.JobAudio{Bytes: j.file}, Params: asr.Params{"prompt": {j.prompt}}, Priority: []asr.Priority{asr.Live, asr.Normal, asr.Bulk}[rng.IntN(3)]}
	if j.kind == "lacking" {
		q.Params["adapter"] = []string{lackAdapter}
	}
	submit := func() (id string, created bool, err error) {
		err = k.insist(ctx, func(ctx context.Context) error {
			job, new, err := k.store.Submit(ctx, q)
			id, created = job.ID, new
			return err
		})
		return id, created, err
	}
	id, _, err := submit()
	if err != nil {
		return err
	}
	j.id = id
	switch j.kind {
	case "twice":
		again, created, err := submit()
		if err != nil || again != j.id || created {
			return fmt.Errorf("job %s was submitted again and is %s, created %v, %w", j.id, again, created, err)
		}
	case "cancelled":
		time.AfterFunc(time.Duration(rng.IntN(800))*time.Millisecond, func() {
			err := k.insist(ctx, func(ctx context.Context) error { _, err := k.store.Cancel(ctx, AnyClient, j.id); return err })
			k.mu.Lock()
			defer k.mu.Unlock()
			if j.cancelled = err == nil; err != nil && !errors.Is(err, asr.ErrInvalid) {
				k.t.Errorf("job %s could not be cancelled: %v", j.id, err)
			}
			k.counts["cancellations that are settled"]++
		})
	}
	return nil
}

// insist does something of the store while the broker is away.
func (k *killing) insist(ctx context.Context, do func(context.Context) error) error {
	for {
		once, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := do(once)
		cancel()
		if !errors.Is(err, asr.ErrBusy) || !sleep(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// TestKilledProcesses submits jobs while workers are killed at random moments and the broker is killed twice. GLOSSA_KILL_JOBS is their
// number, GLOSSA_KILL_SEED begins the random numbers.
func TestKilledProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: the kill test takes its time")
	}
	n, seed := environmentInt("GLOSSA_KILL_JOBS", 60), uint64(environmentInt("GLOSSA_KILL_SEED", int(time.Now().UnixNano()%1e9)))
	within := 4*time.Second + time.Duration(n)*50*time.Millisecond // of submissions
	t.Logf("%d jobs within %v, GLOSSA_KILL_SEED=%d", n, within, seed)
	begun := time.Now()
	rng := rand.New(rand.NewPCG(seed, 0))
	b := &process{t: t, role: "broker", dir: t.TempDir(), addr: freeAddr(t)}
	if err := b.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.end() })
	k := &killing{t: t, counts: map[string]int{}}
	nc, err := broker.Dial(t.Context(), broker.DialOptions{URL: "nats://" + b.addr})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if k.store, err = Open(t.Context(), nc, Options{Model: "nano", Logger: testLog(), ackWait: testLease}); err != nil {
		t.Fatal(err)
	}
	defer k.store.Close()
	running, stop := context.WithCancel(t.Context())
	defer stop()
	go k.store.Run(running)

	logs := k.murder(rng, b, n, within)
	for _, j := range k.jobs {
		k.final(j.id, begun.Add(within+2*time.Minute))
	}
	t.Logf("all jobs are final after %v", time.Since(begun).Round(time.Millisecond))
	k.check()
	t.Logf("%v: %v", time.Since(begun).Round(time.Millisecond), k.counts)
	if t.Failed() {
		for i, log := range logs() {
			t.Logf("process %d:\n%s", i, log[max(0, len(log)-4000):])
		}
	}
}

// murder submits jobs while processes die. It returns when nothing is killed any more, and workers are there.
func (k *killing) murder(rng *rand.Rand, b *process, n int, within time.Duration) (logs func() []string) {
	killing, peace := context.WithCancel(k.t.Context())
	living, end := context.WithCancel(k.t.Context())
	var workers []*process
	var all, dying sync.WaitGroup
	var dead []string
	for range killWorkers {
		w := &process{t: k.t, role: "worker", addr: b.addr}
		if err := w.begin(); err != nil {
			k.t.Fatal(err)
		}
		workers = append(workers, w)
		all.Go(func() {
			w.keep(living, func(log string) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.counts["workers died"]++
				dead = append(dead, log)
			})
		})
	}
	k.t.Cleanup(func() {
		end()
		for _, w := range workers {
			w.end()
		}
		all.Wait()
	})
	seed := rng.Uint64()
	dying.Go(func() { killAtRandom(killing, rand.New(rand.NewPCG(seed, 1)), workers, k.count) })
	dying.Go(func() {
		if err := killBrokerTwice(killing, b, within, k.count); err != nil {
			k.t.Error(err)
		}
	})
	for i := range n {
		j := newKillJob(rng, i, n)
		if err := k.submit(k.t.Context(), rng, j); err != nil {
			k.t.Fatal(err)
		}
		k.jobs = append(k.jobs, j)
		sleep(k.t.Context(), within/time.Duration(n))
	}
	peace()
	dying.Wait()
	return func() []string {
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, w := range workers {
			w.mu.Lock()
			dead = append(dead, w.log.String())
			w.mu.Unlock()
		}
		return dead
	}
}

// final waits until a job is final.
func (k *killing) final(id string, end time.Time) {
	for ; ; time.Sleep(20 * time.Millisecond) {
		j, err := k.store.Job(k.t.Context(), AnyClient, id)
		if err == nil && j.State.Final() {
			return
		}
		if time.Now().After(end) {
			k.t.Errorf("job %s is not final: %+v, %v", id, j, err)
			return
		}
	}
}

// check checks that each job has one result or one reason, and that nothing else is left.
func (k *killing) check() {
	s := &site{Store: k.store, t: k.t}
	s.empty()
	within(k.t, "all cancellations are settled", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		n := 0
		for _, j := range k.jobs {
			if j.kind == "cancelled" {
				n++
			}
		}
		return k.counts["cancellations that are settled"] == n
	})
	done, failed := map[string]bool{}, map[string]bool{}
	for _, j := range k.jobs {
		got, err := k.store.Job(k.t.Context(), AnyClient, j.id)
		if err != nil {
			k.t.Errorf("job %s: %v", j.id, err)
			continue
		}
		k.count(j.kind + " " + string(got.State))
		k.counts["attempts"] += got.Attempts
		switch got.State {
		case asr.JobDone:
			done[j.id] = true
			k.checkResult(j)
		case asr.JobFailed:
			failed[j.id] = true
			k.checkReason(j, got)
		}
		if j.cancelled != (got.State == asr.JobCancelled) {
			k.t.Errorf("job %s (%s) is %s, cancelled %v", j.id, j.kind, got.State, j.cancelled)
		}
	}
	k.checkKept(done, failed)
}

// checkResult checks the result of a job that is done.
func (k *killing) checkResult(j *killJob) {
	if j.kind == "noise" || j.kind == "lacking" || j.kind == "deadly" {
		k.t.Errorf("job %s (%s) has a result", j.id, j.kind)
		return
	}
	r, err := k.store.Result(k.t.Context(), AnyClient, j.id)
	if err != nil {
		k.t.Errorf("the result of job %s: %v", j.id, err)
		return
	}
	if want := fakeResult(j.file, j.prompt); r.Text != want.Text || len(r.Segments) != len(want.Segments) || r.Duration != want.Duration {
		k.t.Errorf("job %s: %q, want %q", j.id, r.Text, want.Text)
	}
}

// checkReason checks the reason of a job that failed. One may have lost its worker five times, whatever it is.
func (k *killing) checkReason(j *killJob, got asr.Job) {
	var want string
	switch j.kind {
	case "noise":
		want = "read are flac"
	case "lacking":
		want = lackAdapter
	}
	died := got.Attempts >= maxDeliver-1 && strings.Contains(got.Reason, "worker") // its first delivery may have come to nobody
	switch {
	case want != "" && strings.Contains(got.Reason, want):
	case died:
		k.count("lost their worker each time: " + j.kind)
	default:
		k.t.Errorf("job %s (%s) failed after %d attempts with %q", j.id, j.kind, got.Attempts, got.Reason)
	}
}

// checkKept checks that there are results of the jobs that are done and dead letters of those that failed, one each, and of no others.
func (k *killing) checkKept(done, failed map[string]bool) {
	ctx := k.t.Context()
	results := map[string]bool{}
	list, err := k.store.results.ListKeys(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	for id := range list.Keys() {
		results[id] = true
	}
	if !maps.Equal(results, done) {
		k.t.Errorf("%d results of %d jobs that are done", len(results), len(done))
	}
	info, err := k.store.dead.Info(ctx, jetstream.WithSubjectFilter(subjectDead+">"))
	if err != nil {
		k.t.Fatal(err)
	}
	letters := map[string]bool{}
	for subject, n := range info.State.Subjects {
		letters[strings.TrimPrefix(subject, subjectDead)] = n == 1
	}
	if !maps.Equal(letters, failed) {
		k.t.Errorf("dead letters %v of failed jobs %v", letters, failed)
	}
	consumers, err := k.store.consumers(ctx, "nano")
	if err != nil {
		k.t.Fatal(err)
	}
	for p, c := range consumers {
		if info, err := c.Info(ctx); err != nil || info.NumPending > 0 || info.NumAckPending > 0 {
			k.t.Errorf("%v jobs: %d wait and %d are at work, %v", p, info.NumPending, info.NumAckPending, err)
		}
	}
}
