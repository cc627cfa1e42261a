package flora_test

import (
	"context"
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
	for name := range g.Rows {
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
	var g goldenAdapters
	k.JSON(t, "adapters/golden.json", &g)
	m := k.Model(t, g.Model)
	b := openAdapters(t, k, g, m)
	names := append([]string{""}, b.Names()...)
	o := tensor.NewOps(k.Backend)
	for clip := range g.Rows["none"].Clips {
		mel := k.Mel(t, clip, m.Dims)
		var windows []audio.Mel
		var index []int32
		for i := range names {
			windows, index = append(windows, mel), append(index, int32(i))
		}
		o.Reset()
		s := &whisper.Step{Ops: o, Adapter: b, AdapterOf: index}
		states, err := m.EncodeStates(s, windows)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			file := goldenFile(name)
			f := k.Tensors(t, file)
			from, to := s.Seg.Range(i)
			want, _ := goldentest.Floats(t, f, clip+".encoder")
			goldentest.CompareRows(t, "adapters", name+" "+clip+" encoder", o.Host(states.Slice(from, to)), goldentest.Integers(t, f, "frames"), want, k.Tolerance(t, file))
		}
		cross, err := m.Encode(o, b, windows, index)
		if err != nil {
			t.Fatal(err)
		}
		checkLogits(t, k, m, o, b, names, clip, cross)
		checkGreedy(t, m, o, b, names, clip, cross, g)
	}
}

func goldenFile(name string) string {
	if name == "" {
		name = "base"
	}
	return "adapters/" + name + ".golden.safetensors"
}

func checkLogits(t *testing.T, k *goldentest.Kit, m *whisper.Model, o *tensor.Ops, b *flora.Batch, names []string, clip string, cross []*whisper.CrossKV) {
	t.Helper()
	o.Reset()
	s := &whisper.Step{Ops: o, Adapter: b, Cross: cross, Seg: tensor.Segments{0}}
	var tokens []int32
	for i := range names {
		for _, id := range goldentest.Integers(t, k.Tensors(t, goldenFile(names[i])), "prefix") {
			tokens = append(tokens, int32(id))
		}
		s.Seg, s.AdapterOf = append(s.Seg, int32(len(tokens))), append(s.AdapterOf, int32(i))
	}
	y := o.Host(m.Decoder.Logits(s, m.Decoder.Forward(s, tokens)))
	for i, name := range names {
		f := k.Tensors(t, goldenFile(name))
		row, picked := y.Row(int(s.Seg[i+1])-1), []float32{}
		for _, j := range goldentest.Integers(t, f, "columns") {
			picked = append(picked, row[j])
		}
		want, _ := goldentest.Floats(t, f, clip+".logits")
		goldentest.CompareRows(t, "adapters", name+" "+clip+" logits", tensor.Vector(picked), []int{0}, want, k.Tolerance(t, goldenFile(name)))
	}
}

func checkGreedy(t *testing.T, m *whisper.Model, o *tensor.Ops, b *flora.Batch, names []string, clip string, cross []*whisper.CrossKV, g goldenAdapters) {
	t.Helper()
	var us []whisper.Utterance
	var cases []goldentest.DecodeCase
	for i, name := range names {
		if name == "" {
			name = "none"
		}
		for _, c := range g.Rows[name].Clips[clip].Greedy {
			options, ok := c.DecodeOptions(t, m.Tokenizer)
			if !ok {
				t.Fatalf("%s: not a greedy case", c.Name)
			}
			c.Name = name + ", " + c.Name
			us, cases = append(us, whisper.Utterance{Cross: cross[i], Adapter: int32(i), Options: options}), append(cases, c)
		}
	}
	got, err := m.Decode(context.Background(), o, b, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		c.Check(t, got[i])
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
