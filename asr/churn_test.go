package asr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"glossa/flora"
	"glossa/whisper/safetensors"
)

const (
	churnAdapters = 1000 // contents that come and go, each once
	churnRequests = churnAdapters / 2
	churnNames    = 12 // that they share
	churnInMemory = 6  // adapters in the budget
	churnWorkers  = 6
)

// churn is an engine whose adapters are loaded, replaced and unloaded while it serves.
type churn struct {
	t        *testing.T
	engine   *Engine
	requests []Request
	root     string

	mu      sync.Mutex
	seedOf  map[string]uint64 // by hash
	loaded  []weak.Pointer[flora.Adapter]
	results map[churnKey]*Result
	served  int
	missing int // requests for a name that was not there
	errors  int
}

// churnKey is a request under a version.
type churnKey struct {
	hash    string
	request int
}

// adapter returns the adapter of a seed: of all kinds, some of which begin at the decoder.
func (c *churn) adapter(name string, seed uint64) *flora.Adapter {
	kinds := flora.Kinds()
	target := flora.All
	if seed%5 == 0 {
		target = flora.DecoderOnly
	}
	return seeded(c.t, c.engine.model, name, kinds[seed%uint64(len(kinds))], target, seed)
}

// load loads the adapter of a seed, replacing one: from memory, or from a directory, at once or on demand.
func (c *churn) load(seed uint64) {
	name := fmt.Sprint("n", seed%churnNames)
	a := c.adapter(name, seed)
	switch seed / 6 % 2 { // all kinds either way
	case 0:
		dir := filepath.Join(c.root, fmt.Sprint(seed))
		if err := a.Write(dir, safetensors.F32); err != nil {
			c.t.Error(err)
			return
		}
		opened, err := flora.Open(dir) // LoRA's scale may round
		if err != nil {
			c.t.Error(err)
			return
		}
		c.note(opened.Hash, seed, nil)
		if seed%2 == 0 {
			err = c.engine.RegisterAdapter(name, dir)
		} else {
			_, err = c.engine.LoadAdapterDir(name, dir)
		}
		if err != nil && !errors.Is(err, ErrNotFound) { // another has replaced it
			c.t.Error(err)
		}
	default:
		info, err := c.engine.LoadAdapter(name, a)
		if err != nil && !errors.Is(err, ErrNotFound) {
			c.t.Error(err)
		}
		c.note(info.Hash, seed, a)
	}
	if seed%7 == 0 {
		if err := c.engine.UnloadAdapter(name); err != nil && !errors.Is(err, ErrNotFound) {
			c.t.Error(err)
		}
	}
}

func (c *churn) note(hash string, seed uint64, a *flora.Adapter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seedOf[hash] = seed
	if a != nil {
		c.loaded = append(c.loaded, weak.Make(a))
	}
}

// ask sends one request at random, by name, exact version or route, and notes the result. Some hang up.
func (c *churn) ask(rng *rand.Rand) {
	i := rng.IntN(len(c.requests))
	q := c.requests[i]
	q.Priority = Priority(rng.IntN(int(priorities)))
	q.Adapter = fmt.Sprint("n", rng.IntN(churnNames))
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	want := ""
	switch rng.IntN(12) {
	case 0:
		if info, err := c.engine.Adapter(q.Adapter); err == nil && info.Hash != "" {
			want = info.Hash
			q.Adapter += "@" + want[:16]
		}
	case 1:
		q.Adapter = Auto // that of the language
	case 2:
		q.Adapter = None
	case 3:
		time.AfterFunc(time.Duration(rng.IntN(3000))*time.Microsecond, cancel)
	}
	r, err := c.engine.Transcribe(ctx, q)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, ErrNotFound):
		c.missing++
	case errors.Is(err, ErrCancelled) && ctx.Err() != nil:
	case err != nil:
		c.t.Error(err)
		c.errors++
	case want != "" && r.AdapterHash != want:
		c.t.Errorf("asked for version %s, had %s", want, r.AdapterHash)
	case (q.Adapter == None) != (r.AdapterHash == ""):
		c.t.Errorf("asked for %s, had %q", q.Adapter, r.Adapter)
	default:
		c.served++
		c.check(churnKey{r.AdapterHash, i}, r)
	}
}

// check compares results of one request under one version with each other.
func (c *churn) check(k churnKey, r *Result) {
	r.Adapter, r.Encodes = "", 0
	if first := c.results[k]; first == nil {
		c.results[k] = r
	} else if !reflect.DeepEqual(first, r) {
		c.t.Errorf("request %d under version %s:\n%+v, and\n%+v", k.request, k.hash, first, r)
	}
}

