package page

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// drawing is an element of SVG that is as wide as the page lets it be: places along it are in per cent, everything else in pixels. Colours are
// those of the style sheet's classes.
type drawing struct{ strings.Builder }

// begin opens the drawing. Its title and description are what a screen reader says; gutter is the class of the room beside it for labels.
func (d *drawing) begin(id, title, description, gutter string, height float64) {
	fmt.Fprintf(d, `<svg class="chart %s" width="100%%" height="%s" role="img" aria-labelledby="%s-title %s-desc">`, gutter, number(height), id, id)
	fmt.Fprintf(d, `<title id="%s-title">%s</title><desc id="%s-desc">%s</desc>`, id, html.EscapeString(title), id, html.EscapeString(description))
}

// end closes the drawing and returns it.
func (d *drawing) end() template.HTML {
	d.WriteString("</svg>")
	return template.HTML(d.String()) // its texts and attributes are escaped
}

// group draws what is inside as one thing with a hint.
func (d *drawing) group(hint string, inside func()) {
	fmt.Fprintf(d, `<g><title>%s</title>`, html.EscapeString(hint))
	inside()
	d.WriteString("</g>")
}

// line draws a line from x1 to x2, shares of the width, and from y1 to y2.
func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, share(x1), number(y1), share(x2), number(y2))
}

// rect draws a rectangle from x1 to x2, shares of the width, at y.
func (d *drawing) rect(class string, x1, x2, y, height float64) {
	fmt.Fprintf(d, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, share(x1), number(y), share(max(0, x2-x1)), number(max(0, height)))
}

// circle draws a circle of radius r.
func (d *drawing) circle(class string, x, y, r float64) {
	fmt.Fprintf(d, `<circle class="%s" cx="%s" cy="%s" r="%s"/>`, class, share(x), number(y), number(r))
}

// text draws a text on the base line y, moved by dx pixels; anchor is start, middle or end.
func (d *drawing) text(class, anchor string, x, dx, y float64, text string) {
	fmt.Fprintf(d, `<text class="%s" text-anchor="%s" x="%s" dx="%s" y="%s">%s</text>`, class, anchor, share(x), number(dx), number(y), html.EscapeString(text))
}

// share is a share of the width in per cent.
func share(x float64) string { return number(100*x) + "%" }

// number is a number with at most two decimals.
func number(x float64) string {
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

// ticks returns round numbers from low to high, about n steps, the first not above low and the last not below high.
func ticks(low, high float64, n int) []float64 {
	if !(high > low) {
		high = low + 1e-3
	}
	raw := (high - low) / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, x := range []float64{1, 2, 2.5, 5} {
		if x*power >= raw*(1-1e-9) {
			step = x * power
			break
		}
	}
	var all []float64
	first := math.Floor(low/step + 1e-9)
	for k := first; ; k++ {
		all = append(all, k*step)
		if k*step >= high-step*1e-9 {
			return all
		}
	}
}

// percent returns a fraction in per cent with one decimal.
func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + "%" }

// roundPercent returns a fraction in per cent with the decimals that it needs.
func roundPercent(x float64) string { return number(100*x) + "%" }

// signed returns a fraction in points of per cent, with its sign.
func signed(x float64) string {
	text := strconv.FormatFloat(math.Abs(100*x), 'f', 1, 64)
	switch {
	case text == "0.0":
		return text
	case x < 0:
		return "−" + text
	}
	return "+" + text
}

// seconds returns a time for reading: milliseconds below a second.
func seconds(x float64) string {
	if x < 1 {
		return number(math.Round(1000*x)) + " ms"
	}
	return strconv.FormatFloat(x, 'f', 2, 64) + " s"
}
