package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/eval"
)

// rate is a number of recordings a second.
type rate float64

// rateUnits are the seconds of the units that a rate may have.
var rateUnits = map[string]float64{"s": 1, "m": 60, "min": 60, "h": 3600, "d": 24 * 3600}

// UnmarshalText reads a rate such as 1000000/h, 20/s, or a number a second.
func (r *rate) UnmarshalText(text []byte) error {
	number, unit, ok := strings.Cut(string(text), "/")
	if !ok {
		unit = "s"
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	seconds := rateUnits[strings.TrimSpace(unit)]
	if err != nil || seconds == 0 || !(x > 0) || math.IsInf(x, 1) {
		return fmt.Errorf("%q is no rate; want one such as 1000000/h, 300/min or 20/s", text)
	}
	*r = rate(x / seconds)
	return nil
}

// String returns the rate by the hour.
func (r rate) String() string {
	return strconv.FormatFloat(math.Round(float64(r)*3600), 'f', -1, 64) + "/h"
}

// UnmarshalText reads shares such as live=1,normal=8,bulk=1.
func (m *mix) UnmarshalText(text []byte) error {
	*m = make(mix)
	for part := range strings.SplitSeq(string(text), ",") {
		name, share, _ := strings.Cut(part, "=")
		var p asr.Priority
		x, err := strconv.ParseFloat(share, 64)
		if name == "" || p.UnmarshalText([]byte(name)) != nil || err != nil || !(x >= 0) || math.IsInf(x, 1) {
			return fmt.Errorf("%q is no share; want those such as live=1,normal=8,bulk=1", part)
		}
		(*m)[p] = x
	}
	return nil
}

// loadFlags say what comes.
type loadFlags struct {
	Trace string `placeholder:"FILE" help:"The recordings that arrive, as JSON lines: {\"at\": 0.5, \"seconds\": 3.2, \"language\": \"cs\", …}, as above."`

	Rate          rate          `placeholder:"N/h" help:"How many recordings arrive, such as 1000000/h, 300/min or 20/s."`
	Duration      time.Duration `default:"1h" help:"How long they keep arriving. (${default})"`
	Pattern       string        `enum:"poisson,even,bursty,diurnal" default:"poisson" help:"The pattern of arrivals. (${enum})"`
	Peak          float64       `placeholder:"N" help:"The greatest rate of bursty and diurnal, as a multiple of the mean. (4, 1.8)"`
	Burst         time.Duration `default:"30s" help:"The mean length of a burst. (${default})"`
	Languages     int           `default:"1" help:"The number of languages, each under an adapter of its own. (${default})"`
	Zipf          float64       `default:"1" help:"The exponent of Zipf's law: the nth language has a share in proportion to n^-Z. (${default})"`
	BaseLanguages int           `placeholder:"N" help:"The languages, from the first on, that the base model writes without an adapter. (0)"`
	Detect        float64       `placeholder:"SHARE" help:"The share whose language is detected. (0)"`
	Length        time.Duration `default:"6s" help:"The mean duration of a recording. (${default})"`
	Spread        float64       `default:"0.6" help:"The standard deviation of its logarithm. (${default})"`
	Longest       time.Duration `placeholder:"D" help:"The longest recording. (any)"`
	Lengths       string        `placeholder:"DATA" help:"Draw durations from those of a data set instead: a manifest or table."`
	Mix           mix           `placeholder:"PRIORITY=SHARE,…" help:"Shares of live, normal and bulk. (all normal)"`
	Speech        bool          `help:"Speech is detected first, and the windows of a recording are decoded side by side."`
	Words         bool          `help:"Each word is timed."`
	Seed          uint64        `default:"1" help:"The seed of the random numbers. (${default})"`

	WriteTrace string `placeholder:"FILE" help:"Write the arrivals as a trace."`
}

// arrivals returns what comes until ctx is done, and how long it does so.
func (f *loadFlags) arrivals(ctx context.Context) (as simulate.Arrivals, horizon float64, err error) {
	switch {
	case f.Trace != "" && f.Rate > 0:
		return nil, 0, errors.New("--rate: --trace says what arrives; --load makes it arrive faster")
	case f.Trace == "" && f.Rate == 0:
		return nil, 0, errors.New("--rate or --trace is needed: what arrives")
	case f.Languages < 1:
		return nil, 0, fmt.Errorf("--languages %d: at least 1 is needed", f.Languages)
	case f.Length <= 0:
		return nil, 0, fmt.Errorf("--length %v: more than 0 is needed", f.Length)
	case f.Trace != "":
		as = until(ctx, traceFile(f.Trace))
		for a, err := range as {
			if err != nil {
				return nil, 0, err
			}
			horizon = a.At
		}
		return as, horizon, nil
	}
	l := simulate.Load{
		Rate: float64(f.Rate), Duration: f.Duration, Pattern: simulate.Pattern(f.Pattern), Peak: f.Peak, Burst: f.Burst,
		Languages: f.Languages, Zipf: f.Zipf, Base: f.BaseLanguages, Detect: f.Detect,
		Seconds: f.Length.Seconds(), Spread: f.Spread, Longest: f.Longest.Seconds(), Mix: f.Mix, Speech: f.Speech, Words: f.Words, Seed: f.Seed,
	}
	if f.Lengths != "" {
		if l.Durations, err = durationsOf(f.Lengths); err != nil {
			return nil, 0, err
		}
	}
	if err := l.Check(); err != nil {
		return nil, 0, err
	}
	return until(ctx, l.Arrivals()), f.Duration.Seconds(), nil
}

// until returns arrivals that end with the error of a context once that is done.
func until(ctx context.Context, as simulate.Arrivals) simulate.Arrivals {
	return func(yield func(simulate.Arrival, error) bool) {
		n := 0
		for a, err := range as {
			if n++; n%1024 == 0 && ctx.Err() != nil {
				yield(simulate.Arrival{}, context.Cause(ctx))
				return
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// traceFile returns the arrivals of a file, which is read each time.
func traceFile(name string) simulate.Arrivals {
	return func(yield func(simulate.Arrival, error) bool) {
		file, err := os.Open(name)
		if err != nil {
			yield(simulate.Arrival{}, err)
			return
		}
		defer file.Close()
		for a, err := range simulate.ReadTrace(file) {
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// durationsOf returns the durations of a data set.
func durationsOf(name string) (seconds []float64, err error) {
	us, err := eval.ReadData(name, eval.DataOptions{})
	if err != nil {
		return nil, err
	}
	for _, u := range us {
		if u.Duration > 0 {
			seconds = append(seconds, u.Duration)
		}
	}
	if len(seconds) == 0 {
		return nil, fmt.Errorf("%s: it tells no durations", name)
	}
	return seconds, nil
}

// writeTrace writes what comes.
func writeTrace(name string, as simulate.Arrivals) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = simulate.WriteTrace(file, as)
	return errors.Join(err, file.Close())
}
