package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

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
	return `Measures on this machine how many seconds a model and its adapters take: an encoder batch by the frames of its windows; a step of
the decoder by its rows and by how many different adapters they are under; detecting a language, timing words, loading a recording
and bringing an adapter in; and how much loading and computing slow each other down. Recordings that the model transcribes tell how many
steps windows take. glossa simulate reads the file; "go doc glossa/asr/simulate.Model" explains its fields.

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
	var text bytes.Buffer
	if err := simulate.WriteCosts(&text, costs); err != nil {
		return err
	}
	if f.File == "" {
		return c.print(text.String())
	}
	return os.WriteFile(f.File, text.Bytes(), 0o666)
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
