package page

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"

	"glossa/eval"
)

// maxRate is where the axis of error rates ends: higher ones are cut, and their number says what they are.
const maxRate = 1.5

// rateChart draws the word error rates by language, the base model beside its adapters.
func rateChart(r *eval.Report, confidence float64) template.HTML {
	l := lanes{
		id: "chart-wer", title: "Word error rate by language", tick: roundPercent,
		description: "A bar for each language and model, shorter is better, with its " + roundPercent(confidence) + " interval. The numbers are in the table of results.",
	}
	several := severalAdapters(r)
	for i, row := range r.Rows {
		if !isNumber(row.WER) {
			continue
		}
		l.high = max(l.high, row.WER)
		if row.WERInterval != nil {
			l.high = max(l.high, row.WERInterval[1])
		}
		n := lane{value: percent(row.WER), hint: rowName(row) + ": " + percent(row.WER) + interval(row.WERInterval, percent)}
		if i == 0 || r.Rows[i-1].Lang != row.Lang {
			n.label = langName(row.Lang)
		}
		class := "base"
		if row.Adapter != nil {
			if class = "adapter"; several[row.Lang] {
				n.name = *row.Adapter
			}
		}
		n.draw = func(d *drawing, place func(float64) float64, y float64) {
			d.rect("bar "+class, 0, place(row.WER), y-5, 10)
			if row.WERInterval != nil {
				whisker(d, "whisker", place, *row.WERInterval, y)
			}
		}
		l.rows = append(l.rows, n)
	}
	l.high = max(0.01, min(l.high, maxRate))
	return l.svg()
}

// gains returns the comparisons of a report's rows with the base model.
func gains(r *eval.Report) (over []*eval.Comparison) {
	for _, row := range r.Rows {
		if row.OverBase != nil {
			c := *row.OverBase
			c.Lang = row.Lang
			over = append(over, &c)
		}
	}
	return over
}

// split returns the comparison of all adapters with the base model, where the report has one, and the report's other comparisons.
func split(r *eval.Report) (together *eval.Comparison, others []*eval.Comparison) {
	together = r.AllOverBase()
	for i := range r.Comparisons {
		if c := &r.Comparisons[i]; c != together {
			others = append(others, c)
		}
	}
	return together, others
}

// hasInterval reports whether a comparison has one: there may have been too few groups of utterances to draw.
func hasInterval(c *eval.Comparison) bool { return c.Interval != [2]float64{} }

// gainChart draws what comparisons found, better to the right.
func gainChart(id, title string, over []*eval.Comparison, confidence float64) template.HTML {
	l := lanes{
		id: id, title: title, tick: func(x float64) string { return signed(x) },
		description: "A mark for each comparison with its " + roundPercent(confidence) + " interval, in points of per cent of the word error rate; right of zero is better. A mark is filled where the interval leaves out zero.",
	}
	for i, c := range over {
		if !isNumber(c.WER) {
			continue
		}
		l.low, l.high = min(l.low, c.WER, c.Interval[0]), max(l.high, c.WER, c.Interval[1])
		n := lane{value: signed(c.WER), hint: fmt.Sprintf("%s, %s over %s: %s", langName(c.Lang), systemName(c.System), systemName(c.Base), signed(c.WER))}
		if hasInterval(c) {
			n.hint += interval(&c.Interval, signed)
		}
		if first := i == 0 || over[i-1].Lang != c.Lang; first {
			n.label = langName(c.Lang)
		}
		if len(over) > i+1 && over[i+1].Lang == c.Lang || i > 0 && over[i-1].Lang == c.Lang {
			n.name = systemName(c.System)
		}
		class := verdict(c)
		n.draw = func(d *drawing, place func(float64) float64, y float64) {
			if hasInterval(c) {
				whisker(d, "whisker "+class, place, c.Interval, y)
			}
			d.circle("mark "+class, place(c.WER), y, 4.5)
		}
		l.rows = append(l.rows, n)
	}
	l.low, l.high = max(l.low, -1), max(0.01, min(l.high, 1))
	return l.svg()
}

// verdict names what an interval says.
func verdict(c *eval.Comparison) string {
	switch {
	case c.Interval[0] > 0:
		return "better"
	case c.Interval[1] < 0:
		return "worse"
	}
	return "open"
}

// latencyChart draws the percentiles of the time from question to answer.
func latencyChart(r *eval.Report) template.HTML {
	l := lanes{
		id: "chart-latency", title: "Latency by language", tick: func(x float64) string { return seconds(x) },
		description: "A line for each language and model from the median through the 95th to the 99th percentile of the time from question to answer. The numbers are in the table of results.",
	}
	several := severalAdapters(r)
	last := ""
	for _, row := range r.Rows {
		t := row.Latency
		if t == nil || !isNumber(t.P99) || !isNumber(t.P50) {
			continue
		}
		l.high = max(l.high, t.P99, t.P95, t.P50)
		n := lane{value: seconds(t.P50), hint: fmt.Sprintf("%s: median %s, p95 %s, p99 %s", rowName(row), seconds(t.P50), seconds(t.P95), seconds(t.P99))}
		if len(l.rows) == 0 || last != row.Lang {
			n.label = langName(row.Lang)
		}
		last = row.Lang
		class := "base"
		if row.Adapter != nil {
			if class = "adapter"; several[row.Lang] {
				n.name = *row.Adapter
			}
		}
		n.draw = func(d *drawing, place func(float64) float64, y float64) {
			d.line("span "+class, place(t.P50), y, place(t.P99), y)
			d.line("span "+class, place(t.P95), y-4, place(t.P95), y+4)
			d.line("span "+class, place(t.P99), y-4, place(t.P99), y+4)
			d.circle("mark "+class, place(t.P50), y, 4)
		}
		l.rows = append(l.rows, n)
	}
	return l.svg()
}

