package experiment

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/flora"
)

// modelled returns measurements of a machine on which the paper's cost model holds, with a slower strategy
// beside each.
func modelled(kappa float64) []Timing {
	var all []Timing
	for _, rank := range []int{1, 2, 4, 8, 16} {
		r := float64(rank)
		for kind, over := range map[flora.Kind]float64{flora.LoRA: 1 + kappa*r, flora.FLoRA: r} {
			t := Timing{Geometry: "tiny", DType: "f32", Kind: kind, Rank: rank, Adapters: 4, Batch: 4, Phase: "decode", Strategy: "a", OverBase: over, MS: 2 * over, Chosen: true, Best: true}
			slow := t
			slow.Strategy, slow.OverBase, slow.MS, slow.Chosen, slow.Best = "b", over+1, 2*(over+1), false, false
			all = append(all, slow, t)
		}
	}
	return all
}

// TestBreakEvenIsEquation7 holds that where the paper's costs are right so is its rank.
func TestBreakEvenIsEquation7(t *testing.T) {
	for _, c := range []struct{ kappa, paper float64 }{{0.75, 4}, {0.5, 2}, {0, 1}, {1.5, math.Inf(1)}} {
		b, ok := FindBreakEven(modelled(c.kappa))
		if !ok || math.Abs(b.Cost-c.kappa) > 1e-9 || b.Paper != c.paper && math.Abs(b.Paper-c.paper) > 1e-9 {
			t.Errorf("κ %v: %+v, want eq. 7 at %v", c.kappa, b, c.paper)
		}
		if b.Measured != c.paper && math.Abs(b.Measured-c.paper) > 1e-9 {
			t.Errorf("κ %v: measured at %v, want %v", c.kappa, b.Measured, c.paper)
		}
	}
	if _, ok := FindBreakEven([]Timing{{Kind: flora.LoRA, Rank: 1, OverBase: 1}}); ok {
		t.Error("a break-even without fLoRA")
	}
	if at := crossing([]float64{1, 2}, []float64{0.1, 0.2}); at != 0 {
		t.Errorf("slower at all ranks: %v", at)
	}
}

func TestReadTimings(t *testing.T) {
	const line = `{"geometry": "tiny", "dtype": "f32", "kind": %q, "rank": %d, "adapters": 4, "batch": 4, "phase": "decode", "strategy": "expand", "ms": 2, "over_base": 1.5, "chosen": true, "best": false}`
	lines := fmt.Sprintf("["+line+","+line+"]", "none", 0, "lora", 2)
	for _, text := range []string{lines, `{"adapters": ` + lines + `}`, `{"machine": {}, "results": ` + lines + `}`} {
		got, err := ReadTimings(strings.NewReader(text))
		if err != nil || len(got) != 1 || got[0] != (Timing{"tiny", "f32", "lora", 2, 4, 4, "decode", "expand", 2, 1.5, true, false}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"results": 1}`} {
		if _, err := ReadTimings(strings.NewReader(text)); !errors.Is(err, ErrBench) {
			t.Errorf("%q: %v, want ErrBench", text, err)
		}
	}
}

func TestWriteSpeed(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	if err := WriteSpeed(out, modelled(0.75)); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(out, "speed.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "| 0.750 |                 4.0 |      4.0 |"; !strings.Contains(string(table), want) {
		t.Errorf("the table lacks %q:\n%s", want, table)
	}
	for _, name := range []string{"speed.html", "speed-tiny-f32-decode.svg", "speed-tiny-f32-decode.png"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}
