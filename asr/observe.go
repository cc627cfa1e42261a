package asr

import (
	"errors"
	"time"

	"glossa/whisper"
)

// Observer is told what an engine does, in the manner of httptrace.ClientTrace: each function may be nil.
// They are called on the engine's goroutine, and must neither wait nor call the engine; an engine without an observer pays nothing
// for them.
type Observer struct {
	// Waited tells how long a request waited, from when it came until the engine first encoded sound of it.
	Waited func(p Priority, wait time.Duration)

	// Encoded tells of an encoder batch.
	Encoded func(Encoded)

	// Stepped tells of a step of the decoding batch.
	Stepped func(Stepped)

	// FellBack tells that a window is decoded again, at a higher temperature.
	FellBack func(Fallback)

	// Silent tells that a window was taken for silence.
	Silent func()

	// Device tells of what befalls a device.
	Device func(DeviceEvent)

	// Finished tells of a request that has ended: with a text, with what is wrong with its sound, cancelled, or refused because too
	// many wait. One that Check finds wrong is not told.
	Finished func(Finished)
}

// Encoded is an encoder batch.
type Encoded struct {
	Device   string
	Windows  int
	Adapters int // distinct ones, the base model not counted
	Duration time.Duration
}

// Stepped is a step of the decoding batch.
type Stepped struct {
	Device   string
	Rows     int // hypotheses
	Windows  int
	Adapters int // distinct ones, the base model not counted
	Duration time.Duration
}

// Fallback is the reason why a window is decoded again.
type Fallback string

// The reasons. A window that has both is told by the first, as upstream tests them.
const (
	FallbackCompressionRatio Fallback = "compression_ratio"
	FallbackLogProb          Fallback = "log_prob"
)

// Finished is a request that has ended.
type Finished struct {
	Language, Adapter string  // of its first window, "" where it came to none; adapter "" for the base model
	Audio             float64 // seconds of its sound, 0 where it was not read
	Priority          Priority
	Client            string
	Err               error
	Duration          time.Duration // from when it came
}

// observed is what an observer and Load are told of a job.
type observed struct {
	came  time.Time // where there is an observer
	begun bool      // something of it was encoded
	sound float64   // seconds, 0 until it was read
}

// observes returns the time where the engine has an observer.
func (e *Engine) observes() (now time.Time) {
	if e.options.Observer != nil {
		now = time.Now()
	}
	return now
}

// observedFrom notes when a job came, and returns what is called with its result: done, with the observer told before.
func (e *Engine) observedFrom(j *job, done func(*Result)) func(*Result) {
	j.observed.came = e.observes()
	if e.options.Observer == nil {
		return done
	}
	return func(r *Result) {
		e.observeFinished(j, r)
		done(r)
	}
}

func (e *Engine) observeFinished(j *job, r *Result) {
	o := e.options.Observer
	if o == nil || o.Finished == nil {
		return
	}
	o.Finished(Finished{
		Language: r.Language, Adapter: r.Adapter, Audio: r.Duration, Err: r.Err,
		Priority: j.checked.request.Priority, Client: j.checked.request.Client, Duration: time.Since(j.observed.came),
	})
}

// observeWait tells of the requests that an encoder batch is the first of.
func (e *Engine) observeWait(rs []*recording) {
	now := e.observes()
	for _, r := range rs {
		if seen := &r.job.observed; !seen.begun {
			seen.begun = true
			if o := e.options.Observer; o != nil && o.Waited != nil {
				o.Waited(r.request.Priority, now.Sub(seen.came))
			}
		}
	}
}

// observeEncoded tells of an encoder batch and how long it took.
func (e *Engine) observeEncoded(s *station, rs []*recording, took time.Duration) {
	o := e.options.Observer
	if o == nil || o.Encoded == nil {
		return
	}
	d := Encoded{Device: s.name, Windows: len(rs), Duration: took}
	var seen adapterSet
	for _, r := range rs {
		seen.add(r.window.adapter)
	}
	d.Adapters = len(seen)
	o.Encoded(d)
}

