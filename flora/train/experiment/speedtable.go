package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"glossa/eval"
)

// overBaseTables returns, for each setting, the time of each strategy over the base model's against rank, that
// of the choice marked.
func overBaseTables(timings []Timing) string {
	var out strings.Builder
	settings, of := group(timings)
	for _, s := range settings {
		fmt.Fprintf(&out, "\n## %s, %s, %s: batch %d, adapters %d\n\nTime over the base model's by rank; * is what the program chooses.\n\n", s.Geometry, s.DType, s.Phase, s.Batch, s.Adapters)
		out.WriteString(overBaseTable(of[s]).Markdown())
	}
	return out.String()
}

// overBaseTable returns a line for each kind and strategy, and a column for each rank.
func overBaseTable(timings []Timing) eval.Table {
	sorted := slices.Clone(timings)
	slices.SortStableFunc(sorted, func(a, b Timing) int {
		return cmp.Or(cmp.Compare(color(a.Kind), color(b.Kind)), cmp.Compare(shape(a.Strategy), shape(b.Strategy)), cmp.Compare(a.Strategy, b.Strategy))
	})
	var ranks []int
	for _, t := range sorted {
		ranks = append(ranks, t.Rank)
	}
	slices.Sort(ranks)
	ranks = slices.Compact(ranks)
	head := []string{"kind", "strategy"}
	for _, r := range ranks {
		head = append(head, strconv.Itoa(r))
	}
	table := eval.Table{Names: 2, Cells: [][]string{head}}
	for _, t := range sorted {
		last := table.Cells[len(table.Cells)-1]
		if last[0] != string(t.Kind) || last[1] != t.Strategy {
			last = append([]string{string(t.Kind), t.Strategy}, make([]string, len(ranks))...)
			table.Cells = append(table.Cells, last)
		}
		text := fmt.Sprintf("%.2f", t.OverBase)
		if t.Chosen {
			text += "*"
		}
		last[2+slices.Index(ranks, t.Rank)] = text
	}
	return table
}
