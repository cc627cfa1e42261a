package flora_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/tensortest"
)

// invented are costs of a machine that there is not; its linears take longer in proportion to rows.
var invented = flora.Costs{Call: 2e-6, Scale: 3e-11, Copy: 7e-11, Factor: 9e-11, FactorRow: 2e-11, Mix: 8e-11, MixRank: 3e-11}

// inventedEncode are its costs in encoding, where rows that pass a weight of their own take a time besides, and nothing else does.
var inventedEncode = flora.Costs{Scale: 5e-12, Copy: 4e-12, LowRank: 6e-12, FactorRow: 1e-12, Mix: 2e-11, MixRank: 4e-12}

const inventedGroup = 3e-6

func inventedLinear(rows float64) float64 { return 1e-10 * (1 + rows/10) }

// encodeLoad is the load of encoding that costs are measured for: 4 windows of model m under as many adapters.
func encodeLoad(m *whisper.Model) flora.Load {
	return flora.Load{Rows: 4 * m.Dims.NAudioCtx, Adapters: 4}
}

// inventedTime is how long that machine takes for a probe.
func inventedTime(p flora.Probe, _ func()) float64 {
	c, linear := invented, inventedLinear
	if p.Phase == flora.Encode {
		c, linear = inventedEncode, func(rows float64) float64 { return 1e-11 * rows }
	}
	rows, adapters, rank := float64(p.Load.Rows), float64(p.Load.Adapters), float64(p.Rank)
	calls := float64(p.Linears)
	t := p.Weights * linear(rows)
	if p.Phase == flora.Encode && (p.Strategy == flora.Mix || p.Strategy == flora.Merged) {
		t += calls * adapters * inventedGroup
	}
	switch p.Strategy {
	case flora.Scales:
		t += rows * p.Numbers * c.Scale
	case flora.ShrinkExpand:
		t += calls*c.Call + rows*p.Numbers*c.LowRank + rank*p.Numbers*(adapters*c.Factor+rows*c.FactorRow)
	case flora.Expand:
		t += 3*calls*c.Call + p.Weights*(linear(rows*(1+rank))-linear(rows))
		t += rows * p.Numbers * ((1+rank)*c.Scale + rank*c.Copy)
	case flora.Mix:
		t += adapters * (calls*c.Call + p.Weights*(c.Mix+c.MixRank*rank))
	}
	return t
}

// TestCalibrationFindsCosts: from the times of a machine, calibration finds what its parts cost in each phase.
func TestCalibrationFindsCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	got, err := flora.Calibrate(m, b, encodeLoad(m), inventedTime)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Linear {
		if want := inventedLinear(float64(r.Rows)); math.Abs(r.Seconds/want-1) > 1e-6 {
			t.Errorf("a linear of %d rows costs %v a weight, want %v", r.Rows, r.Seconds, want)
		}
	}
	for _, of := range []struct{ got, want *flora.Costs }{{got, &invented}, {got.Encode, &inventedEncode}} {
		g, w := reflect.ValueOf(*of.got), reflect.ValueOf(*of.want)
		for i := range g.NumField() {
			if want := w.Field(i); want.Kind() == reflect.Float64 && math.Abs(g.Field(i).Float()-want.Float()) > 1e-6*want.Float() {
				t.Errorf("%s is %v, want %v", g.Type().Field(i).Name, g.Field(i), want)
			}
		}
	}
}

// TestCostsOfEncodingAreThoseMeasured: what costs predict for the linears of a pass in encoding is what it took, under each strategy.
func TestCostsOfEncodingAreThoseMeasured(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	var probes []flora.Probe
	costs, err := flora.Calibrate(m, b, encodeLoad(m), func(p flora.Probe, f func()) float64 {
		if p.Phase == flora.Encode && p.Kind != "" {
			probes = append(probes, p)
		}
		return inventedTime(p, f)
	})
	if err != nil {
		t.Fatal(err)
	}
	strategies := map[flora.Strategy]bool{}
	for _, p := range probes {
		strategies[p.Strategy] = true
		a := randomAdapter(t, m, "a", p.Kind, p.Rank, flora.All, rand.New(rand.NewPCG(1, 1)))
		got := 0.0
		for _, l := range m.Linears() {
			if flora.PhaseOf(l.Site) == flora.Encode && l.Site.Layer == 0 {
				got += costs.Over(p.Strategy, l, a.Sites[l.Site], p.Load)
			}
		}
		want := inventedTime(p, nil) - inventedTime(flora.Probe{Phase: p.Phase, Load: p.Load, Weights: p.Weights}, nil)
		if math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("%s of rank %d by %s takes %v longer, want %v", p.Kind, p.Rank, p.Strategy, got, want)
		}
	}
	if len(strategies) != len(flora.Strategies()) {
		t.Errorf("of all strategies, %v were measured", strategies)
	}
}

