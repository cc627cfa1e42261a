package page

import (
	"html/template"
	"math"
	"strings"
	"unicode/utf8"
)

// lanes is a chart of horizontal lanes, a group of them for each language.
type lanes struct {
	id, title, description string
	low, high              float64 // of the axis, at least
	tick                   func(float64) string
	rows                   []lane
}

// lane is a line of the chart.
type lane struct {
	label string // of its language, where it is the first of it
	name  string // of its system, where the language has several adapters
	value string // at its right
	hint  string
	draw  func(d *drawing, place func(float64) float64, y float64) // around the middle y; place is where a value lies
}

// Sizes in pixels.
const (
	laneHeight, denseLane = 18, 14
	groupGap, denseGap    = 8, 3
	axisHeight            = 22
	manyLanes             = 40 // from here on they are dense
	maxLabel              = 18 // characters
)

// svg draws the chart. There is none without lanes.
func (l lanes) svg() template.HTML {
	if len(l.rows) == 0 {
		return ""
	}
	height, gap := float64(laneHeight), float64(groupGap)
	if len(l.rows) >= manyLanes {
		height, gap = denseLane, denseGap
	}
	total := float64(axisHeight)
	for _, r := range l.rows {
		if total += height; r.label != "" {
			total += gap
		}
	}
	marks := ticks(l.low, l.high, 4)
	low, high := marks[0], marks[len(marks)-1]
	place := func(x float64) float64 { return max(0, min(1, (x-low)/(high-low))) }

	var d drawing
	d.begin(l.id, l.title, l.description, "lanes "+l.gutter(), total)
	for i, m := range marks {
		class := "grid"
		if m == 0 {
			class = "zero"
		}
		d.line(class, place(m), axisHeight-4, place(m), total)
		if i%2 == 0 || len(marks) < 6 {
			d.text("tick", "middle", place(m), 0, axisHeight-9, l.tick(m))
		}
	}
	y := float64(axisHeight)
	for _, r := range l.rows {
		if r.label != "" {
			y += gap
		}
		middle := y + height/2
		d.group(r.hint, func() {
			// What a pointer finds: the whole lane.
			d.rect("lane", 0, 1, y, height)
			label, class := r.label, "name"
			if r.name != "" {
				label, class = strings.TrimLeft(label+" · "+r.name, " ·"), "name system"
			}
			d.text(class, "end", 0, -8, middle+4, shorten(label, maxLabel))
			r.draw(&d, place, middle)
			d.text("value", "start", 1, 8, middle+4, r.value)
		})
		y += height
	}
	return d.end()
}

// gutter is the class of the room for labels, by the longest of them.
func (l lanes) gutter() string {
	longest := 0
	for _, r := range l.rows {
		n := utf8.RuneCountInString(r.label)
		if r.name != "" {
			n += 3 + utf8.RuneCountInString(r.name)
		}
		longest = max(longest, n)
	}
	switch {
	case longest <= 4:
		return "narrow"
	case longest <= 9:
		return "middling"
	}
	return "wide"
}

// shorten returns the first n characters of a text.
func shorten(text string, n int) string {
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

// whisker draws an interval.
func whisker(d *drawing, class string, place func(float64) float64, interval [2]float64, y float64) {
	d.line(class, place(interval[0]), y, place(interval[1]), y)
	for _, end := range interval {
		d.line(class, place(end), y-3, place(end), y+3)
	}
}

// isNumber reports whether x can be drawn.
func isNumber(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
