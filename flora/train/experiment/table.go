package experiment

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train/chart"
	"glossa/whisper"
)

// Rate is an error rate over seeds, as a fraction.
type Rate struct {
	Mean      float64 `json:"mean"`
	Deviation float64 `json:"deviation"` // of a sample; 0 for one seed
	Seeds     int     `json:"seeds"`     // 0 where there is none
}

// newRate returns the mean of rates and their standard deviation.
func newRate(rates []float64) Rate {
	r := Rate{Seeds: len(rates)}
	if r.Seeds == 0 {
		return r
	}
	for _, v := range rates {
		r.Mean += v / float64(r.Seeds)
	}
	if r.Seeds > 1 {
		var square float64
		for _, v := range rates {
			square += (v - r.Mean) * (v - r.Mean)
		}
		r.Deviation = math.Sqrt(square / float64(r.Seeds-1))
	}
	return r
}

// String returns per cent with one decimal: "12.3 ± 0.4".
func (r Rate) String() string {
	switch {
	case r.Seeds == 0:
		return "-"
	case r.Seeds == 1:
		return fmt.Sprintf("%.1f", 100*r.Mean)
	}
	return fmt.Sprintf("%.1f ± %.1f", 100*r.Mean, 100*r.Deviation)
}

// Row is the adapters of one kind and rank.
type Row struct {
	Kind         flora.Kind      `json:"kind"`
	Rank         int             `json:"rank"`
	Parameters   int             `json:"parameters"`
	LearningRate float64         `json:"learning_rate,omitempty"`
	WER          map[string]Rate `json:"wer"` // by language
	CER          map[string]Rate `json:"cer"`
	WERAverage   Rate            `json:"wer_average"` // over the languages, of the seeds that all have
	CERAverage   Rate            `json:"cer_average"`
	Seconds      float64         `json:"train_seconds"` // mean of a training
	Failed       int             `json:"failed"`        // trainings that diverged
}

// Rows returns the results by kind and rank: the model alone first, then the kinds in their order, each by rank.
func (o *Options) Rows(results []Result) []Row {
	// In an order of its own, so that sums do not depend on which was done first.
	results = slices.Clone(results)
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.Cell.String(), b.Cell.String()) })
	type key struct {
		kind flora.Kind
		rank int
	}
	var keys []key
	for _, c := range o.cells() {
		if k := (key{c.Kind, c.Rank}); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	order := append([]flora.Kind{None}, o.Kinds...)
	slices.SortStableFunc(keys, func(a, b key) int {
		if d := slices.Index(order, a.kind) - slices.Index(order, b.kind); d != 0 {
			return d
		}
		return a.rank - b.rank
	})
	var rows []Row
	for _, k := range keys {
		of := slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Kind != k.kind || r.Rank != k.rank })
		if len(of) > 0 {
			rows = append(rows, o.row(of))
		}
	}
	return rows
}

// row sums up results of one kind and rank.
func (o *Options) row(results []Result) Row {
	row := Row{Kind: results[0].Kind, Rank: results[0].Rank, WER: make(map[string]Rate), CER: make(map[string]Rate)}
	wer, cer := make(map[string][]float64), make(map[string][]float64)
	type sums struct {
		n        int
		wer, cer float64
	}
	bySeed := make(map[uint64]sums)
	trained := 0
	for _, r := range results {
		row.Parameters, row.LearningRate = max(row.Parameters, r.Parameters), max(row.LearningRate, r.LearningRate)
		if r.Failed != "" {
			row.Failed++
			continue
		}
		wer[r.Lang], cer[r.Lang] = append(wer[r.Lang], r.WER), append(cer[r.Lang], r.CER)
		s := bySeed[r.Seed]
		bySeed[r.Seed] = sums{s.n + 1, s.wer + r.WER, s.cer + r.CER}
		row.Seconds += r.TrainSeconds
		trained++
	}
	row.Seconds /= float64(max(trained, 1))
	var werMeans, cerMeans []float64
	n := float64(len(o.Languages))
	for _, s := range bySeed {
		if s.n == len(o.Languages) {
			werMeans, cerMeans = append(werMeans, s.wer/n), append(cerMeans, s.cer/n)
		}
	}
	slices.Sort(werMeans) // so that sums do not depend on the order of a map
	slices.Sort(cerMeans)
	row.WERAverage, row.CERAverage = newRate(werMeans), newRate(cerMeans)
	for _, lang := range o.Languages {
		row.WER[lang], row.CER[lang] = newRate(wer[lang]), newRate(cer[lang])
	}
	return row
}

