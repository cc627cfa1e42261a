package flora_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/tensortest"
)

// groupWatch is a device that looks at the groups of rows which it is given.
type groupWatch struct {
	*tensortest.Fused
	t            *testing.T
	calls, mixes int
	scratch      int            // the most weights that were made in a call
	room         int            // for weights of a shape that are mixed, 0: for all
	taken        map[[2]int]int // by shape
}

func (d *groupWatch) NewMixed(w tensor.Packed) (tensor.Packed, error) {
	nOut, nIn := w.Shape()
	shape := [2]int{nOut, nIn}
	if d.taken[shape]++; d.room > 0 && d.taken[shape] > d.room {
		d.taken[shape]--
		return nil, tensor.ErrMemory
	}
	return d.Fused.NewMixed(w)
}

func (d *groupWatch) GroupedLinear(y, x tensor.Mat, w tensor.Packed, groups []tensor.RowGroup, gelu, add bool) {
	d.calls++
	times := make([]int, x.Rows)
	made := make(map[tensor.Packed]bool)
	for _, g := range groups {
		for i := g.From; i < g.To; i++ {
			times[i]++
		}
		if g.Update != nil {
			d.mixes++
			made[g.Weight] = true
		}
	}
	if slices.Min(times) != 1 || slices.Max(times) != 1 {
		d.t.Errorf("rows are in so many groups: %v", times)
	}
	d.scratch = max(d.scratch, len(made))
	d.Fused.GroupedLinear(y, x, w, groups, gelu, add)
}

// TestRowsTogether holds linears of a device that takes all rows at once, some of which pass mixed weights, to the bits of the host: of more adapters than
// weights are mixed together, one of which has sequences in two places, beside the base model; and with little room for
// mixed weights.
func TestRowsTogether(t *testing.T) {
	host := backend(t)
	plain := goldentest.Tiny(t, host, 3)
	rng := rand.New(rand.NewPCG(17, 4))
	var as []*flora.Adapter
	for i := range 10 {
		kind := []flora.Kind{flora.LoRA, flora.FLoRA, flora.HiRA}[i%3]
		as = append(as, randomAdapter(t, plain, fmt.Sprint(i), kind, 2, flora.All, rng))
	}
	index := []int32{3, 1, 0, 2, 1, 4, 5, 6, 7, 8, 9, 10}
	o := flora.Options{Strategy: flora.Mix}
	want := linearsOf(t, plain, host, o, as, index)

	for _, c := range []struct{ room, scratch int }{{0, 8}, {1, 1}, {3, 3}} {
		d := &groupWatch{Fused: tensortest.SimulateFused(host, tensortest.DeviceOptions{}), t: t, room: c.room, taken: make(map[[2]int]int)}
		got := linearsOf(t, goldentest.Tiny(t, d, 3), d, o, as, index)
		for site, x := range want {
			if !slices.Equal(got[site], x) {
				t.Errorf("room for %d: %v has other numbers than on the host", c.room, site)
			}
		}
		if n := 2 * len(want); d.calls != n || d.mixes != n*len(as) || d.scratch != c.scratch {
			t.Errorf("room for %d: %d linears were told together, %d weights mixed, %d at most at a time; want %d, %d and %d",
				c.room, d.calls, d.mixes, d.scratch, n, n*len(as), c.scratch)
		}
	}
}

// linearsOf returns the numbers of all linears under adapters, and behind them what their sums with other rows are.
func linearsOf(t *testing.T, m *whisper.Model, b tensor.Backend, options flora.Options, as []*flora.Adapter, index []int32) map[whisper.Site][]float32 {
	t.Helper()
	batch, err := flora.NewBatchWith(m, b, options, as...)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 4))
	o := tensor.NewOps(b)
	numbers := make(map[whisper.Site][]float32)
	for _, l := range m.Linears() {
		s, x, y := randomStep(o, batch, index, l, rng)
		z, ok := batch.Linear(s, l, x, l.Site.Role == whisper.FC1)
		if !ok || !batch.LinearAdd(s, l, y, x) {
			t.Fatalf("%v is not adapted", l.Site)
		}
		numbers[l.Site] = append(numbersOf(t, o, z), numbersOf(t, o, y)...)
	}
	return numbers
}