// checkAlone compares every result with that of the version alone.
func (c *churn) checkAlone() {
	versions := make(map[string]bool)
	for k, r := range c.results {
		versions[k.hash] = true
		q := c.requests[k.request]
		var adapters []*flora.Adapter
		if q.Adapter = None; k.hash != "" {
			seed, ok := c.seedOf[k.hash]
			if !ok {
				c.t.Errorf("version %s was never loaded", k.hash)
				continue
			}
			a := c.adapter("alone", seed)
			adapters, q.Adapter = append(adapters, a), a.Name
		}
		e, err := New(c.engine.model, ops(c.engine).Backend(), adapters, nil, Options{})
		if err != nil {
			c.t.Fatal(err)
		}
		want, err := e.Transcribe(c.t.Context(), q)
		if err != nil {
			c.t.Fatal(err)
		}
		want.Adapter, want.Encodes = "", 0
		if !reflect.DeepEqual(r, want) {
			c.t.Errorf("request %d under version %s:\n%+v, alone\n%+v", k.request, k.hash, r, want)
		}
	}
	c.t.Logf("%d requests served under %d versions, %d different, %d for a name that was not there", c.served, len(versions), len(c.results), c.missing)
	if len(versions) < churnAdapters/10 {
		c.t.Errorf("%d versions were used: too few", len(versions))
	}
}

// TestChurn loads, replaces and unloads a thousand adapters of every kind, within the memory of a few,
// while requests from many goroutines name them, are routed to them and hang up: every text is that of
// the version that it was pinned to, alone; and when all is over, all memory is back.
func TestChurn(t *testing.T) {
	e, decoding := newChurned(t, Options{SchedulerOptions: SchedulerOptions{MaxWindows: 4}, Routes: Routes{Languages: map[string]string{"cs": "n3"}}})
	c := &churn{t: t, engine: e, root: t.TempDir(), seedOf: make(map[string]uint64), results: make(map[churnKey]*Result)}
	c.requests = []Request{
		chirp(300, 0.2, Request{Language: "cs", Decoding: decoding}), chirp(200, 1.5, Request{Language: "cs", Decoding: decoding}),
		chirp(400, 0.2, Request{Languages: []string{"cs"}, Decoding: decoding}),
	}
	budget := churnInMemory * c.adapter("x", 1).Bytes()
	o := e.options
	o.AdapterMemory = budget
	var err error
	if c.engine, err = New(e.model, ops(e).Backend(), nil, nil, o); err != nil {
		t.Fatal(err)
	}
	c.run()
	rest(c.engine)
	before := c.engine.bank.Stats()
	t.Logf("%+v, budget %d", before, budget)
	if before.Lowered == 0 || before.Bytes > budget+churnNames*c.adapter("x", 1).Bytes() {
		t.Errorf("%+v with a budget of %d", before, budget)
	}
	for _, a := range c.engine.Adapters() {
		if a.Pins != 0 || a.Retired {
			t.Errorf("behind all requests: %+v", a)
			continue
		}
		if err := c.engine.UnloadAdapter(a.Name); err != nil {
			t.Error(err)
		}
	}
	rest(c.engine)
	after := c.engine.bank.Stats()
	if after.Bytes != 0 || after.Versions != 0 || after.Names != 0 || len(c.engine.bank.Batch().Names()) != 0 || len(c.engine.tasks) != 0 {
		t.Errorf("behind all adapters: %+v, %v", after, c.engine.bank.Batch().Names())
	}
	runtime.GC()
	for _, a := range c.loaded {
		if a.Value() != nil {
			t.Error("an adapter is held by somebody")
			break
		}
	}
	c.checkAlone()
}

// run loads adapters as requests are done, two for each.
func (c *churn) run() {
	turns := make(chan struct{}, churnAdapters)
	var asked atomic.Int64
	var wait sync.WaitGroup
	for w := range uint64(churnWorkers) {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(w, 3))
			for asked.Add(1) <= churnRequests {
				c.ask(rng)
				for range churnAdapters / churnRequests {
					turns <- struct{}{}
				}
			}
		})
	}
	var seed atomic.Uint64
	for range 2 {
		wait.Go(func() {
			for {
				i := seed.Add(1) - 1
				if i >= churnAdapters {
					return
				}
				if i >= 2*churnNames { // a few to begin with
					<-turns
				}
				c.load(i)
			}
		})
	}
	wait.Wait()
}
