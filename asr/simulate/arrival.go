package simulate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"

	"glossa/asr"
)

// ErrTrace is wrapped by every error about what a trace says.
var ErrTrace = errors.New("simulate: bad trace")

// Arrival is a recording that arrives: a line of a trace.
type Arrival struct {
	At       float64      `json:"at"`      // seconds from the beginning
	Seconds  float64      `json:"seconds"` // of its sound
	Language string       `json:"language,omitempty"`
	Detect   bool         `json:"detect,omitempty"`   // nobody tells the language
	Adapter  string       `json:"adapter,omitempty"`  // "": that of its language; asr.None: the base model
	Priority asr.Priority `json:"priority,omitempty"` // live, normal (the default) or bulk
	Client   string       `json:"client,omitempty"`   // of a recorded trace; it changes nothing
	Model    string       `json:"model,omitempty"`    // "" the only one
	Speech   bool         `json:"speech,omitempty"`   // speech is detected first, and windows are decoded side by side
	Words    bool         `json:"words,omitempty"`    // each word is timed
	File     string       `json:"file,omitempty"`     // of its sound, for "glossa bench load"
}

// Arrivals are recordings in the order of their times. The sequence ends at its first error.
type Arrivals = iter.Seq2[Arrival, error]

// Longest recording, and latest arrival, of a trace.
const (
	maxSeconds = 7 * 24 * 3600.0
	maxAt      = 10 * 365 * 24 * 3600.0
)

// Check reports what is wrong with an arrival, where the one before it arrived at a time. The error wraps ErrTrace.
func (a *Arrival) Check(after float64) error {
	switch {
	case !(a.At >= 0) || a.At > maxAt:
		return fmt.Errorf("%w: at is %v, not in 0..%v", ErrTrace, a.At, maxAt)
	case a.At < after:
		return fmt.Errorf("%w: at is %v after %v; a trace must be in order of time", ErrTrace, a.At, after)
	case !(a.Seconds > 0) || a.Seconds > maxSeconds:
		return fmt.Errorf("%w: seconds is %v, not in 0..%v", ErrTrace, a.Seconds, maxSeconds)
	}
	return nil
}

// time returns when it comes.
func (a *Arrival) time() time.Duration { return duration(a.At) }

// duration returns seconds as a duration.
func duration(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }

const maxLine = 1 << 16 // bytes of a line of a trace

// ReadTrace returns the arrivals of JSON lines as they are read; blank lines are passed over. Its errors name the line and wrap ErrTrace.
func ReadTrace(r io.Reader) Arrivals {
	return func(yield func(Arrival, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxLine)
		after := 0.0
		n := 0
		for lines.Scan() {
			n++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			a, err := parseArrival(line, after)
			if err != nil {
				yield(Arrival{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			after = a.At
			if !yield(a, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Arrival{}, fmt.Errorf("%w: line %d: %w", ErrTrace, n+1, err))
		}
	}
}

// parseArrival reads a line of a trace, whose fields must be known.
func parseArrival(line []byte, after float64) (a Arrival, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return a, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	if d.More() {
		return a, fmt.Errorf("%w: more than one object", ErrTrace)
	}
	return a, a.Check(after)
}

// WriteTrace writes arrivals as JSON lines, and returns their number.
func WriteTrace(w io.Writer, arrivals Arrivals) (n int, err error) {
	out := bufio.NewWriter(w)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for a, err := range arrivals {
		if err != nil {
			return n, err
		}
		if err := e.Encode(a); err != nil {
			return n, err
		}
		n++
	}
	return n, out.Flush()
}
