package ws

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode"

	"glossa/asr"
)

// The messages of /v1/listen, in the shapes of Deepgram's SDK (ListenV1Results and its like).

type listenWord struct {
	Word           string  `json:"word"`
	Start          float64 `json:"start"`
	End            float64 `json:"end"`
	Confidence     float64 `json:"confidence"`
	PunctuatedWord string  `json:"punctuated_word"`
	Language       string  `json:"language,omitempty"`
}

type listenAlternative struct {
	Transcript string       `json:"transcript"`
	Confidence float64      `json:"confidence"`
	Words      []listenWord `json:"words"`
	Languages  []string     `json:"languages,omitempty"`
}

type listenChannel struct {
	Alternatives       []listenAlternative `json:"alternatives"`
	DetectedLanguage   string              `json:"detected_language,omitempty"`
	LanguageConfidence float64             `json:"language_confidence,omitempty"`
}

type modelInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
}

type listenModel struct {
	RequestID string    `json:"request_id"`
	ModelInfo modelInfo `json:"model_info"`
	ModelUUID string    `json:"model_uuid"`
}

type listenResults struct {
	Type         string        `json:"type"` // Results
	ChannelIndex []int         `json:"channel_index"`
	Duration     float64       `json:"duration"`
	Start        float64       `json:"start"`
	IsFinal      bool          `json:"is_final"`
	SpeechFinal  bool          `json:"speech_final"`
	Channel      listenChannel `json:"channel"`
	Metadata     listenModel   `json:"metadata"`
	FromFinalize bool          `json:"from_finalize"`
}

type listenSpeechStarted struct {
	Type      string  `json:"type"` // SpeechStarted
	Channel   []int   `json:"channel"`
	Timestamp float64 `json:"timestamp"`
}

type listenUtteranceEnd struct {
	Type        string  `json:"type"` // UtteranceEnd
	Channel     []int   `json:"channel"`
	LastWordEnd float64 `json:"last_word_end"`
}

type listenMetadata struct {
	Type           string               `json:"type,omitempty"` // Metadata, of live sound
	TransactionKey string               `json:"transaction_key"`
	RequestID      string               `json:"request_id"`
	SHA256         string               `json:"sha256"`
	Created        string               `json:"created"`
	Duration       float64              `json:"duration"`
	Channels       int                  `json:"channels"`
	Models         []string             `json:"models"`
	ModelInfo      map[string]modelInfo `json:"model_info"`
	Tags           []string             `json:"tags,omitempty"`
	Extra          map[string]string    `json:"extra,omitempty"`
}

type listenError struct {
	Type        string `json:"type"` // Error
	Variant     string `json:"variant"`
	Description string `json:"description"`
	Message     string `json:"message"`
	RequestID   string `json:"request_id"`
}

// listenRefusal is the body of an answer that is an error.
type listenRefusal struct {
	ErrCode   string `json:"err_code"`
	ErrMsg    string `json:"err_msg"`
	RequestID string `json:"request_id"`
}

type listenUtterance struct {
	Start      float64      `json:"start"`
	End        float64      `json:"end"`
	Confidence float64      `json:"confidence"`
	Channel    int          `json:"channel"`
	Transcript string       `json:"transcript"`
	Words      []listenWord `json:"words"`
	ID         string       `json:"id"`
}

// listenResponse is the answer to a file (ListenV1Response).
type listenResponse struct {
	Metadata listenMetadata       `json:"metadata"`
	Results  listenFileTranscript `json:"results"`
}

type listenFileTranscript struct {
	Channels   []listenChannel   `json:"channels"`
	Utterances []listenUtterance `json:"utterances,omitempty"`
}

// listenWords returns words in Deepgram's shape: bare in lower case, and as they are written.
func listenWords(words []asr.Word, language string) []listenWord {
	all := make([]listenWord, len(words))
	for i, w := range words {
		written := strings.TrimSpace(w.Word)
		bare := strings.ToLower(strings.TrimFunc(written, unicode.IsPunct))
		if bare == "" {
			bare = written
		}
		all[i] = listenWord{Word: bare, Start: w.Start, End: w.End, Confidence: finite(w.Probability), PunctuatedWord: written, Language: language}
	}
	return all
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	return uuidOf(b, 4)
}

// modelUUID returns a UUID that stands for the name of a model (RFC 9562, version 8).
func modelUUID(name string) string {
	sum := sha256.Sum256([]byte("glossa model " + name))
	return uuidOf([16]byte(sum[:16]), 8)
}

func uuidOf(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// info is what is told of the model.
func (s *Server) info() modelInfo { return modelInfo{Name: s.o.Model, Version: "1", Arch: "whisper"} }

// metadata is what is told of sound that was heard.
func (s *Server) metadata(requestID string, created time.Time, sum []byte, lasts time.Duration, channels int) listenMetadata {
	id := modelUUID(s.o.Model)
	return listenMetadata{
		TransactionKey: "deprecated", RequestID: requestID, SHA256: fmt.Sprintf("%x", sum), Created: created.UTC().Format("2006-01-02T15:04:05.000Z"),
		Duration: lasts.Seconds(), Channels: channels, Models: []string{id}, ModelInfo: map[string]modelInfo{id: s.info()},
	}
}
