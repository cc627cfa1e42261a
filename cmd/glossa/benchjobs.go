package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"glossa/audio"
	"glossa/eval"
)

type benchJobsCommand struct {
	Files  []string `arg:"" optional:"" name:"file" help:"Sound files that are transcribed. (testdata/multilingual/*/*.flac)"`
	Join   int      `default:"1" placeholder:"N" help:"Make each file of so many of one folder, with half a second between them. (${default})"`
	Times  int      `default:"4" placeholder:"N" help:"How often each file is there, as a job of its own. (${default})"`
	Repeat int      `default:"3" placeholder:"N" help:"How often both ways are measured, in turns; the median counts. (${default})"`
	Beams  int      `name:"beam-size" default:"5" placeholder:"N" help:"The number of beams, as transcribe has it. (${default})"`
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
	files, err := b.files(ctx)
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
	for name, n := range map[string]int{"join": b.Join, "beam-size": b.Beams, "times": b.Times, "repeat": b.Repeat} {
		if n < 1 {
			return fmt.Errorf("--%s %d: at least 1 is needed", name, n)
		}
	}
	if b.Slots < 0 {
		return fmt.Errorf("--slots %d: at least 1 is needed", b.Slots)
	}
	return nil
}

// files returns the contents of the files, those of one folder apart from each other.
func (b *benchJobsCommand) files(ctx context.Context) (contents [][]byte, err error) {
	names := b.Files
	if len(names) == 0 {
		if names, err = usualClips(); err != nil {
			return nil, err
		}
	}
	for len(names) > 0 {
		n := 1
		for n < min(b.Join, len(names)) && filepath.Dir(names[n]) == filepath.Dir(names[0]) {
			n++
		}
		content, err := joinedFile(ctx, names[:n])
		if err != nil {
			return nil, err
		}
		contents, names = append(contents, content), names[n:]
	}
	return mixed(contents), nil
}

// joinedFile returns the content of a file, or of several as one WAV file.
func joinedFile(ctx context.Context, names []string) ([]byte, error) {
	if len(names) == 1 {
		content, err := os.ReadFile(names[0])
		if err != nil {
			err = fmt.Errorf("%s: %w", names[0], reason(err))
		}
		return content, err
	}
	var all []float32
	for _, name := range names {
		pcm, err := readAudio(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(append(all, pcm...), make([]float32, audio.SampleRate/2)...)
	}
	file, err := os.CreateTemp("", "glossa-bench-*.wav")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(audio.WriteWAV(file, all), file.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(file.Name())
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
		return c.printJSON(r)
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
