package asr

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Formats are the names of the formats that [Write] knows, upstream's output_format.
var Formats = []string{"txt", "json", "srt", "vtt", "tsv"}

// Write writes a result in the given format (upstream whisper.utils.get_writer): text by segment,
// JSON, SubRip, WebVTT, or tab-separated values with times in milliseconds.
func Write(w io.Writer, format string, r *Result, o SubtitleOptions) error {
	var b strings.Builder
	switch format {
	case "txt":
		for _, s := range r.Segments {
			fmt.Fprintln(&b, strings.TrimSpace(s.Text))
		}
	case "json":
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		listed := *r
		listed.Segments = append([]Segment{}, r.Segments...) // a list, not null, where there are none
		if err := e.Encode(listed); err != nil {
			return fmt.Errorf("asr: write: %w", err)
		}
	case "srt":
		for i, c := range cues(r.Segments, o) {
			fmt.Fprintf(&b, "%d\n%s --> %s\n%s\n\n", i+1, clock(c.start, true, ","), clock(c.end, true, ","), c.text)
		}
	case "vtt":
		fmt.Fprint(&b, "WEBVTT\n\n")
		for _, c := range cues(r.Segments, o) {
			fmt.Fprintf(&b, "%s --> %s\n%s\n\n", clock(c.start, false, "."), clock(c.end, false, "."), c.text)
		}
	case "tsv":
		fmt.Fprintln(&b, "start\tend\ttext")
		for _, s := range r.Segments {
			text := strings.ReplaceAll(strings.TrimSpace(s.Text), "\t", " ")
			fmt.Fprintf(&b, "%d\t%d\t%s\n", milliseconds(s.Start), milliseconds(s.End), text)
		}
	default:
		return fmt.Errorf("%w: format %q, known are %s", ErrInvalid, format, strings.Join(Formats, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// milliseconds rounds half to even, as upstream's round does.
func milliseconds(seconds float64) int64 { return int64(math.RoundToEven(1000 * seconds)) }

// clock formats milliseconds as [hh:]mm:ss and the rest behind the mark (upstream
// format_timestamp).
func clock(ms int64, hours bool, mark string) string {
	h, m, s := ms/3_600_000, ms/60_000%60, ms/1000%60
	if hours || h > 0 {
		return fmt.Sprintf("%02d:%02d:%02d%s%03d", h, m, s, mark, ms%1000)
	}
	return fmt.Sprintf("%02d:%02d%s%03d", m, s, mark, ms%1000)
}
