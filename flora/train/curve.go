package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/flora/train/chart"
)

// Files of a training's curve, beside its log.
const (
	curvePage    = "curve.html"
	curveImage   = "curve.png"
	curveDrawing = "curve.svg"
)

// WriteCurve draws the log of the training in folder out: losses, error rates and the learning rate by
// step, in out/curve.html, curve.png and curve.svg. It writes nothing where the log has no step yet.
func WriteCurve(out string) error {
	log, err := readLog(filepath.Join(out, logFile))
	if err != nil {
		return err
	}
	figure := curve(filepath.Base(out), log)
	png, err := figure.PNG(chart.Light())
	if errors.Is(err, chart.ErrEmpty) {
		return nil
	}
	if err != nil {
		return err
	}
	svg, err := figure.SVG(chart.Light())
	if err != nil {
		return err
	}
	title := figure.Title
	figure.Title = ""
	page, err := chart.Page(title, []chart.Section{{Figure: figure, Rows: evaluationRows(log)}})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{curvePage: page, curveImage: png, curveDrawing: svg} {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o666); err != nil {
			return fmt.Errorf("train: curve: %w", err)
		}
	}
	return nil
}

// readLog returns the lines of a log in the order of their steps. Of a step that was taken again, after a
// training was resumed, the last line counts; a line that a crash has cut is passed over.
func readLog(path string) ([]Progress, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("train: log: %w", err)
	}
	defer file.Close()
	byStep := make(map[int]Progress)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var p Progress
		if json.Unmarshal(lines.Bytes(), &p) == nil {
			byStep[p.Step] = p
		}
	}
	log := make([]Progress, 0, len(byStep))
	for _, p := range byStep {
		log = append(log, p)
	}
	slices.SortFunc(log, func(a, b Progress) int { return a.Step - b.Step })
	return log, lines.Err()
}

// Colours of the curve, by number.
const (
	colorTraining = iota
	colorDev
	colorRate
	colorCTC
	colorGuide
)

// curve returns the figure of a log.
func curve(name string, log []Progress) chart.Figure {
	steps, loss, ctc, guide, rate := []float64{}, []float64{}, []float64{}, []float64{}, []float64{}
	var at, devLoss, atWER, wer, before []float64
	best := 0
	for _, p := range log {
		x := float64(p.Step)
		if p.Step > 0 {
			steps, loss, rate = append(steps, x), append(loss, p.Loss), append(rate, p.LR)
			ctc, guide = append(ctc, p.CTC), append(guide, p.Guide)
			best = p.Best
		}
		e := p.Evaluation
		if e == nil {
			continue
		}
		at, devLoss = append(at, x), append(devLoss, e.Loss)
		if e.WER == nil {
			continue
		}
		atWER, wer = append(atWER, x), append(wer, *e.WER)
		if p.Step == 0 {
			before = append(before, *e.WER)
		}
	}
	figure := chart.Figure{Title: "Training of " + name, Subtitle: lastWords(log)}
	add := func(title, y string, series ...chart.Series) {
		figure.Panels = append(figure.Panels, chart.Panel{Title: title, Y: y, Zero: true, Series: series})
	}
	add("Loss", "nats a token",
		chart.Series{X: steps, Y: loss, Color: colorTraining, Style: chart.Faint},
		chart.Series{Name: "training", X: steps, Y: smooth(loss), Color: colorTraining},
		chart.Series{Name: "dev", X: at, Y: devLoss, Color: colorDev, Style: chart.Marked})
	if len(ctc) > 0 && slices.Max(ctc) > 0 {
		add("CTC loss", "nats a unit", chart.Series{X: steps, Y: ctc, Color: colorCTC, Style: chart.Faint},
			chart.Series{Name: "CTC", X: steps, Y: smooth(ctc), Color: colorCTC})
	}
	if len(guide) > 0 && slices.Max(guide) > 0 {
		add("Guided attention", "nats a token", chart.Series{X: steps, Y: guide, Color: colorGuide, Style: chart.Faint},
			chart.Series{Name: "guide", X: steps, Y: smooth(guide), Color: colorGuide})
	}
	if len(wer) > 0 {
		add("Word error rate on dev", "", chart.Series{X: atWER, Y: wer, Color: colorDev, Style: chart.Marked})
		p := &figure.Panels[len(figure.Panels)-1]
		p.Percent = true
		if i := slices.Index(atWER, float64(best)); best > 0 && i >= 0 {
			p.Series = append(p.Series, chart.Series{Name: "best", X: atWER[i : i+1], Y: wer[i : i+1], Color: colorDev, Style: chart.Ring})
		}
		if len(before) > 0 && len(steps) > 0 {
			y := before[0]
			p.Series = append(p.Series, chart.Series{Name: "before", X: []float64{0, steps[len(steps)-1]}, Y: []float64{y, y}, Color: 6, Style: chart.Dashed})
		}
	}
	// It begins at 0, as the other axes do.
	add("Learning rate", "", chart.Series{X: append([]float64{0}, steps...), Y: append([]float64{0}, rate...), Color: colorRate})
	figure.Panels[len(figure.Panels)-1].X = "step"
	return figure
}

// smooth returns the means of windows around each value.
func smooth(values []float64) []float64 {
	half := max(2, len(values)/40)
	means := make([]float64, len(values))
	for i := range values {
		from, to := max(0, i-half), min(len(values), i+half+1)
		for _, v := range values[from:to] {
			means[i] += v / float64(to-from)
		}
	}
	return means
}

// lastWords sums up where a training stands.
func lastWords(log []Progress) string {
	if len(log) == 0 {
		return ""
	}
	p := log[len(log)-1]
	words := []string{fmt.Sprintf("step %d of %d", p.Step, p.Steps)}
	for _, q := range log {
		if q.Evaluation == nil || q.Evaluation.WER == nil {
			continue
		}
		if q.Step == 0 {
			words = append(words, fmt.Sprintf("WER before %.1f%%", 100**q.Evaluation.WER))
		}
		if q.Step == p.Best && p.Best > 0 {
			words = append(words, fmt.Sprintf("best %.1f%% at step %d", 100**q.Evaluation.WER, q.Step))
		}
	}
	return strings.Join(words, ", ")
}

// evaluationRows returns the evaluations as a table.
func evaluationRows(log []Progress) [][]string {
	rows := [][]string{{"step", "loss on dev", "tokens right", "WER"}}
	for _, p := range log {
		e := p.Evaluation
		if e == nil {
			continue
		}
		wer := "-"
		if e.WER != nil {
			wer = fmt.Sprintf("%.1f%%", 100**e.WER)
		}
		rows = append(rows, []string{fmt.Sprint(p.Step), fmt.Sprintf("%.3f", e.Loss), fmt.Sprintf("%.1f%%", 100*e.TokenAccuracy), wer})
	}
	if len(rows) == 1 {
		return nil
	}
	return rows
}
