//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// randomAdapter returns an adapter of all linears that does much.
func randomAdapter(t *testing.T, m *whisper.Model, kind flora.Kind, seed uint64) *flora.Adapter {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 3))
	a, err := flora.New(m, fmt.Sprint(kind, seed), kind, 2, flora.All, rng)
	if err != nil {
		t.Fatal(err)
	}
	_, factors := a.Params()
	for _, p := range factors {
		for i := range p.Data {
			p.Data[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	return a
}

// logitsOf returns the logits of a window under each index.
func logitsOf(t *testing.T, m *whisper.Model, o *tensor.Ops, a whisper.Adapter, index []int32) [][]float32 {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	var mels []audio.Mel
	var tokens [][]int32
	for i := range index {
		mels, tokens = append(mels, goldentest.RandomMel(rng, 90+10*i)), append(tokens, []int32{1, 2, int32(i)})
	}
	return goldentest.Logits(t, m, o, a, mels, index, tokens)
}

// modelTolerances are what logits of a small random network may differ by, by the format of its weights: each has rounded what the layers
// before it rounded.
var modelTolerances = map[tensor.DType]float64{tensor.F32: 1e-3, tensor.BF16: 0.4, tensor.F16: 0.05}

// furthest returns by how much the logits differ at most.
func furthest(got, want [][]float32) (most float64) {
	for i := range want {
		for j, w := range want[i] {
			if d := math.Abs(float64(got[i][j] - w)); !(d <= most) {
				most = d
			}
		}
	}
	return most
}

// TestHotAdaptersOnDevice checks in each format that the weights of an adapter which is used again were merged on the device the first time, and
// that the network computes with them what the reference does with the adapter; that a third adapter takes the place of the
// one that was not used for longest, in memory that it had; and that all of it is given back.
func TestHotAdaptersOnDevice(t *testing.T) {
	host := ref.New()
	plain := goldentest.Tiny(t, host, 5)
	as := []*flora.Adapter{randomAdapter(t, plain, flora.LoRA, 1), randomAdapter(t, plain, flora.FLoRA, 2), randomAdapter(t, plain, flora.HiRA, 3)}
	reference, err := flora.NewBatch(plain, host, as...)
	if err != nil {
		t.Fatal(err)
	}
	want := make([][][]float32, 4)
	for i := range want {
		want[i] = logitsOf(t, plain, tensor.NewOps(host), reference, []int32{int32(i), 0})
	}
	for dtype, allowed := range modelTolerances {
		t.Run(dtype.String(), func(t *testing.T) {
			b := openPlainly(t)
			m := goldentest.Tiny(t, b, 5)
			if err := m.Pack(b, dtype); err != nil {
				t.Fatal(err)
			}
			testHotAdapters(t, b, m, as, want, allowed)
		})
	}
}

func testHotAdapters(t *testing.T, b *Backend, m *whisper.Model, as []*flora.Adapter, want [][][]float32, allowed float64) {
	var each int64
	for _, l := range m.Linears() {
		each += tensor.PackedBytes(l.Weight.Packed)
	}
	p := flora.DefaultPolicy(m)
	p.MergedBytes = 2*each + 100
	batch, err := flora.NewBatchWith(m, b, flora.Options{Strategy: flora.Merged, Policy: p}, as...)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.device.Profile(true); err != nil {
		t.Fatal(err)
	}
	o := tensor.NewOps(b)
	linears, mixes := len(m.Linears()), 0
	for i, c := range []struct{ adapter, mixes int }{{0, 0}, {1, linears}, {2, linears}, {1, 0}, {2, 0}, {3, linears}, {3, 0}, {2, 0}, {1, linears}} {
		before := b.device.Stats()
		got := logitsOf(t, m, o, batch, []int32{int32(c.adapter), 0})
		if d := furthest(got, want[c.adapter]); !(d <= allowed) {
			t.Errorf("use %d, adapter %d: logits are off by %v", i, c.adapter, d)
		}
		n := b.mixes(t) - mixes
		if mixes += n; n != c.mixes {
			t.Errorf("use %d, adapter %d: %d weights were mixed, want %d", i, c.adapter, n, c.mixes)
		}
		after := b.device.Stats()
		if after.BytesIn != before.BytesIn {
			t.Errorf("use %d, adapter %d: %d bytes of weights came from the host", i, c.adapter, after.BytesIn-before.BytesIn)
		}
		if grown := after.UsedBytes - before.UsedBytes; i > 2 && grown >= each/2 { // by keys and values, until they are collected
			t.Errorf("use %d, adapter %d: %d bytes more are in use", i, c.adapter, grown)
		}
	}
	batch.Trim()
	if d := furthest(logitsOf(t, m, o, batch, []int32{2, 0}), want[2]); !(d <= allowed) {
		t.Errorf("after Trim logits are off by %v", d)
	}
}

// mixes returns how many weights were mixed so far.
func (b *Backend) mixes(t *testing.T) (n int) {
	t.Helper()
	timings, err := b.device.Timings()
	if err != nil {
		t.Fatal(err)
	}
	for _, timing := range timings {
		switch timing.Name {
		case "mix_f32", "mix_bf16", "mix_f16":
			n += timing.Calls
		}
	}
	return n
}

// TestCalibrationOnDevice checks that what strategies cost is found by passes on the device, each of which ends with a result that was
// waited for.
func TestCalibrationOnDevice(t *testing.T) {
	b := openPlainly(t)
	m := goldentest.Tiny(t, b, 1)
	passes := 0
	costs, err := flora.Calibrate(m, b, flora.Load{Rows: 2 * m.Dims.NAudioCtx, Adapters: 2}, func(p flora.Probe, f func()) float64 {
		passes++
		if p.Load.Rows > 64 {
			return 1e-6 * float64(p.Load.Rows) // as long as it is on a processor
		}
		before := b.device.Stats()
		f()
		if after := b.device.Stats(); after.Launches+after.GraphLaunches == before.Launches+before.GraphLaunches {
			t.Errorf("%+v: nothing ran on the device", p)
		}
		return 1e-6 * float64(p.Load.Rows)
	})
	if err != nil {
		t.Fatal(err)
	}
	if passes < 30 || costs.Check() != nil || costs.Encode == nil {
		t.Errorf("%d passes, costs %+v", passes, costs)
	}
}
