package simulate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
)

// Target is a quantile of the total latency that is to be kept: "p95=2s", of all recordings, or "live:p95=2s".
type Target struct {
	Priority string // or All
	Quantile float64
	Within   time.Duration
}

// ErrTarget is wrapped by every error about a target.
var ErrTarget = errors.New("simulate: bad target")

// ParseTarget reads a target. The error is ErrTarget.
func ParseTarget(text string) (t Target, err error) {
	bad := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("%w: %q: %s; such as p95=2s or live:p99=1s", ErrTarget, text, why)
	}
	t.Priority = All
	rest := text
	if name, after, ok := strings.Cut(text, ":"); ok {
		var p asr.Priority
		if p.UnmarshalText([]byte(name)) != nil || name == "" {
			return bad("there are the priorities live, normal and bulk")
		}
		t.Priority, rest = p.String(), after
	}
	quantile, within, ok := strings.Cut(rest, "=")
	percent, isP := strings.CutPrefix(quantile, "p")
	if !ok || !isP {
		return bad("a quantile and a time are needed")
	}
	q, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(q > 0 && q < 100) {
		return bad("the quantile is not above 0 and below 100")
	}
	if t.Within, err = time.ParseDuration(within); err != nil || t.Within <= 0 {
		return bad("the time is not above 0")
	}
	t.Quantile = q / 100
	return t, nil
}

func (t Target) String() string {
	s := fmt.Sprintf("p%g=%v", math.Round(t.Quantile*1e8)/1e6, t.Within)
	if t.Priority != All {
		s = t.Priority + ":" + s
	}
	return s
}
