package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr/simulate"
	"glossa/flora"
	"glossa/whisper"
)

type benchCostsCommand struct {
	File string `arg:"" optional:"" help:"The file of costs. Other models that it holds stay. (the standard output)"`
	modelFlags
	Geometry []string `placeholder:"NAME,…" help:"Published models whose sizes are measured, with random weights, instead of --model."`
	Kind     string   `default:"flora" placeholder:"KIND|none" help:"The kind of random adapters, with --geometry. (${default})"`
	Rank     int      `default:"8" help:"And their rank. (${default})"`
	Rows     []int    `default:"1,2,4,8,16,20" placeholder:"N,…" help:"How many hypotheses a step has: windows times beams. (${default})"`
	Tokens   int      `default:"100" help:"The tokens of a window, with --geometry. (${default})"`
	Data     string   `placeholder:"DATA" help:"Recordings that the model transcribes, to see how long texts are: a manifest, table or folder. (testdata/multilingual/manifest.jsonl, where that is, and for --geometry none)"`
	Name     string   `placeholder:"NAME" help:"The name of the model in the file. (as it is called)"`
	Seconds  float64  `default:"0.3" placeholder:"S" help:"How long each thing is measured at most in each pass; once at least. (${default})"`
	Passes   int      `default:"3" help:"How often all is measured; the median counts. (${default})"`
}

// Help is shown by "glossa help bench costs".
func (benchCostsCommand) Help() string {
	return `Measures on this machine what a model and its adapters cost, as seconds: an encoder batch by the frames of its windows, a step
of the decoder by its rows and by how many different adapters they are under, detecting a language, timing words, loading a recording
and bringing an adapter in, what loading and computing do to each other, and, of recordings that the model transcribes, how many steps
their windows take. "go doc glossa/asr/simulate.Model" has every field of the file, which glossa simulate reads.

Examples:

    glossa bench costs bench.json
    glossa bench costs bench.json --geometry small,large-v3-turbo --kind lora --rank 16
    glossa bench costs bench.json --model small --adapters adapters --data dev.jsonl
    glossa simulate --costs bench.json --model nano --rate 1000000/h --languages 100 --target p95=2s`
}

// Run measures each model and writes the file.
func (f *benchCostsCommand) Run(ctx context.Context, c *console) error {
	if err := f.checkFlags(); err != nil {
		return err
	}
	costs := &simulate.Costs{Version: 1}
	if f.File != "" {
		var err error
		if costs, err = readCosts(f.File); errors.Is(err, fs.ErrNotExist) {
			costs = &simulate.Costs{Version: 1}
		} else if err != nil {
			return err
		}
	}
	c.start(int64(f.phases()), progressbar.OptionSetDescription("model"))
	defer c.stop()
	measured, err := f.measureAll(ctx, c)
	if err != nil {
		return err
	}
	for _, m := range measured {
		costs.Models = slices.DeleteFunc(costs.Models, func(o *simulate.Model) bool {
			return o.Name == m.Name && o.Device == m.Device && o.DType == m.DType
		})
		costs.Models = append(costs.Models, m)
	}
	if err := costs.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(costs, "", " ")
	if err != nil {
		return err
	}
	if text = append(compactLists(text), '\n'); f.File == "" {
		return c.print(string(text))
	}
	return os.WriteFile(f.File, text, 0o666)
}

// checkFlags finds what is wrong with the flags before any work is done.
func (f *benchCostsCommand) checkFlags() error {
	for _, name := range f.Geometry {
		if _, ok := whisper.Geometry(name); !ok && name != nanoName {
			return fmt.Errorf("--geometry %s: there are: %s %s", name, nanoName, strings.Join(whisper.Geometries(), " "))
		}
	}
	if f.Kind != "none" && !slices.Contains(flora.Kinds(), flora.Kind(f.Kind)) {
		return fmt.Errorf("--kind %s: there are: none %s", f.Kind, strings.Trim(fmt.Sprint(flora.Kinds()), "[]"))
	}
	slices.Sort(f.Rows)
	f.Rows = slices.Compact(f.Rows)
	switch {
	case f.Rank < 1:
		return fmt.Errorf("--rank %d: at least 1 is needed", f.Rank)
	case len(f.Rows) == 0 || f.Rows[0] < 1 || f.Rows[len(f.Rows)-1] > 1024:
		return fmt.Errorf("--rows %v: each is 1 to 1024", f.Rows)
	case f.Tokens < 2:
		return fmt.Errorf("--tokens %d: at least 2 are needed", f.Tokens)
	case !(f.Seconds >= 0):
		return fmt.Errorf("--seconds %g: at least 0 is needed", f.Seconds)
	case f.Passes < 1 || f.Passes > 99:
		return fmt.Errorf("--passes %d: want 1 to 99", f.Passes)
	case f.Name != "" && len(f.Geometry) > 1:
		return errors.New("--name: it is that of one model, and --geometry names several")
	}
	return nil
}

