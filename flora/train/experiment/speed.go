package experiment

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train/chart"
)

// ErrBench is wrapped by the errors about what a file of measurements holds.
var ErrBench = errors.New("experiment: bad file of measurements")

// Timing is one measurement of glossa bench --adapters: the time of a phase under adapters of one kind and
// rank, by one strategy.
type Timing struct {
	Geometry string     `json:"geometry"`
	DType    string     `json:"dtype"`
	Kind     flora.Kind `json:"kind"` // "" or none: the model alone
	Rank     int        `json:"rank"`
	Adapters int        `json:"adapters"` // that are different, in the batch
	Batch    int        `json:"batch"`    // windows or hypotheses
	Phase    string     `json:"phase"`    // such as encode or decode
	Strategy string     `json:"strategy"`
	MS       float64    `json:"ms"`
	OverBase float64    `json:"over_base"` // the time over that of the model alone
	Chosen   bool       `json:"chosen"`    // what the program would take
	Best     bool       `json:"best"`      // what was fastest
}

// ReadTimings reads the measurements of glossa bench --adapters --json: an array of Timing, or an object
// with one under "adapters" or "results".
func ReadTimings(r io.Reader) ([]Timing, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	var all []Timing
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '[' {
		err = json.Unmarshal(text, &all)
	} else {
		var object struct{ Adapters, Results []Timing }
		err = json.Unmarshal(text, &object)
		all = object.Adapters
		if len(all) == 0 {
			all = object.Results
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBench, err)
	}
	all = underAdapters(all)
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: no measurement under adapters; glossa bench --adapters --json writes them", ErrBench)
	}
	return all, nil
}

// underAdapters returns what was measured under adapters, beside the base model.
func underAdapters(all []Timing) []Timing {
	return slices.DeleteFunc(all, func(t Timing) bool { return !t.adapted() || !(t.OverBase > 0) })
}

// adapted reports whether the measurement is of an adapter of a rank.
func (t Timing) adapted() bool { return t.Kind != "" && t.Kind != None && t.Rank > 0 }

// setting is what measurements are compared at.
type setting struct {
	Geometry, DType, Phase string
	Batch, Adapters        int
}

// group returns the measurements by setting, in order.
func group(timings []Timing) (settings []setting, of map[setting][]Timing) {
	of = make(map[setting][]Timing)
	for _, t := range timings {
		s := setting{t.Geometry, t.DType, t.Phase, t.Batch, t.Adapters}
		if of[s] == nil {
			settings = append(settings, s)
		}
		of[s] = append(of[s], t)
	}
	slices.SortStableFunc(settings, func(a, b setting) int {
		return cmp.Or(cmp.Compare(a.Geometry, b.Geometry), cmp.Compare(a.DType, b.DType), cmp.Compare(a.Phase, b.Phase), a.Batch-b.Batch, a.Adapters-b.Adapters)
	})
	return settings, of
}

// fastest returns the ranks of a kind, rising, and the times over base of its fastest strategy at each: of
// those that may be chosen, where the measurements tell.
func fastest(timings []Timing, kind flora.Kind) (ranks, over []float64) {
	best, told := make(map[int]float64), make(map[int]bool)
	for _, t := range timings {
		if b, ok := best[t.Rank]; t.Kind == kind && (!ok || t.Best && !told[t.Rank] || t.Best == told[t.Rank] && t.OverBase < b) {
			best[t.Rank], told[t.Rank] = t.OverBase, t.Best
		}
	}
	for rank := range best {
		ranks = append(ranks, float64(rank))
	}
	slices.Sort(ranks)
	for _, r := range ranks {
		over = append(over, best[int(r)])
	}
	return ranks, over
}

