package asr

import (
	"context"
	"time"

	"glossa/audio"
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
	UtteranceEnd                   // silence has lasted as long as Endpointing after a Final; End is where the last word ended
	Lag                            // Behind: text is later than it should be
	Failed                         // Err: a segment that could not be decoded, and has no text; the session goes on
	Done                           // the last event: all of the sound that was written was heard
)

// Event is what a session tells of its sound. Times are seconds from the session's beginning.
type Event struct {
	Kind    EventKind
	Seq     int64 // greater than that of every event before
	Segment int   // counts from 0; a Final with SpeechFinal, or Failed, is the last of its segment

	// Committed is all text of the segment, since its last Final, that will not change; the Text of its next
	// Final begins with it. Tentative is what is behind it, by the newest hypothesis. Both keep the spaces
	// between words: their concatenation is the text.
	Committed, Tentative string

	Text        string
	Words       []Word
	Start, End  float64 // of the sound of the text
	Language    string
	Adapter     string // "" for the base model
	AvgLogProb  float64
	SpeechFinal bool // the segment ended in silence, by Finalize, or with the sound

	Heard  float64       // seconds of sound that all of the session's text so far, committed or not, is from
	Acked  float64       // seconds of sound that is needed no more: all in it is in Final events
	Behind time.Duration // Lag: from when sound came to when it was heard
	Err    error
}

// Session turns sound that comes little by little into text. Write, Finalize, Update and CloseWrite may be
// called from one goroutine while another calls Next.
//
// Its laws: committed text never changes; Seq rises; sound is never dropped; while nobody calls Next, a newer
// Partial takes the place of an older one, and nothing else is lost; after CloseWrite comes Done.
type Session struct {
}

// Listen begins a session, which ends with ctx, by Close or after its Done event. The errors are ErrInvalid,
// ErrNotFound, ErrCancelled and ErrInternal.
func (e *Engine) Listen(ctx context.Context, o ListenOptions) (*Session, error) {
	panic("asr: Listen: not there yet")
}

// Write adds samples at 16 kHz, which it copies. It does not wait. The errors are ErrBusy where more than
// MaxQueued would wait to be heard, of which then nothing is taken, and ErrCancelled after the session's end.
func (s *Session) Write(pcm []float32) error { return ErrInternal }

// Finalize ends the segment where the sound ends so far: its Final comes as soon as it is decoded.
func (s *Session) Finalize() error { return ErrInternal }

// Update changes Language, Languages, Adapter, Hotwords, Prompt, NoPartials and Endpointing for what begins after the
// present segment. The errors are those of Listen.
func (s *Session) Update(o ListenOptions) error { return ErrInternal }

// CloseWrite says that no more sound comes. Text of all that was written comes, and then Done.
func (s *Session) CloseWrite() error { return ErrInternal }

// Next returns the next event, and waits for it. The error is io.EOF after Done, ErrCancelled where ctx or the
// session's own ended or Close was called, or ErrInternal.
func (s *Session) Next(ctx context.Context) (Event, error) { return Event{}, ErrInternal }

// Dropped returns the number of Partial events whose place a newer one took.
func (s *Session) Dropped() int64 { return 0 }

// Close ends the session at once and frees what it has.
func (s *Session) Close() {}
