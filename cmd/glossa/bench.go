package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/schollz/progressbar/v3"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

type benchCommand struct {
	Geometry []string `default:"tiny" placeholder:"NAME,…" help:"The published models whose sizes are measured, or nano, the embedded one. (${default})"`
	DType    []string `name:"dtype" enum:"auto,f32,bf16,f16,int8" default:"auto" placeholder:"FORMAT,…" help:"The number formats of the weights; auto is the one that transcribe takes, f16 is for GPUs, int8 for processors. (${enum})"`
	Batch    []int    `placeholder:"N,…" help:"The numbers of windows decoded together. (1,4,8,16,32; with --adapters 8)"`
	computeFlags
	Windows int     `placeholder:"N" help:"The number of windows encoded together. (as in transcribe: one, on a GPU 8)"`
	Tokens  int     `default:"100" help:"The tokens of a window. (${default})"`
	Repeat  int     `default:"5" help:"How often each measurement is repeated at most; the median counts. (${default})"`
	Seconds float64 `placeholder:"S" help:"The time after which a measurement is not repeated again. (20; with --adapters 5)"`

	Profile bool `help:"Time each kernel and product of a GPU by itself as well, and print those times."`

	benchAdapterFlags `embed:"" group:"Adapters"`

	JSON     bool   `name:"json" xor:"format" help:"Print one JSON object."`
	Markdown bool   `xor:"format" help:"Print the table as Markdown."`
	From     string `placeholder:"FILE" help:"Take the results of an earlier run with --json instead of measuring."`
	VS       string `name:"vs" placeholder:"FILE" help:"Compare with the results of an earlier run with --json."`
}

// Help is shown by "glossa help bench".
func (benchCommand) Help() string {
	return `Measures the speed of a model of random weights in the sizes of a published one, on windows of random log-mel. A window is
encoded, its cross-attention's keys and values are computed, and it is decoded by greedy search to so many tokens, which never
end it, beside the other windows of its batch. Figures are medians:

    encode    ms of a window in the encoder, and its share of the peak of multiply-adds
    cross     ms of a window for the keys and values of cross-attention
    decode    ms of a step, which gives a token to every window of the batch, and its share of the peak of reads
    RTFx      seconds of sound for each second of encode, cross and decoding to so many tokens
    MB        the most memory that the process had, with packed weights alone; of a GPU, that which is taken of it in the end

The peaks are measured in the same run: multiply-adds in registers and reads from memory on all threads; of a GPU, products of
large matrices and copies of its memory. What fits into a cache is read faster.

With --adapters, random adapters of all linears are measured instead: each strategy that they can be computed by, in turns with the
base model, and how far the one that glossa chooses is from the best. Encoding computes so many windows at once, to the keys and
values of cross-attention; decoding is a step of as many hypotheses.

Examples:

    glossa bench --geometry tiny,base --batch 1,16
    glossa bench --device cuda:0 --geometry turbo --batch 1,64 --profile
    glossa bench --adapters 1,8 --kind lora,hira --rank 8 --phase decode --batch 8,32
    glossa bench --geometry small --dtype f32,bf16,int8 --json >new.json
    glossa bench --from new.json --vs old.json`
}

// benchCase is one row of the results.
type benchCase struct {
	geometry string
	dtype    tensor.DType
	batch    int
}

func (c benchCase) String() string {
	return fmt.Sprintf("%s %s, batch %d", c.geometry, c.dtype, c.batch)
}

// Run measures, or reads results, and prints them or how they compare.
func (f *benchCommand) Run(ctx context.Context, c *console) error {
	if err := f.check(); err != nil {
		return err
	}
	if len(f.Adapters) > 0 {
		return f.runAdapters(ctx, c)
	}
	var theirs *benchReport
	if f.VS != "" {
		var err error
		if theirs, err = readBenchReport(f.VS); err != nil {
			return err
		}
	}
	ours, skipped, err := f.results(ctx, c)
	if err != nil {
		return err
	}
	if err := f.print(c, ours, theirs); err != nil {
		return err
	}
	if skipped {
		return errReported
	}
	return nil
}

// check finds what is wrong with the flags before any work is done.
func (f *benchCommand) check() error {
	for _, name := range f.Geometry {
		if _, ok := whisper.Geometry(name); !ok && name != nanoName {
			return fmt.Errorf("--geometry %s: there are: %s %s", name, nanoName, strings.Join(whisper.Geometries(), " "))
		}
	}
	if err := f.benchAdapterFlags.check(f); err != nil {
		return err
	}
	if f.Profile && len(f.Adapters) > 0 {
		return errors.New("--profile is not for --adapters")
	}
	for _, n := range f.batches() {
		if n < 1 {
			return fmt.Errorf("--batch %d: at least 1 is needed", n)
		}
	}
	if f.Windows < 0 {
		return fmt.Errorf("--windows %d: at least 1 is needed", f.Windows)
	}
	if f.Tokens < 2 { // the first is the prompt's
		return fmt.Errorf("--tokens %d: at least 2 are needed", f.Tokens)
	}
	if f.Seconds < 0 {
		return fmt.Errorf("--seconds %g: at least 0 is needed", f.Seconds)
	}
	if f.Repeat < 1 {
		return fmt.Errorf("--repeat %d: at least 1 is needed", f.Repeat)
	}
	return nil
}