// BreakEven is where fLoRA and LoRA take the same time.
type BreakEven struct {
	// Cost is κ = 2 c₁/(d c₂) of the paper: the time of LoRA's two products at rank 1 over that of the linear,
	// fitted by least squares to LoRA's measured times 1 + κ r.
	Cost float64

	// Paper is the greatest rank at which fLoRA, at r times the linear, is no slower than such a LoRA by
	// equation 7, κ + 1/r ≥ 1: it is 1/(1-κ), and infinite from κ = 1 on.
	Paper float64

	// Measured is the rank at which the fastest strategies take the same time, on a straight line between
	// ranks that were measured: infinite where fLoRA is no slower at all of them, 0 where it is slower at all.
	Measured float64
}

// FindBreakEven compares the measurements of one setting; ok is false where they lack fLoRA or LoRA.
func FindBreakEven(timings []Timing) (b BreakEven, ok bool) {
	loraRanks, lora := fastest(timings, flora.LoRA)
	floraRanks, scaled := fastest(timings, flora.FLoRA)
	if len(lora) == 0 || len(scaled) == 0 {
		return b, false
	}
	var xy, xx float64
	for i, r := range loraRanks {
		xy += r * (lora[i] - 1)
		xx += r * r
	}
	b.Cost = max(xy/xx, 0)
	b.Paper = math.Inf(1)
	if b.Cost < 1 {
		b.Paper = 1 / (1 - b.Cost)
	}
	var ranks, lead []float64 // of ranks of both: how much slower fLoRA is
	for i, r := range floraRanks {
		if j := slices.Index(loraRanks, r); j >= 0 {
			ranks, lead = append(ranks, r), append(lead, scaled[i]-lora[j])
		}
	}
	if len(ranks) == 0 {
		return b, false
	}
	b.Measured = crossing(ranks, lead)
	return b, true
}

// crossing returns where values first rise above 0, on straight lines.
func crossing(xs, values []float64) float64 {
	for i, v := range values {
		if v <= 0 {
			continue
		}
		if i == 0 {
			return 0
		}
		return xs[i-1] + (xs[i]-xs[i-1])*values[i-1]/(values[i-1]-v)
	}
	return math.Inf(1)
}

// WriteSpeed writes speed.md, speed-*.svg and .png, and speed.html to folder out: the time of each strategy
// against rank, throughput, and the break-even of fLoRA and LoRA as measured and by the paper's equation 7.
func WriteSpeed(out string, timings []Timing) error {
	if err := os.MkdirAll(out, 0o777); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	table := breakEvenTable(timings)
	text := "# What adapters cost\n\n" + aboutSpeed + "\n\n" + table.Markdown() + overBaseTables(timings)
	if err := os.WriteFile(filepath.Join(out, "speed.md"), []byte(text), 0o666); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	drawings := speedDrawings(timings)
	drawings[0].Text, drawings[0].Rows = aboutSpeed, table.Cells
	return writeReport(out, "speed.html", "What adapters cost", drawings...)
}

const aboutSpeed = "Break-even is the rank from which on LoRA is faster than fLoRA. Equation 7 of Wen & Chaudhuri 2024 has it at 1/(1-κ), " +
	"κ = 2c₁/(d c₂) the cost of LoRA's products at rank 1 over that of the linear, fitted here to LoRA's times, and fLoRA of rank r at r times the linear."

// breakEvenTable returns a line for each setting.
func breakEvenTable(timings []Timing) eval.Table {
	t := eval.Table{Names: 3, Cells: [][]string{{"geometry", "dtype", "phase", "batch", "adapters", "κ", "break-even by eq. 7", "measured", "fLoRA/LoRA at the lowest rank", "at the highest"}}}
	settings, of := group(timings)
	for _, s := range settings {
		b, ok := FindBreakEven(of[s])
		if !ok {
			continue
		}
		lowest, highest := quotients(of[s])
		t.Cells = append(t.Cells, []string{s.Geometry, s.DType, s.Phase, strconv.Itoa(s.Batch), strconv.Itoa(s.Adapters), fmt.Sprintf("%.3f", b.Cost), rankText(b.Paper), rankText(b.Measured), lowest, highest})
	}
	return t
}

