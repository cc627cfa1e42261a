// Package params says what a client asks of a recording, by names and values: fields of a form over HTTP, params of a job. One vocabulary
// serves all transports.
package params

import (
	"context"
	"errors"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// Error says what is wrong with a param. It wraps asr.ErrInvalid.
type Error struct {
	Param   string // "" where no single one is at fault
	Code    string // invalid_value, unknown_parameter, unsupported_parameter or missing_parameter
	Message string // for the client
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return asr.ErrInvalid }

// Reader reads params. The zero value begins with upstream's decoding, windows of 30 s and the built-in detector.
type Reader struct {
	Decoding asr.Decoding
	Detector func() audio.Detector
	Window   time.Duration
}

// Request returns what params ask of a recording, without its sound, and the params that it does not know: those of a transport, such as
// the model or the format of a response. The error is an *Error.
func (r Reader) Request(ctx context.Context, p asr.Params) (q asr.Request, rest asr.Params, err error) {
	return asr.Request{}, nil, errors.New("params: not there yet")
}
