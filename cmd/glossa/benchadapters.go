package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"

	"glossa/flora"
	"glossa/whisper/tensor"
)

// benchAdapterFlags ask for strategies of adapters to be measured.
type benchAdapterFlags struct {
	Adapters []int        `placeholder:"N,…" help:"Measure so many different adapters, as far as a batch has as many windows."`
	Kind     []string     `default:"flora,lora" placeholder:"KIND,…" help:"Their kinds: flora, hira, lora, rslora, dora, ia3. (${default})"`
	Rank     []int        `default:"1,8" placeholder:"R,…" help:"Their ranks. (${default})"`
	Phase    []string     `default:"encode,decode" enum:"encode,decode" placeholder:"PHASE,…" help:"What is measured. (${default})"`
	Strategy string       `default:"all" placeholder:"all|NAME" help:"The strategies that are measured: all, or scales, expand, shrink-expand, mix or merged. (${default})"`
	Merged   mergedMemory `placeholder:"SIZE|none" help:"The memory for merged weights that glossa may choose. (as --merged-memory has it: on a GPU a quarter of what the model and a full batch leave free, else none)"`
}

// check finds what is wrong with the flags.
func (a *benchAdapterFlags) check(f *benchCommand) error {
	if len(a.Adapters) == 0 {
		return nil
	}
	if f.From != "" || f.VS != "" {
		return fmt.Errorf("--adapters: its results are neither read nor compared")
	}
	for _, n := range a.Adapters {
		if n < 1 {
			return fmt.Errorf("--adapters %d: at least 1 is needed", n)
		}
	}
	for _, k := range a.Kind {
		if !slices.Contains(flora.Kinds(), flora.Kind(k)) {
			return fmt.Errorf("--kind %s: there are: %s", k, strings.Trim(fmt.Sprint(flora.Kinds()), "[]"))
		}
	}
	for _, r := range a.Rank {
		if r < 1 {
			return fmt.Errorf("--rank %d: at least 1 is needed", r)
		}
	}
	if a.Strategy == "all" {
		return nil
	}
	if err := flora.Strategy(a.Strategy).Check(); err != nil {
		return fmt.Errorf("--strategy: %w; there are: %s", err, strings.Trim(fmt.Sprint(flora.Strategies()), "[]"))
	}
	return nil
}

// adapterCase are adapters side by side in a phase.
type adapterCase struct {
	geometry string
	dtype    tensor.DType
	kind     flora.Kind
	rank     int // 0 of a kind without
	phase    flora.Phase
	batch    int
	adapters int
}

func (c adapterCase) String() string {
	return fmt.Sprintf("%s %s, %s %d, %s of %d, %d adapters", c.geometry, c.dtype, c.kind, c.rank, c.phase, c.batch, c.adapters)
}

// cases returns the adapters of one model that the flags ask for.
func (f *benchCommand) cases(geometry string, dtype tensor.DType) []adapterCase {
	var cases []adapterCase
	for _, phase := range f.Phase {
		for _, batch := range f.batches() {
			for _, kind := range f.Kind {
				for _, rank := range f.Rank {
					if flora.Kind(kind) == flora.IA3 {
						rank = 0
					}
					for _, n := range f.Adapters {
						c := adapterCase{geometry, dtype, flora.Kind(kind), rank, flora.Phase(phase), batch, min(n, batch)}
						if !slices.Contains(cases, c) {
							cases = append(cases, c)
						}
					}
				}
			}
		}
	}
	return cases
}

// runAdapters measures the strategies of each case and prints them.
func (f *benchCommand) runAdapters(ctx context.Context, c *console) error {
	d, err := f.device()
	if err != nil {
		return err
	}
	formats, err := f.formats(d.backend)
	if err != nil {
		return err
	}
	var cases []adapterCase
	for _, geometry := range f.Geometry {
		for _, dtype := range formats {
			cases = append(cases, f.cases(geometry, dtype)...)
		}
	}
	c.start(int64(len(cases)), progressbar.OptionSetDescription("model"))
	defer c.stop()
	r := &adapterReport{Backend: d.backend.Name(), Device: d.describe(), Adapters: []adapterResult{}}
	var bench *adapterBench
	skipped := false
	for i, now := range cases {
		c.advance(int64(i), "%s", now)
		if bench == nil || bench.geometry != now.geometry || bench.dtype != now.dtype {
			if bench, err = f.newAdapterBench(d, now.geometry, now.dtype); err != nil {
				return err
			}
			r.Costs = append(r.Costs, adapterCosts{now.geometry, now.dtype.String(), bench.costs})
		}
		results, err := f.measureCase(ctx, bench, now)
		if err != nil {
			skipped = true
			c.report(fmt.Errorf("%s: %w", now, err))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		r.Adapters = append(r.Adapters, results...)
	}
	if err := f.printAdapters(c, r); err != nil {
		return err
	}
	if skipped {
		return errReported
	}
	return nil
}

// newAdapterBench returns a model and what strategies cost for it.
func (f *benchCommand) newAdapterBench(on computer, geometry string, dtype tensor.DType) (*adapterBench, error) {
	d, tokenizer, err := benchGeometry(geometry)
	if err != nil {
		return nil, err
	}
	if err := checkMemory(on, d, dtype, slices.Max(f.batches()), slices.Max(f.batches()), false); err != nil {
		return nil, fmt.Errorf("%s %s: %w", geometry, dtype, err)
	}
	m, err := newBenchModel(d, tokenizer, on.backend, dtype)
	if err != nil {
		return nil, err
	}
	costs, err := calibrate(m.Model, on)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", geometry, dtype, err)
	}
	return &adapterBench{benchModel: m, on: on, geometry: geometry, dtype: dtype, costs: costs}, nil
}
