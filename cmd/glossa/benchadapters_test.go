package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// TestBenchAdapters measures adapters of the embedded model, and checks that each case has its strategies, one of them
// chosen and one the best.
func TestBenchAdapters(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: measurements absent in short tests")
	}
	var out, errs bytes.Buffer
	args := "bench --geometry nano --dtype f32 --adapters 1,3 --kind flora,dora,ia3 --rank 2 --batch 2 --tokens 3 --repeat 1 --seconds 0.1 --json"
	if code := run(t.Context(), strings.Fields(args), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var r adapterReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Costs) != 1 || r.Costs[0].Costs.Check() != nil {
		t.Errorf("costs %v", r.Costs)
	}
	chosen, best, cases := 0, 0, 0
	for _, x := range r.Adapters {
		if x.MS <= 0 || x.BaseMS <= 0 || x.Adapters > x.Batch || math.Abs(x.MS/x.BaseMS/x.OverBase-1) > 1e-9 {
			t.Errorf("impossible: %+v", x)
		}
		if x.Strategy == string(flora.Mix) {
			cases++
		}
		if x.Chosen {
			chosen++
		}
		if x.Best {
			best++
			if x.FromBest != 1 {
				t.Errorf("the best is %v from itself", x.FromBest)
			}
		}
	}
	if want := 2 * 2 * 3; cases != want || chosen != want || best != want { // phases, numbers of adapters, kinds
		t.Errorf("%d cases, %d choices, %d best, want %d", cases, chosen, best, want)
	}
}

// seenAdapters is an adapter that adapts nothing, and notes the adapters of the windows which are encoded together.
type seenAdapters [][]int32

func (a *seenAdapters) Linear(s *whisper.Step, l *whisper.Linear, _ tensor.Mat, _ bool) (y tensor.Mat, ok bool) {
	if l.Site == (whisper.Site{Stack: whisper.EncoderStack, Role: whisper.Query}) {
		*a = append(*a, slices.Clone(s.AdapterOf))
	}
	return tensor.Mat{}, false
}

func (*seenAdapters) LinearAdd(*whisper.Step, *whisper.Linear, tensor.Mat, tensor.Mat) bool {
	return false
}

// TestBenchEncodesAsTheEngine checks which windows are encoded together on a GPU, and in which order.
func TestBenchEncodesAsTheEngine(t *testing.T) {
	host, err := computeFlags{}.openCPU()
	if err != nil {
		t.Fatal(err)
	}
	m := goldentest.Tiny(t, host.backend, 1)
	c := adapterCase{batch: 12, adapters: 3}
	var index []int32
	for i := range c.batch {
		index = append(index, c.adapterOf(i))
	}
	var seen seenAdapters
	bench := &adapterBench{benchModel: &benchModel{Model: m, ops: tensor.NewOps(host.backend)}, on: computer{"cuda:0", host.backend}}
	if _, err := bench.encodeAdapted(randomMels(m.Dims, c.batch), &seen, index); err != nil {
		t.Fatal(err)
	}
	if want := (seenAdapters{{1, 1, 1, 2, 2, 2, 3, 3}, {1, 2, 3, 3}}); !reflect.DeepEqual(seen, want) {
		t.Errorf("windows under adapters %v are encoded together, want %v", seen, want)
	}
}

func TestAdapterResults(t *testing.T) {
	second := func(s ...float64) (times []time.Duration) {
		for _, v := range s {
			times = append(times, time.Duration(v*float64(time.Second)))
		}
		return times
	}
	c := adapterCase{"tiny", tensor.F32, flora.LoRA, 8, flora.Decode, 4, 2}
	results := newAdapterResults(c, 2, []*contender{
		{times: second(1, 10, 2)}, // the second turn was disturbed
		{name: "shrink-expand", times: second(1.2, 12, 2.4), chosen: true},
		{name: "mix", times: second(1.1, 11, 2.2)},
		{name: "merged", times: second(1, 10, 2), barred: true},
	})
	want := []struct {
		over, from   float64
		chosen, best bool
	}{{1.2, 1.2 / 1.1, true, false}, {1.1, 1, false, true}, {1, 1 / 1.1, false, false}}
	for i, w := range want {
		r := results[i]
		if math.Abs(r.OverBase-w.over) > 1e-6 || math.Abs(r.FromBest-w.from) > 1e-6 || r.Chosen != w.chosen || r.Best != w.best || r.BaseMS != 2000 {
			t.Errorf("%+v, want %+v", r, w)
		}
	}
	report := adapterReport{Adapters: results}
	if text := report.table().Text(); !strings.Contains(text, "+20.0%      +9.1%  chosen") {
		t.Errorf("table:\n%s", text)
	}
}

func TestBenchAdapterFlags(t *testing.T) {
	for args, want := range map[string]string{
		"--adapters 0":                       "--adapters 0: at least 1",
		"--adapters 1 --kind mora":           "--kind mora: there are: flora hira",
		"--adapters 1 --rank 0":              "--rank 0: at least 1",
		"--adapters 1 --strategy fastest":    "there are: scales expand",
		"--adapters 1 --vs old.json":         "--adapters: its results",
		"--adapters 1 --merged=-1":           "--merged",
		"--adapters 1 --phase prompt":        "--phase",
		"--adapters 1 --batch 0":             "--batch 0: at least 1",
		"--adapters 1 --geometry gargantuan": "--geometry gargantuan",
	} {
		var errs bytes.Buffer
		if code := run(t.Context(), append([]string{"bench"}, strings.Fields(args)...), io.Discard, &errs); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %q, want %q", args, code, errs.String(), want)
		}
	}
}
