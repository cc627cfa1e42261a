package jobs

import (
	"context"
	"errors"

	"glossa/asr"
)

// Engine is what a worker needs of an [asr.Engine].
type Engine interface {
	Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error)
}

// WorkerOptions say what a worker does.
type WorkerOptions struct {
	Engine Engine

	// Models are the names of the engine's model. Jobs of the first are pulled, and jobs that name another of them are taken.
	Models []string

	// Name is how the worker is called in records and logs. The default value is "": the host's name and a random ending.
	Name string

	// Slots is the number of jobs that are not live at a time. The default value is 0: 16.
	Slots int

	// Request returns what the params of a job ask of its sound, without the sound. What is wrong with it is asr.ErrInvalid.
	Request func(ctx context.Context, client string, p asr.Params) (asr.Request, error)

	// Fetch gets the file behind an address. The default value is nil: jobs with one are refused.
	Fetch func(ctx context.Context, url string, limit int64) ([]byte, error)
}

// Worker takes jobs from a store and does them.
type Worker struct {
	s *Store
	o WorkerOptions
}

// NewWorker returns a worker.
func NewWorker(s *Store, o WorkerOptions) *Worker { return &Worker{s, o} }

// Run pulls jobs and does them until ctx ends; it then takes none any more, and gives what is not done within the time that the caller
// allows (grace ends) back to the queue, from where it goes on at its last window.
func (w *Worker) Run(ctx, grace context.Context) error { return errors.New("jobs: not there yet") }
