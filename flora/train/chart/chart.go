// Package chart draws lines over numbers: figures of panels, as SVG, as PNG, and as pages for a browser that
// follow its light or dark colours. It is a thin layer over gonum's plot.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// ErrEmpty is the error of a figure without a single point.
var ErrEmpty = errors.New("chart: nothing to draw")

// Figure is panels in rows.
type Figure struct {
	Title    string
	Subtitle string
	Panels   []Panel
	Columns  int // panels in a row; 0 stands for 1

	// Width and Height are those of a panel, in points of 1/72 inch; 0 stands for 560 and 190.
	Width, Height float64
}

// Panel is a pair of axes.
type Panel struct {
	Title   string
	X, Y    string // names of the axes with their units
	Percent bool   // values of y are fractions, and shown in per cent
	LogX    bool   // the x axis is logarithmic, with a tick at each value of a series; not where one is 0 or less
	LogY    bool   // the y axis is logarithmic; not where a value is 0 or less
	Zero    bool   // the y axis begins at 0
	Dodge   bool   // series of one place are drawn a little beside each other, so that their error bars are seen
	Ends    bool   // names of series stand behind their last points, and not in the legend
	Series  []Series
}

// Series is a line through points.
type Series struct {
	Name  string // in the legend, or behind the last point; "" leaves it out
	X, Y  []float64
	Error []float64 // half the height of each point's error bar; nil for none
	Color int       // of the theme's palette, by number
	Style Style
	Shape int // of the markers, by number; the line of any but the first is broken
}

// Style is how a series is drawn.
type Style int

const (
	Line   Style = iota // a line
	Marked              // a line with a marker at each point
	Faint               // a thin pale line, as of what is noisy
	Dashed              // a dashed line, as of what others are compared with
	Ring                // a ring around each point, no line
)

// finite reports whether point i can be drawn.
func (s Series) finite(i int) bool {
	return !math.IsNaN(s.X[i]) && !math.IsInf(s.X[i], 0) && !math.IsNaN(s.Y[i]) && !math.IsInf(s.Y[i], 0)
}

// bounds returns the extent of a panel's points with their error bars; ok is false where there is none.
func (p Panel) bounds() (xMin, xMax, yMin, yMax float64, ok bool) {
	xMin, xMax, yMin, yMax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range p.Series {
		for i := range s.X {
			if !s.finite(i) {
				continue
			}
			half := 0.0
			if s.Error != nil {
				half = s.Error[i]
			}
			ok = true
			xMin, xMax = min(xMin, s.X[i]), max(xMax, s.X[i])
			yMin, yMax = min(yMin, s.Y[i]-half), max(yMax, s.Y[i]+half)
		}
	}
	if p.Zero {
		yMin = min(yMin, 0)
	}
	return xMin, xMax, yMin, yMax, ok
}

// SVG returns the figure as a document of SVG.
func (f Figure) SVG(t Theme) ([]byte, error) {
	w, h := f.size()
	canvas := vgsvg.New(w, h)
	if err := f.draw(draw.New(canvas), t); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	// Browsers that lack the font take one like it.
	return []byte(strings.ReplaceAll(out.String(), "font-family:Liberation Sans;", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// pngResolution is that of images, in dots per inch.
const pngResolution = 144

// PNG returns the figure as an image.
func (f Figure) PNG(t Theme) ([]byte, error) {
	w, h := f.size()
	canvas := vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(pngResolution))
	if err := f.draw(draw.New(canvas), t); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&out); err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	return out.Bytes(), nil
}

// Sizes, in points.
const (
	panelWidth, panelHeight = 560, 190
	margin                  = 14
	gap                     = 14
	titleHeight             = 22
	subtitleHeight          = 16
	legendHeight            = 18
)

// grid returns the number of columns and rows.
func (f Figure) grid() (columns, rows int) {
	columns = max(f.Columns, 1)
	return columns, (len(f.Panels) + columns - 1) / columns
}

func (f Figure) panel() (w, h vg.Length) {
	w, h = panelWidth, panelHeight
	if f.Width > 0 {
		w = vg.Length(f.Width)
	}
	if f.Height > 0 {
		h = vg.Length(f.Height)
	}
	return w, h
}

// heading returns the height above the panels.
func (f Figure) heading() (h vg.Length) {
	if f.Title != "" {
		h += titleHeight
	}
	if f.Subtitle != "" {
		h += subtitleHeight
	}
	return h + legendHeight*vg.Length(len(f.legend())) + gap/2
}

func (f Figure) size() (w, h vg.Length) {
	columns, rows := f.grid()
	pw, ph := f.panel()
	return pw*vg.Length(columns) + gap*vg.Length(columns-1) + 2*margin, ph*vg.Length(rows) + gap*vg.Length(rows-1) + 2*margin + f.heading()
}
