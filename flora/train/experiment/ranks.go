package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"glossa/flora"
	"glossa/flora/train/chart"
)

// torchBMM stands for LoRA as Wen & Chaudhuri 2024 compare with: products of each row with factors of its own, by torch.bmm.
const torchBMM flora.Kind = "torch.bmm"

// DrawRanks returns a figure, as SVG, of the measurements over ranks in a folder of results of whisper/tensor/cuda/run.sh: those of
// adapters in ranks-*.json, as glossa bench --adapters --json writes them, and in peer-bmm_lora.json those of one product under LoRA by
// torch.bmm. What is absent or empty was not measured, and is left out; where that is all, the error is chart.ErrEmpty.
//
// One panel has the speed over that without adapters. Where torch.bmm was measured, another has the speed-up over it, as the
// paper shows it over ranks; here it is a quotient of the first panel's speeds.
func DrawRanks(dir string) ([]byte, error) {
	timings, err := readRanks(dir)
	if err != nil {
		return nil, err
	}
	if len(timings) == 0 {
		return nil, fmt.Errorf("experiment: no measurements over ranks in %s: %w", dir, chart.ErrEmpty)
	}
	f, err := ranksFigure(timings)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f.SVG(chart.Light())
}

// readRanks reads the chosen measurements of adapters and those of torch.bmm.
func readRanks(dir string) (all []Timing, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "ranks-*.json"))
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	for _, path := range paths {
		var file struct{ Adapters []Timing }
		if err := readMeasured(path, &file); err != nil {
			return nil, err
		}
		for _, t := range file.Adapters {
			if t.Chosen {
				all = append(all, t)
			}
		}
	}
	var peer struct{ BMM []Timing }
	if err := readMeasured(filepath.Join(dir, "peer-bmm_lora.json"), &peer); err != nil {
		return nil, err
	}
	for _, t := range peer.BMM {
		t.Kind = torchBMM
		all = append(all, t)
	}
	return underAdapters(all), nil
}

// readMeasured reads a file of JSON, if it is there and not empty.
func readMeasured(path string, to any) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(text) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBench, path, err)
	}
	return nil
}

// ranksFigure returns the figure of measurements of one model in one setting.
func ranksFigure(timings []Timing) (f chart.Figure, err error) {
	f = chart.Figure{Title: "Speed over ranks", Columns: 2, Width: 380, Height: 250}
	settings, _ := group(slices.DeleteFunc(slices.Clone(timings), func(t Timing) bool { return t.Kind == torchBMM }))
	switch {
	case len(settings) > 1:
		return f, fmt.Errorf("%w: over ranks of %d models or settings, not of one", ErrBench, len(settings))
	case len(settings) == 1:
		s := settings[0]
		f.Title += fmt.Sprintf(": %s, %s, %s, batch %d, adapters %d", s.Geometry, s.DType, s.Phase, s.Batch, s.Adapters)
	}
	for _, t := range timings {
		timings = append(timings, Timing{Kind: None, Rank: t.Rank, OverBase: 1})
	}
	f.Panels = []chart.Panel{ranksPanel(timings, None, "speed over that without adapters")}
	if gain := ranksPanel(timings, torchBMM, "speed-up over torch.bmm"); len(gain.Series) > 0 {
		f.Panels = append(f.Panels, gain)
		f.Subtitle = "each over its own time without adapters: torch.bmm (LoRA as in Wen & Chaudhuri 2024) of one product, the others of the whole model"
	}
	return f, nil
}

// ranksPanel returns the speed of all kinds over that of one of them, at the ranks that this one has.
func ranksPanel(timings []Timing, reference flora.Kind, title string) chart.Panel {
	const grey = 6
	p := chart.Panel{Title: title, X: "rank", Y: "times", LogX: true, Zero: true, Ends: true}
	at, time := fastest(timings, reference)
	for _, k := range []struct {
		kind flora.Kind
		line chart.Series
	}{
		{None, chart.Series{Name: "no adapters", Color: grey, Style: chart.Dashed}},
		{flora.FLoRA, chart.Series{Name: "fLoRA", Color: color(flora.FLoRA), Style: chart.Marked}},
		{flora.LoRA, chart.Series{Name: "LoRA", Color: color(flora.LoRA), Style: chart.Marked}},
		{torchBMM, chart.Series{Name: "torch.bmm", Color: color(flora.RSLoRA), Style: chart.Marked, Shape: 1}}, // rsLoRA, as fast as LoRA, is not drawn
	} {
		ranks, over := fastest(timings, k.kind)
		for i, rank := range ranks {
			if j := slices.Index(at, rank); j >= 0 {
				k.line.X, k.line.Y = append(k.line.X, rank), append(k.line.Y, time[j]/over[i])
			}
		}
		if len(k.line.X) > 0 {
			p.Series = append(p.Series, k.line)
		}
	}
	return p
}
