package main

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/eval"
)

// loadReport is the outcome of bench load.
type loadReport struct {
	Model    string `json:"model"`
	Device   string `json:"device"`
	Capacity struct {
		Measured  float64 `json:"measured"`
		Predicted float64 `json:"predicted"`
	} `json:"recordings_per_second"` // when there are always more
	Loads []loadResult `json:"loads"`
}

// loadResult is a load, measured and predicted.
type loadResult struct {
	Name       string      `json:"name"`
	Load       float64     `json:"load,omitempty"` // of what the machine can do
	Rate       float64     `json:"rate"`           // recordings a second
	Recordings int         `json:"recordings"`
	Measured   loadOutcome `json:"measured"`
	Predicted  loadOutcome `json:"predicted"`

	// Slower is how many times as long as the costs have it the device took, and AtItsSpeed what is predicted for such a machine: the
	// speed of shared machines changes from minute to minute.
	Slower     float64     `json:"slower"`
	AtItsSpeed loadOutcome `json:"predicted_at_its_speed"`

	Runs []loadResult `json:"runs,omitempty"` // of which these are the medians
}

// loadOutcome is what a load came to.
type loadOutcome struct {
	Waiting     simulate.Quantiles `json:"waiting"`
	Total       simulate.Quantiles `json:"total"`
	RTFx        float64            `json:"rtfx"`
	Utilisation float64            `json:"utilisation"`
	Rows        float64            `json:"rows"`
	Adapters    float64            `json:"adapters"`
	Refused     int64              `json:"refused"`
}

func predicted(r *simulate.Report) loadOutcome {
	l := r.Of(simulate.All)
	return loadOutcome{Waiting: l.Waiting, Total: l.Total, RTFx: r.RTFx, Utilisation: r.Utilisation, Rows: r.Rows, Adapters: r.Adapters, Refused: r.Refused}
}

// loadObserver adds up what an engine does.
type loadObserver struct {
	mu                    sync.Mutex
	waited, took          []time.Duration
	busy                  time.Duration
	steps, rows, adapters int
}

func (o *loadObserver) observer() *asr.Observer {
	return &asr.Observer{
		Waited: func(_ asr.Priority, wait time.Duration) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.waited = append(o.waited, wait)
		},
		Finished: func(f asr.Finished) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if f.Err == nil {
				o.took = append(o.took, f.Duration)
			}
		},
		Encoded: func(e asr.Encoded) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.busy += e.Duration
		},
		Stepped: func(s asr.Stepped) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.busy += s.Duration
			o.steps, o.rows, o.adapters = o.steps+1, o.rows+s.Rows, o.adapters+s.Adapters
		},
	}
}

func (o *loadObserver) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waited, o.took, o.busy, o.steps, o.rows, o.adapters = nil, nil, 0, 0, 0, 0
}

// outcome returns what was done in so many seconds, and for how many of them the device computed.
func (o *loadObserver) outcome(wall float64) (*loadOutcome, float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	steps := float64(max(o.steps, 1))
	return &loadOutcome{
		Waiting: timesOf(o.waited), Total: timesOf(o.took), Utilisation: o.busy.Seconds() / wall,
		Rows: float64(o.rows) / steps, Adapters: float64(o.adapters) / steps,
	}, o.busy.Seconds()
}

// print prints the report.
func (f *benchLoadCommand) print(c *console, r *loadReport) error {
	if f.JSON {
		return c.printJSON(r)
	}
	text := loadTable(r).Text()
	if f.Markdown {
		text = loadTable(r).Markdown()
	}
	if r.Capacity.Measured > 0 {
		text += fmt.Sprintf("\n%s does %.1f recordings a second when there are always more; predicted are %.1f.\n", r.Model, r.Capacity.Measured, r.Capacity.Predicted)
	}
	return c.print(text)
}

// loadTable returns the loads as a table: of each what was measured, what was predicted, and how far that is from it; and what is
// predicted at the speed that the machine had meanwhile.
func loadTable(r *loadReport) eval.Table {
	t := eval.Table{Names: 2, Cells: [][]string{{
		"load", "", "a second", "recordings", "waiting mean", "p50", "p95", "total mean", "p50", "p95", "p99", "RTFx", "busy", "rows", "adapters", "refused",
	}}}
	for _, l := range r.Loads {
		m := &l.Measured
		line := func(head []string, o *loadOutcome) {
			for _, s := range o.times() {
				head = append(head, fmt.Sprintf("%.4f", s))
			}
			t.Cells = append(t.Cells, append(head, fmt.Sprintf("%.1f", o.RTFx), fmt.Sprintf("%.0f%%", 100*o.Utilisation),
				fmt.Sprintf("%.2f", o.Rows), fmt.Sprintf("%.2f", o.Adapters), strconv.FormatInt(o.Refused, 10)))
		}
		off := func(p *loadOutcome) {
			cells := []string{"", "off by", "", ""}
			of := append(p.times(), p.RTFx, p.Utilisation, p.Rows, p.Adapters)
			for i, x := range append(m.times(), m.RTFx, m.Utilisation, m.Rows, m.Adapters) {
				cell := ""
				if x != 0 {
					cell = fmt.Sprintf("%+.0f%%", 100*(of[i]/x-1))
				}
				cells = append(cells, cell)
			}
			t.Cells = append(t.Cells, append(cells, ""))
		}
		line([]string{l.Name, "measured", fmt.Sprintf("%.1f", l.Rate), strconv.Itoa(l.Recordings)}, m)
		line([]string{"", "predicted", "", ""}, &l.Predicted)
		off(&l.Predicted)
		line([]string{"", fmt.Sprintf("%.2f times as slow", l.Slower), "", ""}, &l.AtItsSpeed)
		off(&l.AtItsSpeed)
	}
	return t
}

// times are those of a row of the table.
func (o *loadOutcome) times() []float64 {
	return []float64{o.Waiting.Mean, o.Waiting.P50, o.Waiting.P95, o.Total.Mean, o.Total.P50, o.Total.P95, o.Total.P99}
}
