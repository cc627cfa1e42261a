package asr

import (
	"context"
	"fmt"
	"sync"
	"time"

	"glossa/audio"
	"glossa/whisper"
)

// Policy says which part of what is heard of unfinished speech is committed: shown as text that never
// changes any more.
type Policy string

// The policies.
const (
	// LocalAgreement commits the longest prefix that two hypotheses in a row agree on (Liu et al. 2020,
	// LocalAgreement-2, as Macháček et al. 2023 use it with Whisper).
	LocalAgreement Policy = "localagreement2"

	// AlignAtt commits the tokens whose attention is on sound that is not the newest (Papi et al. 2023).
	AlignAtt Policy = "alignatt"
)

// ListenOptions say how a live session listens. The zero value detects the language, takes its adapter
// and commits by LocalAgreement.
type ListenOptions struct {
	// Language, Languages, Adapter, Client and Task are those of a [Request]. The language is detected
	// anew after each endpoint where it is Auto.
	Language  string
	Languages []string
	Adapter   string
	Client    string
	Task      string

	// Hotwords are words to expect, Prompt is text that goes before the first words. The default value is "": none.
	Hotwords, Prompt string

	// Unconditioned decodes the buffer without the text before it. It has no effect on a model that was trained on windows that end
	// where their sound does, and without text before them (Dims.Unpadded): that is always decoded so. Prompt and
	// Hotwords are told in any case.
	Unconditioned bool

	// Policy says what is committed. The default value is "": LocalAgreement.
	Policy Policy

	// NoPartials leaves out Partial events: text comes with Final events alone.
	NoPartials bool

	// Words asks for the times of words in Final events.
	Words bool

	// Endpointing is the silence that ends a segment. The default value is 0: 600 ms.
	Endpointing time.Duration

	// Step is how much new sound there has to be between two hypotheses. The default value is 0: 300 ms,
	// and more while the engine is behind.
	Step time.Duration

	// MaxBuffer is the longest sound that is decoded again and again. The default value is 0: 20 s, or the
	// model's window less a second where that is shorter.
	MaxBuffer time.Duration

	// MaxQueued is how much sound may wait to be heard before Write is refused with ErrBusy. The default value is 0: 60 s.
	MaxQueued time.Duration

	// Detector returns what tells speech from silence. The default value is nil: [audio.NewLongTermDetector].
	Detector func() audio.Detector
}

// EventKind names what an [Event] tells.
type EventKind uint8

// The kinds of events. Those that carry a Seq are SpeechStarted, Partial, Final and UtteranceEnd.
const (
	SpeechStarted EventKind = iota // Start is where
	Partial                        // Committed and Tentative of a segment that goes on
	Final                          // Text and Words of a segment, or of the part of a long one that is done with
	UtteranceEnd                   // follows a Final with SpeechFinal: nobody speaks any more, or Finalize said so; End is where the last word ended
	Lag                            // Behind: text is later than it should be, or is not any more
	Failed                         // Err: a segment that could not be decoded, and has no text; the session goes on
	Done                           // the last event: all of the sound that was written was heard; Segment is the number of segments
)

// String returns the name of the kind.
func (k EventKind) String() string {
	return [...]string{"speech started", "partial", "final", "utterance end", "lag", "failed", "done"}[k]
}

// Event is what a session tells of its sound. Times are seconds from the session's beginning.
type Event struct {
	Kind    EventKind
	Seq     int64 // greater than that of every event before
	Segment int   // counts from 0; a Final with SpeechFinal, or Failed, is the last of its segment

	// Committed is all text of the segment, since its last Final, that will not change; the Text of its next
	// Final begins with it. Tentative is what is behind it, by the newest hypothesis. Both keep the spaces
	// between words: their concatenation is the text, as that of the Texts of a segment's Finals is the segment's.
	Committed, Tentative string

	Text        string // "" where what was taken for speech was none
	Words       []Word
	Start, End  float64 // of the sound of the text
	Language    string
	Adapter     string // "" for the base model
	AvgLogProb  float64
	SpeechFinal bool // the segment ended in silence, by Finalize, or with the sound

	Heard  float64       // seconds of sound that all of the session's text so far, committed or not, is from
	Acked  float64       // seconds of sound that is needed no more: all in it is in Final events
	Behind time.Duration // Lag: how long ago sound came that is not heard yet; small in the Lag that tells that it is over
	Err    error

	// Finalized says of a Final, or of a Failed in its place, that Finalize ended its segment. Where nobody spoke then, its Text is "".
	Finalized bool

	// Latency is how long ago the sound came in which the newest committed word of a Partial or Final ends; 0 where none is new.
	Latency time.Duration

	sounded int // frame in which that word ends, 0 where none is new
}

// Session turns sound that comes little by little into text. Write, Finalize, Update, Wait and CloseWrite may be
// called from one goroutine while another calls Next, and Close and Dropped from any.
//
// Its laws: committed text never changes; Seq rises; sound is never dropped; while nobody calls Next, a newer
// Partial takes the place of an older one, and nothing else is lost; after CloseWrite comes Done. A session that nobody writes to has
// no goroutine, and no memory of sound.
type Session struct {
	hearer  hearer
	check   func(Request) error
	model   *whisper.Model
	tables  *audio.Extractor
	speaker speaker
	stop    func() bool // of what watches the context

	mu      sync.Mutex
	options ListenOptions
	working bool // there is a goroutine
	inbox   liveInbox
	outbox  liveOutbox
	cancel  func()        // what is being heard, nil where nothing is
	heard   int           // samples up to which all was heard
	room    chan struct{} // of capacity 1: heard has grown, or the session has ended
	ended   error         // why it is over: io.EOF behind Done

	// Of the goroutine that works.
	core   liveCore
	sound  *liveSound // nil before sound comes
	mel    audio.Mel  // of what is being heard
	number int        // of the segment that has the speaker's place
	lag    liveLag
}

