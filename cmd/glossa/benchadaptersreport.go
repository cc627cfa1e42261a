package main

import (
	"fmt"
	"strconv"
	"time"

	"glossa/eval"
	"glossa/flora"
)

// adapterReport is the outcome of a run with --adapters.
type adapterReport struct {
	Backend  string          `json:"backend"`
	Device   string          `json:"device,omitempty"`
	Costs    []adapterCosts  `json:"costs"`
	Adapters []adapterResult `json:"adapters"`
}

// adapterCosts are what strategies were chosen by for a model.
type adapterCosts struct {
	Geometry string       `json:"geometry"`
	DType    string       `json:"dtype"`
	Costs    *flora.Costs `json:"costs"`
}

// adapterResult is the time of one strategy in a case.
type adapterResult struct {
	Geometry string  `json:"geometry"`
	DType    string  `json:"dtype"`
	Threads  int     `json:"threads"`
	Kind     string  `json:"kind"`
	Rank     int     `json:"rank"`
	Adapters int     `json:"adapters"`
	Batch    int     `json:"batch"`
	Phase    string  `json:"phase"`
	Strategy string  `json:"strategy"` // "several" where linears differ in what was chosen
	BaseMS   float64 `json:"base_ms"`  // of the base model, for a step or all windows of a batch
	MS       float64 `json:"ms"`
	OverBase float64 `json:"over_base"` // how many times the base model's time
	Chosen   bool    `json:"chosen"`
	Best     bool    `json:"best"`      // of those that may be chosen
	FromBest float64 `json:"from_best"` // how many times its time
}

// newAdapterResults derives the figures of a case from the times of the base model, the first, and of strategies. The
// ratios are medians of those of turns.
func newAdapterResults(c adapterCase, threads int, contenders []*contender) []adapterResult {
	base := contenders[0]
	results := make([]adapterResult, len(contenders)-1)
	least := -1
	for i, t := range contenders[1:] {
		results[i] = adapterResult{
			Geometry: c.geometry, DType: c.dtype.String(), Threads: threads, Kind: string(c.kind), Rank: c.rank, Adapters: c.adapters,
			Batch: c.batch, Phase: string(c.phase), Strategy: t.name, Chosen: t.chosen, OverBase: medianRatio(t.times, base.times),
		}
		if !t.barred && (least < 0 || results[i].OverBase < results[least].OverBase) {
			least = i
		}
	}
	baseMS := milliseconds(median(append([]time.Duration(nil), base.times...)))
	for i := range results {
		r := &results[i]
		r.BaseMS, r.MS = baseMS, baseMS*r.OverBase
		r.Best, r.FromBest = i == least, r.OverBase/results[least].OverBase
	}
	return results
}

// medianRatio returns the median of the ratios of times of the same turns.
func medianRatio(times, base []time.Duration) float64 {
	const unit = 1e9
	ratios := make([]time.Duration, len(times))
	for i := range ratios {
		ratios[i] = time.Duration(unit * float64(times[i]) / float64(base[i]))
	}
	return float64(median(ratios)) / unit
}

// adapterNames is the number of columns that name a case and a strategy.
const adapterNames = 8

func (r *adapterReport) table() eval.Table {
	t := eval.Table{Names: adapterNames, Cells: [][]string{{
		"geometry", "dtype", "phase", "batch", "kind", "rank", "adapters", "strategy", "base ms", "ms", "over base", "from best", "",
	}}}
	for _, x := range r.Adapters {
		mark := ""
		if x.Chosen {
			mark = "chosen"
		}
		t.Cells = append(t.Cells, []string{
			x.Geometry, x.DType, x.Phase, strconv.Itoa(x.Batch), x.Kind, strconv.Itoa(x.Rank), strconv.Itoa(x.Adapters), x.Strategy,
			digits(x.BaseMS), digits(x.MS), fmt.Sprintf("%+.1f%%", 100*(x.OverBase-1)), fmt.Sprintf("%+.1f%%", 100*(x.FromBest-1)), mark,
		})
	}
	return t
}

// printAdapters prints the results, and how the choices are.
func (f *benchCommand) printAdapters(c *console, r *adapterReport) error {
	switch {
	case f.JSON:
		return c.printJSON(r)
	case f.Markdown:
		return c.print(r.table().Markdown())
	}
	cases, near, worst := 0, 0, 1.0
	for _, x := range r.Adapters {
		if !x.Chosen {
			continue
		}
		cases++
		if x.FromBest <= nearBest {
			near++
		}
		worst = max(worst, x.FromBest)
	}
	text := r.table().Text()
	if cases > 0 && f.Strategy == "all" {
		text += fmt.Sprintf("\n%d of %d choices are within %.0f%% of the best, the worst is %.0f%% from it.\n", near, cases, 100*(nearBest-1), 100*(worst-1))
	}
	return c.print(text)
}

// nearBest is how many times the best strategy's time a good choice takes at most.
const nearBest = 1.1
