package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"strings"
	"testing"
)

// example is a figure of two panels with all that there is.
func example() Figure {
	xs := []float64{1, 2, 4, 8}
	return Figure{
		Title: "Word error rate against rank", Subtitle: "nano <b> & 300 steps", Columns: 2, Width: 300, Height: 200,
		Panels: []Panel{
			{Title: "cs", X: "rank", Y: "WER", Percent: true, LogX: true, Series: []Series{
				{Name: "base", X: []float64{1, 8}, Y: []float64{0.5, 0.5}, Color: 6, Style: Dashed},
				{Name: "flora", X: xs, Y: []float64{0.3, 0.25, 0.22, 0.2}, Error: []float64{0.02, 0.03, 0.01, 0.01}, Style: Marked},
				{Name: "lora", X: xs, Y: []float64{0.35, math.NaN(), 0.28, 0.24}, Color: 1, Style: Marked},
			}},
			{Title: "loss", X: "step", Y: "nats", Zero: true, Series: []Series{
				{X: xs, Y: []float64{3, 2.5, 2, 1.9}, Color: 2, Style: Faint}, {Name: "best", X: xs[3:], Y: []float64{1.9}, Color: 2, Style: Ring},
			}},
		},
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for _, theme := range []Theme{Light(), Dark()} {
		svg, err := example().SVG(theme)
		if err != nil {
			t.Fatal(err)
		}
		texts := ""
		for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := token.(xml.CharData); ok {
				texts += string(c)
			}
		}
		for _, want := range []string{"Word error rate against rank", "<b> &", "20%", "rank", "flora", "lora", "base", "best", "nats"} {
			if !strings.Contains(texts, want) {
				t.Errorf("the figure does not say %q: %q", want, texts)
			}
		}
	}
}

func TestPNGHasTheSizeOfTheFigure(t *testing.T) {
	f := example()
	data, err := f.PNG(Light())
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("GLOSSA_CHART"); path != "" {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	image, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	w, h := f.size()
	if got := image.Bounds().Size(); math.Abs(float64(got.X)-float64(w)*2) > 1 || math.Abs(float64(got.Y)-float64(h)*2) > 1 {
		t.Errorf("the image is %v, of a figure of %v by %v points at 144 dpi", got, w, h)
	}
}

func TestPageHoldsBothThemesAndNothingFromElsewhere(t *testing.T) {
	page, err := Page("A <title>", []Section{{Title: "one", Text: "of <i>", Figure: example(), Rows: [][]string{{"step", "WER"}, {"1", "2 <"}}}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, want := range []string{"A &lt;title&gt;", "of &lt;i&gt;", "<td>2 &lt;</td>", "<th>step</th>", "prefers-color-scheme: dark"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(text, "<svg"); n != 2 || strings.Contains(text, "src=") || strings.Contains(text, "<?xml") {
		t.Errorf("%d drawings; something from elsewhere: %v", n, strings.Contains(text, "src="))
	}
}

// TestPanelsOfFewPoints holds that what an experiment has at its beginning can be drawn.
func TestPanelsOfFewPoints(t *testing.T) {
	one := []Series{{Name: "one", X: []float64{2}, Y: []float64{0.5}, Error: []float64{0}, Style: Marked}}
	for _, p := range []Panel{
		{LogX: true}, {}, {LogX: true, Dodge: true, Percent: true, Series: one}, {Series: one}, {LogX: true, Series: []Series{{X: []float64{0, 1}, Y: []float64{0, 0}}}},
		{LogY: true, Series: one}, {LogY: true, Series: []Series{{X: []float64{0, 1}, Y: []float64{0, 3}}}},
	} {
		f := Figure{Panels: []Panel{p, {Series: one}}}
		if _, err := f.SVG(Light()); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestNothingToDraw(t *testing.T) {
	f := Figure{Panels: []Panel{{Series: []Series{{X: []float64{1}, Y: []float64{math.NaN()}}}}}}
	if _, err := f.SVG(Light()); !errors.Is(err, ErrEmpty) {
		t.Errorf("error %v, want ErrEmpty", err)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		percent  bool
		want     string
	}{
		{0, 1, false, "0.0 0.2 0.4 0.6 0.8 1.0"}, {0.1, 0.42, true, "10% 20% 30% 40%"}, {0, 300, false, "0 100 200 300"},
		{0, 2e-4, false, "0 5e-05 0.0001 0.00015 0.0002"}, {-1, 1, false, "-1.0 -0.5 0.0 0.5 1.0"},
	} {
		var labels []string
		for _, tick := range (ticks{percent: c.percent}).Ticks(c.from, c.to) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestRangesEndAtTicks(t *testing.T) {
	for _, c := range []struct{ from, to, wantFrom, wantTo float64 }{
		{0.2956, 0.3429, 0.28, 0.36}, {0, 1, 0, 1}, {0.19, 0.5, 0.1, 0.5}, {-3, 7, -5, 10}, {0, 0.0001, 0, 0.0001},
	} {
		if from, to := (ticks{}).round(c.from, c.to); math.Abs(from-c.wantFrom) > 1e-9 || math.Abs(to-c.wantTo) > 1e-9 {
			t.Errorf("from %v to %v: %v to %v, want %v to %v", c.from, c.to, from, to, c.wantFrom, c.wantTo)
		}
	}
}

func TestDecades(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		want     string
	}{
		{0.3, 4, "0.2 0.5 1 2 5"}, {1, 1, "1 2"}, {0.01, 10, "0.01 0.1 1 10"}, {3, 999, "1 10 100 1000"}, {5e-6, 7e-6, "5e-06 1e-05"},
	} {
		var labels []string
		for _, tick := range decades(c.from, c.to).Ticks(0, math.Inf(1)) {
			labels = append(labels, tick.Label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}
