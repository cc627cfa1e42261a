package asr

import (
	"slices"
	"sort"
	"time"

	"glossa/audio"
)

// liveInbox is what has come for a session and was not taken up yet.
type liveInbox struct {
	pcm      []float32
	taken    int // samples of pcm that were taken up
	written  int // samples of the session
	marks    []liveMark
	closed   bool // there is a markClose
	answer   *hypothesis
	granted  bool
	arrivals []arrival
}

// liveMark is something to be done between two samples.
type liveMark struct {
	kind    markKind
	at      int // sample
	options liveOptions
}

type markKind uint8

const (
	markFinalize markKind = iota
	markUpdate
	markClose
)

// arrival is when sound came, up to a sample.
type arrival struct {
	upto int
	at   time.Time
}

// write adds samples.
func (b *liveInbox) write(pcm []float32) {
	if len(pcm) == 0 {
		return
	}
	if b.taken > audio.SampleRate && b.taken > len(b.pcm)/2 {
		b.pcm, b.taken = slices.Clone(b.pcm[b.taken:]), 0 // what was taken may still be in use
	}
	from := len(b.pcm)
	b.pcm = append(b.pcm, pcm...)
	for i, v := range b.pcm[from:] {
		if !(v > -1e6 && v < 1e6) {
			b.pcm[from+i] = 0
		}
	}
	b.written += len(pcm)
	now := time.Now()
	if n := len(b.arrivals); n > 1 && b.arrivals[n-1].upto-b.arrivals[n-2].upto < audio.HopLength {
		b.arrivals[n-1] = arrival{b.written, now}
		return
	}
	b.arrivals = append(b.arrivals, arrival{b.written, now})
}

// sound returns the samples that come next, at most a second of them, up to a mark, if there are any.
func (b *liveInbox) sound() []float32 {
	n := min(len(b.pcm)-b.taken, audio.SampleRate)
	if len(b.marks) > 0 {
		n = min(n, b.marks[0].at-(b.written-(len(b.pcm)-b.taken)))
	}
	if n == 0 {
		return nil
	}
	pcm := b.pcm[b.taken:][:n]
	if b.taken += n; b.taken == len(b.pcm) {
		b.pcm, b.taken = nil, 0
	}
	return pcm
}

// arrived returns when a sample came; !ok where that is long ago.
func (b *liveInbox) arrived(sample int) (at time.Time, ok bool) {
	i := sort.Search(len(b.arrivals), func(i int) bool { return b.arrivals[i].upto >= sample })
	if i == len(b.arrivals) {
		return at, false
	}
	return b.arrivals[i].at, true
}

// forget forgets when sound before a sample came.
func (b *liveInbox) forget(sample int) {
	n := sort.Search(len(b.arrivals), func(i int) bool { return b.arrivals[i].upto >= sample })
	switch {
	case n == len(b.arrivals):
		b.arrivals = nil
	case n > 64:
		b.arrivals = slices.Delete(b.arrivals, 0, n)
	}
}

// liveOutbox is the events that wait for Next.
type liveOutbox struct {
	events  []Event
	taken   int
	ready   chan struct{} // of capacity 1: there are events, or the session has ended
	dropped int64
}

// put adds an event, and reports whether there was room for it. A Partial takes the place of one just before, as a Lag does.
func (b *liveOutbox) put(e Event) bool {
	last := len(b.events) - 1
	if (e.Kind == Partial || e.Kind == Lag) && last >= b.taken && b.events[last].Kind == e.Kind && b.events[last].Segment == e.Segment {
		if e.Kind == Partial {
			b.dropped++
		}
		b.events[last] = e
		return true
	}
	if len(b.events)-b.taken >= maxEvents {
		return false
	}
	if b.taken > 0 && b.taken*2 >= len(b.events) {
		b.events = slices.Delete(b.events, 0, b.taken)
		b.taken = 0
	}
	b.events = append(b.events, e)
	signal(b.ready)
	return true
}

// take returns the first event.
func (b *liveOutbox) take() (e Event, ok bool) {
	if b.taken == len(b.events) {
		return e, false
	}
	e = b.events[b.taken]
	b.events[b.taken] = Event{}
	if b.taken++; b.taken == len(b.events) {
		b.events, b.taken = b.events[:0], 0
		if cap(b.events) > 64 {
			b.events = nil
		}
	}
	return e, true
}

// signal wakes who waits for a channel of capacity 1, now or later.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// samplesIn returns the number of samples in a duration.
func samplesIn(d time.Duration) int { return int(d.Seconds() * audio.SampleRate) }

// durationOf returns the duration of samples.
func durationOf(samples int) time.Duration {
	return time.Duration(samples) * time.Second / audio.SampleRate
}