// readCosts reads a file of costs.
func readCosts(name string) (*simulate.Costs, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := simulate.ReadCosts(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// Parts of indented JSON that fit on a line: lists of numbers and texts, and objects of these.
var (
	flatList   = regexp.MustCompile(`\[[^\[\]{}]*\]`)
	flatObject = regexp.MustCompile(`\{[^{}]{0,200}\}`)
	lineBreak  = regexp.MustCompile(`\n *`)
)

// compactLists puts the points of indented JSON on a line each.
func compactLists(text []byte) []byte {
	join := func(part []byte) []byte { return lineBreak.ReplaceAll(part, nil) }
	spaced := func(part []byte) []byte {
		return lineBreak.ReplaceAll(join(bytes.ReplaceAll(part, []byte(",\n"), []byte(", \n"))), nil)
	}
	return flatObject.ReplaceAllFunc(flatList.ReplaceAllFunc(text, spaced), spaced)
}

// measureAll measures the models that the flags name.
func (f *benchCostsCommand) measureAll(ctx context.Context, c *console) (measured []*simulate.Model, err error) {
	b, err := f.backend()
	if err != nil {
		return nil, err
	}
	names := f.Geometry
	if len(names) == 0 {
		names = []string{""}
	}
	for i, geometry := range names {
		bench := &costsBench{flags: f, ctx: ctx, console: c, backend: b, geometry: geometry, done: i * f.phases() / len(names)}
		m, err := bench.run()
		if err != nil {
			return nil, err
		}
		measured = append(measured, m)
	}
	return measured, nil
}

// phases returns the number of parts of the measurement that the bar counts.
func (f *benchCostsCommand) phases() int { return (2 + costsPhases*f.Passes) * max(len(f.Geometry), 1) }

// costsPhases are the parts of a pass.
const costsPhases = 5

// phase tells what is measured now.
func (m *costsBench) phase(what string) {
	m.console.advance(int64(m.done), "%s: %s", m.out.Name, what)
	m.done++
}

// timed returns the mean of what something takes, which is done once to warm up unless that takes too long by itself.
func (m *costsBench) timed(once func() (time.Duration, error)) (seconds float64, err error) {
	means, err := m.byTurns(once)
	if err != nil {
		return 0, err
	}
	return means[0], nil
}

// byTurns is timed of several things that are done by turns. Where there is a probe it is done by turns with them, and what they take is
// told as of a machine on which the probe takes what it did first: the speed of shared machines changes while they are measured.
func (m *costsBench) byTurns(things ...func() (time.Duration, error)) (seconds []float64, err error) {
	if m.probe != nil {
		things = append(things, m.probe)
	}
	times := make([][]time.Duration, len(things))
	begin := time.Now()
	limit := time.Duration(m.flags.Seconds * float64(time.Second))
	more := func(i int) bool {
		past := time.Since(begin)
		return i == 0 || len(times[0]) == 0 || i < leastTimes && past < 4*limit || past < limit && i < mostTimes
	}
	for i := 0; more(i); i++ {
		for j, once := range things {
			if err := m.ctx.Err(); err != nil {
				return nil, err
			}
			d, err := once()
			if err != nil {
				return nil, err
			}
			if i > 0 || d > limit {
				times[j] = append(times[j], d)
			}
		}
	}
	for _, t := range times {
		seconds = append(seconds, meanOf(t))
	}
	return m.atSpeed(seconds), nil
}

// How often something is measured.
const (
	leastTimes = 4
	mostTimes  = 200
)

// meanOf returns the mean of times in seconds, but for the longest of a hundred: what a machine does on the whole, as its medians do not
// tell.
func meanOf(times []time.Duration) float64 {
	slices.Sort(times)
	times = times[:len(times)-len(times)/100]
	sum := 0.0
	for _, d := range times {
		sum += d.Seconds()
	}
	return sum / float64(max(len(times), 1))
}
