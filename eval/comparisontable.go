package eval

import (
	"slices"
	"strconv"
)

// ComparisonTable returns comparisons as a table: the rates of base and system in per cent, by the measure of the language, the difference in
// points with its interval and mark (see Report.Text), the probability of improvement, the p-value of MAPSSWE and, where there are several,
// that value by Holm's correction.
func ComparisonTable(list []Comparison) Table {
	if len(list) == 0 {
		return Table{Cells: [][]string{{"lang"}}, Names: 1}
	}
	named := slices.ContainsFunc(list, func(c Comparison) bool { return c.Base != list[0].Base || c.System != list[0].System })
	adapted := slices.ContainsFunc(list, func(c Comparison) bool { return c.Adapter != "" })
	adjusted := slices.ContainsFunc(list, func(c Comparison) bool { return c.Holm != nil })

	heading := []string{"lang"}
	if adapted {
		heading = append(heading, "adapter")
	}
	base, system := list[0].Base, list[0].System
	if named {
		heading = append(heading, "base", "system")
		base, system = "base", "system"
	}
	t := Table{Names: len(heading)}
	heading = append(heading, "utterances", base, system, "difference", "P(better)", "p")
	if adjusted {
		heading = append(heading, "p (Holm)")
	}
	t.Cells = append(t.Cells, heading)
	for _, c := range list {
		cells := []string{orElse(c.Lang, "total")}
		if adapted {
			cells = append(cells, orElse(c.Adapter, "-"))
		}
		if named {
			cells = append(cells, c.Base, c.System)
		}
		cells = append(cells, c.cells()...)
		if adjusted {
			cells = append(cells, probability(c.Holm))
		}
		t.Cells = append(t.Cells, cells)
	}
	return t
}

// cells returns the figures of a comparison.
func (c *Comparison) cells() []string {
	before, after := c.BaseWER, c.SystemWER
	if CharactersFirst(c.Lang) {
		before, after = c.BaseCER, c.SystemCER
	}
	better := "-"
	if c.Groups > 1 {
		better = strconv.FormatFloat(c.Improvement, 'f', 3, 64)
	}
	return []string{strconv.Itoa(c.Utterances), percent(before), percent(after), gain(c.Lang, c), better, probability(c.MAPSSWE)}
}

// probability returns a p-value with three decimals: "0.012", "<0.001", "-" for none.
func probability(p *float64) string {
	switch {
	case p == nil:
		return "-"
	case *p < 0.001:
		return "<0.001"
	}
	return strconv.FormatFloat(*p, 'f', 3, 64)
}

// orElse returns text, or what stands for none.
func orElse(text, none string) string {
	if text == "" {
		return none
	}
	return text
}
