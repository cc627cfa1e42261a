package flora_test

import (
	"errors"
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
)

// invented are costs of a machine that there is not; its linears take longer in proportion to rows.
var invented = flora.Costs{Call: 2e-6, Scale: 3e-11, Copy: 7e-11, Factor: 9e-11, FactorRow: 2e-11, Mix: 8e-11, MixRank: 3e-11}

func inventedLinear(rows float64) float64 { return 1e-10 * (1 + rows/10) }

// inventedTime is how long that machine takes for a probe.
func inventedTime(p flora.Probe, _ func()) float64 {
	c := invented
	rows, adapters, rank := float64(p.Load.Rows), float64(p.Load.Adapters), float64(p.Rank)
	calls := float64(p.Linears)
	t := p.Weights * inventedLinear(rows)
	switch p.Strategy {
	case flora.Scales:
		t += rows * p.Numbers * c.Scale
	case flora.ShrinkExpand:
		t += calls*c.Call + rank*p.Numbers*(adapters*c.Factor+rows*c.FactorRow)
	case flora.Expand:
		t += 3*calls*c.Call + p.Weights*(inventedLinear(rows*(1+rank))-inventedLinear(rows))
		t += rows * p.Numbers * ((1+rank)*c.Scale + rank*c.Copy)
	case flora.Mix:
		t += calls*c.Call + p.Weights*(c.Mix+c.MixRank*rank)
	}
	return t
}

// TestCalibrationFindsCosts: from the times of a machine, calibration finds what its parts cost.
func TestCalibrationFindsCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	got, err := flora.Calibrate(m, b, inventedTime)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Linear {
		if want := inventedLinear(float64(r.Rows)); math.Abs(r.Seconds/want-1) > 1e-6 {
			t.Errorf("a linear of %d rows costs %v a weight, want %v", r.Rows, r.Seconds, want)
		}
	}
	g, w := reflect.ValueOf(*got), reflect.ValueOf(invented)
	for i := range g.NumField() {
		if want := w.Field(i); want.Kind() == reflect.Float64 && math.Abs(g.Field(i).Float()/want.Float()-1) > 1e-6 {
			t.Errorf("%s is %v, want %v", g.Type().Field(i).Name, g.Field(i), want)
		}
	}
}

// TestCalibrationOfNoise: a clock that tells nothing leaves costs that can be chosen by, or an error.
func TestCalibrationOfNoise(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	if _, err := flora.Calibrate(m, b, func(flora.Probe, func()) float64 { return 1e-3 * rng.Float64() }); err != nil {
		t.Error(err)
	}
	if _, err := flora.Calibrate(m, b, func(flora.Probe, func()) float64 { return 0 }); !errors.Is(err, flora.ErrCosts) {
		t.Errorf("a clock that stands: %v", err)
	}
}

// TestCalibrationMeasures: what is measured is done.
func TestCalibrationMeasures(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	strategies := map[flora.Strategy]bool{}
	costs, err := flora.Calibrate(m, b, func(p flora.Probe, f func()) float64 {
		strategies[p.Strategy] = true
		return flora.Stopwatch(time.Now, 0)(p, f)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := costs.Check(); err != nil {
		t.Error(err)
	}
	for _, s := range []flora.Strategy{"", flora.Scales, flora.Expand, flora.ShrinkExpand, flora.Mix} {
		if !strategies[s] {
			t.Errorf("%q was not measured", s)
		}
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
		batch, err := flora.NewBatchWith(m, b, flora.Options{Costs: &c.costs, Policy: &policy})
		if err != nil {
			t.Fatal(err)
		}
		r, err := batch.Prepare(a)
		if err != nil {
			t.Fatal(err)
		}
		for site := range a.Sites {
			want := c.encode
			if flora.PhaseOf(site) == flora.Decode {
				want = c.decode
			}
			if got := r.Strategy(site); got != want {
				t.Errorf("%s: %s by %s, want %s", c.what, site, got, want)
			}
		}
	}
}

// TestCachedCosts: costs are measured once for each machine and model, and again where their file is of no use.
func TestCachedCosts(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	dir := filepath.Join(t.TempDir(), "glossa")
	key := flora.NewCostsKey(m, b, 2, "a processor")
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
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2 {
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