// severalAdapters returns the languages with rows of more than one adapter.
func severalAdapters(r *eval.Report) map[string]bool {
	first, several := make(map[string]string), make(map[string]bool)
	for _, row := range r.Rows {
		if row.Adapter == nil {
			continue
		}
		if name, ok := first[row.Lang]; ok && name != *row.Adapter {
			several[row.Lang] = true
		}
		first[row.Lang] = *row.Adapter
	}
	return several
}

// hasAdapters reports whether rows of both kinds are in a report.
func hasAdapters(r *eval.Report) bool {
	return slices.ContainsFunc(r.Rows, func(row eval.Row) bool { return row.Adapter != nil })
}

// rowName names a row.
func rowName(row eval.Row) string {
	if row.Adapter == nil {
		return langName(row.Lang) + ", base model"
	}
	return langName(row.Lang) + ", adapter " + *row.Adapter
}

// langName is a language's tag, or what stands for none.
func langName(lang string) string {
	if lang == "" {
		return "all"
	}
	return lang
}

// systemName is a system's name, or what stands for none.
func systemName(name string) string {
	if name == "" {
		return "base"
	}
	return name
}

// interval is a space and an interval in brackets.
func interval(i *[2]float64, format func(float64) string) string {
	if i == nil {
		return ""
	}
	return " (" + format(i[0]) + " to " + format(i[1]) + ")"
}

// histogram counts outcomes by their word error rate: none, up to 10%, …, up to 100%, more.
type histogram struct{ base, adapter [12]int }

// add counts an outcome. One without a hypothesis, or of nothing said, has no rate.
func (h *histogram) add(o eval.Outcome) {
	if o.Err != "" || o.Words.Reference() == 0 {
		return
	}
	bin := 0
	if edits := o.Words.Edits(); edits > 0 {
		// The rate is in (10·(bin-1)%, 10·bin%], in whole numbers.
		reference := o.Words.Reference()
		bin = min((10*edits+reference-1)/reference, len(h.base)-1)
	}
	if o.Adapter == "" {
		h.base[bin]++
	} else {
		h.adapter[bin]++
	}
}

// svg draws the shares of utterances.
func (h *histogram) svg() template.HTML {
	type series struct {
		class, name string
		counts      [12]int
		sum         int
	}
	var all []series
	for _, s := range []series{{"base", "base model", h.base, 0}, {"adapter", "adapters", h.adapter, 0}} {
		for _, n := range s.counts {
			s.sum += n
		}
		if s.sum > 0 {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return ""
	}
	top := 0.0
	for _, s := range all {
		top = max(top, float64(slices.Max(s.counts[:]))/float64(s.sum))
	}
	marks := ticks(0, top, 4)
	top = marks[len(marks)-1]
	const height, foot, head = 220.0, 24.0, 10.0
	y := func(v float64) float64 { return head + (1-v/top)*(height-foot-head) }

	var d drawing
	d.begin("chart-histogram", "Utterances by word error rate",
		"The share of utterances without an error, with a word error rate of up to 10 per cent, and so on to those above 100 per cent.", "columns", height)
	for _, m := range marks {
		d.line("grid", 0, y(m), 1, y(m))
		d.text("tick", "end", 0, -6, y(m)+4, roundPercent(m))
	}
	bins := len(h.base)
	width := 1 / float64(bins)
	for bin := range bins {
		from := width * float64(bin)
		each := width * 0.8 / float64(len(all))
		for k, s := range all {
			v := float64(s.counts[bin]) / float64(s.sum)
			d.group(fmt.Sprintf("%s, WER %s: %d of %d utterances, %s", s.name, binName(bin), s.counts[bin], s.sum, percent(v)), func() {
				x := from + width*0.1 + each*float64(k)
				d.rect("bar "+s.class, x, x+each*0.92, y(v), y(0)-y(v))
			})
		}
		label := strconv.Itoa(10 * bin)
		if bin == bins-1 {
			label = ">100"
		}
		class := "tick"
		if bin%2 == 1 && bin < bins-1 || bin == bins-2 { // where it is narrow there is room for every other
			class += " sparse"
		}
		d.text(class, "middle", from+width/2, 0, height-8, label)
	}
	d.line("zero", 0, y(0), 1, y(0))
	return d.end()
}

// binName says which rates a bin holds.
func binName(bin int) string {
	switch bin {
	case 0:
		return "0%"
	case len(histogram{}.base) - 1:
		return "above 100%"
	}
	return fmt.Sprintf("%d to %d%%", 10*(bin-1), 10*bin)
}
