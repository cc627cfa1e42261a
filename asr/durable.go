package asr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Job is durable work: a recording that is transcribed however often what does so has to begin again. What it is kept in, a
// transport decides.
type Job struct {
	ID       string   `json:"id"`
	Client   string   `json:"client,omitempty"` // whose it is; "" where nobody in particular asked
	Name     string   `json:"name,omitempty"`   // of the file
	Model    string   `json:"model"`
	Priority Priority `json:"priority"`
	Params   Params   `json:"params,omitempty"`

	State  JobState `json:"state"`
	Reason string   `json:"reason,omitempty"` // why it failed

	// Audio is the duration of the sound in seconds, Done how much of it has its text. Audio is 0 until it is known.
	Audio float64 `json:"audio_seconds,omitempty"`
	Done  float64 `json:"done_seconds,omitempty"`

	// Language and Adapter are those of the result.
	Language string `json:"language,omitempty"`
	Adapter  string `json:"adapter,omitempty"`

	// Attempts is the number of times that a worker has begun it, Worker the name of the last one.
	Attempts int    `json:"attempts"`
	Worker   string `json:"worker,omitempty"`

	Callback string `json:"callback,omitempty"` // the address that is told of its end

	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// JobState is how far a job is.
type JobState string

// The states of a job. It stays running where its worker was lost, until another begins it. The last three are final, unless a failed job is
// retried.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"      // it has a result
	JobFailed    JobState = "failed"    // it has a reason, and is among the dead letters
	JobCancelled JobState = "cancelled" // by its client
)

// Final reports whether nothing more happens by itself.
func (s JobState) Final() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// JobEvent tells of a change of a job. Segments are those that are new: no event tells a segment twice unless the worker was lost before
// it had stored it.
type JobEvent struct {
	Job      Job       `json:"job"`
	Segments []Segment `json:"segments,omitempty"`
}

// JobQuery says which jobs are listed: the newest first. The zero value lists the first 100.
type JobQuery struct {
	States []JobState // nil: all
	Model  string     // "": all
	After  string     // the Next of the page before, "": from the beginning
	Limit  int        // 0: 100
}

// JobPage is a part of a list of jobs.
type JobPage struct {
	Jobs []Job  `json:"jobs"`
	Next string `json:"next,omitempty"` // After of the next page, "" where this is the last
}

// JobBacklog is what waits, or runs, of a model and priority.
type JobBacklog struct {
	Model    string
	Priority Priority
	State    JobState // queued or running
	Jobs     int
	Audio    float64 // seconds of sound that has no text yet, as far as its duration is known
}

// JobAudio is the sound of a job: a file, as Bytes or in File, or the URL of one.
type JobAudio struct {
	Bytes []byte
	File  io.ReaderAt // its first Size bytes are the file; nobody reads them any more once Submit has returned
	Size  int64       // of File
	URL   string      // where a worker gets it; servers may refuse this
}

// Reader returns a reader of the file, at its beginning, and its size; of a URL there is nothing to read.
func (a JobAudio) Reader() (r io.Reader, size int64) {
	if a.File != nil {
		return io.NewSectionReader(a.File, 0, a.Size), a.Size
	}
	return bytes.NewReader(a.Bytes), int64(len(a.Bytes))
}

// ErrQueueFull says that as many jobs wait as may. Nothing was submitted.
var ErrQueueFull = fmt.Errorf("%w: as many jobs wait as may", ErrBusy)

// ErrKeyReused says that the key of a submission is that of a job that was asked for otherwise: with other sound, or another model, params,
// priority or callback.
var ErrKeyReused = fmt.Errorf("%w: the key is that of another job", ErrInvalid)

// Submission is a job that somebody wants done.
type Submission struct {
	Client   string
	Name     string
	Model    string // "": the server's
	Priority Priority
	Params   Params
	Audio    JobAudio
	Seconds  float64 // duration of the sound, 0 where it is not known
	Callback string

	// Key makes two submissions the same job: those of one client with equal keys. Where they ask for different things the error is
	// ErrKeyReused. The default value is "": those with equal sound, model and params are. The job is then what it was asked for at first,
	// with that priority and callback, which it tells.
	Key string

	// Again makes a new job in any case.
	Again bool

	TraceParent string // W3C trace context, "" for none
}

// Params are what a client asks of a recording, by the names and in the spelling of the fields of the HTTP API
// ("beam_size": ["5"]). Package asr/params says what they mean. In JSON a value may also be a text, a number or a truth.
type Params map[string][]string

// UnmarshalJSON reads an object whose values are texts, numbers, truths, or lists of these.
func (p *Params) UnmarshalJSON(b []byte) error {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return err
	}
	*p = make(Params, len(object))
	for name, value := range object {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			switch v := v.(type) {
			case nil:
			case string:
				(*p)[name] = append((*p)[name], v)
			case json.Number:
				(*p)[name] = append((*p)[name], v.String())
			case bool:
				(*p)[name] = append((*p)[name], fmt.Sprint(v))
			default:
				return fmt.Errorf("%w: params: %s is neither a text, a number, a truth nor a list of these", ErrInvalid, name)
			}
		}
	}
	return nil
}
