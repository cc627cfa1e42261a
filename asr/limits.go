package asr

import "time"

// Limits are what clients may ask of a server. Each that is exceeded is named in the error that tells so, and
// live sessions are told all of them at their beginning.
type Limits struct {
	// RequestBytes is the size of a file, or of a request's body without it. The default value is 25 MB (OpenAI's).
	RequestBytes int64 `json:"request_bytes"`

	// Decoded is the duration of the sound in a file, counted while it is decoded: what its header says is not
	// believed. The default value is 4 h.
	Decoded time.Duration `json:"decoded_ns"`

	// Requests is the number of requests, live sessions apart, that are served or wait at a time. The default
	// value is 256.
	Requests int `json:"requests"`

	// Sessions is the number of live sessions, resumable ones included. The default value is 2,000.
	Sessions int `json:"sessions"`

	// Speakers is the number of live sessions in which somebody speaks at a time: sound of others waits, and is
	// not heard before one of them pauses. The default value is 64.
	Speakers int `json:"speakers"`

	// FrameBytes is the size of a websocket message. The default value is 1 MiB.
	FrameBytes int64 `json:"frame_bytes"`

	// Queued is how much sound of a session may wait to be heard. The default value is 60 s.
	Queued time.Duration `json:"queued_ns"`

	// Idle is how long a client may send nothing, not even a keepalive. The default value is 30 s.
	Idle time.Duration `json:"idle_ns"`

	// Resume is how long a session whose connection broke waits for its client. The default value is 30 s.
	Resume time.Duration `json:"resume_ns"`

	// Session is how long a live session may last. The default value is 12 h.
	Session time.Duration `json:"session_ns"`

	// Jobs is the number of jobs that wait, of a model and priority together with all others. The default value is 10,000.
	Jobs int `json:"jobs"`

	// JobBytes is the size of a job's file. The default value is 512 MiB.
	JobBytes int64 `json:"job_bytes"`

	// JobsKept is how long a job that is finished can be asked for. The default value is 7 days.
	JobsKept time.Duration `json:"jobs_kept_ns"`
}

// WithDefaults returns the limits with the default value in each field that is 0.
func (l Limits) WithDefaults() Limits {
	set(&l.RequestBytes, 25_000_000)
	set(&l.Decoded, 4*time.Hour)
	set(&l.Requests, 256)
	set(&l.Sessions, 2_000)
	set(&l.Speakers, 64)
	set(&l.FrameBytes, 1<<20)
	set(&l.Queued, time.Minute)
	set(&l.Idle, 30*time.Second)
	set(&l.Resume, 30*time.Second)
	set(&l.Session, 12*time.Hour)
	set(&l.Jobs, 10_000)
	set(&l.JobBytes, 512<<20)
	set(&l.JobsKept, 7*24*time.Hour)
	return l
}

// set gives x a value where it is zero.
func set[T comparable](x *T, value T) {
	var zero T
	if *x == zero {
		*x = value
	}
}