// TestCalibrationOfNoise: a clock that tells nothing leaves costs that can be chosen by, or an error.
func TestCalibrationOfNoise(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	if _, err := flora.Calibrate(m, b, encodeLoad(m), func(flora.Probe, func()) float64 { return 1e-3 * rng.Float64() }); err != nil {
		t.Error(err)
	}
	if _, err := flora.Calibrate(m, b, encodeLoad(m), func(flora.Probe, func()) float64 { return 0 }); !errors.Is(err, flora.ErrCosts) {
		t.Errorf("a clock that stands: %v", err)
	}
}

// TestCalibrationMeasures: what is measured is done, in encoding apart where that is asked for.
func TestCalibrationMeasures(t *testing.T) {
	backends := map[string]tensor.Backend{"host": backend(t)}
	for name, d := range devices(backend(t)) {
		backends[name] = d
	}
	for name, b := range backends {
		m := goldentest.Tiny(t, b, 1)
		_, mixes := b.(tensor.Mixer)
		for _, encode := range []flora.Load{flora.DefaultPolicy(m).Encode, encodeLoad(m)} {
			done := map[flora.Phase]map[flora.Strategy]bool{flora.Encode: {}, flora.Decode: {}}
			costs, err := flora.Calibrate(m, b, encode, func(p flora.Probe, f func()) float64 {
				done[p.Phase][p.Strategy] = true
				return flora.Stopwatch(time.Now, 0)(p, f)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := costs.Check(); err != nil {
				t.Error(err)
			}
			apart := encode.Adapters > 1 && mixes
			if (costs.Encode != nil) != apart {
				t.Errorf("%s, load %v: the costs of encoding are %v", name, encode, costs.Encode)
			}
			for _, s := range append(flora.Strategies(), "") {
				if want := (mixes || s != flora.Mix) && s != flora.Merged; done[flora.Decode][s] != want {
					t.Errorf("%s: %q in decoding was measured: %v", name, s, !want)
				}
				if done[flora.Encode][s] != apart {
					t.Errorf("%s, load %v: %q in encoding was measured: %v", name, encode, s, !apart)
				}
			}
		}
	}
}

// TestCalibrationOnDevice: calibration gives all back that it takes of a device, and where there is no memory for all windows of a load it measures
// fewer, and fails where there is none for one.
func TestCalibrationOnDevice(t *testing.T) {
	d := tensortest.SimulateFused(backend(t), tensortest.DeviceOptions{})
	m := goldentest.Tiny(t, d, 1)
	const all = 32
	encode := flora.Load{Rows: all * m.Dims.NAudioCtx, Adapters: all}
	before := d.Stats().Used
	refused, fewer, windows := 0, 0, 0
	for room := int64(1 << 20); windows < all && room < 1<<30; room += 2 << 20 {
		d.Limit(before + room)
		costs, err := flora.Calibrate(m, d, encode, func(p flora.Probe, f func()) float64 {
			if f(); p.Phase == flora.Encode {
				windows = p.Load.Adapters
			}
			return 1e-3
		})
		switch {
		case errors.Is(err, tensor.ErrMemory):
			refused++
		case err != nil:
			t.Fatal(err)
		case costs.Encode.Linear[len(costs.Encode.Linear)-1].Rows != windows*m.Dims.NAudioCtx:
			t.Errorf("of %d windows there are the costs %v", windows, costs.Encode.Linear)
		case windows < all:
			fewer++
		}
		if used := d.Stats().Used; used > before {
			t.Fatalf("with room for %d bytes, %d are in use after", room, used-before)
		}
	}
	if refused == 0 || fewer == 0 || windows < all {
		t.Errorf("there was no room %d times, and room for a part %d times, at last for %d windows", refused, fewer, windows)
	}
}

// TestStopwatch: the least of the times counts, and not the first.
func TestStopwatch(t *testing.T) {
	var now time.Time
	takes := []time.Duration{1, 5, 3, 4, 9, 9, 9} // seconds
	calls := 0
	got := flora.Stopwatch(func() time.Time { return now }, 10*time.Second)(flora.Probe{}, func() {
		now = now.Add(takes[calls] * time.Second)
		calls++
	})
	if got != 3 || calls != 4 {
		t.Errorf("%v seconds after %d calls, want 3 after 4", got, calls)
	}
}

// TestChoiceFollowsCosts: the strategy of each phase is the one that costs least for the load which is planned for.
func TestChoiceFollowsCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	a := randomAdapter(t, m, "a", flora.HiRA, 4, flora.All, rand.New(rand.NewPCG(1, 1)))
	linear := []flora.RowCost{{Rows: 1, Seconds: 1e-10}, {Rows: 16, Seconds: 1e-10}, {Rows: 1024, Seconds: 64e-10}}
	for _, c := range []struct {
		what           string
		costs          flora.Costs
		policy         flora.Policy
		encode, decode flora.Strategy
	}{
		{"mixing is cheap for many rows", flora.Costs{Linear: linear, Mix: 1e-9}, flora.Policy{}, flora.Mix, flora.Expand},
		{"mixing is dear", flora.Costs{Linear: linear, Mix: 1e-6}, flora.Policy{}, flora.Expand, flora.Expand},
		{"mixing is free, and one adapter has all rows", flora.Costs{Linear: linear}, flora.Policy{Decode: flora.Load{Rows: 32, Adapters: 1}}, flora.Mix, flora.Mix},
		{"there is room for merged weights", flora.Costs{Linear: linear, Mix: 1e-9}, flora.Policy{MergedBytes: 1 << 30}, flora.Merged, flora.Expand},
		{"and one adapter", flora.Costs{Linear: linear, Mix: 1e-9}, flora.Policy{MergedBytes: 1 << 30, Decode: flora.Load{Rows: 32, Adapters: 1}}, flora.Merged, flora.Merged},
	} {
		policy := c.policy
		policy.Deterministic, policy.Encode = true, flora.Load{Rows: 64, Adapters: 1}
		if policy.Decode.Rows == 0 {
			policy.Decode = flora.Load{Rows: 16, Adapters: 16}
		}
		checkChoice(t, c.what, m, b, flora.Options{Costs: &c.costs, Policy: &policy}, a, c.encode, c.decode)
	}
}

// checkChoice checks the strategies of all linears under an adapter.
func checkChoice(t *testing.T, what string, m *whisper.Model, b tensor.Backend, o flora.Options, a *flora.Adapter, encode, decode flora.Strategy) {
	t.Helper()
	batch, err := flora.NewBatchWith(m, b, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := batch.Prepare(a)
	if err != nil {
		t.Fatal(err)
	}
	for site := range a.Sites {
		want := map[flora.Phase]flora.Strategy{flora.Encode: encode, flora.Decode: decode}[flora.PhaseOf(site)]
		if got := r.Strategy(site); got != want {
			t.Errorf("%s: %s by %s, want %s", what, site, got, want)
		}
	}
}

// TestChoiceOfPhaseFollowsItsCosts: where costs of encoding are apart, they choose there, and nowhere else.
func TestChoiceOfPhaseFollowsItsCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	linear := []flora.RowCost{{Rows: 1, Seconds: 1e-10}, {Rows: 1024, Seconds: 64e-10}}
	mix, rows := flora.Costs{Linear: linear, FactorRow: 1e-6}, flora.Costs{Linear: linear, Mix: 1e-6}
	a := randomAdapter(t, m, "a", flora.LoRA, 4, flora.All, rand.New(rand.NewPCG(1, 1)))
	for _, c := range []struct {
		costs, apart   flora.Costs
		encode, decode flora.Strategy
	}{{mix, rows, flora.ShrinkExpand, flora.Mix}, {rows, mix, flora.Mix, flora.ShrinkExpand}} {
		c.costs.Encode = &c.apart
		policy := &flora.Policy{Deterministic: true, Encode: encodeLoad(m), Decode: flora.Load{Rows: 16, Adapters: 1}}
		what := fmt.Sprintf("encoding by %s, decoding by %s", c.encode, c.decode)
		checkChoice(t, what, m, b, flora.Options{Costs: &c.costs, Policy: policy}, a, c.encode, c.decode)
	}
}

// TestCachedCosts: costs are measured once for each machine and model, and again where their file is of no use.
func TestCachedCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	dir := filepath.Join(t.TempDir(), "glossa")
	key := flora.NewCostsKey(m, b, 2, "a processor", flora.DefaultPolicy(m).Encode)
	measured := 0
	get := func(dir string, k flora.CostsKey) *flora.Costs {
		t.Helper()
		c, err := flora.CachedCosts(dir, k, func() (*flora.Costs, error) {
			measured++
			c := flora.DefaultCosts(tensor.F32)
			c.Mix = float64(measured) * 1e-10
			return c, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for range 2 {
		if c := get(dir, key); c.Mix != 1e-10 || measured != 1 {
			t.Fatalf("costs %v after %d measurements", c.Mix, measured)
		}
	}
	other := key
	other.Processor = "another"
	if c := get(dir, other); c.Mix != 2e-10 {
		t.Errorf("another processor has the costs %v", c.Mix)
	}
	if c := get(dir, flora.NewCostsKey(m, b, 2, "a processor", encodeLoad(m))); c.Mix != 3e-10 {
		t.Errorf("encoding of several adapters has the costs %v", c.Mix)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v: %v", files, err)
	}
	for _, text := range []string{"", "{", `{"key": {"format": 0}}`, `null`} {
		for _, f := range files {
			if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := measured
		if c := get(dir, key); measured != before+1 || c.Mix != float64(measured)*1e-10 {
			t.Errorf("a file of %q: costs %v after %d measurements", text, c.Mix, measured-before)
		}
		if get(dir, key); measured != before+1 {
			t.Errorf("a file of %q was not remade", text)
		}
	}
	if c := get(filepath.Join(files[0], "no folder"), key); c == nil {
		t.Error("no costs where none can be kept")
	}
	failed := errors.New("failed")
	if _, err := flora.CachedCosts(t.TempDir(), key, func() (*flora.Costs, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("a measurement that fails: %v", err)
	}
}

// TestRowsOfAStepDecide: without determinism, rows pass a weight of their adapter's where it has enough of them.
func TestRowsOfAStepDecide(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	costs := &flora.Costs{Linear: []flora.RowCost{{Rows: 1, Seconds: 1e-10}, {Rows: 1024, Seconds: 1e-7}}, Mix: 5e-9}
	policy := flora.DefaultPolicy(m)
	policy.Deterministic = false
	a := randomAdapter(t, m, "a", flora.HiRA, 4, flora.All, rand.New(rand.NewPCG(1, 1)))
	batch := func(o flora.Options) *flora.Batch {
		b, err := flora.NewBatchWith(m, b, o, a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	free := batch(flora.Options{Costs: costs, Policy: policy})
	expand, mix := batch(flora.Options{Strategy: flora.Expand}), batch(flora.Options{Strategy: flora.Mix})
	l := m.Linears()[len(m.Linears())-1]
	rng := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct {
		rows int
		want *flora.Batch
	}{{1, expand}, {200, mix}} {
		x := tensor.Zeros(c.rows, l.Weight.Cols)
		for i := range x.Data {
			x.Data[i] = float32(rng.NormFloat64())
		}
		forward := func(b2 *flora.Batch) []float32 {
			s := &whisper.Step{Ops: tensor.NewOps(b), Adapter: b2, Seg: tensor.NewSegments(c.rows), AdapterOf: []int32{1}}
			return slices.Clone(l.Forward(s, x).Data)
		}
		other := mix
		if c.want == mix {
			other = expand
		}
		if got := forward(free); !slices.Equal(got, forward(c.want)) || slices.Equal(got, forward(other)) {
			t.Errorf("%d rows are not computed by the strategy that costs less", c.rows)
		}
	}
}
