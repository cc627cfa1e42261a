package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"glossa/eval"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// benchReport is the outcome of a run.
type benchReport struct {
	Backend string            `json:"backend"`
	Device  string            `json:"device,omitempty"`
	Results []benchResult     `json:"results"`
	VS      []benchComparison `json:"vs,omitempty"`
}

// benchResult are the figures of one case. What could not be measured is 0, and absent in JSON.
type benchResult struct {
	Geometry string `json:"geometry"`
	DType    string `json:"dtype"`
	Threads  int    `json:"threads"`
	Batch    int    `json:"batch"`
	Tokens   int    `json:"tokens"` // of a window

	EncodeMS   float64 `json:"encode_ms_per_window"`
	CrossMS    float64 `json:"cross_ms_per_window"`
	DecodeMS   float64 `json:"decode_ms_per_step"`
	TokensPerS float64 `json:"tokens_per_s"`
	RTFx       float64 `json:"rtfx"`

	EncodeGFLOPS float64 `json:"encode_gflops"`
	PeakGFLOPS   float64 `json:"peak_gflops,omitempty"`
	DecodeGBPS   float64 `json:"decode_gbps"`
	PeakGBPS     float64 `json:"peak_gbps"`
	PeakRSS      float64 `json:"peak_rss_mb,omitempty"` // in units of 10⁶ bytes

	Profile []benchProfile `json:"profile,omitempty"`
}

