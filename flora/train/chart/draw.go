package chart

import (
	"image/color"
	"math"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes of text, in points.
const (
	titleSize  = 14
	panelSize  = 11
	normalSize = 9.5
)

// style returns a style of text.
func style(c color.Color, size vg.Length, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: c, Font: f, Handler: plot.DefaultTextHandler, YAlign: text.YTop}
}

// draw draws the figure on a canvas of its size.
func (f Figure) draw(c draw.Canvas, t Theme) error {
	if !slices.ContainsFunc(f.Panels, func(p Panel) bool { _, _, _, _, ok := p.bounds(); return ok }) {
		return ErrEmpty
	}
	c.SetColor(t.Background)
	c.Fill(c.Rectangle.Path())
	y := c.Max.Y - margin
	if f.Title != "" {
		c.FillText(style(t.Text, titleSize, true), vg.Point{X: c.Min.X + margin, Y: y}, f.Title)
		y -= titleHeight
	}
	if f.Subtitle != "" {
		c.FillText(style(t.Muted, normalSize, false), vg.Point{X: c.Min.X + margin, Y: y}, f.Subtitle)
		y -= subtitleHeight
	}
	for _, line := range f.legend() {
		x := c.Min.X + margin
		for _, s := range line {
			x = drawKey(c, t, s, x, y) + 18
		}
		y -= legendHeight
	}
	top := c.Max.Y - margin - f.heading()
	columns, _ := f.grid()
	w, h := f.panel()
	for i, p := range f.Panels {
		at := vg.Point{X: c.Min.X + margin + (w+gap)*vg.Length(i%columns), Y: top - h - (h+gap)*vg.Length(i/columns)}
		p.draw(draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: at, Max: vg.Point{X: at.X + w, Y: at.Y + h}}}, t)
	}
	return nil
}

// legend returns the named series, each name once, in lines that fit.
func (f Figure) legend() (lines [][]Series) {
	columns, _ := f.grid()
	w, _ := f.panel()
	width := w*vg.Length(columns) + gap*vg.Length(columns-1)
	seen := make(map[string]bool)
	used := vg.Length(0)
	for _, p := range f.Panels {
		for _, s := range p.Series {
			if p.Ends || s.Name == "" || seen[s.Name] {
				continue
			}
			seen[s.Name] = true
			need := keyWidth + style(color.Black, normalSize, false).Width(s.Name) + 18
			if len(lines) == 0 || used+need > width {
				lines, used = append(lines, nil), 0
			}
			used += need
			lines[len(lines)-1] = append(lines[len(lines)-1], s)
		}
	}
	return lines
}

// keyWidth is the width of a sample of a line and the space behind it, in points.
const keyWidth = 28

// drawKey draws a sample of a series and its name, and returns where they end.
func drawKey(c draw.Canvas, t Theme, s Series, x, y vg.Length) vg.Length {
	middle := y - 0.55*normalSize
	line, glyph := s.look(t)
	if line.Width > 0 {
		c.StrokeLine2(line, x, middle, x+keyWidth-6, middle)
	}
	if glyph.Shape != nil {
		c.DrawGlyph(glyph, vg.Point{X: x + (keyWidth-6)/2, Y: middle})
	}
	label := style(t.Text, normalSize, false)
	c.FillText(label, vg.Point{X: x + keyWidth, Y: y}, s.Name)
	return x + keyWidth + label.Width(s.Name)
}

// shapes are those of markers.
var shapes = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.TriangleGlyph{}, draw.SquareGlyph{}}

// look returns the style of a series' line and of its points, of no width or shape where there is none.
func (s Series) look(t Theme) (line draw.LineStyle, glyph draw.GlyphStyle) {
	c := t.color(s.Color)
	line = draw.LineStyle{Color: c, Width: 1.6}
	switch s.Style {
	case Marked:
		glyph = draw.GlyphStyle{Color: c, Radius: 2.4, Shape: shapes[s.Shape%len(shapes)]}
		if s.Shape > 0 {
			glyph.Radius, line.Dashes = 3, []vg.Length{vg.Length(7 - 2*(s.Shape%len(shapes))), 2.5}
		}
	case Faint:
		line = draw.LineStyle{Color: pale(c, 0.35), Width: 0.8}
	case Dashed:
		line.Width, line.Dashes = 1.2, []vg.Length{5, 3}
	case Ring:
		line.Width = 0
		glyph = draw.GlyphStyle{Color: c, Radius: 5, Shape: draw.RingGlyph{}}
	}
	return line, glyph
}

