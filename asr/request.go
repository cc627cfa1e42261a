package asr

import (
	"errors"
	"time"

	"glossa/audio"
)

// Errors that transports tell apart.
var (
	ErrInvalid   = errors.New("asr: invalid request")
	ErrNotFound  = errors.New("asr: not found")
	ErrBusy      = errors.New("asr: busy")      // try again later
	ErrCancelled = errors.New("asr: cancelled") // the request's context ended, or the engine was closed
	ErrInternal  = errors.New("asr: internal error")
)

// Values of Request.Adapter and Request.Language.
const (
	Auto = "auto" // language: detected; adapter: that of the client's language or the language, see Routes
	None = "none" // adapter: the base model
)

// Request is one recording to transcribe.
type Request struct {
	// Audio returns the recording as samples at 16 kHz. It is called once, on a goroutine of its own,
	// when the engine has room for the recording. So few are called at a time, SchedulerOptions.Ahead
	// of each priority, that it should not wait for a network.
	Audio func() ([]float32, error)

	// Mel returns the log-mel of the recording in place of Audio: of the model's number of filters and, where the model
	// was trained on padded windows, with a window of silence behind it, as [audio.LogMelPadded] pads. It is called as Audio
	// is. It cannot stand beside Speech. The default value is nil: it is computed from Audio.
	Mel func() (audio.Mel, error)

	// Priority says before whose windows its own go. The default value is Normal.
	Priority Priority

	// Deadline is when the text is wanted: of requests of one priority the earliest goes first. That
	// it passes is no error; the context ends a request. The default value is zero: the target of the
	// priority from the call on.
	Deadline time.Time

	// Language is a code such as "cs", or Auto. The default value is "", Auto: that of the first
	// window.
	Language string

	// Languages are those that detection chooses from. The default value is nil: the engine's.
	Languages []string

	// SwitchLanguage detects the language of every window, so that a recording may change it; the
	// adapter changes with it. It cannot stand beside a Language.
	SwitchLanguage bool

	// Adapter is the name of an adapter, name@hash for that version of it alone, where the beginning of
	// the hash is enough, Auto or None. The default value is "", Auto. The recording keeps the version
	// that it began with whatever is loaded meanwhile.
	Adapter string

	// Client is who asks, of those that [Routes] have something to say about. The default value is "":
	// nobody in particular.
	Client string

	// Task is "transcribe", or "translate" into English. The default value is "", transcribe.
	Task string

	// Timestamps asks for the times of segments. The default value is false: a recording that
	// fits a window becomes one segment, and a longer one is cut at the times anyway.
	Timestamps bool

	// Words asks for the time of each word. The default value is nil: none.
	Words *WordOptions

	// Clips are the times in seconds, start, end, start, end, …, of what is transcribed of the
	// recording; a last start without an end lasts to its end. The default value is nil: all of it.
	Clips []float64

	// Speech finds the spans of speech in a recording, in their order. Where it is given, the spans
	// are packed into windows, or under a model that is Unpadded have one each; these are decoded side by side, none
	// conditioned on the text of another, and silence yields nothing; it cannot stand beside Clips. The default value is nil: the
	// recording is heard from its beginning to its end.
	Speech func(pcm []float32) ([]audio.Span, error)

	// Silent reports that a recording holds no speech at all, which then is not decoded and yields nothing; it cannot stand
	// beside Speech or Mel. The default value is nil: all is decoded, and the model may hear text in noise.
	Silent func(pcm []float32) (bool, error)

	// Decoding says how windows are decoded.
	Decoding Decoding

	// Checkpoint is told what it takes to go on behind each window, as soon as that is done, in the manner of Segment, which was told what is
	// before it. A recording without windows, of silence, has none. The default value is nil: nobody is.
	Checkpoint func(Checkpoint)

	// Resume are the checkpoints of a request that was broken off, which this one goes on with. What is behind them alone is told to
	// Segment and Checkpoint; the result is that of all. Where they are damaged, not all, not of this request's sound, model or options, or
	// of a version of an adapter that is not there any more, the error is ErrInvalid, and without them the request may be sent again.
	// The default value is nil: it begins at the beginning.
	Resume []Checkpoint

	// Segment is told each segment of the recording as soon as it is final, in their order. It is called on the engine's
	// goroutine and must neither wait nor call the engine; it is called no more once the result is there, but may be for a moment after ctx has
	// ended. The default value is nil: the result alone tells.
	Segment func(Segment)

	// live, where it is not nil, is filled for a live session, which then does without the words of segments.
	live *hearing
}

// Segment is a stretch of speech and its text.
type Segment struct {
	ID               int     `json:"id"`
	Seek             int     `json:"seek"`  // first frame of its window, in 10 ms
	Start            float64 `json:"start"` // seconds
	End              float64 `json:"end"`
	Text             string  `json:"text"`
	Tokens           []int32 `json:"tokens"`
	Temperature      float64 `json:"temperature"`
	AvgLogProb       float64 `json:"avg_logprob"`
	CompressionRatio float64 `json:"compression_ratio"`
	NoSpeechProb     float64 `json:"no_speech_prob"`
	Words            []Word  `json:"words,omitzero"`     // nil where they were not asked for
	Language         string  `json:"language,omitempty"` // where that of each window was detected
	Adapter          string  `json:"adapter,omitempty"`  // likewise; "" for the base model
}

// Result is the text of one recording.
type Result struct {
	Text         string    `json:"text"`
	Segments     []Segment `json:"segments"`
	Language     string    `json:"language"`                       // of the first window
	LanguageProb float64   `json:"language_probability,omitempty"` // where it was detected
	Adapter      string    `json:"adapter,omitempty"`              // of the first window, "" for the base model
	AdapterHash  string    `json:"adapter_hash,omitempty"`         // of the content of that version of it
	Duration     float64   `json:"duration"`                       // seconds

	// Encodes is the number of passes of the encoder that it took. Each window takes one, and one more
	// where its language was detected from other sound than its own, or was that of an adapter which
	// changes what the encoder computes, or which had to be brought into memory first.
	Encodes int `json:"-"`

	// Err is the reason why this recording alone has no text.
	Err error `json:"-"`
}