// newBenchResult derives the figures of a case from its times.
func newBenchResult(d whisper.Dims, c benchCase, t benchTimes, p benchPeaks) benchResult {
	batch := float64(c.batch)
	whole := batch*(t.encode+t.cross).Seconds() + t.decode().Seconds()
	return benchResult{
		Geometry: c.geometry, DType: c.dtype.String(), Batch: c.batch, Tokens: t.tokens,
		EncodeMS: milliseconds(t.encode), CrossMS: milliseconds(t.cross), DecodeMS: milliseconds(t.step),
		TokensPerS:   batch / t.step.Seconds(),
		RTFx:         batch * d.WindowSeconds() / whole,
		EncodeGFLOPS: d.EncoderFLOPs() / t.encode.Seconds() / 1e9,
		PeakGFLOPS:   p.ops[c.dtype] / 1e9,
		DecodeGBPS:   stepBytes(d, c.dtype, c.batch, t.prompt+t.tokens/2) / t.step.Seconds() / 1e9,
		PeakGBPS:     p.read / 1e9,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// stepBytes returns the bytes that a step of the decoder reads for sequences of nText tokens.
func stepBytes(d whisper.Dims, dtype tensor.DType, batch, nText int) float64 {
	weights, channels := d.StepWeights()
	return float64(weightBytes(dtype, weights, channels)) + float64(batch)*float64(crossBytes(d, dtype)+selfBytes(d, nText))
}

// Sizes of numbers in bytes.
const (
	float32Size = 4
	halfSize    = 2 // bfloat16 and float16
	int8Size    = 1
)

// weightBytes returns the size of packed weights. A channel of int8 has a scale and a correction.
func weightBytes(dtype tensor.DType, weights, channels int) int64 {
	switch dtype {
	case tensor.BF16, tensor.F16:
		return halfSize * int64(weights)
	case tensor.I8:
		return int8Size*int64(weights) + 2*float32Size*int64(channels)
	}
	return float32Size * int64(weights)
}

// crossBytes returns the size of the keys and values of cross-attention for a window, of the format
// of the weights.
func crossBytes(d whisper.Dims, dtype tensor.DType) int64 {
	return weightBytes(dtype, d.KeyValues(d.NAudioCtx), 0)
}

// selfBytes returns the size of the keys and values of self-attention for a sequence of n tokens.
func selfBytes(d whisper.Dims, n int) int64 { return float32Size * int64(d.KeyValues(n)) }

// print prints the results, or how they compare where there are others.
func (f *benchCommand) print(c *console, ours, theirs *benchReport) error {
	table := ours.table()
	if theirs != nil {
		if ours.VS = compareBench(ours, theirs); len(ours.VS) == 0 {
			c.note("glossa: the two runs have no case in common")
		}
		table = comparisonTable(ours.VS)
	}
	switch {
	case f.JSON:
		return c.printJSON(ours)
	case f.Markdown:
		return c.print(table.Markdown())
	}
	text := table.Text()
	if ours.Device != "" && theirs == nil {
		text = ours.Device + "\n" + text
	}
	return c.print(text + ours.profiles())
}

// benchNames is the number of columns that name a case.
const benchNames = 2

// table returns the results as a table.
func (r *benchReport) table() eval.Table {
	t := eval.Table{Names: benchNames, Cells: [][]string{{
		"geometry", "dtype", "threads", "batch", "encode ms", "cross ms", "decode ms", "tokens/s", "RTFx", "GFLOP/s", "of peak", "GB/s", "of peak", "MB",
	}}}
	for _, x := range r.Results {
		t.Cells = append(t.Cells, []string{
			x.Geometry, x.DType, threadsCell(x.Threads), strconv.Itoa(x.Batch),
			digits(x.EncodeMS), digits(x.CrossMS), digits(x.DecodeMS), digits(x.TokensPerS), digits(x.RTFx),
			digits(x.EncodeGFLOPS), share(x.EncodeGFLOPS, x.PeakGFLOPS), digits(x.DecodeGBPS), share(x.DecodeGBPS, x.PeakGBPS),
			digits(x.PeakRSS),
		})
	}
	return t
}

// threadsCell returns a number of threads, "-" of a GPU.
func threadsCell(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// digits returns x with three digits at least, "-" for what is not known.
func digits(x float64) string {
	switch {
	case x == 0:
		return "-"
	case x < 9.995:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

// share returns x in per cent of a peak, "-" where that is not known.
func share(x, peak float64) string {
	if peak == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*x/peak)
}

// benchComparison is one figure of a case in two runs.
type benchComparison struct {
	Geometry string  `json:"geometry"`
	DType    string  `json:"dtype"`
	Batch    int     `json:"batch"`
	Figure   string  `json:"figure"` // its name in a result
	Ours     float64 `json:"ours"`
	Theirs   float64 `json:"theirs"`
	Better   float64 `json:"better"` // how many times ours is better
}

// benchFigures are the figures that are compared; those that are good where they are large are rates.
var benchFigures = []struct {
	name string
	rate bool
	of   func(r *benchResult) float64
}{
	{"encode_ms_per_window", false, func(r *benchResult) float64 { return r.EncodeMS }},
	{"decode_ms_per_step", false, func(r *benchResult) float64 { return r.DecodeMS }},
	{"rtfx", true, func(r *benchResult) float64 { return r.RTFx }},
	{"peak_rss_mb", false, func(r *benchResult) float64 { return r.PeakRSS }},
}

// compareBench compares the cases that both runs have, and the figures that both have of them.
func compareBench(ours, theirs *benchReport) []benchComparison {
	list := []benchComparison{}
	for _, a := range ours.Results {
		for _, b := range theirs.Results {
			if a.Geometry != b.Geometry || a.DType != b.DType || a.Batch != b.Batch {
				continue
			}
			for _, f := range benchFigures {
				c := benchComparison{a.Geometry, a.DType, a.Batch, f.name, f.of(&a), f.of(&b), 0}
				if c.Ours == 0 || c.Theirs == 0 {
					continue
				}
				c.Better = c.Theirs / c.Ours
				if f.rate {
					c.Better = c.Ours / c.Theirs
				}
				list = append(list, c)
			}
		}
	}
	return list
}

// comparisonTable returns comparisons as a table.
func comparisonTable(list []benchComparison) eval.Table {
	t := eval.Table{Names: 4, Cells: [][]string{{"geometry", "dtype", "batch", "figure", "ours", "theirs", "times better"}}}
	for _, c := range list {
		t.Cells = append(t.Cells, []string{c.Geometry, c.DType, strconv.Itoa(c.Batch), c.Figure, digits(c.Ours), digits(c.Theirs), fmt.Sprintf("%.2f", c.Better)})
	}
	return t
}

// readBenchReport reads what --json printed.
func readBenchReport(path string) (*benchReport, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, reason(err))
	}
	var r benchReport
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Results == nil {
		return nil, fmt.Errorf("%s: no results of glossa bench --json", path)
	}
	r.VS = nil
	return &r, nil
}