// results measures each case, unless results are to be read, and reports those that it skips.
func (f *benchCommand) results(ctx context.Context, c *console) (r *benchReport, skipped bool, err error) {
	if f.From != "" {
		r, err = readBenchReport(f.From)
		return r, false, err
	}
	b, err := f.device()
	if err != nil {
		return nil, false, err
	}
	if _, ok := b.backend.(tensor.Profiler); f.Profile && !ok {
		return nil, false, errProfile
	}
	formats, err := f.formats(b.backend)
	if err != nil {
		return nil, false, err
	}
	r = &benchReport{Backend: b.backend.Name(), Device: b.describe(), Results: []benchResult{}}
	w := &benchWatch{console: c, total: len(f.Geometry) * len(formats) * len(f.batches())}
	c.start(int64(w.total*benchPhases), progressbar.OptionSetDescription("peaks"))
	defer c.stop()
	peaks := measurePeaks(b.backend, formats)
	for _, geometry := range f.Geometry {
		for _, dtype := range formats {
			results, err := f.measure(ctx, b, w, geometry, dtype, peaks)
			if err != nil {
				return nil, false, err
			}
			r.Results = append(r.Results, results...)
		}
	}
	return r, w.skipped, nil
}

// formats returns the number formats that the flags name, each once.
func (f *benchCommand) formats(b backend) (formats []tensor.DType, err error) {
	for _, name := range f.DType {
		d, err := chooseDType(b, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(formats, d) {
			formats = append(formats, d)
		}
	}
	return formats, nil
}

// batches returns the numbers of windows that are decoded together.
func (f *benchCommand) batches() []int {
	switch {
	case len(f.Batch) > 0:
		return f.Batch
	case len(f.Adapters) > 0:
		return []int{8}
	}
	return []int{1, 4, 8, 16, 32}
}

// measure measures one model at each batch.
func (f *benchCommand) measure(ctx context.Context, b computer, w *benchWatch, geometry string, dtype tensor.DType, peaks benchPeaks) ([]benchResult, error) {
	d, tokenizer, err := benchGeometry(geometry)
	if err != nil {
		return nil, err
	}
	var results []benchResult
	var bench *benchModel
	encoded := make(map[int]encodeTimes)
	for _, n := range f.batches() {
		w.begin(benchCase{geometry, dtype, n})
		bench.release()
		err := checkMemory(b, d, dtype, n, f.together(b), bench != nil)
		if err != nil {
			w.skip(err)
			continue
		}
		if bench == nil {
			if bench, err = newBenchModel(d, tokenizer, b.backend, dtype); err != nil {
				return nil, err
			}
		}
		resetPeakMemory()
		m, profile, err := f.run(ctx, w, bench, n, f.together(b), encoded)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.now, err)
		}
		r := newBenchResult(d, w.now, m, peaks)
		r.Profile = profile
		r.Threads = threadsOf(b.backend)
		r.PeakRSS = megabytes(peakMemory())
		if free, total, ok := memoryOf(b.backend); ok {
			r.PeakRSS = megabytes(total - free)
		}
		results = append(results, r)
	}
	return results, nil
}

// together returns the number of windows that are encoded at once: where the flags do not say, as many as the engine encodes
// on such a device.
func (f *benchCommand) together(b computer) int {
	if f.Windows == 0 {
		return encodesOn(b)
	}
	return f.Windows
}

// errMemory is the error of a case, or of a model, that does not fit into memory.
var errMemory = errors.New("not enough memory")

// checkMemory returns errMemory where a case takes more than there is, of which the model, where it
// is loaded, has its part.
func checkMemory(b computer, d whisper.Dims, dtype tensor.DType, batch, together int, loaded bool) error {
	debug.FreeOSMemory()
	available := roomOn(b.backend)
	if available == 0 {
		return nil // not known
	}
	need := batchMemory(d, dtype, batch, together)
	if !loaded {
		need += modelMemory(d, dtype)
	}
	if need > available {
		return fmt.Errorf("%w: it takes %s more, there are %s", errMemory, formatBytes(need), formatBytes(available))
	}
	return nil
}

// benchPhases are the parts of a case that the bar counts.
const benchPhases = 3

// benchWatch shows which case is measured.
type benchWatch struct {
	console     *console
	now         benchCase
	done, total int // phases and cases
	skipped     bool
}

// begin goes on to another case.
func (w *benchWatch) begin(c benchCase) {
	w.now = c
	w.phase("model")
}

// phase tells what is done now.
func (w *benchWatch) phase(what string) {
	w.console.advance(int64(min(w.done, w.total*benchPhases-1)), "%s: %s", w.now, what)
	w.done++
}

// skip reports a case that is left out.
func (w *benchWatch) skip(err error) {
	w.skipped = true
	w.done += benchPhases - 1
	w.console.report(fmt.Errorf("%s: %w", w.now, err))
}
