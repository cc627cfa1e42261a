package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// entry is what the index keeps of a record.
type entry struct {
	id, client, model string
	state             asr.JobState
	priority          asr.Priority
	gone              bool // not in the index any more
	audio, done       float64
	created           int64 // nanoseconds since 1970
	written           int64 // likewise
	revision          uint64
	sequence          uint64 // of its message
}

// compare orders entries by age, the oldest first.
func (e *entry) compare(of *entry) int {
	return cmp.Or(cmp.Compare(e.created, of.created), strings.Compare(e.id, of.id))
}

// index holds a little of every record, as one watcher of the bucket and this process's own writes tell it. It begins to do so when it is
// first asked for something.
type index struct {
	js   jetstream.JetStream
	kept time.Duration // how long final records are there
	log  *slog.Logger

	ctx   context.Context
	close context.CancelFunc

	mu       sync.Mutex
	started  bool
	loaded   chan struct{} // closed when all records have been seen
	byID     map[string]*entry
	byAge    []*entry // the oldest first, where sorted
	sorted   bool
	gone     int // entries of byAge that are
	pruned   time.Time
	interned map[string]string
}

func newIndex(js jetstream.JetStream, kept time.Duration, log *slog.Logger) *index {
	x := &index{js: js, kept: kept, log: log, loaded: make(chan struct{}), sorted: true,
		byID: make(map[string]*entry), interned: make(map[string]string)}
	x.ctx, x.close = context.WithCancel(context.Background())
	return x
}

// ready waits until all records have been seen.
func (x *index) ready(ctx context.Context) error {
	x.mu.Lock()
	if !x.started {
		x.started = true
		go x.run()
	}
	x.mu.Unlock()
	select {
	case <-x.loaded:
		return nil
	case <-ctx.Done():
		return brokerError("list the jobs", ctx.Err())
	case <-x.ctx.Done():
		return brokerError("list the jobs", x.ctx.Err())
	}
}

// run watches the bucket until the index or its connection is closed.
func (x *index) run() {
	for wait := 100 * time.Millisecond; x.ctx.Err() == nil && !x.js.Conn().IsClosed(); wait = min(2*wait, 5*time.Second) {
		if err := x.watch(); err != nil && x.ctx.Err() == nil {
			x.log.Warn("the records of jobs cannot be watched", "error", err)
		}
		select {
		case <-x.ctx.Done():
		case <-time.After(wait):
		}
	}
}

// watch watches the bucket for as long as that goes well. The consumer comes back by itself after a break, and goes on where it was.
func (x *index) watch() error {
	consumer, err := x.js.OrderedConsumer(x.ctx, "KV_"+bucketJobs, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"$KV." + bucketJobs + ".>"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(x.take, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		x.log.Debug("watching the records of jobs", "error", err)
	}))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		x.setLoaded()
	}
	select {
	case <-x.ctx.Done():
	case <-consuming.Closed():
	}
	return nil
}

func (x *index) setLoaded() {
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.loaded:
	default:
		close(x.loaded)
	}
}

// take puts what the watcher tells into the index.
func (x *index) take(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		x.log.Error("a record of a job has no metadata", "error", err)
		return
	}
	id := strings.TrimPrefix(m.Subject(), "$KV."+bucketJobs+".")
	h := m.Headers()
	var r record
	switch {
	case h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != "":
		x.remove(id, meta.Sequence.Stream)
	case json.Unmarshal(m.Data(), &r) != nil || r.ID != id:
		x.log.Error("the record of a job is not understood", "job", id)
	default:
		r.revision = meta.Sequence.Stream
		x.put(&r, meta.Timestamp)
	}
	if meta.NumPending == 0 {
		x.setLoaded()
	}
}

// put takes a record that was written at a time, unless a newer one is there.
func (x *index) put(r *record, written time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.started {
		return
	}
	e := x.byID[r.ID]
	if e != nil && e.revision >= r.revision {
		return
	}
	if e == nil || e.created != r.Created.UnixNano() {
		if e != nil {
			x.drop(e)
		}
		e = &entry{id: strings.Clone(r.ID), created: r.Created.UnixNano()}
		x.byID[e.id] = e
		x.sorted = x.sorted && (len(x.byAge) == 0 || x.byAge[len(x.byAge)-1].compare(e) < 0)
		x.byAge = append(x.byAge, e)
	}
	e.client, e.model, e.state = x.intern(r.Client), x.intern(r.Model), asr.JobState(x.intern(string(r.State)))
	e.priority, e.audio, e.done = r.Priority, r.Audio, r.Done
	e.written, e.revision, e.sequence = written.UnixNano(), r.revision, r.Sequence
}

// intern returns one copy of texts that many records share. The lock is held.
func (x *index) intern(s string) string {
	if of, ok := x.interned[s]; ok {
		return of
	}
	if len(x.interned) > 10_000 {
		clear(x.interned)
	}
	s = strings.Clone(s)
	x.interned[s] = s
	return s
}

// remove takes a record out that was there before a revision.
func (x *index) remove(id string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if e := x.byID[id]; e != nil && e.revision < revision {
		x.drop(e)
	}
}

// drop takes an entry out. The lock is held.
func (x *index) drop(e *entry) {
	e.gone = true
	x.gone++
	delete(x.byID, e.id)
}

// entries returns all entries, the oldest first. The lock is held, and must be while they are looked at.
func (x *index) entries() []*entry {
	if now := time.Now(); now.Sub(x.pruned) > time.Minute {
		x.pruned = now
		for _, e := range x.byAge {
			if !e.gone && e.state.Final() && now.UnixNano()-e.written > int64(x.kept) {
				x.drop(e)
			}
		}
	}
	if x.gone > 0 {
		x.byAge = slices.DeleteFunc(x.byAge, func(e *entry) bool { return e.gone })
		x.gone = 0
	}
	if !x.sorted {
		slices.SortFunc(x.byAge, (*entry).compare)
		x.sorted = true
	}
	return x.byAge
}

// find returns the newest entries that are behind another in the list, and which take returns true for.
func (x *index) find(after *entry, limit int, take func(*entry) bool) []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := x.entries()
	end := len(all)
	if after != nil {
		end, _ = slices.BinarySearchFunc(all, after, (*entry).compare)
	}
	var found []entry
	for i := end - 1; i >= 0 && len(found) < limit; i-- {
		if take(all[i]) {
			found = append(found, *all[i])
		}
	}
	return found
}
