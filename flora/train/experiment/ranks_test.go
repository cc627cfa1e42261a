package experiment

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/flora"
	"glossa/flora/train/chart"
)

var update = flag.Bool("update", false, "draw the figures that are kept anew")

// measuredRanks are the results over ranks that the README of the GPU backend shows.
const measuredRanks = "../../../whisper/tensor/cuda/testdata/ranks"

// TestRanksPicture compares the picture in that README with what is drawn now.
func TestRanksPicture(t *testing.T) {
	path := filepath.Join(measuredRanks, "ranks.svg")
	got, err := DrawRanks(measuredRanks)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is drawn from the files beside it; -update writes it", path)
	}
}

// TestRanksAreSpeeds checks the points of both panels.
func TestRanksAreSpeeds(t *testing.T) {
	timings, err := readRanks(measuredRanks)
	if err != nil {
		t.Fatal(err)
	}
	f, err := ranksFigure(timings)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Panels) != 2 || !strings.HasSuffix(f.Title, ": turbo, bf16, decode, batch 64, adapters 32") {
		t.Fatalf("%d panels, %q", len(f.Panels), f.Title)
	}
	for i, want := range []map[string]float64{ // at rank 8
		{"no adapters": 1, "fLoRA": 1 / 1.99, "LoRA": 1 / 1.33, "torch.bmm": 1 / 4.83},
		{"no adapters": 4.83, "fLoRA": 4.83 / 1.99, "LoRA": 4.83 / 1.33, "torch.bmm": 1},
	} {
		for _, s := range f.Panels[i].Series {
			if y, ok := want[s.Name]; !ok || len(s.X) != 7 || s.X[3] != 8 || math.Abs(s.Y[3]-y) > 1e-9 {
				t.Errorf("panel %d, %s: %v over %v, want %v at rank 8", i, s.Name, s.Y, s.X, y)
			}
			delete(want, s.Name)
		}
		if len(want) > 0 {
			t.Errorf("panel %d lacks %v", i, want)
		}
	}
}

// TestRanksThatAreThere draws what of a run is there.
func TestRanksThatAreThere(t *testing.T) {
	for _, c := range []struct {
		files     string
		want, not string
	}{
		{"ranks-flora.json ranks-lora.json", "turbo fLoRA LoRA", "torch.bmm"}, // a machine without torch
		{"ranks-lora.json peer-bmm_lora.json", "turbo LoRA torch.bmm speed-up", "fLoRA"},
		{"peer-bmm_lora.json", "torch.bmm", "turbo"},
	} {
		dir := t.TempDir()
		for _, name := range []string{"ranks-flora.json", "ranks-lora.json"} { // of measurements that failed
			write(t, filepath.Join(dir, name), nil)
		}
		for name := range strings.FieldsSeq(c.files) {
			text, err := os.ReadFile(filepath.Join(measuredRanks, name))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name), text)
		}
		svg, err := DrawRanks(dir)
		if err != nil {
			t.Errorf("%s: %v", c.files, err)
		}
		for want := range strings.FieldsSeq(c.want) {
			if !bytes.Contains(svg, []byte(want)) {
				t.Errorf("%s: the picture lacks %q", c.files, want)
			}
		}
		if bytes.Contains(svg, []byte(c.not)) {
			t.Errorf("%s: the picture has %q", c.files, c.not)
		}
	}
}

// TestRanksThatCannotBeDrawn checks the errors.
func TestRanksThatCannotBeDrawn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ranks-lora.json")
	const nothing = `{"adapters": [{"kind": "lora", "rank": 1, "over_base": 2}, {"kind": "lora", "rank": 1, "chosen": true}]}`
	for _, text := range []string{"", nothing} {
		write(t, path, []byte(text))
		if _, err := DrawRanks(dir); !errors.Is(err, chart.ErrEmpty) || !strings.Contains(err.Error(), "no measurements over ranks in "+dir) {
			t.Errorf("%q: %v, want ErrEmpty", text, err)
		}
	}
	write(t, path, []byte("{"))
	if _, err := DrawRanks(dir); !errors.Is(err, ErrBench) || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v, want ErrBench", err)
	}
	two := []Timing{{Geometry: "tiny", Kind: flora.LoRA, Rank: 1, OverBase: 1}, {Geometry: "base", Kind: flora.LoRA, Rank: 1, OverBase: 1}}
	if _, err := ranksFigure(two); !errors.Is(err, ErrBench) {
		t.Errorf("two models: %v, want ErrBench", err)
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}
