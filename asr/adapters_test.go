package asr

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor/cpu"
)

// seeded returns an adapter whose content hangs on its seed alone.
func seeded(tb testing.TB, m *whisper.Model, name string, k flora.Kind, target flora.Target, seed uint64) *flora.Adapter {
	tb.Helper()
	rng := rand.New(rand.NewPCG(seed, 11))
	a, err := flora.New(m, name, k, 1, target, rng)
	if err != nil {
		tb.Fatal(err)
	}
	_, mats := a.Params()
	for _, mat := range mats {
		for i := range mat.Data {
			mat.Data[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	a.BaseHash = "" // which is slow to compare a thousand times
	return a
}

// newChurned returns an engine without adapters for a model whose every logit hangs on all that its adapter
// does, and how its recordings are decoded so that all of them show.
func newChurned(tb testing.TB, o Options) (*Engine, Decoding) {
	tb.Helper()
	b, err := cpu.New(cpu.Options{Threads: 1}) // the other processors have requests and adapters to see to
	if err != nil {
		tb.Fatal(err)
	}
	e, err := New(goldentest.Tiny(tb, b, 1), b, nil, nil, o)
	if err != nil {
		tb.Fatal(err)
	}
	return e, Decoding{Temperatures: []float64{0}, NoSpeechThreshold: Off(), SampleLen: 4}
}

// rest waits until an engine has nothing to do.
func rest(e *Engine) {
	for {
		e.mu.Lock()
		running := e.running
		e.mu.Unlock()
		if running == nil {
			return
		}
		<-running
	}
}

// alone returns the result of a request under one adapter, in an engine that never had another.
func alone(t testing.TB, m *whisper.Model, from *Engine, a *flora.Adapter, q Request) *Result {
	t.Helper()
	e, err := New(m, ops(from).Backend(), []*flora.Adapter{a}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	q.Adapter = a.Name
	r := transcribe(t, e, q)[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r
}

// TestRequestInFlightKeepsItsAdapter: a request in flight got another adapter after a load. A recording
// of several windows under an adapter that is replaced and unloaded behind its first is what it is alone.
func TestRequestInFlightKeepsItsAdapter(t *testing.T) {
	e, decoding := newChurned(t, Options{})
	first, second := seeded(t, e.model, "x", flora.FLoRA, flora.All, 1), seeded(t, e.model, "x", flora.FLoRA, flora.All, 2)
	q := chirp(300, 5, Request{Language: "en", Adapter: "x", Decoding: decoding})
	want := alone(t, e.model, e, first, q)
	after := alone(t, e.model, e, second, q)
	before, err := e.LoadAdapter("x", first)
	if err != nil {
		t.Fatal(err)
	}
	nWindow := 0
	e.Watch(func([]whisper.Utterance) {
		switch nWindow++; nWindow {
		case 2:
			if _, err := e.LoadAdapter("x", second); err != nil {
				t.Error(err)
			}
		case 3:
			if err := e.UnloadAdapter("x"); err != nil {
				t.Error(err)
			}
			if _, err := e.LoadAdapter("y", second); err != nil {
				t.Error(err)
			}
		}
	}, func([]whisper.Utterance, []whisper.Decoded) {})
	r := transcribe(t, e, q)[0]
	if nWindow < 4 || !reflect.DeepEqual(r, want) || r.AdapterHash != before.Hash || r.Adapter != "x" {
		t.Errorf("%d windows:\n%+v, alone\n%+v", nWindow, r, want)
	}
	if err := e.Check(q); !errors.Is(err, ErrNotFound) || !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("a request for an unloaded adapter: %v", err)
	}
	q.Adapter = "y"
	after.Adapter = "y"
	if reflect.DeepEqual(want.Segments, after.Segments) || want.Segments[1].AvgLogProb == after.Segments[1].AvgLogProb {
		t.Error("the test's adapters are one")
	}
	if r := transcribe(t, e, q)[0]; !reflect.DeepEqual(r, after) {
		t.Errorf("the new version:\n%+v, alone\n%+v", r, after)
	}
}

// TestSameNameNewWeightsSameAudio: the same name with new weights used a stale cache. The same recording
// under one name has what each version alone gives.
func TestSameNameNewWeightsSameAudio(t *testing.T) {
	e, decoding := newChurned(t, Options{})
	q := chirp(300, 1, Request{Language: "en", Adapter: "x", Timestamps: true, Words: &usual, Decoding: decoding})
	for seed := range uint64(5) {
		a := seeded(t, e.model, "x", flora.Kinds()[seed], flora.All, seed)
		info, err := e.LoadAdapter("x", a)
		if err != nil {
			t.Fatal(err)
		}
		want := alone(t, e.model, e, a, q)
		if r := transcribe(t, e, q)[0]; r.AdapterHash != info.Hash || !reflect.DeepEqual(r, want) {
			t.Errorf("version %d:\n%+v, alone\n%+v", seed, r, want)
		}
	}
	rest(e)
	if n := e.bank.Stats().Versions; n != 1 {
		t.Errorf("%d versions are left, want 1", n)
	}
}

// TestKeysAndValuesAreNotShared: K/V were shared across adapters. The same sound under many adapters and
// none, all in one batch, has the text that it has under each alone.
func TestKeysAndValuesAreNotShared(t *testing.T) {
	e, decoding := newChurned(t, sized(16, 6000))
	base := chirp(300, 1, Request{Language: "en", Adapter: None, Decoding: decoding})
	requests, want := []Request{base}, []*Result{transcribe(t, e, base)[0]}
	for i, k := range flora.Kinds() {
		a := seeded(t, e.model, string(k), k, flora.All, uint64(i))
		if _, err := e.LoadAdapter(a.Name, a); err != nil {
			t.Fatal(err)
		}
		q := base
		q.Adapter = a.Name
		requests, want = append(requests, q, base), append(want, alone(t, e.model, e, a, q), want[0])
	}
	for i, r := range transcribe(t, e, requests...) {
		if !reflect.DeepEqual(r, want[i]) {
			t.Errorf("adapter %q:\n%+v, alone\n%+v", requests[i].Adapter, r, want[i])
		}
	}
}

// TestUnknownAdapterIsNotFound: adapter index -1 aliased adapter 0. An adapter that is not there is an
// error, by name, by version and by route, and never the base model nor another adapter.
func TestUnknownAdapterIsNotFound(t *testing.T) {
	routes := Routes{Languages: map[string]string{"french": "gone"}, Clients: map[string]ClientRoutes{"acme": {Default: "lost"}}}
	e := newEngine(t, true, Options{Routes: routes})
	hash := e.Adapters()[0].Hash
	for _, q := range []Request{
		{Language: "en", Adapter: "hi"}, {Language: "en", Adapter: "cs@"}, {Language: "en", Adapter: "cs@0000"}, {Language: "en", Adapter: "de@" + hash},
		{Language: "fr"}, {Language: "cs", Client: "acme"}, {Languages: []string{"fr"}}, {Languages: []string{"fr"}, SwitchLanguage: true},
		speechAt(Request{Languages: []string{"fr"}}, [2]float64{0, 1}, [2]float64{2, 3}),
	} {
		r := transcribe(t, e, chirp(300, 3, q))[0]
		if !errors.Is(r.Err, ErrNotFound) || !errors.Is(r.Err, flora.ErrUnknown) || r.Text != "" {
			t.Errorf("%+v: %+v, %v", q, r, r.Err)
		}
	}
	for _, name := range []string{"cs@" + hash, "cs@" + hash[:8]} {
		if r := transcribe(t, e, chirp(300, 1, Request{Language: "en", Adapter: name}))[0]; r.Err != nil || r.Adapter != "cs" || r.AdapterHash != hash {
			t.Errorf("%s: %+v, %v", name, r, r.Err)
		}
	}
	rest(e)
	if n := len(e.tasks); n > 0 {
		t.Errorf("%d recordings are left", n)
	}
	for _, a := range e.Adapters() {
		if a.Pins != 0 {
			t.Errorf("%+v", a)
		}
	}
	for _, name := range []string{Auto, None, ""} {
		if _, err := e.LoadAdapter(name, newAdapter(t, e.model, "x", flora.LoRA)); !errors.Is(err, ErrInvalid) {
			t.Errorf("an adapter called %q: %v", name, err)
		}
	}
}

// TestRefusedRequestsLeaveNoPins checks that an adapter is let go by a request that is refused, cancelled,
// or whose sound cannot be read.
func TestRefusedRequestsLeaveNoPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sized(1, 0)
		o.MaxQueue, o.Ahead = 1, 1
		e, _ := newFakeEngine(t, o)
		if _, err := e.LoadAdapter("x", newAdapter(t, e.model, "x", flora.LoRA)); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		for i := range 8 {
			q := chirp(300, 1, Request{Language: "fr", Adapter: "x"})
			if i%3 == 0 {
				q.Audio = func() ([]float32, error) { return nil, errFake }
			}
			wait.Go(func() { _, _ = e.Transcribe(t.Context(), q) })
		}
		time.Sleep(time.Second)
		e.Close()
		wait.Wait()
		if i, _ := e.Adapter("x"); i.Pins != 0 || i.Requests != 8 {
			t.Errorf("%+v", i)
		}
	})
}

// slowFS is a directory that takes a time to open.
type slowFS struct {
	fs.FS
	cost time.Duration
}

func (s slowFS) Open(name string) (fs.File, error) {
	time.Sleep(s.cost)
	return s.FS.Open(name)
}

// TestColdAdapterHindersNobody checks that while adapters are opened, for a request each that wants one,
// all others are served as if there were none of them, and that those are served when theirs are there.
func TestColdAdapterHindersNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFakeEngine(t, sized(2, 0))
		dir := filepath.Join(t.TempDir(), "x")
		if err := seeded(t, e.model, "x", flora.LoRA, flora.All, 1).Write(dir, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		begin := time.Now()
		for _, name := range []string{"a", "b", "c"} {
			if err := e.bank.RegisterFS(name, slowFS{os.DirFS(dir), time.Second}, name); err != nil {
				t.Fatal(err)
			}
			wait.Go(func() {
				r, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "en", Adapter: name, Priority: Live}))
				if took := time.Since(begin); err != nil || r.Adapter != name || took < 5*time.Second {
					t.Errorf("%+v, %v after %v", r, err, took)
				}
			})
		}
		synctest.Wait()
		for i := range 10 {
			was := time.Now()
			if _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "en"})); err != nil {
				t.Error(err)
			}
			if took, free := time.Since(was), fakeEncode+10*fakeStep; took > free {
				t.Errorf("request %d took %v, %v where nobody waits for an adapter", i, took, free)
			}
		}
		wait.Wait()
		synctest.Wait()
		if s := e.bank.Stats(); s.Versions != 1 || s.Names != 3 || s.OnDevice != 1 || len(e.tasks) != 0 {
			t.Errorf("%+v, %d recordings are left", s, len(e.tasks))
		}
	})
}

