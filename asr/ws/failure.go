package ws

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/websocket"

	"glossa/asr"
	"glossa/audio"
)

// The codes of error messages of /v1/stream.
const (
	CodeInvalid      = "invalid"       // a message that is not understood, or asks for what there is not
	CodeInvalidAudio = "invalid_audio" // sound that is not of the encoding that was named
	CodeNotFound     = "not_found"     // an adapter or a session that is not there, or not this client's
	CodeBusy         = "busy"          // there is no room for another session now
	CodeOverrun      = "overrun"       // sound came faster than it can be heard, for too long
	CodeTooLarge     = "too_large"     // a message beyond Limits.FrameBytes
	CodeIdle         = "idle"          // the client sent nothing for Limits.Idle
	CodeTakenOver    = "taken_over"    // another connection resumed the session
	CodeSessionLimit = "session_limit" // the session lasted, or its sound lasts, for Limits.Session
	CodeDraining     = "draining"      // the server shuts down
	CodeUndecoded    = "undecoded"     // a segment has no text, since it could not be decoded
	CodeInternal     = "internal"      // the server is at fault
)

// failure is what went wrong with a connection: what the client is told, and how the connection closes.
type failure struct {
	code    string // of an error message
	message string // for the client
	close   int    // the close code where it is fatal, 0 where the connection goes on
	param   string // what it is about, where that has a name
	event   string // id of the client's message, where that has one
	err     error  // for the log
}

func (f *failure) Error() string {
	if f.err != nil {
		return f.code + ": " + f.message + ": " + f.err.Error()
	}
	return f.code + ": " + f.message
}

func (f *failure) Unwrap() error { return f.err }

// invalid is a fatal failure for what the client sent.
func invalid(format string, args ...any) *failure {
	return &failure{code: CodeInvalid, message: fmt.Sprintf(format, args...), close: websocket.ClosePolicyViolation}
}

// lenient is f, after which the connection goes on.
func (f *failure) lenient() *failure {
	mild := *f
	mild.close = 0
	return &mild
}

// failureOf tells the client's part of an error: its text for what the client did, none of the server's own.
func failureOf(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, audio.ErrTooLong):
		return &failure{code: CodeSessionLimit, message: "the sound lasts longer than a session may", close: websocket.ClosePolicyViolation, err: err}
	case errors.Is(err, audio.ErrFormat), errors.Is(err, audio.ErrTruncated), errors.Is(err, audio.ErrNotFinite), errors.Is(err, audio.ErrEmpty),
		errors.Is(err, audio.ErrNoFFmpeg):
		return &failure{code: CodeInvalidAudio, message: err.Error(), close: websocket.ClosePolicyViolation}
	case errors.Is(err, asr.ErrInvalid):
		return &failure{code: CodeInvalid, message: err.Error(), close: websocket.ClosePolicyViolation}
	case errors.Is(err, asr.ErrNotFound):
		return &failure{code: CodeNotFound, message: err.Error(), close: websocket.ClosePolicyViolation}
	case errors.Is(err, asr.ErrBusy):
		return &failure{code: CodeBusy, message: "there is no room now; try again later", close: websocket.CloseTryAgainLater, err: err}
	case errors.Is(err, asr.ErrCancelled), errors.Is(err, context.Canceled):
		return &failure{code: CodeDraining, message: "the server ended the session", close: websocket.CloseGoingAway, err: err}
	}
	return &failure{code: CodeInternal, message: "internal error", close: websocket.CloseInternalServerErr, err: err}
}

// status is that of an answer to a request that does not become a websocket, or is for none.
func (f *failure) status() int {
	switch f.code {
	case CodeNotFound:
		return http.StatusNotFound
	case CodeTooLarge, CodeSessionLimit:
		return http.StatusRequestEntityTooLarge
	case CodeIdle:
		return http.StatusRequestTimeout
	case CodeBusy:
		return http.StatusTooManyRequests
	case CodeDraining:
		return http.StatusServiceUnavailable
	case CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// answer writes a body of JSON behind what says how long to wait, where that is the matter.
func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	w.Write(encode(body))
}

// answerError answers a request in the shape of OpenAI's errors.
func answerError(w http.ResponseWriter, status int, f *failure) {
	kind := "invalid_request_error"
	switch {
	case status >= 500:
		kind = "server_error"
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == http.StatusForbidden:
		kind = "permission_error"
	}
	answer(w, status, fields{"error": fields{"message": f.message, "type": kind, "param": optional(f.param), "code": f.code}})
}

// optional is null for "".
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// The failures that need no details.
var (
	errFull     = &failure{code: CodeBusy, message: "all sessions are taken; try again later", close: websocket.CloseTryAgainLater}
	errDraining = &failure{code: CodeDraining, message: "the server shuts down; connect again", close: websocket.CloseGoingAway}
	errTaken    = &failure{code: CodeTakenOver, message: "another connection goes on with the session", close: websocket.ClosePolicyViolation}
	errUnknown  = &failure{code: CodeNotFound, message: "there is no such session; begin a new one", close: websocket.ClosePolicyViolation}
)

// maxReason is the longest reason of a close frame, in bytes (RFC 6455 section 5.5).
const maxReason = 123

// closeReason cuts a text to what fits into a close frame, between characters.
func closeReason(text string) string {
	for i := range text {
		if i > maxReason-4 {
			return text[:i]
		}
	}
	return text
}