// Bounds of what waits, beside sound.
const (
	maxEvents = 10_000 // for Next
	maxMarks  = 1_000  // calls of Finalize and Update
)

// Listen begins a session, which ends with ctx, by Close or after its Done event. The errors are ErrInvalid,
// ErrNotFound, ErrCancelled and ErrInternal.
func (e *Engine) Listen(ctx context.Context, o ListenOptions) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))
	}
	return listen(ctx, o, &Session{hearer: e, check: e.Check, model: e.model, tables: e.tables, speaker: speaker{of: e.speakers}})
}

// listen begins a session with what an engine, or a test, gives it.
func listen(ctx context.Context, o ListenOptions, s *Session) (*Session, error) {
	core, err := s.coreOptions(&o)
	if err != nil {
		return nil, err
	}
	s.options, s.room, s.outbox.ready = o, make(chan struct{}, 1), make(chan struct{}, 1)
	t := s.model.Tokenizer
	s.core = liveCore{liveOptions: core, nTextCtx: s.model.Dims.NTextCtx, decode: t.Decode}
	s.speaker.granted = s.grant
	s.stop = context.AfterFunc(ctx, func() { s.end(fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))) })
	return s, nil
}

// Write adds samples at 16 kHz, which it copies; what is not finite, or beyond ±1e6, counts as silence. It does not wait. The
// errors are ErrBusy where more than MaxQueued would wait to be heard, of which then nothing is taken, ErrInvalid for more
// than MaxQueued at once and behind CloseWrite, and ErrCancelled after the session's end.
func (s *Session) Write(pcm []float32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := samplesIn(s.options.MaxQueued)
	switch {
	case s.ended != nil:
		return s.over()
	case s.inbox.closed:
		return fmt.Errorf("%w: sound behind the end of the sound", ErrInvalid)
	case len(pcm) > most:
		return fmt.Errorf("%w: %d samples at once, at most %d may wait", ErrInvalid, len(pcm), most)
	case s.inbox.written-s.heard+len(pcm) > most:
		return fmt.Errorf("%w: %v of sound wait to be heard", ErrBusy, durationOf(s.inbox.written-s.heard))
	}
	s.inbox.write(pcm)
	s.work()
	return nil
}

// Wait waits until Write would take so many samples. The errors are ErrInvalid where it never does, and ErrCancelled.
func (s *Session) Wait(ctx context.Context, samples int) error {
	for {
		s.mu.Lock()
		most := samplesIn(s.options.MaxQueued)
		ended, fits := s.ended, s.inbox.written-s.heard+samples <= most
		s.mu.Unlock()
		switch {
		case ended != nil:
			return s.over()
		case samples > most:
			return fmt.Errorf("%w: %d samples at once, at most %d may wait", ErrInvalid, samples, most)
		case fits:
			return nil
		}
		select {
		case <-s.room:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))
		}
	}
}

// Finalize ends the segment where the sound ends so far: its Final, which is Finalized, comes as soon as it is decoded, and
// one without text where nobody speaks. The errors are those of Write, ErrBusy where 1,000 such calls wait.
func (s *Session) Finalize() error { return s.mark(liveMark{kind: markFinalize}) }

// Update changes Language, Languages, Adapter, Task, Hotwords, Prompt, Unconditioned, NoPartials, Words and Endpointing for what begins after the
// present segment. The errors are those of Listen and Finalize.
func (s *Session) Update(o ListenOptions) error {
	s.mu.Lock()
	o.Client, o.Policy, o.Step, o.MaxBuffer, o.MaxQueued = s.options.Client, s.options.Policy, s.options.Step, s.options.MaxBuffer, s.options.MaxQueued
	s.mu.Unlock()
	core, err := s.coreOptions(&o)
	if err != nil {
		return err
	}
	return s.mark(liveMark{kind: markUpdate, options: core})
}

// CloseWrite says that no more sound comes. Text of all that was written comes, and then Done. The errors are ErrInvalid where it was called
// before, and ErrCancelled after the session's end.
func (s *Session) CloseWrite() error { return s.mark(liveMark{kind: markClose}) }

// mark notes something where the sound ends so far.
func (s *Session) mark(m liveMark) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended != nil:
		return s.over()
	case s.inbox.closed:
		return fmt.Errorf("%w: nothing may follow the end of the sound", ErrInvalid)
	case len(s.inbox.marks) >= maxMarks && m.kind != markClose:
		return fmt.Errorf("%w: %d calls of Finalize and Update wait", ErrBusy, maxMarks)
	}
	m.at = s.inbox.written
	s.inbox.marks, s.inbox.closed = append(s.inbox.marks, m), m.kind == markClose
	s.work()
	return nil
}

// Next returns the next event, and waits for it. The error is io.EOF after Done, ErrCancelled where ctx or the
// session's own ended, the engine was closed or Close was called, ErrBusy where more than 10,000 events have waited for it, or ErrInternal.
func (s *Session) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		e, ok := s.outbox.take()
		ended := s.ended
		s.mu.Unlock()
		switch {
		case ok:
			return e, nil
		case ended != nil:
			return Event{}, ended
		}
		select {
		case <-s.outbox.ready:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("%w: %w", ErrCancelled, context.Cause(ctx))
		}
	}
}

// Dropped returns the number of Partial events whose place a newer one took.
func (s *Session) Dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.dropped
}

// Close ends the session at once and frees what it has.
func (s *Session) Close() { s.end(fmt.Errorf("%w: the session is closed", ErrCancelled)) }