// TestBrokenAdapterFailsItsRequestsAlone checks that what cannot be opened is the error of those who
// asked for it.
func TestBrokenAdapterFailsItsRequestsAlone(t *testing.T) {
	e := newEngine(t, true, Options{Routes: Routes{ByName: true}})
	dir := filepath.Join(t.TempDir(), "fr")
	if err := seeded(t, e.model, "fr", flora.LoRA, flora.All, 1).Write(dir, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, flora.TensorFile), 99); err != nil {
		t.Fatal(err)
	}
	if _, err := e.LoadAdapterDir("fr", dir); !errors.Is(err, ErrInvalid) || !errors.Is(err, flora.ErrInvalid) {
		t.Errorf("loaded at once: %v", err)
	}
	if err := e.RegisterAdapter("fr", filepath.Join(dir, "nowhere")); !errors.Is(err, ErrInvalid) {
		t.Errorf("registered without a directory: %v", err)
	}
	if err := e.RegisterAdapter("fr", dir); err != nil {
		t.Fatal(err)
	}
	results := transcribe(t, e, chirp(300, 1, Request{Language: "cs"}), chirp(300, 1, Request{Language: "fr"}), chirp(300, 1, Request{Languages: []string{"fr"}}),
		chirp(300, 1, Request{Language: "en"}), speechAt(chirp(300, 4, Request{Language: "fr"}), [2]float64{0, 1}, [2]float64{2, 3.5}))
	for i, broken := range []bool{false, true, true, false, true} {
		if err := results[i].Err; broken != (err != nil) || broken && (!errors.Is(err, ErrInternal) || !errors.Is(err, flora.ErrInvalid)) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	rest(e)
	if i, err := e.Adapter("fr"); err != nil || i.Pins != 0 || i.Tier != flora.OnDisk || len(e.tasks) != 0 {
		t.Errorf("%+v, %v; %d recordings are left", i, err, len(e.tasks))
	}
	if err := e.UnloadAdapter("fr"); err != nil || e.AdapterOf("fr") != "" || e.AdapterOf("cs") != "cs" {
		t.Errorf("%v; routes to %q and %q", err, e.AdapterOf("fr"), e.AdapterOf("cs"))
	}
}
