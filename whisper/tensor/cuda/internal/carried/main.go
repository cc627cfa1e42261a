// Command carried prints what run.sh has measured on a machine with a GPU as one table: each figure beside its limit and what
// is asked of it. Its argument is the folder of results.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"glossa/eval"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table DIR")
		os.Exit(2)
	}
	text, err := report(os.Args[1])
	fmt.Print(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// limit is what the memory and the products of an H200 let a model do at best: at 4.3 TB/s and 780 TFLOP/s, both measured.
type limit struct {
	stepMS   float64 // to read the weights of a decoding step
	encodeMS float64 // of a window in the encoder
}

// limits are those of the published sizes.
var limits = map[string]limit{
	"tiny":     {0.013, 0.04},
	"base":     {0.023, 0.11},
	"small":    {0.065, 0.43},
	"medium":   {0.189, 1.43},
	"large-v3": {0.372, 2.86},
	"turbo":    {0.074, 2.86},
}

// wanted are the seconds of sound a second that are asked of a batch of 64 windows.
var wanted = map[string]float64{"turbo": 1500, "large-v3": 600}

const (
	wantedBatch    = 64
	wantedOverPeer = 3   // times as fast as transformers
	wantedRank1    = 0.9 // of the base model's speed, with 32 fLoRA adapters of rank 1
	wantedRank8    = 0.8 // with 32 LoRA adapters of rank 8
)

// benchResult is a part of what glossa bench --json prints.
type benchResult struct {
	Geometry     string  `json:"geometry"`
	DType        string  `json:"dtype"`
	Batch        int     `json:"batch"`
	EncodeMS     float64 `json:"encode_ms_per_window"`
	DecodeMS     float64 `json:"decode_ms_per_step"`
	RTFx         float64 `json:"rtfx"`
	EncodeGFLOPS float64 `json:"encode_gflops"`
	PeakGFLOPS   float64 `json:"peak_gflops"`
	DecodeGBPS   float64 `json:"decode_gbps"`
	PeakGBPS     float64 `json:"peak_gbps"`
}

// adapterResult is a part of what glossa bench --adapters --json prints.
type adapterResult struct {
	Geometry string  `json:"geometry"`
	Kind     string  `json:"kind"`
	Rank     int     `json:"rank"`
	Adapters int     `json:"adapters"`
	Batch    int     `json:"batch"`
	MS       float64 `json:"ms"`
	OverBase float64 `json:"over_base"`
	Chosen   bool    `json:"chosen"`
}

// results are what is in the folder.
type results struct {
	device   string
	bench    []benchResult
	adapters []adapterResult // chosen ones of the comparison with the base model
	ranks    []adapterResult // chosen ones over ranks
	generate []struct {
		Geometry string  `json:"geometry"`
		Batch    int     `json:"batch"`
		Tokens   int     `json:"tokens"`
		RTFx     float64 `json:"rtfx"`
	}
	bmm []struct {
		Rank     int     `json:"rank"`
		OverBase float64 `json:"over_base"`
	}
}

// read reads a JSON file of the folder, if it is there.
func read(path string, to any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || len(text) == 0 {
		return nil // what failed, run.sh has told
	}
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// open reads the results of a folder.
func open(dir string) (r results, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return r, err
	}
	for _, path := range names {
		var f struct {
			Device   string          `json:"device"`
			Results  []benchResult   `json:"results"`
			Adapters []adapterResult `json:"adapters"`
		}
		name := filepath.Base(path)
		if strings.HasPrefix(name, "peer-") {
			continue
		}
		if err := read(path, &f); err != nil {
			return r, err
		}
		if f.Device != "" {
			r.device = f.Device
		}
		r.bench = append(r.bench, f.Results...)
		for _, a := range f.Adapters {
			switch {
			case !a.Chosen:
			case strings.HasPrefix(name, "ranks-"):
				r.ranks = append(r.ranks, a)
			default:
				r.adapters = append(r.adapters, a)
			}
		}
	}
	var generate struct {
		Generate any `json:"generate"`
	}
	generate.Generate = &r.generate
	var bmm struct {
		BMM any `json:"bmm"`
	}
	bmm.BMM = &r.bmm
	return r, errors.Join(read(filepath.Join(dir, "peer-transformers_generate.json"), &generate), read(filepath.Join(dir, "peer-bmm_lora.json"), &bmm))
}

// report returns the table of a folder of results.
func report(dir string) (string, error) {
	r, err := open(dir)
	if err != nil {
		return "", err
	}
	if len(r.bench) == 0 && len(r.adapters) == 0 {
		return "", fmt.Errorf("%s: nothing was measured", dir)
	}
	t := eval.Table{Names: 3, Cells: [][]string{{"model", "batch", "figure", "measured", "limit", "of limit", "wanted", ""}}}
	add := func(model string, batch int, figure, measured, limit, share, wanted string, good bool) {
		verdict := ""
		if wanted != "" {
			verdict = map[bool]string{true: "ok", false: "missed"}[good]
		}
		t.Cells = append(t.Cells, []string{model, fmt.Sprint(batch), figure, measured, limit, share, wanted, verdict})
	}
	for _, b := range r.bench {
		r.addBench(b, add)
	}
	for _, a := range r.adapters {
		speed, least := 1/a.OverBase, wantedRank1
		if a.Rank > 1 {
			least = wantedRank8
		}
		want := ""
		if a.Batch == wantedBatch {
			want = fmt.Sprintf("%.1f", least)
		}
		figure := fmt.Sprintf("%d %s adapters of rank %d, of the base's speed", a.Adapters, a.Kind, a.Rank)
		add(a.Geometry, a.Batch, figure, fmt.Sprintf("%.2f", speed), "1", percent(speed, 1), want, speed >= least)
	}
	text := t.Text()
	if r.device != "" {
		text = r.device + "\n" + text
	}
	return text + r.overRanks(), nil
}

// addBench adds the figures of a model at a batch.
func (r *results) addBench(b benchResult, add func(model string, batch int, figure, measured, limit, share, wanted string, good bool)) {
	model := b.Geometry + " " + b.DType
	l, known := limits[b.Geometry]
	beside := func(limit, x float64) (string, string) {
		if !known {
			return "-", "-"
		}
		return fmt.Sprintf("%.3f", limit), percent(limit, x)
	}
	limit, share := beside(l.encodeMS, b.EncodeMS)
	add(model, b.Batch, "encoder, ms a window", fmt.Sprintf("%.3f", b.EncodeMS), limit, share, "", true)
	limit, share = beside(l.stepMS, b.DecodeMS)
	add(model, b.Batch, "step, ms (limit: weights alone)", fmt.Sprintf("%.3f", b.DecodeMS), limit, share, "", true)
	add(model, b.Batch, "encoder, TFLOP/s", fmt.Sprintf("%.1f", b.EncodeGFLOPS/1e3), known0("%.1f", b.PeakGFLOPS/1e3), percent(b.EncodeGFLOPS, b.PeakGFLOPS), "", true)
	add(model, b.Batch, "step, GB/s", fmt.Sprintf("%.0f", b.DecodeGBPS), known0("%.0f", b.PeakGBPS), percent(b.DecodeGBPS, b.PeakGBPS), "", true)
	want := ""
	if b.Batch == wantedBatch && wanted[b.Geometry] > 0 {
		want = fmt.Sprintf("%.0f", wanted[b.Geometry])
	}
	add(model, b.Batch, "RTFx", fmt.Sprintf("%.0f", b.RTFx), "-", "-", want, b.RTFx >= wanted[b.Geometry])
	for _, g := range r.generate {
		if g.Geometry == b.Geometry && g.Batch == b.Batch {
			times, want := b.RTFx/g.RTFx, ""
			if g.Batch == wantedBatch {
				want = fmt.Sprintf("%d", wantedOverPeer)
			}
			add(model, b.Batch, fmt.Sprintf("times transformers' RTFx of %.0f", g.RTFx), fmt.Sprintf("%.2f", times), "-", "-", want, times >= wantedOverPeer)
		}
	}
}

// overRanks returns a table of adapters over ranks, beside torch.bmm where that was measured.
func (r *results) overRanks() string {
	if len(r.ranks) == 0 {
		return ""
	}
	t := eval.Table{Names: 1, Cells: [][]string{{"rank", "flora, of base time", "lora, of base time", "torch.bmm, of base time"}}}
	ranks, at := []int{}, make(map[int][3]float64)
	set := func(rank, column int, x float64) {
		if _, ok := at[rank]; !ok {
			ranks = append(ranks, rank)
		}
		row := at[rank]
		row[column] = x
		at[rank] = row
	}
	for _, a := range r.ranks {
		set(a.Rank, map[string]int{"flora": 0, "lora": 1}[a.Kind], a.OverBase)
	}
	for _, b := range r.bmm {
		set(b.Rank, 2, b.OverBase)
	}
	for _, rank := range ranks {
		row := []string{fmt.Sprint(rank)}
		for _, x := range at[rank] {
			row = append(row, known0("%.2f", x))
		}
		t.Cells = append(t.Cells, row)
	}
	return "\n32 adapters in a batch of 64. The base's time is that of a step here, and of one product with torch.\n" + t.Text()
}

// known0 formats a number, "-" for one that is not known.
func known0(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}

// percent returns a in per cent of b, "-" where that is not known.
func percent(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", 100*a/b)
}