// quotients returns the time of fLoRA over that of LoRA at the lowest and the highest rank of both.
func quotients(timings []Timing) (lowest, highest string) {
	loraRanks, lora := fastest(timings, flora.LoRA)
	floraRanks, scaled := fastest(timings, flora.FLoRA)
	for i, r := range floraRanks {
		j := slices.Index(loraRanks, r)
		if j < 0 {
			continue
		}
		highest = fmt.Sprintf("%.2f (rank %g)", scaled[i]/lora[j], r)
		lowest = cmp.Or(lowest, highest)
	}
	return lowest, highest
}

// rankText returns a break-even as it is read.
func rankText(rank float64) string {
	switch {
	case math.IsInf(rank, 1):
		return "none"
	case rank == 0:
		return "below all"
	}
	return fmt.Sprintf("%.1f", rank)
}

// speedDrawings returns, for each geometry, number format and phase, times and throughputs by batch.
func speedDrawings(timings []Timing) []drawing {
	settings, of := group(timings)
	var drawings []drawing
	for len(settings) > 0 {
		first := settings[0]
		same := slices.DeleteFunc(slices.Clone(settings), func(s setting) bool {
			s.Batch, s.Adapters = first.Batch, first.Adapters
			return s != first
		})
		settings = settings[len(same):]
		name := fmt.Sprintf("%s, %s, %s", first.Geometry, first.DType, first.Phase)
		f := chart.Figure{Title: "Cost of adapters: " + name, Subtitle: "rings: what the program chooses", Columns: 2, Width: 380, Height: 230}
		for _, s := range same {
			f.Panels = append(f.Panels,
				speedPanel(of[s], fmt.Sprintf("batch %d, adapters %d: latency", s.Batch, s.Adapters), "time over base", func(t Timing) float64 { return t.OverBase }),
				speedPanel(of[s], fmt.Sprintf("batch %d, adapters %d: throughput", s.Batch, s.Adapters), "a second", func(t Timing) float64 { return 1000 * float64(t.Batch) / t.MS }))
		}
		file := fmt.Sprintf("speed-%s-%s-%s", first.Geometry, first.DType, first.Phase)
		drawings = append(drawings, drawing{safeName(file), chart.Section{Title: name, Figure: f}})
	}
	return drawings
}

// shape returns the markers of a strategy: those by rows share the first.
func shape(strategy string) int {
	switch flora.Strategy(strategy) {
	case flora.Mix:
		return 1
	case flora.Merged:
		return 2
	}
	return 0
}

// speedPanel returns the lines of kinds and strategies against rank.
func speedPanel(timings []Timing, title, unit string, value func(Timing) float64) chart.Panel {
	p := chart.Panel{Title: title, X: "rank", Y: unit, LogX: true, Zero: true}
	byName := make(map[string]*chart.Series)
	var names []string
	var chosen []chart.Series
	sorted := slices.Clone(timings)
	slices.SortStableFunc(sorted, func(a, b Timing) int {
		return cmp.Or(cmp.Compare(color(a.Kind), color(b.Kind)), cmp.Compare(a.Strategy, b.Strategy), a.Rank-b.Rank)
	})
	for _, t := range sorted {
		name := string(t.Kind) + " " + t.Strategy
		s := byName[name]
		if s == nil {
			names = append(names, name)
			s = &chart.Series{Name: name, Color: color(t.Kind), Style: chart.Marked, Shape: shape(t.Strategy)}
			byName[name] = s
		}
		x, y := float64(t.Rank), value(t)
		s.X, s.Y = append(s.X, x), append(s.Y, y)
		if t.Chosen {
			chosen = append(chosen, chart.Series{X: []float64{x}, Y: []float64{y}, Color: s.Color, Style: chart.Ring})
		}
	}
	for _, name := range names {
		p.Series = append(p.Series, *byName[name])
	}
	p.Series = append(p.Series, chosen...)
	return p
}

// safeName returns a name that a file can have.
func safeName(name string) string {
	out := []rune(name)
	for i, r := range out {
		if r == '/' || r == '\\' || r == ' ' || r == ':' {
			out[i] = '-'
		}
	}
	return string(out)
}
