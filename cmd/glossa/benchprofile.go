package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"glossa/eval"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// benchProfile is what took the time of a part of a case, the longest first.
type benchProfile struct {
	Part   string        `json:"part"`
	Per    string        `json:"per"` // what the times are of
	Timing []benchTiming `json:"timing"`
}

// benchTiming is a row of a profile.
type benchTiming struct {
	Name         string  `json:"name"`
	Calls        float64 `json:"calls"`
	Microseconds float64 `json:"us"`
}

// profileTokens are the tokens of a window whose decoding is profiled.
const profileTokens = 20

// errProfile is the error of --profile where nothing is timed by itself.
var errProfile = errors.New("--profile times the operations of a GPU: --device cuda is needed")

// profile encodes windows together and decodes n of them once more with each operation timed by itself.
func (f *benchCommand) profile(ctx context.Context, m *benchModel, n, together int, cross []*whisper.CrossKV) ([]benchProfile, error) {
	p := m.ops.Backend().(tensor.Profiler)
	encode, err := profiled(p, "encoder, keys and values of cross-attention", "window", together, func() error {
		again, _, err := m.encodeOnce(randomMels(m.Dims, together))
		for _, kv := range again {
			m.pool.Free(kv)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	once := *f
	once.Repeat, once.Tokens = 1, min(f.Tokens, profileTokens)
	decode, err := profiled(p, fmt.Sprintf("decoder, %d windows", n), "step", once.Tokens, func() error {
		_, err := once.decode(ctx, m, cross)
		return err
	})
	return []benchProfile{encode, decode}, err
}

// profiled times the operations of f, which does so many of something.
func profiled(p tensor.Profiler, part, per string, times int, f func() error) (profile benchProfile, err error) {
	profile = benchProfile{Part: part, Per: per, Timing: []benchTiming{}}
	if err := p.Profile(true); err != nil {
		return profile, err
	}
	defer func() { err = errors.Join(err, p.Profile(false)) }()
	if err := f(); err != nil {
		return profile, err
	}
	timings, err := p.Timings()
	for _, t := range timings {
		profile.Timing = append(profile.Timing, benchTiming{
			Name: t.Name, Calls: float64(t.Calls) / float64(times), Microseconds: float64(t.Time.Microseconds()) / float64(times),
		})
	}
	return profile, err
}

// profiles returns the results' profiles as text, each with a title.
func (r *benchReport) profiles() string {
	var text strings.Builder
	for _, x := range r.Results {
		for _, p := range x.Profile {
			t := eval.Table{Names: 1, Cells: [][]string{{"operation", "calls", "µs", "of all"}}}
			var sum float64
			for _, row := range p.Timing {
				sum += row.Microseconds
			}
			for _, row := range p.Timing {
				t.Cells = append(t.Cells, []string{row.Name, strconv.FormatFloat(row.Calls, 'f', 1, 64), digits(row.Microseconds), share(row.Microseconds, sum)})
			}
			fmt.Fprintf(&text, "\n%s %s, %s: %s µs for a %s\n%s", x.Geometry, x.DType, p.Part, digits(sum), p.Per, t.Text())
		}
	}
	return text.String()
}
