package eval

import (
	"fmt"
	"strconv"
)

// percent returns a fraction in per cent with one decimal: "12.3%".
func percent(fraction float64) string { return strconv.FormatFloat(100*fraction, 'f', 1, 64) + "%" }

// rate returns a rate, with its interval where it is known and to be shown: "12.3% [11.5, 13.1]".
func rate(value float64, interval *[2]float64, shown bool) string {
	if interval == nil || !shown {
		return percent(value)
	}
	return fmt.Sprintf("%.1f%% [%.1f, %.1f]", 100*value, 100*interval[0], 100*interval[1])
}

// gain returns a difference in points by the measure of the language, with its interval and the mark of its p-value: "+2.1 [1.0, 3.2] **".
func gain(lang string, c *Comparison) string {
	if c == nil {
		return ""
	}
	value, interval := c.WER, c.Interval
	if CharactersFirst(lang) {
		value, interval = c.CER, c.CERInterval
	}
	text := fmt.Sprintf("%+.1f", 100*value)
	if c.Groups > 1 {
		text += fmt.Sprintf(" [%.1f, %.1f]", 100*interval[0], 100*interval[1])
	}
	// The marks are of one width, so that figures stand under each other.
	return text + fmt.Sprintf(" %-3s", c.mark())
}

// mark returns the mark of the p-value, adjusted where it was.
func (c *Comparison) mark() string {
	p := c.MAPSSWE
	if c.Holm != nil {
		p = c.Holm
	}
	switch {
	case p == nil:
		return ""
	case *p < 0.001:
		return "***"
	case *p < 0.01:
		return "**"
	case *p < 0.05:
		return "*"
	}
	return "~"
}
