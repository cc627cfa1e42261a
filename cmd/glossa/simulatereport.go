package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"glossa/asr/simulate"
	"glossa/eval"
	"glossa/flora/train/chart"
)

// foundWorkers is what a search came to.
type foundWorkers struct {
	Model   string   `json:"model"`
	Targets []string `json:"targets"`
	Workers int      `json:"workers"`
}

// found returns the outcomes of searches.
func (s *simulationPlan) found() (found []foundWorkers) {
	for _, m := range s.models {
		if m.found == 0 {
			continue
		}
		w := foundWorkers{Model: m.costs.Name, Workers: m.found}
		for _, t := range s.flags.Target {
			w.Targets = append(w.Targets, simulate.Target(t).String())
		}
		found = append(found, w)
	}
	return found
}

// print prints the results.
func (s *simulationPlan) print(c *console) error {
	found := s.found()
	if s.flags.JSON {
		return c.printJSON(struct {
			Found   []foundWorkers `json:"found,omitempty"`
			Results []simulated    `json:"results"`
		}{found, s.results})
	}
	text := s.table().Text()
	if s.flags.Mark {
		text = s.table().Markdown()
	}
	for _, f := range found {
		text += fmt.Sprintf("\n%d workers of %s are the fewest that keep %v", f.Workers, f.Model, f.Targets[0])
		for _, t := range f.Targets[1:] {
			text += " and " + t
		}
		text += ".\n"
	}
	return c.print(text)
}

// table returns the results as a table.
func (s *simulationPlan) table() eval.Table {
	t := eval.Table{Names: 4, Cells: [][]string{{
		"model", "workers", "load", "priority", "recordings", "waiting p50", "p95", "p99", "total mean", "p50", "p95", "p99", "RTFx", "busy", "rows", "adapters",
		"backlog", "its sound",
	}}}
	failures := false
	for _, r := range s.results {
		failures = failures || r.Failures+r.Redelivered+r.Dead+r.Refused > 0
	}
	if failures {
		t.Cells[0] = append(t.Cells[0], "lost workers", "again", "dead", "refused")
	}
	for _, r := range s.results {
		for i, l := range r.Latencies {
			if l.Priority == simulate.All && len(r.Latencies) == 2 {
				continue // as the one above
			}
			cells := []string{"", "", "", l.Priority, strconv.FormatInt(l.Served, 10)}
			if i == 0 {
				cells[0], cells[1], cells[2] = r.Model, strconv.Itoa(r.Workers), fmt.Sprintf("%g", r.Load)
			}
			for _, v := range []float64{l.Waiting.P50, l.Waiting.P95, l.Waiting.P99, l.Total.Mean, l.Total.P50, l.Total.P95, l.Total.P99} {
				cells = append(cells, fewDigits(v))
			}
			cells = append(cells, s.shared(r, i == 0, failures)...)
			t.Cells = append(t.Cells, cells)
		}
	}
	return t
}

// fewDigits returns a time in seconds, to the millisecond where it is short.
func fewDigits(seconds float64) string {
	if seconds < 0.9995 {
		return strconv.FormatFloat(seconds, 'f', 3, 64)
	}
	return digits(seconds)
}

