package ws

// The messages of /v1/stream, JSON objects told apart by their type. Sound goes in binary messages, in the
// encoding that the config names. Times are milliseconds from the session's beginning.

// Types of messages from the client.
const (
	TypeConfig    = "config"    // the first message: a [Config]
	TypeUpdate    = "update"    // a [Config] whose zero fields stay as they are, for what begins after the present segment
	TypeKeepAlive = "keepalive" // nothing but a sign of life
	TypeFinalize  = "finalize"  // ends the segment here; without sound since the last one it has no effect
	TypeClose     = "close"     // no more sound comes: text of all that came follows, and done
)

// Config says what a client sends and wants.
type Config struct {
	Type          string   `json:"type"`
	SampleRate    int      `json:"sample_rate,omitempty"`     // Hz; 16,000 by default; Opus and WebM say their own
	Encoding      string   `json:"encoding,omitempty"`        // pcm_s16le (default), pcm_f32le, mulaw, alaw, opus (one packet a message), webm or ogg (a file in pieces)
	Channels      int      `json:"channels,omitempty"`        // interleaved, mixed to one; 1 by default
	Language      string   `json:"language,omitempty"`        // a code, or auto (default)
	Languages     []string `json:"languages,omitempty"`       // those that detection chooses from
	Adapter       string   `json:"adapter,omitempty"`         // a name, auto (default) or none
	Task          string   `json:"task,omitempty"`            // transcribe (default) or translate
	Hotwords      []string `json:"hotwords,omitempty"`        // words to expect
	Prompt        string   `json:"prompt,omitempty"`          // text before the first words
	Policy        string   `json:"policy,omitempty"`          // localagreement2 (default) or alignatt
	Interim       *bool    `json:"interim_results,omitempty"` // partials; true by default
	Words         *bool    `json:"words,omitempty"`           // words in finals; true by default
	EndpointingMS int      `json:"endpointing_ms,omitempty"`  // silence that ends a segment; 600 by default
	Resume        *Resume  `json:"resume,omitempty"`          // a session to go on with
}

// Resume names a session whose connection broke. The ready that follows says from which offset the sound has to be sent
// again; events behind LastSeq are sent again. Encoding, SampleRate and Channels have to be the session's; what else the config says
// is passed over, for the session has it, as updates have left it.
type Resume struct {
	SessionID string `json:"session_id"`
	LastSeq   int64  `json:"last_seq"` // of the last event that the client has seen; 0: none
}

// Types of messages from the server.
const (
	TypeReady         = "ready"          // the answer to config: a [Ready]
	TypeSpeechStarted = "speech_started" // an [Event]: StartMS
	TypePartial       = "partial"        // an Event: Committed and Tentative
	TypeFinal         = "final"          // an Event: Text and Words
	TypeUtteranceEnd  = "utterance_end"  // an Event: EndMS, that of the last word
	TypeAck           = "ack"            // an Event: AudioMS and AudioBytes of sound that a resumed session does not need again, FinalMS
	TypeLag           = "lag"            // an Event: MS that text is behind
	TypeError         = "error"          // an Event: Code and Message; the connection closes at once where it is Fatal
	TypeDone          = "done"           // an Event, the last of every session: AudioMS and Segments
)

// Ready begins a session.
type Ready struct {
	Type          string `json:"type"`
	SessionID     string `json:"session_id"`
	AudioOffsetMS int64  `json:"audio_offset_ms"` // 0, or where a resumed session's sound goes on: raw sound with frame ⌊ms·rate/1000⌋

	// AudioOffsetBytes is the same in bytes of binary messages, for sound that is not raw, too: a file in pieces goes
	// on there, and Opus with the packet there.
	AudioOffsetBytes int64 `json:"audio_offset_bytes"`

	Resumed bool   `json:"resumed,omitempty"` // the session is the one that the config named
	Model   string `json:"model"`
	Limits  Limits `json:"limits"`
}

// Limits are those that hold for the session.
type Limits struct {
	FrameBytes int64 `json:"frame_bytes"` // of a message
	QueuedMS   int64 `json:"queued_ms"`   // sound that may wait to be heard
	IdleMS     int64 `json:"idle_ms"`     // silence of the client
	ResumeMS   int64 `json:"resume_ms"`   // that a broken connection's session waits
	SessionMS  int64 `json:"session_ms"`  // of a session
	Sessions   int   `json:"sessions"`    // of all clients
	Speakers   int   `json:"speakers"`    // that are heard at a time
}

// Event is every message of the server but ready; what belongs to no message of its type is left out.
type Event struct {
	Type        string  `json:"type"`
	Seq         int64   `json:"seq,omitempty"` // rises; of speech_started, partial, final, utterance_end
	SegmentID   int     `json:"segment_id"`
	Committed   string  `json:"committed,omitempty"` // will not change, the segment's final text begins with it
	Tentative   string  `json:"tentative,omitempty"` // goes behind it, and may change
	Text        string  `json:"text,omitempty"`
	Words       []Word  `json:"words,omitempty"`
	StartMS     int64   `json:"start"`
	EndMS       int64   `json:"end"`
	Language    string  `json:"language,omitempty"`
	Adapter     string  `json:"adapter,omitempty"`
	Confidence  float64 `json:"confidence,omitempty"`   // of a final: the mean probability of its words
	SpeechFinal bool    `json:"speech_final,omitempty"` // the segment ends here, with silence or by the client's wish
	AudioMS     int64   `json:"audio_ms,omitempty"`
	AudioBytes  int64   `json:"audio_bytes,omitempty"` // of binary messages
	FinalMS     int64   `json:"final_ms,omitempty"`    // of sound all of whose text is in finals
	Segments    int     `json:"segments,omitempty"`
	MS          int64   `json:"ms,omitempty"`
	Param       string  `json:"param,omitempty"` // of an error: the field that it is about
	Code        string  `json:"code,omitempty"`
	Message     string  `json:"message,omitempty"`
	Fatal       bool    `json:"fatal,omitempty"`
}

// Word is a word of a final and its time.
type Word struct {
	Word        string  `json:"word"`
	StartMS     int64   `json:"start"`
	EndMS       int64   `json:"end"`
	Probability float64 `json:"probability"`
}
