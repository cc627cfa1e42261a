package experiment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"glossa/flora"
	"glossa/flora/train/chart"
)

// color returns the number of a kind's colour, the same in every figure.
func color(k flora.Kind) int { return max(slices.Index(flora.Kinds(), k), 0) }

// figure returns error rates against rank: a panel for the average, and one for each language. Kinds without
// a rank are dashed lines, or points where there is one rank; the rate of the model alone, far above all others, is told in words.
func (o *Options) figure(rows []Row) chart.Figure {
	f := chart.Figure{
		Title: "Word error rate against rank", Subtitle: fmt.Sprintf("%s, %d steps, mean and standard deviation over seeds", o.Base, o.Train.Steps),
		Columns: 2, Width: 380, Height: 230,
	}
	if len(o.Languages) > 1 {
		f.Panels = append(f.Panels, o.panel(rows, "average", func(r Row) Rate { return r.WERAverage }))
	}
	for _, lang := range o.Languages {
		f.Panels = append(f.Panels, o.panel(rows, lang, func(r Row) Rate { return r.WER[lang] }))
	}
	return f
}

// panel returns the panel of one rate.
func (o *Options) panel(rows []Row, name string, rate func(Row) Rate) chart.Panel {
	p := chart.Panel{Title: name, X: "rank", Percent: true, LogX: true, Dodge: true}
	for _, kind := range append([]flora.Kind{None}, o.Kinds...) {
		s := chart.Series{Name: string(kind), Color: color(kind), Style: chart.Marked}
		for _, row := range rows {
			r := rate(row)
			if row.Kind != kind || r.Seeds == 0 {
				continue
			}
			switch {
			case kind == None:
				p.Title = fmt.Sprintf("%s (without adapter %.1f%%)", name, 100*r.Mean)
			case row.Rank == 0 && len(o.Ranks) > 1:
				s.Style = chart.Dashed
				for _, rank := range []int{slices.Min(o.Ranks), slices.Max(o.Ranks)} {
					s.X, s.Y, s.Error = append(s.X, float64(rank)), append(s.Y, r.Mean), append(s.Error, r.Deviation)
				}
			default:
				s.X, s.Y, s.Error = append(s.X, float64(max(row.Rank, slices.Min(o.Ranks)))), append(s.Y, r.Mean), append(s.Error, r.Deviation)
			}
		}
		if len(s.X) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	return p
}

// drawing is a section of a report, whose figure is also stored on its own.
type drawing struct {
	name string // of its files, without their endings
	chart.Section
}

// writeReport writes the figure of each drawing as SVG and as PNG, and a page with all of them.
func writeReport(dir, page, title string, drawings ...drawing) error {
	var sections []chart.Section
	files := make(map[string][]byte)
	for _, d := range drawings {
		svg, err := d.Figure.SVG(chart.Light())
		if errors.Is(err, chart.ErrEmpty) {
			continue
		}
		png, pngErr := d.Figure.PNG(chart.Light())
		if err := errors.Join(err, pngErr); err != nil {
			return fmt.Errorf("experiment: %w", err)
		}
		files[d.name+".svg"], files[d.name+".png"] = svg, png
		sections = append(sections, d.Section)
	}
	html, err := chart.Page(title, sections)
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	files[page] = html
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			return fmt.Errorf("experiment: %w", err)
		}
	}
	return nil
}