// stepped returns what is told of the step that a device is about to take.
func (e *Engine) stepped(s *station) (d Stepped) {
	if o := e.options.Observer; o == nil || o.Stepped == nil || len(s.tickets) == 0 {
		return d
	}
	d = Stepped{Device: s.name, Rows: s.rows(), Windows: len(s.tickets)}
	var seen adapterSet
	for _, r := range s.tickets {
		seen.add(r.window.adapter)
	}
	d.Adapters = len(seen)
	return d
}

// observeStepped tells of it, with how long it took.
func (e *Engine) observeStepped(d Stepped, took time.Duration) {
	if d.Windows > 0 {
		d.Duration = took
		e.options.Observer.Stepped(d)
	}
}

// observeDecoded tells what was thought of a decoded window, which needs next next.
func (e *Engine) observeDecoded(r *recording, d whisper.Decoded, next Phase) {
	o := e.options.Observer
	switch {
	case o == nil || d.Err != nil:
	case next == ToDecode && o.FellBack != nil:
		reason := FallbackLogProb
		if d.CompressionRatio > r.decoding.CompressionRatioThreshold {
			reason = FallbackCompressionRatio
		}
		o.FellBack(reason)
	case next == ToEncode && o.Silent != nil && r.decoding.silent(d):
		o.Silent()
	}
}

// adapterSet are the indices of adapters, the base model's not among them. There are few.
type adapterSet []int32

func (s *adapterSet) add(index int32) {
	for _, have := range *s {
		if have == index {
			return
		}
	}
	if index != 0 {
		*s = append(*s, index)
	}
}

// Load is what an engine has to do at a moment.
type Load struct {
	// Requests are those that were taken and have not ended, Queued those of them of which nothing was encoded
	// yet, and QueuedAudio the seconds of sound of the latter, as far as it was read.
	Requests    int     `json:"requests"`
	Queued      int     `json:"queued"`
	QueuedAudio float64 `json:"queued_audio_seconds"`

	// Windows are those in the decoding batches, of each device in the order in which they entered it; MaxWindows is the
	// greatest number of them, those of live windows included.
	Windows    []WindowLoad `json:"windows"`
	MaxWindows int          `json:"max_windows"`

	// Memory is the number of bytes of all windows that have a place, MaxMemory the greatest.
	Memory    int `json:"memory_bytes"`
	MaxMemory int `json:"max_memory_bytes"`

	// Devices are those of the engine, in the order of their numbers.
	Devices []DeviceLoad `json:"devices"`

	// Stopped says that the engine was closed, or is at fault.
	Stopped bool `json:"stopped"`
}

// WindowLoad is a window in the decoding batch of a device.
type WindowLoad struct {
	Device   string `json:"device"`
	Language string `json:"language"`
	Adapter  string `json:"adapter"` // "" for the base model
	Priority string `json:"priority"`
	Attempt  int    `json:"attempt"` // 0 at the first temperature
}

// Load returns what the engine has to do. With one device it waits for the end of the encoder batch or the step that
// the engine is at.
func (e *Engine) Load() Load {
	told := make(chan Load, 1)
	if err := e.send(func() { told <- e.snapshot() }); err != nil {
		return Load{Windows: []WindowLoad{}, Stopped: errors.Is(err, errStopped)}
	}
	return <-told
}

// snapshot is Load on the engine's goroutine.
func (e *Engine) snapshot() Load {
	l := Load{Windows: []WindowLoad{}}
	seen := make(map[*job]bool)
	for _, r := range e.tasks {
		if j := r.job; !j.ended && !seen[j] {
			seen[j] = true
			l.Requests++
			if !j.observed.begun {
				l.Queued++
				l.QueuedAudio += j.observed.sound
			}
		}
	}
	for _, s := range e.stations {
		e.addLoad(&l, s)
	}
	return l
}

// Err returns why the engine is of no more use, nil while it is: ErrCancelled where it was closed, ErrInternal after a fault of the
// device. It does not wait.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}
