package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"glossa/eval"
)

type benchJobsCommand struct {
	Files  []string `arg:"" optional:"" name:"file" help:"Sound files that are transcribed. (testdata/multilingual/*/*.flac)"`
	Times  int      `default:"4" placeholder:"N" help:"How often each file is there, as a job of its own. (${default})"`
	Repeat int      `default:"3" placeholder:"N" help:"How often both ways are measured, in turns; the median counts. (${default})"`
	Slots  int      `placeholder:"N" help:"Jobs that are under way at a time. (twice --batch)"`
	modelFlags

	JSON     bool `name:"json" xor:"format" help:"Print one JSON object."`
	Markdown bool `xor:"format" help:"Print the table as Markdown."`
}

// Help is shown by "glossa help bench jobs".
func (benchJobsCommand) Help() string {
	return `Transcribes the same files, with the same options, on one engine in two ways: directly, as "glossa transcribe" does, and as jobs of a
broker in this process, which keeps its files in a temporary folder. Files of all languages are mixed, and the language is detected.

    RTFx      seconds of sound for each second, from the first submission to the last result
    rows      hypotheses in a step of the decoding batch, on average
    windows   windows in a step
    adapters  distinct adapters in a step

Examples:

    glossa bench jobs
    glossa bench jobs --model small --adapters adapters --times 1 recordings/*.flac`
}

// jobsReport is the outcome of bench jobs.
type jobsReport struct {
	Model string       `json:"model"`
	Files int          `json:"files"`
	Audio float64      `json:"audio_seconds"`
	Ways  []jobsResult `json:"ways"`

	// Ratio is RTFx of jobs to that of the direct way.
	Ratio float64 `json:"ratio"`
}

// jobsResult are the figures of one way: those of the run whose speed is the median.
type jobsResult struct {
	Way      string  `json:"way"` // direct or jobs
	Seconds  float64 `json:"seconds"`
	RTFx     float64 `json:"rtfx"`
	Rows     float64 `json:"rows"`
	Windows  float64 `json:"windows"`
	Adapters float64 `json:"adapters"`
	Steps    int     `json:"steps"`
}

// Run measures and prints a table.
func (b *benchJobsCommand) Run(ctx context.Context, c *console) error {
	if err := b.check(); err != nil {
		return err
	}
	files, err := b.files()
	if err != nil {
		return err
	}
	bench, err := openJobsBench(ctx, b, files)
	if err != nil {
		return err
	}
	defer bench.close()
	report, err := bench.run(ctx, c)
	if err != nil {
		return err
	}
	return b.print(c, report)
}

// check finds what is wrong with the flags before any work is done.
func (b *benchJobsCommand) check() error {
	for name, n := range map[string]int{"times": b.Times, "repeat": b.Repeat} {
		if n < 1 {
			return fmt.Errorf("--%s %d: at least 1 is needed", name, n)
		}
	}
	if b.Slots < 0 {
		return fmt.Errorf("--slots %d: at least 1 is needed", b.Slots)
	}
	return nil
}

// files returns the contents of the files.
func (b *benchJobsCommand) files() (contents [][]byte, err error) {
	names := b.Files
	if len(names) == 0 {
		if names, err = usualClips(); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, reason(err))
		}
		contents = append(contents, content)
	}
	return mixed(contents), nil
}

// usualClips returns the names of the files that are measured where none are named.
func usualClips() ([]string, error) {
	const usual = "testdata/multilingual/*/*.flac"
	files, err := filepath.Glob(filepath.FromSlash(usual))
	if err == nil && len(files) == 0 {
		err = errors.New("there are no such files here; name sound files")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", usual, err)
	}
	return files, nil
}

// mixed returns values in an order in which those that were neighbours are not: each is as many places behind the one before as the
// square root of their number.
func mixed[T any](values []T) []T {
	stride := 1
	for stride*stride < len(values) {
		stride++
	}
	var order []T
	for first := range stride {
		for i := first; i < len(values); i += stride {
			order = append(order, values[i])
		}
	}
	return order
}

// print prints the report.
func (b *benchJobsCommand) print(c *console, r *jobsReport) error {
	if b.JSON {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		return c.print(string(text) + "\n")
	}
	table := jobsBenchTable(r)
	text := table.Text()
	if b.Markdown {
		text = table.Markdown()
	}
	return c.print(text + fmt.Sprintf("\n%d files, %.0f s of sound; jobs have %.1f%% of the direct way's speed.\n", r.Files, r.Audio, 100*r.Ratio))
}

// jobsBenchTable returns the results as a table.
func jobsBenchTable(r *jobsReport) eval.Table {
	t := eval.Table{Names: 1, Cells: [][]string{strings.Fields("way seconds RTFx rows windows adapters steps")}}
	for _, w := range r.Ways {
		t.Cells = append(t.Cells, []string{
			w.Way, fmt.Sprintf("%.2f", w.Seconds), fmt.Sprintf("%.1f", w.RTFx), fmt.Sprintf("%.1f", w.Rows), fmt.Sprintf("%.1f", w.Windows),
			fmt.Sprintf("%.1f", w.Adapters), fmt.Sprint(w.Steps),
		})
	}
	return t
}