// name returns the kind and rank of a row.
func (r Row) name() string {
	switch {
	case r.Kind == None:
		return "no adapter"
	case r.Rank == 0:
		return string(r.Kind)
	}
	return fmt.Sprintf("%s, rank %d", r.Kind, r.Rank)
}

// table returns the rows as a table of one rate.
func (o *Options) table(rows []Row, what string, rate func(Row, string) Rate, average func(Row) Rate) eval.Table {
	heading := []string{what + " [%]"}
	heading = append(heading, o.Languages...)
	t := eval.Table{Names: 1, Cells: [][]string{append(heading, "average", "parameters", "learning rate")}}
	for _, row := range rows {
		line := []string{row.name()}
		for _, lang := range o.Languages {
			line = append(line, rate(row, lang).String())
		}
		line = append(line, average(row).String(), strconv.Itoa(row.Parameters))
		if row.Kind == None {
			line = append(line, "-")
		} else {
			line = append(line, strconv.FormatFloat(row.LearningRate, 'g', 2, 64))
		}
		t.Cells = append(t.Cells, line)
	}
	return t
}

func (o *Options) werTable(rows []Row) eval.Table {
	return o.table(rows, "WER", func(r Row, lang string) Rate { return r.WER[lang] }, func(r Row) Rate { return r.WERAverage })
}

// describe tells what the tables are of.
func (o *Options) describe(results []Result) string {
	done := len(results)
	text := fmt.Sprintf("Adapters over the frozen model %s (target %s), %d steps of at most %d frames each, up to %d seeds; mean ± standard deviation over seeds, decoded with %s. ",
		o.Base, o.Target, o.Train.Steps, o.Train.BatchFrames, o.Seeds, o.Search)
	var tests []string
	for _, lang := range o.Languages {
		tests = append(tests, fmt.Sprintf("%s (%s) %d", whisper.LanguageName(lang), lang, len(o.test(lang))))
	}
	text += "Test utterances: " + strings.Join(tests, ", ")
	if total := len(o.cells()); done < total {
		text += fmt.Sprintf(". %d of %d trainings and measurements are done", done, total)
	}
	return text + "."
}

// writeTables writes table.md and results.json.
func writeTables(o *Options, results []Result) error {
	rows := o.Rows(results)
	text := "# Error rates by kind and rank of adapter\n\n" + o.describe(results) + "\n\n" + o.werTable(rows).Markdown() + "\n" +
		o.table(rows, "CER", func(r Row, lang string) Rate { return r.CER[lang] }, func(r Row) Rate { return r.CERAverage }).Markdown()
	for _, row := range rows {
		if row.Failed > 0 {
			text += fmt.Sprintf("\n%s: %d trainings diverged and are left out.\n", row.name(), row.Failed)
		}
	}
	if err := os.WriteFile(filepath.Join(o.Out, "table.md"), []byte(text), 0o666); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	object, err := json.MarshalIndent(struct {
		About     string   `json:"about"`
		Languages []string `json:"languages"`
		Cells     int      `json:"cells"`
		Done      int      `json:"done"`
		Rows      []Row    `json:"rows"`
	}{o.describe(results), o.Languages, len(o.cells()), len(results), rows}, "", "  ")
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Out, "results.json"), append(object, '\n'), 0o666); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return nil
}

// writeFigures writes wer.svg, wer.png and report.html.
func writeFigures(o *Options, results []Result) error {
	rows := o.Rows(results)
	return writeReport(o.Out, "report.html", "Word error rates of adapters", drawing{"wer", chart.Section{
		Text: o.describe(results), Figure: o.figure(rows), Rows: o.werTable(rows).Cells,
	}})
}
