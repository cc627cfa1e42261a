package flora_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// hotBed is a model with three adapters and room for the merged weights of two.
type hotBed struct {
	t         *testing.T
	d         device
	o         *tensor.Ops
	m         *whisper.Model
	batch     *flora.Batch
	residents []*flora.Resident // from 1 on
	factors   []int64           // bytes of each without merged weights
	each      int64             // bytes of the merged weights of one
	want      func(index []int32) [][]float32
}

func newHotBed(t *testing.T, d device) *hotBed {
	b := &hotBed{t: t, d: d, o: tensor.NewOps(d), m: goldentest.Tiny(t, d, 5), residents: []*flora.Resident{nil}, factors: []int64{0}}
	rng := rand.New(rand.NewPCG(26, 26))
	var as []*flora.Adapter
	for i, kind := range []flora.Kind{flora.LoRA, flora.FLoRA, flora.HiRA} {
		as = append(as, randomAdapter(t, b.m, fmt.Sprint(i), kind, 2, flora.All, rng))
	}
	for _, l := range b.m.Linears() {
		if as[0].Sites[l.Site] != nil {
			b.each += tensor.PackedBytes(l.Weight.Packed)
		}
	}
	p := flora.DefaultPolicy(b.m)
	p.MergedBytes = 2*b.each + 100
	var err error
	if b.batch, err = flora.NewBatchWith(b.m, d, flora.Options{Strategy: flora.Merged, Policy: p}); err != nil {
		t.Fatal(err)
	}
	for _, a := range as {
		r, err := b.batch.Prepare(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.batch.Put(r); err != nil {
			t.Fatal(err)
		}
		b.residents, b.factors = append(b.residents, r), append(b.factors, r.Bytes())
	}
	host := ref.New()
	m := goldentest.Tiny(t, host, 5)
	byRows, err := flora.NewBatch(m, host, as...) // ref does not mix
	if err != nil {
		t.Fatal(err)
	}
	b.want = func(index []int32) [][]float32 { return b.logits(m, tensor.NewOps(host), byRows, index) }
	return b
}

func (b *hotBed) logits(m *whisper.Model, o *tensor.Ops, a *flora.Batch, index []int32) [][]float32 {
	tokens := make([][]int32, len(index))
	for i := range tokens {
		tokens[i] = []int32{1, 2, int32(i)}
	}
	return goldentest.Logits(b.t, m, o, a, mels(rand.New(rand.NewPCG(7, 7)), len(index)), index, tokens)
}

// use computes a window under each of the adapters, and checks what it comes to and which adapters have merged weights then: parts of all.
func (b *hotBed) use(what string, index []int32, have ...float64) {
	b.t.Helper()
	got, want := b.logits(b.m, b.o, b.batch, index), b.want(index)
	for i := range want {
		tensortest.Tolerance{Abs: 2e-3, Rel: 1e-3}.Compare(b.t, fmt.Sprintf("%s, window %d", what, i), got[i], want[i])
	}
	b.has(what, have...)
}

func (b *hotBed) has(what string, have ...float64) {
	b.t.Helper()
	for i, part := range have {
		if got := b.residents[i+1].Bytes() - b.factors[i+1]; got != int64(part*float64(b.each)) {
			b.t.Errorf("%s: adapter %d has merged weights of %d bytes, want %g of %d", what, i+1, got, part, b.each)
		}
	}
}

// TestHotAdaptersAreMerged checks on devices that the adapters which were used last have merged weights, those of the encoder among them,
// which are made once; that what is beyond the budget is made at each use; and that the numbers are the reference's either way.
func TestHotAdaptersAreMerged(t *testing.T) {
	d := tensortest.SimulateFused(backend(t), tensortest.DeviceOptions{})
	b := newHotBed(t, d)
	b.use("the first", []int32{1}, 1, 0, 0)
	b.use("the second", []int32{2}, 1, 1, 0)
	b.use("both", []int32{2, 1, 0}, 1, 1, 0)
	kernels := d.Stats().Kernels
	b.use("the second again", []int32{2}, 1, 1, 0)
	again, used := d.Stats().Kernels-kernels, d.Stats().Used
	b.use("the third, in place of the first", []int32{3}, 0, 1, 1)
	if grown := d.Stats().Used - used; grown >= b.each/2 { // by keys and values, until they are collected
		t.Errorf("%d bytes more are in use where one took another's place", grown)
	}
	kernels = d.Stats().Kernels
	b.use("the third again", []int32{3}, 0, 1, 1)
	if got := d.Stats().Kernels - kernels; got != again {
		t.Errorf("%d kernels for a window under a hot adapter, %d under another", got, again)
	}
	b.use("all, of whom none gives way", []int32{1, 2, 3}, 0, 1, 1)
	used = d.Stats().Used
	b.batch.Trim()
	b.has("after Trim", 0, 0, 0)
	if got := d.Stats().Used; got > used-2*b.each {
		t.Errorf("%d bytes are in use after Trim, %d before, of them %d merged", got, used, 2*b.each)
	}
	b.use("the second after Trim", []int32{2}, 0, 1, 0)
	b.batch.Remove(2)
	b.has("when the second has gone", 0, 0, 0)
}

// TestMergedGivesWay checks that a pass which lacks memory to mix a weight has that of adapters that are not in use, and that one which lacks
// it for something else has it after Trim.
func TestMergedGivesWay(t *testing.T) {
	d := tensortest.SimulateFused(backend(t), tensortest.DeviceOptions{})
	b := newHotBed(t, d)
	windows := mels(rand.New(rand.NewPCG(7, 7)), 1)
	var pool whisper.CrossPool
	encode := func(k int32) error {
		cross, err := b.m.EncodeInto(&pool, b.o, b.batch, windows, []int32{k})
		for _, c := range cross {
			pool.Free(c)
		}
		return err
	}
	merged := func(k int) int64 { return b.residents[k].Bytes() - b.factors[k] }
	if err := encode(1); err != nil || merged(1) == 0 {
		t.Fatalf("the first has merged weights of %d bytes: %v", merged(1), err)
	}
	for _, k := range []int{2, 3} {
		d.Limit(d.Stats().Used)
		before := merged(1) + merged(2)
		if err := encode(int32(k)); err != nil || merged(1)+merged(2) == before {
			t.Errorf("adapter %d: %v, merged weights of %d, %d and %d bytes", k, err, merged(1), merged(2), merged(3))
		}
	}
	b.batch.Trim()
	if err := encode(1); err != nil {
		t.Errorf("after Trim: %v", err)
	}
}

// TestBudgetIsOfFactors checks that the budget of a bank leaves merged weights, which have their own, out of account.
func TestBudgetIsOfFactors(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	p := flora.DefaultPolicy(b.model)
	p.MergedBytes = 1 << 30
	strategies := flora.Options{Strategy: flora.Merged, Policy: p}
	b = newBankBed(t, flora.BankOptions{Strategies: strategies})
	b.load(t, "a", 1)
	pin, index := b.pin(t, "a")
	factors := b.Stats().Bytes
	b.logits(t, index)
	if got := b.Stats().Bytes; got <= factors {
		t.Fatalf("%d bytes with merged weights, %d without", got, factors)
	}
	pin.Release()
	for limit, want := range map[int64]flora.Tier{factors: flora.OnDevice, factors - 1: flora.OnHost} {
		b := newBankBed(t, flora.BankOptions{Strategies: strategies, MaxBytes: limit})
		b.load(t, "a", 1)
		pin, index := b.pin(t, "a")
		b.logits(t, index)
		pin.Release()
		b.Sweep()
		if got := b.tier(t, "a"); got != want {
			t.Errorf("under a budget of %d bytes, with factors of %d, the adapter is on %s, want %s", limit, factors, got, want)
		}
	}
}
