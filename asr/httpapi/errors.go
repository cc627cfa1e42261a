package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
)

// apiError is an answer that is an error, in OpenAI's shape.
type apiError struct {
	status     int
	message    string
	param      string // the field that is at fault, "" where none is
	code       string
	retryAfter time.Duration
	cause      error      // logged, never sent
	job        *jobObject // the job whose state is at fault
}

// Error implements error.
func (e *apiError) Error() string { return e.message }

// Unwrap returns what is logged.
func (e *apiError) Unwrap() error { return e.cause }

// invalid returns the error of a field.
func invalid(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, param: param, code: params.InvalidValue, message: fmt.Sprintf(format, args...)}
}

// statusClientGone is what is logged where nobody is there to read an answer (nginx's 499).
const statusClientGone = 499

// kind returns the type of an error, by OpenAI's names.
func (e *apiError) kind() string {
	switch {
	case e.status >= 500:
		return "server_error"
	case e.status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case e.status == http.StatusForbidden:
		return "permission_error"
	}
	return "invalid_request_error" // of 401 too
}

// body returns the error as it is sent.
func (e *apiError) body() map[string]any {
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	body := map[string]any{"error": map[string]any{"message": e.message, "type": e.kind(), "param": null(e.param), "code": null(e.code)}}
	if e.job != nil {
		body["job"] = e.job
	}
	return body
}

// busy and draining are the answers to what comes too much, and too late.
func (s *Server) busy(message string) *apiError {
	return &apiError{status: http.StatusTooManyRequests, code: "busy", message: message, retryAfter: s.options.RetryAfter}
}

func (s *Server) draining() *apiError {
	return &apiError{status: http.StatusServiceUnavailable, code: "draining", message: "the server is being shut down", retryAfter: s.options.RetryAfter}
}

// answer returns how an error is answered: that of a handler, of the engine, or of the sound. What is nobody's fault but ours is 500
// and hides what it was.
func (s *Server) answer(r *http.Request, err error) *apiError {
	var known *apiError
	var param *params.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &param):
		return answerParam(param)
	case r.Context().Err() != nil:
		return &apiError{status: statusClientGone, code: "cancelled", message: "the client has gone", cause: err}
	case errors.Is(err, asr.ErrBusy):
		return s.busy("too many requests wait: try again later, or with fewer at a time")
	case errors.Is(err, asr.ErrCancelled):
		e := s.draining()
		e.cause = err
		return e
	case errors.Is(err, asr.ErrInternal):
		return hidden(err)
	case errors.Is(err, flora.ErrUnknown) || errors.Is(err, asr.ErrNotFound):
		return &apiError{status: http.StatusNotFound, param: "adapter", code: "adapter_not_found", message: plain(err)}
	case errors.Is(err, whisper.ErrLanguage):
		return &apiError{status: http.StatusBadRequest, param: "language", code: "invalid_language", message: plain(err)}
	}
	if e := answerSound(err, s.options.Limits); e != nil {
		return e
	}
	if errors.Is(err, asr.ErrInvalid) {
		return &apiError{status: http.StatusBadRequest, code: "invalid_request", message: plain(err)}
	}
	return hidden(err)
}

// answerParam returns the answer to a field that is wrong.
func answerParam(e *params.Error) *apiError {
	message := e.Message
	if e.Code == params.Unknown {
		message += "; /openapi.json lists those that there are"
	}
	return &apiError{status: http.StatusBadRequest, param: e.Param, code: e.Code, message: message}
}

// hidden returns the answer to what is nobody's fault but ours.
func hidden(cause error) *apiError {
	return &apiError{status: http.StatusInternalServerError, code: "internal_error", message: "the server failed at this request; its log has more, by the request's id", cause: cause}
}

// answerSound returns the answer to sound that cannot be transcribed, nil of other errors.
func answerSound(err error, limits asr.Limits) *apiError {
	e := &apiError{status: http.StatusBadRequest, param: "file", message: plain(err)}
	switch {
	case errors.Is(err, audio.ErrEmpty):
		e.code = "empty_audio"
	case errors.Is(err, audio.ErrTooLong):
		e.status, e.code = http.StatusRequestEntityTooLarge, "audio_too_long"
		e.message = fmt.Sprintf("the sound lasts longer than %v, which is the most: cut it into parts", limits.Decoded)
	case errors.Is(err, audio.ErrTooLarge):
		e.status, e.code = http.StatusRequestEntityTooLarge, "file_too_large"
	case errors.Is(err, audio.ErrTruncated), errors.Is(err, audio.ErrNotFinite):
		e.code = "damaged_audio"
	case errors.Is(err, audio.ErrNoFFmpeg), errors.Is(err, audio.ErrFormat):
		e.code = "unsupported_audio"
		e.message += "; read are flac, mp3, ogg (Opus, Vorbis), wav and webm, and with ffmpeg on the server also m4a, mp4, aac and others"
	default:
		return nil
	}
	return e
}

// plain returns what an error says without the sentinels of our packages before it.
func plain(err error) string {
	text := err.Error()
	for _, sentinel := range []error{asr.ErrInvalid, asr.ErrNotFound} {
		text = strings.TrimPrefix(text, sentinel.Error()+": ")
	}
	for _, name := range []string{"asr: ", "audio: ", "whisper: ", "flora: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

// handle makes a handler of one that returns an error.
func (s *Server) handle(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil && !errors.Is(err, errHandled) {
			s.writeError(w, r, err)
		}
	})
}

// writeError answers with an error.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := s.answer(r, err)
	s.logFault(r.Context(), e)
	e.write(w)
}

// write answers with the error.
func (e *apiError) write(w http.ResponseWriter) {
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, e.status, e.body())
}

// logFault logs what an error hides.
func (s *Server) logFault(ctx context.Context, e *apiError) {
	if e.cause != nil && e.status >= 500 {
		s.options.Logger.ErrorContext(ctx, "request failed", "request_id", RequestID(ctx), "status", e.status, "error", e.cause)
	}
}

// writeJSON answers with a value. An error of writing is that of a client that has gone.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	return writeBody(w, status, "application/json", append(body, '\n'))
}

// writeBody answers with a body.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", cmp.Or(h.Get("Cache-Control"), "no-store"))
	w.WriteHeader(status)
	w.Write(body)
	return nil
}
