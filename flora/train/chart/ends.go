package chart

import (
	"cmp"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Distances of names at the ends of lines, in points: from the line, and from baseline to baseline.
const (
	endGap  = 7
	endStep = 1.25 * normalSize
)

// endNames writes the name of each series behind its last point.
type endNames struct {
	series []Series
	theme  Theme
}

// end returns the last point that can be drawn; ok is false where there is none, or no name.
func (s Series) end() (x, y float64, ok bool) {
	for i := len(s.X) - 1; i >= 0 && s.Name != ""; i-- {
		if s.finite(i) {
			return s.X[i], s.Y[i], true
		}
	}
	return 0, 0, false
}

// Plot writes the names.
func (e endNames) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	var named []Series
	var at []vg.Point
	for _, s := range e.series {
		if x, y, ok := s.end(); ok {
			named, at = append(named, s), append(at, vg.Point{X: toX(x) + endGap, Y: toY(y)})
		}
	}
	apart(at)
	for i, s := range named {
		label := style(e.theme.color(s.Color), normalSize, true)
		label.YAlign = draw.YCenter
		c.FillText(label, at[i], s.Name)
	}
}

// GlyphBoxes tells the plot the room that the names take.
func (e endNames) GlyphBoxes(p *plot.Plot) (boxes []plot.GlyphBox) {
	for _, s := range e.series {
		if x, y, ok := s.end(); ok {
			width := style(e.theme.Text, normalSize, true).Width(s.Name)
			boxes = append(boxes, plot.GlyphBox{X: p.X.Norm(x), Y: p.Y.Norm(y), Rectangle: vg.Rectangle{Max: vg.Point{X: endGap + width}}})
		}
	}
	return boxes
}

// apart moves points upwards until each is a line of text above the one that was below it.
func apart(at []vg.Point) {
	order := make([]*vg.Point, len(at))
	for i := range at {
		order[i] = &at[i]
	}
	slices.SortStableFunc(order, func(a, b *vg.Point) int { return cmp.Compare(a.Y, b.Y) })
	for i := 1; i < len(order); i++ {
		order[i].Y = max(order[i].Y, order[i-1].Y+endStep)
	}
}
