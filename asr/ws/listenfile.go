package ws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// ListenFile serves files at POST /v1/listen in Deepgram's shapes: the body is the sound.
func (s *Server) ListenFile(w http.ResponseWriter, r *http.Request) {
	id, created := newUUID(), time.Now()
	answer, err := s.transcribeFile(w, r, id, created)
	if err != nil {
		s.refuseFor(w, id, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Dg-Request-Id", id)
	w.Write(encode(answer))
}

// transcribeFile answers a request.
func (s *Server) transcribeFile(w http.ResponseWriter, r *http.Request, id string, created time.Time) (*listenResponse, error) {
	if s.o.Transcribe == nil {
		return nil, invalid("files are not transcribed here")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/json" {
		return nil, invalid("sound is not fetched from a url: send it as the body")
	}
	q, err := parseListen(r.URL.Query(), ofLive)
	if err != nil {
		return nil, err
	}
	limit := s.o.Limits.RequestBytes
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &failure{code: CodeTooLarge, message: fmt.Sprintf("the body is larger than %d bytes", limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &failure{code: CodeIdle, message: "the body took too long to come"}
	case err != nil:
		return nil, invalid("the body ends too early")
	case len(body) == 0:
		return nil, invalid("the body is empty: send sound")
	}
	request := asr.Request{
		Audio:    func() ([]float32, error) { return q.decode(r.Context(), body, s.o.Limits.Decoded) },
		Language: q.options.Language, Languages: q.options.Languages, Adapter: q.options.Adapter, Client: asr.ClientOf(r.Context()),
		Timestamps: true, Words: &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}, Decoding: asr.Decoding{Hotwords: q.options.Hotwords},
	}
	result, err := s.o.Transcribe(r.Context(), request)
	if errors.Is(err, audio.ErrTooLong) {
		return nil, &failure{code: CodeTooLarge, message: fmt.Sprintf("the sound lasts longer than %v", s.o.Limits.Decoded)}
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	answer := s.fileAnswer(result, &q)
	answer.Metadata = s.metadata(id, created, sum[:], time.Duration(result.Duration*float64(time.Second)), 1)
	answer.Metadata.Tags, answer.Metadata.Extra = q.tags, q.extra
	return answer, nil
}

// decode returns the samples of a file, or of raw sound where its encoding was given.
func (q *listenQuery) decode(ctx context.Context, body []byte, limit time.Duration) ([]float32, error) {
	if audio.RawWidth(q.encoding) == 0 {
		pcm, err := audio.DecodeContext(ctx, bytes.NewReader(body), audio.Limits{MaxDuration: limit})
		return pcm.Samples, err
	}
	var samples []float32
	raw, err := audio.NewRawStream(q.encoding, q.rate, q.channels, limit, func(pcm []float32) error {
		samples = append(samples, pcm...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	frame := audio.RawWidth(q.encoding) * q.channels
	if err := raw.Write(body[:len(body)/frame*frame]); err != nil {
		return nil, err
	}
	return samples, raw.Close()
}

// fileAnswer words a result.
func (s *Server) fileAnswer(result *asr.Result, q *listenQuery) *listenResponse {
	var words []asr.Word
	var utterances []listenUtterance
	for _, segment := range result.Segments {
		words = append(words, segment.Words...)
		utterances = append(utterances, listenUtterance{
			Start: segment.Start, End: segment.End, Confidence: finite(math.Exp(segment.AvgLogProb)),
			Transcript: strings.TrimSpace(segment.Text), Words: listenWords(segment.Words, ""), ID: newUUID(),
		})
	}
	a := listenAlternative{Transcript: strings.TrimSpace(result.Text), Words: listenWords(words, "")}
	if len(words) > 0 {
		a.Confidence = confidence(asr.Event{Words: words})
	}
	channel := listenChannel{Alternatives: []listenAlternative{a}}
	if q.detectLanguage {
		channel.DetectedLanguage, channel.LanguageConfidence = result.Language, finite(result.LanguageProb)
	}
	answer := &listenResponse{Results: listenFileTranscript{Channels: []listenChannel{channel}}}
	if q.utterances {
		answer.Results.Utterances = utterances
	}
	return answer
}