// shared returns the cells that the priorities of a run have in common, in its first row.
func (s *simulationPlan) shared(r simulated, first, failures bool) []string {
	cells := []string{
		digits(r.RTFx), fmt.Sprintf("%.0f%%", 100*r.Utilisation), digits(r.Rows), digits(r.Adapters), strconv.FormatInt(r.Backlog, 10), fmt.Sprintf("%.0f s", r.BacklogSound),
	}
	if failures {
		for _, n := range []int64{r.Failures, r.Redelivered, r.Dead, r.Refused} {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
	}
	if !first {
		clear(cells)
	}
	return cells
}

// quantileSeries are the lines of a panel.
var quantileSeries = []struct {
	name string
	of   func(simulate.Quantiles) float64
}{
	{"p50", func(q simulate.Quantiles) float64 { return q.P50 }},
	{"p95", func(q simulate.Quantiles) float64 { return q.P95 }},
	{"p99", func(q simulate.Quantiles) float64 { return q.P99 }},
}

// draw writes a plot of latencies against workers and load.
func (s *simulationPlan) draw(name string) error {
	f := chart.Figure{Title: "Latency of recordings", Subtitle: s.subtitle(), Columns: 2, Width: 420, Height: 240}
	for _, m := range s.models {
		f.Panels = append(f.Panels, s.panels(m)...)
	}
	var content []byte
	var err error
	switch filepath.Ext(name) {
	case ".png":
		content, err = f.PNG(chart.Light())
	case ".svg":
		content, err = f.SVG(chart.Light())
	default:
		title := f.Title
		f.Title = ""
		content, err = chart.Page(title, []chart.Section{{Figure: f, Rows: s.table().Cells}})
	}
	if errors.Is(err, chart.ErrEmpty) {
		return fmt.Errorf("--plot %s: there is nothing to draw", name)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o666)
}

// subtitle says what comes.
func (s *simulationPlan) subtitle() string {
	a := &s.flags.Arrive
	if a.Trace != "" {
		return filepath.Base(a.Trace)
	}
	return fmt.Sprintf("%s for %v, %s, %d languages", a.Rate, a.Duration, a.Pattern, a.Languages)
}

// panels returns those of a model: latencies, and how busy devices are, against workers and against load, as far as there are several.
func (s *simulationPlan) panels(m *modelPlan) (panels []chart.Panel) {
	loads := make([]float64, len(m.workers))
	for i, n := range m.workers {
		loads[i] = float64(n)
	}
	load := func(r simulated) float64 { return r.Load }
	workers := func(r simulated) float64 { return float64(r.Workers) }
	if len(m.workers) > 1 {
		panels = append(panels, s.against(m, "workers", workers, "load %g", load, s.flags.Load)...)
	}
	if len(s.flags.Load) > 1 || len(m.workers) == 1 {
		panels = append(panels, s.against(m, "load", load, "%g workers", workers, loads)...)
	}
	return panels
}

// against returns two panels of a model: latencies and how busy devices are against x, with a line for each value of another number; of
// one value, a line for each quantile.
func (s *simulationPlan) against(m *modelPlan, axis string, x func(simulated) float64, format string, other func(simulated) float64, values []float64) []chart.Panel {
	took := chart.Panel{Title: m.costs.Name, X: axis, Y: "seconds", LogY: true}
	busy := chart.Panel{Title: m.costs.Name, X: axis, Y: "devices busy", Percent: true, Zero: true}
	for i, v := range values {
		var rs []simulated
		for _, r := range s.results {
			if r.Model == m.costs.Name && other(r) == v {
				rs = append(rs, r)
			}
		}
		slices.SortFunc(rs, func(a, b simulated) int { return cmp.Compare(x(a), x(b)) })
		name := fmt.Sprintf(format, v)
		if len(values) == 1 {
			took.Title, name = took.Title+", "+name, ""
			for j, q := range quantileSeries {
				took.Series = append(took.Series, series(q.name, j, rs, x, func(r simulated) float64 { return q.of(r.Of(simulate.All).Total) }))
			}
		} else {
			took.Series = append(took.Series, series(name, i, rs, x, func(r simulated) float64 { return r.Of(simulate.All).Total.P95 }))
			took.Y = "seconds, p95"
		}
		busy.Series = append(busy.Series, series(name, i, rs, x, func(r simulated) float64 { return r.Utilisation }))
	}
	return []chart.Panel{took, busy}
}

// series returns a line through results.
func series(name string, color int, rs []simulated, x, y func(simulated) float64) chart.Series {
	s := chart.Series{Name: name, Color: color, Style: chart.Marked}
	for _, r := range rs {
		s.X, s.Y = append(s.X, x(r)), append(s.Y, y(r))
	}
	return s
}
