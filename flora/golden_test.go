package flora_test

import (
	"context"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

func openKit(t *testing.T) *goldentest.Kit {
	t.Helper()
	return goldentest.Open(t, backend(t), "..", "..", "shared", "golden", "public")
}

func backend(t testing.TB) tensor.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goldenAdapters is adapters/golden.json of a kit.
type goldenAdapters struct {
	Model string
	Rows  map[string]struct {
		Adapter string
		Clips   map[string]struct{ Greedy []goldentest.DecodeCase }
	}
}

// openAdapters opens the kit's adapters, all in one batch.
func openAdapters(t *testing.T, k *goldentest.Kit, g goldenAdapters, m *whisper.Model) *flora.Batch {
	t.Helper()
	var adapters []*flora.Adapter
	for _, name := range slices.Sorted(maps.Keys(g.Rows)) {
		dir := filepath.Join(k.Dir, "adapters", name)
		if _, err := os.Stat(dir); err != nil {
			continue // the base model's row
		}
		a, err := flora.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		adapters = append(adapters, a)
	}
	if len(adapters) != len(g.Rows)-1 {
		t.Fatalf("%d adapters in %d rows, of which one is the base model's", len(adapters), len(g.Rows))
	}
	b, err := flora.NewBatch(m, k.Backend, adapters...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenAdapters runs each clip under every adapter of the kit in one packed batch, and
// compares encoder states, logits and greedy decodes.
func TestGoldenAdapters(t *testing.T) { testGoldenAdapters(t, openKit(t)) }

func testGoldenAdapters(t *testing.T, k *goldentest.Kit) {
	r := openGoldenRun(t, k, tensor.F32)
	for clip := range r.g.Rows["none"].Clips {
		r.encode(t, clip, r.every())
		r.checkStates(t, clip, r.every())
		r.check(t, clip, r.cross(t, r.states))
	}
}

// goldenRun is a run of the kit's adapters, all in one batch.
type goldenRun struct {
	k     *goldentest.Kit
	g     goldenAdapters
	dtype tensor.DType
	m     *whisper.Model
	b     *flora.Batch
	names []string // of adapters, "" first, which is the base model
	o     *tensor.Ops

	// states are the encoder's, in host memory, of the adapters that encode was called for, packed by seg.
	states tensor.Mat
	seg    tensor.Segments
}

func openGoldenRun(t *testing.T, k *goldentest.Kit, dtype tensor.DType) *goldenRun {
	t.Helper()
	r := &goldenRun{k: k, dtype: dtype, o: tensor.NewOps(k.Backend)}
	k.JSON(t, "adapters/golden.json", &r.g)
	r.m = k.ModelOf(t, r.g.Model, dtype)
	r.b = openAdapters(t, k, r.g, r.m)
	r.names = append([]string{""}, r.b.Names()...)
	return r
}

// every returns the numbers of all adapters.
func (r *goldenRun) every() (index []int32) {
	for i := range r.names {
		index = append(index, int32(i))
	}
	return index
}

// encode runs the encoder on a clip under adapters.
func (r *goldenRun) encode(t *testing.T, clip string, index []int32) {
	t.Helper()
	mel := r.k.Mel(t, clip, r.m.Dims)
	r.o.Reset()
	s := &whisper.Step{Ops: r.o, Adapter: r.b, AdapterOf: index}
	states, err := r.m.EncodeStates(s, slices.Repeat([]audio.Mel{mel}, len(index)))
	if err != nil {
		t.Fatal(err)
	}
	y := r.o.Host(states)
	r.states, r.seg = tensor.NewMat(y.Rows, y.Cols, slices.Clone(y.Data)), s.Seg
}

// cross returns the keys and values of states in host memory, of every adapter.
func (r *goldenRun) cross(t *testing.T, states tensor.Mat) []*whisper.CrossKV {
	t.Helper()
	r.o.Reset()
	s := &whisper.Step{Ops: r.o, Adapter: r.b, AdapterOf: r.every(), Seg: r.seg}
	cross, err := r.m.Decoder.KeepCrossKV(new(whisper.CrossPool), s, r.o.Upload(states.Rows, states.Cols, states.Data))
	if err != nil {
		t.Fatal(err)
	}
	return cross
}

// checkStates holds the states of adapters to the reference: in float32 to the kit's tolerance.
func (r *goldenRun) checkStates(t *testing.T, clip string, index []int32) {
	t.Helper()
	for i, adapter := range index {
		name := r.names[adapter]
		f := r.k.Tensors(t, goldenFile(name))
		from, to := r.seg.Range(i)
		want, _ := goldentest.Floats(t, f, clip+".encoder")
		states, frames := r.states.Slice(from, to), goldentest.Integers(t, f, "frames")
		if r.dtype == tensor.F32 {
			goldentest.CompareRows(t, "adapters", name+" "+clip+" encoder", states, frames, want, r.k.Tolerance(t, goldenFile(name)))
			continue
		}
		var d goldentest.Difference
		d.AddRows(states, frames, want)
		d.Within(t, r.dtype.String()+" adapters' encoder", name+" "+clip, bf16RMS, bf16Max)
	}
}

// bf16RMS and bf16Max are how far results with weights in bfloat16 may be from the reference, as parts of its root mean square: as those
// without adapters in whisper.
const (
	bf16RMS = 0.025
	bf16Max = 0.12
)

// check holds logits and greedy decodes of every adapter to the reference.
func (r *goldenRun) check(t *testing.T, clip string, cross []*whisper.CrossKV) {
	t.Helper()
	logitError := r.checkLogits(t, clip, cross)
	if r.dtype == tensor.F32 {
		logitError = 0
	}
	r.checkGreedy(t, clip, cross, logitError)
}

func goldenFile(name string) string {
	if name == "" {
		name = "base"
	}
	return "adapters/" + name + ".golden.safetensors"
}

// checkLogits returns the largest error of a logit.
func (r *goldenRun) checkLogits(t *testing.T, clip string, cross []*whisper.CrossKV) (most float64) {
	t.Helper()
	r.o.Reset()
	s := &whisper.Step{Ops: r.o, Adapter: r.b, Cross: cross, Seg: tensor.Segments{0}, AdapterOf: r.every()}
	var tokens []int32
	for _, name := range r.names {
		for _, id := range goldentest.Integers(t, r.k.Tensors(t, goldenFile(name)), "prefix") {
			tokens = append(tokens, int32(id))
		}
		s.Seg = append(s.Seg, int32(len(tokens)))
	}
	y := r.o.Host(r.m.Decoder.Logits(s, r.m.Decoder.Forward(s, tokens)))
	for i, name := range r.names {
		f := r.k.Tensors(t, goldenFile(name))
		row, picked := y.Row(int(s.Seg[i+1])-1), []float32{}
		for _, j := range goldentest.Integers(t, f, "columns") {
			picked = append(picked, row[j])
		}
		want, _ := goldentest.Floats(t, f, clip+".logits")
		var d goldentest.Difference
		d.AddRows(tensor.Vector(picked), []int{0}, want)
		most = max(most, d.Most)
		if r.dtype == tensor.F32 {
			goldentest.Within(t, "adapters", name+" "+clip+" logits", d.Most, r.k.Tolerance(t, goldenFile(name)))
			continue
		}
		d.Within(t, r.dtype.String()+" adapters' logits", name+" "+clip, bf16RMS, bf16Max)
	}
	return most
}

// checkGreedy decodes. With a logitError, tokens are the reference's up to the first whose margin such errors may overcome: see
// whisper's textsByDType.
func (r *goldenRun) checkGreedy(t *testing.T, clip string, cross []*whisper.CrossKV, logitError float64) {
	t.Helper()
	const seen = 4
	var us []whisper.Utterance
	var cases []goldentest.DecodeCase
	for i, name := range r.names {
		if name == "" {
			name = "none"
		}
		for _, c := range r.g.Rows[name].Clips[clip].Greedy {
			options, ok := c.DecodeOptions(t, r.m.Tokenizer)
			if !ok {
				t.Fatalf("%s: not a greedy case", c.Name)
			}
			if !r.k.Takes(clip, len(c.Result.Tokens)) {
				continue
			}
			c.Name = name + ", " + c.Name
			us, cases = append(us, whisper.Utterance{Cross: cross[i], Adapter: int32(i), Options: options}), append(cases, c)
		}
	}
	got, err := r.m.Decode(context.Background(), r.o, r.b, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if logitError == 0 {
			c.Check(t, got[i])
		} else {
			c.CheckCertain(t, r.dtype.String(), got[i], max(seen*logitError, goldentest.NumericError))
		}
	}
}

// TestGoldenMergedByBatch holds the weights that a batch applies against those that the reference merged.
func TestGoldenMergedByBatch(t *testing.T) {
	k := openKit(t)
	var g goldenAdapters
	k.JSON(t, "adapters/golden.json", &g)
	m := k.Model(t, g.Model)
	linears := make(map[string]*whisper.Linear)
	for _, l := range m.Linears() {
		linears[l.Site.String()+".weight"] = l
	}
	b := openAdapters(t, k, g, m)
	o := tensor.NewOps(k.Backend)
	for i, name := range b.Names() {
		f := k.Tensors(t, goldenFile(name))
		for _, full := range f.Names() {
			weight, ok := strings.CutPrefix(full, "merged.")
			if !ok || linears[weight] == nil {
				continue // a bias is TestGoldenMerged's
			}
			// The rows of the unit matrix bring out the columns of the adapted weight.
			l := *linears[weight]
			l.Bias = tensor.Mat{}
			o.Reset()
			s := &whisper.Step{Ops: o, Adapter: b, AdapterOf: []int32{int32(i + 1)}, Seg: tensor.NewSegments(l.Weight.Cols)}
			unit := tensor.Zeros(l.Weight.Cols, l.Weight.Cols)
			for j := range unit.Rows {
				unit.Row(j)[j] = 1
			}
			y := l.Forward(s, unit)
			want, shape := goldentest.Floats(t, f, full)
			worst := 0.0
			for out := range shape[0] {
				for in := range shape[1] {
					worst = max(worst, math.Abs(float64(y.Row(in)[out]-want[out*shape[1]+in])))
				}
			}
			if !(worst <= 1e-5) {
				t.Errorf("%s: %s differs by %.3g", name, weight, worst)
			}
		}
	}
}

// TestGoldenMerged holds what [flora.Merge] makes of the plain weights against those that the reference merged.
func TestGoldenMerged(t *testing.T) {
	k := openKit(t)
	var g goldenAdapters
	k.JSON(t, "adapters/golden.json", &g)
	for name := range g.Rows {
		if name == "none" {
			continue
		}
		a, err := flora.Open(filepath.Join(k.Dir, "adapters", name))
		if err != nil {
			t.Fatal(err)
		}
		m := plainModel(t, k, g.Model)
		if err := flora.Merge(m, a); err != nil {
			t.Fatal(err)
		}
		params := make(map[string]whisper.Param)
		for _, p := range m.Params() {
			params[p.Name] = p
		}
		f, compared := k.Tensors(t, goldenFile(name)), 0
		for _, full := range f.Names() {
			param, ok := strings.CutPrefix(full, "merged.")
			if !ok {
				continue
			}
			compared++
			want, _ := goldentest.Floats(t, f, full)
			worst := 0.0
			for i, v := range params[param].Float32() {
				worst = max(worst, math.Abs(float64(v-want[i])))
			}
			if !(worst <= 1e-6) {
				t.Errorf("%s: %s differs by %.3g", name, param, worst)
			}
		}
		if compared == 0 {
			t.Errorf("%s: nothing was compared", name)
		}
	}
}

func plainModel(t *testing.T, k *goldentest.Kit, name string) *whisper.Model {
	t.Helper()
	c, err := whisper.Open(filepath.Join(k.Dir, "models", name, "hf"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := whisper.LoadPlain(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGoldenWritten holds that the kit's adapters, patterns and expressions among them, survive being written, with the
// tensors that PEFT gives them.
func TestGoldenWritten(t *testing.T) {
	k := openKit(t)
	var g goldenAdapters
	k.JSON(t, "adapters/golden.json", &g)
	for name := range g.Rows {
		if name == "none" {
			continue
		}
		a, err := flora.Open(filepath.Join(k.Dir, "adapters", name))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := a.Write(dir, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		again, err := flora.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again.Hash != a.Hash {
			t.Errorf("%s is another after writing", name)
		}
		want, got := k.Tensors(t, filepath.Join("adapters", name, flora.TensorFile)), openTensorFile(t, dir)
		if len(got.Names()) != len(want.Names()) {
			t.Errorf("%s: %d tensors, want %d", name, len(got.Names()), len(want.Names()))
		}
		for _, tensor := range want.Names() {
			x, _ := want.Tensor(tensor)
			if y, ok := got.Tensor(tensor); !ok || !slices.Equal(x.Shape, y.Shape) {
				t.Errorf("%s: %s has shape %v, want %v", name, tensor, y.Shape, x.Shape)
			}
		}
	}
}

func openTensorFile(t *testing.T, dir string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, flora.TensorFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
