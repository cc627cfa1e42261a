package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
	"glossa/asr/simulate"
)

type benchLoadCommand struct {
	modelFlags
	Costs    string        `placeholder:"FILE" help:"The file that glossa bench costs has written. (measured now)"`
	Data     string        `placeholder:"DATA" help:"The recordings, drawn at random: a manifest, table or folder. (testdata/multilingual/manifest.jsonl)"`
	Trace    string        `placeholder:"FILE" help:"A trace whose lines name files, instead; see glossa help simulate."`
	Loads    []float64     `name:"load" default:"0.5,0.8" placeholder:"SHARE,…" help:"The loads, as shares of the capacity of the machine. (${default})"`
	Rate     rate          `placeholder:"N/h" help:"How many recordings arrive, such as 100000/h or 20/s, instead."`
	Duration time.Duration `default:"5s" help:"How long they keep arriving. (${default})"`
	Repeat   int           `default:"5" help:"How often each load is repeated, with other recordings; medians are printed. (${default})"`
	Pattern  string        `enum:"poisson,even,bursty" default:"poisson" help:"The pattern of arrivals. (${enum})"`
	Mix      mix           `placeholder:"PRIORITY=SHARE,…" help:"Shares of live, normal and bulk. (all normal)"`
	Detect   float64       `placeholder:"SHARE" help:"The share whose language the engine is not told. (0)"`
	Seed     uint64        `default:"1" help:"The seed of the random numbers. (${default})"`

	JSON     bool `name:"json" xor:"format" help:"Print one JSON object."`
	Markdown bool `xor:"format" help:"Print the table as Markdown."`
}

// Help is shown by "glossa help bench load".
func (benchLoadCommand) Help() string {
	return `Recordings arrive at an engine in this process at random times, whether earlier ones are done or not (an open loop), and the
same arrivals are simulated from measured costs. The capacity of the machine is measured first, with as many recordings as the engine
takes. Times are in seconds: waiting, until something of a recording is encoded, and total, until its text is there. A shared machine
changes its speed: a second prediction is for a machine so many times as slow that its device is busy for as long as it really was.

Examples:

    glossa bench load
    glossa bench costs bench.json && glossa bench load --costs bench.json --load 0.3,0.5,0.8 --mix live=1,normal=2,bulk=1
    glossa bench load --costs bench.json --rate 500000/h --detect 1 --pattern bursty`
}

// Run measures, simulates, and prints both.
func (f *benchLoadCommand) Run(ctx context.Context, c *console) error {
	if err := f.check(); err != nil {
		return err
	}
	costs, err := f.costs(ctx, c)
	if err != nil {
		return err
	}
	b, err := newLoadBench(f, c, costs)
	if err != nil {
		return err
	}
	defer b.engine.Close()
	c.start(-1, progressbar.OptionSetDescription("load"), progressbar.OptionSpinnerType(14))
	defer c.stop()
	err = b.run(ctx)
	c.stop()
	if len(b.report.Loads) > 0 { // those that were done before an error
		err = errors.Join(f.print(c, &b.report), err)
	}
	return err
}

// check finds what is wrong with the flags before any work is done.
func (f *benchLoadCommand) check() error {
	for _, l := range f.Loads {
		if !(l > 0) || l > 10 {
			return fmt.Errorf("--load %g: want 0 to 10", l)
		}
	}
	switch {
	case f.Duration < time.Second || f.Duration > 24*time.Hour:
		return fmt.Errorf("--duration %v: want 1s to 24h", f.Duration)
	case f.Repeat < 1 || f.Repeat > 1000:
		return fmt.Errorf("--repeat %d: want 1 to 1000", f.Repeat)
	case !(f.Detect >= 0 && f.Detect <= 1):
		return fmt.Errorf("--detect %g: want 0 to 1", f.Detect)
	case f.Trace != "" && f.Data != "":
		return errors.New("--data: --trace has the recordings")
	case f.Data == "" && f.Trace == "":
		if _, err := os.Stat(usualData); err != nil {
			return fmt.Errorf("%s: it is not here; name recordings with --data", usualData)
		}
		f.Data = usualData
	}
	return nil
}

// costs reads what the model costs, or measures it.
func (f *benchLoadCommand) costs(ctx context.Context, c *console) (*simulate.Model, error) {
	if f.Costs == "" {
		measure := benchCostsCommand{modelFlags: f.modelFlags, Kind: "flora", Rank: 1, Rows: []int{1, 2, 4, 8, f.Batch, f.Batch + f.Batch/4}, Tokens: 100, Data: f.Data, Seconds: 0.3, Passes: 3}
		if err := measure.checkFlags(); err != nil {
			return nil, err
		}
		c.start(int64(measure.phases()), progressbar.OptionSetDescription("costs"))
		defer c.stop()
		models, err := measure.measureAll(ctx, c)
		if err != nil {
			return nil, err
		}
		return models[0], nil
	}
	costs, err := readCosts(f.Costs)
	if err != nil {
		return nil, err
	}
	m, err := costs.Model("")
	if err != nil {
		m, err = costs.Model(f.Model)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Costs, err)
	}
	return m, nil
}

// mix are shares of priorities, such as live=1,normal=2.
type mix map[asr.Priority]float64