// draw draws a panel.
func (p Panel) draw(c draw.Canvas, t Theme) {
	xMin, xMax, yMin, yMax, ok := p.bounds()
	if !ok {
		xMin, xMax, yMin, yMax = 1, 2, 0, 1
	}
	g := plot.New()
	g.BackgroundColor = color.Transparent
	g.Title.Text, g.Title.TextStyle = p.Title, style(t.Text, panelSize, true)
	g.Title.TextStyle.XAlign, g.Title.Padding = text.XCenter, 4
	for _, axis := range []struct {
		axis *plot.Axis
		name string
	}{{&g.X, p.X}, {&g.Y, p.Y}} {
		a := axis.axis
		a.Color, a.Tick.Color, a.Tick.Length, a.Padding = t.Muted, t.Muted, 3, 4
		a.Label.Text = axis.name
		font := a.Label.TextStyle
		font.Color, font.Font = t.Muted, style(t.Muted, normalSize, false).Font
		a.Label.TextStyle = font
		label := a.Tick.Label
		label.Color, label.Font = t.Muted, font.Font
		a.Tick.Label = label
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: t.Grid, Width: 0.6}
	g.Add(grid)
	for i, s := range p.Series {
		if p.Dodge {
			s.X = p.dodge(s.X, i)
		}
		s.addTo(g, t)
	}
	if p.Ends {
		g.Add(endNames{p.Series, t})
	}
	g.X.Min, g.X.Max = spread(xMin, xMax)
	g.X.Tick.Marker = ticks{}
	if p.LogX && xMin > 0 {
		g.X.Scale, g.X.Tick.Marker = plot.LogScale{}, marks(p.places())
		g.X.Min, g.X.Max = xMin/1.12, xMax*1.12
	}
	yTicks := ticks{percent: p.Percent}
	g.Y.Min, g.Y.Max = yTicks.round(spread(yMin, yMax))
	g.Y.Tick.Marker = yTicks
	if p.LogY && yMin > 0 {
		all := decades(yMin, yMax)
		g.Y.Scale, g.Y.Tick.Marker = plot.LogScale{}, all
		g.Y.Min, g.Y.Max = all[0], all[len(all)-1]
	}
	g.Y.LineStyle.Width = 0
	g.Draw(c)
}

// dodge returns the places of series number i, moved by a part of their distance.
func (p Panel) dodge(xs []float64, i int) []float64 {
	const part = 0.02
	shift := part * (float64(i) - float64(len(p.Series)-1)/2)
	moved := make([]float64, len(xs))
	xMin, xMax, _, _, _ := p.bounds()
	for j, x := range xs {
		if moved[j] = x + shift*(xMax-xMin); p.LogX {
			moved[j] = x * math.Pow(2, shift*2)
		}
	}
	return moved
}

// spread returns a range that is not empty.
func spread(from, to float64) (float64, float64) {
	if to > from {
		return from, to
	}
	d := max(math.Abs(from)*0.1, 1e-3)
	return from - d, to + d
}

// places returns the values of x of all series.
func (p Panel) places() []float64 {
	var xs []float64
	for _, s := range p.Series {
		xs = append(xs, s.X...)
	}
	slices.Sort(xs)
	return slices.Compact(xs)
}

// addTo adds the series to a plot, a line of its own for each run of points that can be drawn.
func (s Series) addTo(g *plot.Plot, t Theme) {
	line, glyph := s.look(t)
	var run plotter.XYs
	flush := func() {
		if len(run) == 0 {
			return
		}
		if line.Width > 0 {
			g.Add(&plotter.Line{XYs: run, LineStyle: line})
		}
		if glyph.Shape != nil {
			g.Add(&plotter.Scatter{XYs: run, GlyphStyle: glyph})
		}
		run = nil
	}
	for i := range s.X {
		if !s.finite(i) {
			flush()
			continue
		}
		run = append(run, plotter.XY{X: s.X[i], Y: s.Y[i]})
	}
	flush()
	if s.Error != nil {
		g.Add(&errorBars{line: draw.LineStyle{Color: t.color(s.Color), Width: 1}, series: s})
	}
}

// errorBars draws a series' error bars.
type errorBars struct {
	line   draw.LineStyle
	series Series
}

// capWidth is half the width of the caps of an error bar, in points.
const capWidth = 3

// Plot draws the bars.
func (b *errorBars) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for i, half := range b.series.Error {
		if !b.series.finite(i) || !(half > 0) {
			continue
		}
		x, low, high := toX(b.series.X[i]), toY(b.series.Y[i]-half), toY(b.series.Y[i]+half)
		c.StrokeLine2(b.line, x, low, x, high)
		c.StrokeLine2(b.line, x-capWidth, low, x+capWidth, low)
		c.StrokeLine2(b.line, x-capWidth, high, x+capWidth, high)
	}
}
