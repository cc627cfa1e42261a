package flora_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// wholeFactors are factors of every kind, and of several together, of whole numbers in -2 … 2 for a linear
// (nOut, nIn).
func wholeFactors(rng *rand.Rand, nOut, nIn int) map[string]*flora.Factors {
	whole := func(rows, cols int) tensor.Mat { return wholeMat(rng, rows, cols, 2) }
	return map[string]*flora.Factors{
		"flora1":          {A: whole(1, nOut), B: whole(1, nIn)},
		"flora3":          {A: whole(3, nOut), B: whole(3, nIn)},
		"hira2":           {Base: true, A: whole(2, nOut), B: whole(2, nIn)},
		"lora4":           {Base: true, U: whole(nOut, 4), V: whole(4, nIn)},
		"scaled lora9":    {A: whole(1, nOut), U: whole(nOut, 9), V: whole(9, nIn), D: whole(1, nOut)},
		"ia3":             {A: whole(1, nOut)},
		"ia3 of columns":  {B: whole(1, nIn)},
		"bias":            {Base: true, D: whole(1, nOut)},
		"hira1 and lora2": {Base: true, A: whole(1, nOut), B: whole(1, nIn), U: whole(nOut, 2), V: whole(2, nIn), D: whole(1, nOut)},
		"product alone":   {U: whole(nOut, 2), V: whole(2, nIn)},
		"nothing":         {Base: true},
	}
}

// wholeMat returns whole numbers in -most … most.
func wholeMat(rng *rand.Rand, rows, cols, most int) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(rng.IntN(2*most+1) - most)
	}
	return m
}

// exact returns what factors have of rows x of whole numbers.
func exact(f *flora.Factors, w, bias, x tensor.Mat) tensor.Mat {
	u := tensor.Update{Base: f.Base, A: f.A, B: f.B, U: f.U, V: f.V}
	adapted := u.Apply(w)
	y := tensor.Zeros(x.Rows, w.Rows)
	for i := range y.Rows {
		for j := range y.Cols {
			sum := 0.0
			for k, v := range x.Row(i) {
				sum += float64(v) * float64(adapted.Row(j)[k])
			}
			if !bias.IsZero() {
				sum += float64(bias.Data[j])
			}
			if !f.D.IsZero() {
				sum += float64(f.D.Data[j])
			}
			y.Row(i)[j] = float32(sum)
		}
	}
	return y
}

// forced are the options that force each strategy, and leave it to be chosen.
func forced(m *whisper.Model) map[string]flora.Options {
	o := map[string]flora.Options{"": {}}
	for _, s := range flora.Strategies() {
		for _, bytes := range []int64{0, 1 << 30} {
			if bytes > 0 && s != flora.Merged {
				continue
			}
			p := flora.DefaultPolicy(m)
			p.MergedBytes = bytes
			o[fmt.Sprintf("%s, %d bytes", s, bytes)] = flora.Options{Strategy: s, Policy: p}
		}
	}
	p := flora.DefaultPolicy(m)
	p.Deterministic = false
	o["by rows of a step"] = flora.Options{Policy: p}
	return o
}

// TestStrategiesAreExact: of whole numbers whose sums float32 has, every strategy gives the equation's bits, whatever
// adapters stand beside each other (test 1 of the list).
func TestStrategiesAreExact(t *testing.T) {
	backends := map[string]tensor.Backend{
		"ref": ref.New(), "device": tensortest.Simulate(ref.New(), tensortest.DeviceOptions{}),
		"fused device": tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{}),
	}
	for _, isa := range []string{"avx512", "avx2", "go"} {
		if b, err := cpu.New(cpu.Options{ISA: isa}); err == nil {
			backends[isa] = b
		}
	}
	for name, b := range backends {
		m := goldentest.Tiny(t, b, 1)
		rng := rand.New(rand.NewPCG(21, 21))
		for _, site := range []whisper.Site{{Stack: whisper.EncoderStack, Role: whisper.FC1}, {Stack: whisper.DecoderStack, Role: whisper.CrossKey}, {Stack: whisper.DecoderStack, Layer: 1, Role: whisper.FC2}} {
			l := m.Linears()[slices.IndexFunc(m.Linears(), func(l *whisper.Linear) bool { return l.Site == site })]
			nOut, nIn := l.Weight.Rows, l.Weight.Cols
			w := wholeMat(rng, nOut, nIn, 3)
			l.Weight.Mat = w
			l.Weight.Packed, _ = b.Pack(w, tensor.F32)
			if !l.Bias.IsZero() {
				l.Bias = placed(t, b, wholeMat(rng, 1, nOut, 9))
			}
			factors := wholeFactors(rng, nOut, nIn)
			var as []*flora.Adapter
			for name, f := range factors {
				as = append(as, &flora.Adapter{Name: name, Sites: map[whisper.Site]*flora.Factors{site: f}})
			}
			for what, options := range forced(m) {
				batch, err := flora.NewBatchWith(m, b, options, as...)
				if err != nil {
					t.Fatal(err)
				}
				checkExact(t, fmt.Sprintf("%s %s %q", name, site, what), b, batch, l, factors, rng)
			}
		}
	}
}

// placed returns a matrix in the memory of b.
func placed(t *testing.T, b tensor.Backend, m tensor.Mat) tensor.Mat {
	t.Helper()
	if _, ok := b.(tensor.Device); !ok {
		return m
	}
	memory, err := tensor.Place(b, []*tensor.Mat{&m}, []tensor.Mat{m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(memory.Free)
	return m
}

// checkExact holds a linear, of sequences of some rows under each adapter and none, to the equation.
func checkExact(t *testing.T, what string, b tensor.Backend, batch *flora.Batch, l *whisper.Linear, factors map[string]*flora.Factors, rng *rand.Rand) {
	t.Helper()
	s := &whisper.Step{Ops: tensor.NewOps(b), Adapter: batch, Seg: tensor.NewSegments()}
	for range 2 {
		for i := range len(factors) + 1 {
			s.AdapterOf = append(s.AdapterOf, int32(i))
			s.Seg = append(s.Seg, s.Seg[len(s.Seg)-1]+int32(rng.IntN(4)))
		}
	}
	x := wholeMat(rng, s.Seg.Rows(), l.Weight.Cols, 3)
	y := s.Host(l.Forward(s, s.Operand(x.Rows, x.Cols, x.Data)))
	for i, k := range s.AdapterOf {
		from, to := s.Seg.Range(i)
		f := factors[batch.Name(k)]
		if k == 0 {
			f = &flora.Factors{Base: true}
		}
		if want := exact(f, l.Weight.Mat, l.Bias, x.Slice(from, to)); !slices.Equal(y.Slice(from, to).Data, want.Data) {
			t.Errorf("%s: rows under %q are not exact", what, batch.Name(k))
		}
	}
}

// TestFLoRAIsTheProductOfWeights: fLoRA of rank 1 is W ∘ (a bᵀ) (test 1 of the list; the paper's eq. 3).
func TestFLoRAIsTheProductOfWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(22, 22))
	w, a, b := wholeMat(rng, 5, 7, 9), wholeMat(rng, 1, 5, 9), wholeMat(rng, 1, 7, 9)
	u := tensor.Update{A: a, B: b}
	got := u.Apply(w)
	for i := range w.Rows {
		for j, v := range w.Row(i) {
			if want := v * a.Data[i] * b.Data[j]; got.Row(i)[j] != want {
				t.Fatalf("(%d, %d): %v, want %v", i, j, got.Row(i)[j], want)
			}
		}
	}
}

// TestEveryCompositionIsAlone is the determinism law of a linear under every strategy, in every format: in punica's
// compositions of batches and in permutations of them, each sequence has bitwise the rows that it has alone (test 4
// of the list).
func TestEveryCompositionIsAlone(t *testing.T) {
	b := backend(t)
	rng := rand.New(rand.NewPCG(23, 23))
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.I8} {
		m := goldentest.Tiny(t, b, 5)
		as := randomAdapters(t, m, 24)
		for _, rank := range []int{8, 16} {
			for _, kind := range []flora.Kind{flora.FLoRA, flora.LoRA} {
				as = append(as, randomAdapter(t, m, fmt.Sprint(kind, rank), kind, rank, flora.All, rng))
			}
		}
		if err := m.Pack(b, dtype); err != nil {
			t.Fatal(err)
		}
		for what, options := range forced(m) {
			if options.Policy != nil && !options.Policy.Deterministic {
				continue
			}
			batch, err := flora.NewBatchWith(m, b, options, as...)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range []int{3, 5, len(m.Linears()) - 2} {
				checkCompositions(t, fmt.Sprintf("%s %q", dtype, what), b, batch, m.Linears()[l], rng)
			}
		}
	}
}

func checkCompositions(t *testing.T, what string, b tensor.Backend, batch *flora.Batch, l *whisper.Linear, rng *rand.Rand) {
	t.Helper()
	nAdapter := len(batch.Names()) + 1
	gelu := l.Site.Role == whisper.FC1
	o := tensor.NewOps(b)
	forward := func(x tensor.Mat, seg tensor.Segments, adapterOf []int32) tensor.Mat {
		s := &whisper.Step{Ops: o, Adapter: batch, Seg: seg, AdapterOf: adapterOf}
		if gelu {
			return l.ForwardGELU(s, x)
		}
		return l.Forward(s, x)
	}
	for name, adapterOf := range compositions(rng, nAdapter) {
		for _, n := range []int{1, 2, 16, 133} {
			o.Reset()
			var index []int32
			seg := tensor.NewSegments()
			for i := range n {
				index = append(index, adapterOf(i))
				seg = append(seg, seg[i]+int32(1+rng.IntN(2)))
			}
			if name == "permuted" {
				rng.Shuffle(n, func(i, j int) { index[i], index[j] = index[j], index[i] })
			}
			x := tensor.Zeros(seg.Rows(), l.Weight.Cols)
			for i := range x.Data {
				x.Data[i] = float32(rng.NormFloat64())
			}
			y := forward(x, seg, index)
			for i := 0; i < n; i += 1 + n/20 {
				from, to := seg.Range(i)
				alone := forward(x.Slice(from, to), tensor.NewSegments(to-from), index[i:i+1])
				if !slices.Equal(alone.Data, y.Slice(from, to).Data) {
					t.Fatalf("%s, %s: sequence %d of %d, under %q: %s depends on its neighbours", what, name, i, n, batch.Name(index[i]), l.Site)
				}
			}
		}
	}
}

// TestForcedStrategies: what is forced is what is done, as far as an adapter can take it.
func TestForcedStrategies(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 5)
	if _, err := flora.NewBatchWith(m, b, flora.Options{Strategy: "best"}); !errors.Is(err, flora.ErrStrategy) {
		t.Errorf("a strategy that does not exist: %v", err)
	}
	byRows := map[flora.Kind]flora.Strategy{
		flora.FLoRA: flora.Scales, flora.HiRA: flora.Expand, flora.LoRA: flora.ShrinkExpand, flora.DoRA: flora.ShrinkExpand, flora.IA3: flora.Scales,
	}
	rng := rand.New(rand.NewPCG(25, 25))
	for kind, rows := range byRows {
		a := randomAdapter(t, m, "a", kind, 1, flora.All, rng)
		for what, options := range forced(m) {
			batch, err := flora.NewBatchWith(m, b, options)
			if err != nil {
				t.Fatal(err)
			}
			r, err := batch.Prepare(a)
			if err != nil {
				t.Fatal(err)
			}
			want := options.Strategy
			if want != flora.Mix && want != flora.Merged {
				want = rows
			}
			for site := range a.Sites {
				if got := r.Strategy(site); options.Strategy != "" && got != want {
					t.Errorf("%s under %q: %s by %s, want %s", kind, what, site, got, want)
				}
			}
		}
	}
}

// TestMergedWeightsAreCounted: merged weights are kept as far as there is room, counted, and given up with their
// adapter.
func TestMergedWeightsAreCounted(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 5)
	p := flora.DefaultPolicy(m)
	weight := int64(4 * m.Dims.NTextState * m.Dims.NTextState)
	p.MergedBytes = 3*weight + weight/2
	batch, err := flora.NewBatchWith(m, b, flora.Options{Strategy: flora.Merged, Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	r, err := batch.Prepare(randomAdapter(t, m, "a", flora.LoRA, 2, flora.AttentionOnly, rand.New(rand.NewPCG(26, 26))))
	if err != nil {
		t.Fatal(err)
	}
	before := r.Bytes()
	use := func() {
		o := tensor.NewOps(b)
		rng := rand.New(rand.NewPCG(9, 9))
		goldentest.Logits(t, m, o, batch, mels(rng, 1), []int32{1}, [][]int32{{1, 2, 3}})
	}
	for range 2 {
		if index, err := batch.Put(r); index != 1 || err != nil {
			t.Fatalf("index %d", index)
		}
		use()
		if got := r.Bytes() - before; got != 3*weight {
			t.Errorf("merged weights of %d bytes, want %d", got, 3*weight)
		}
		batch.Remove(1)
		if r.Bytes() != before {
			t.Errorf("%d bytes when it is gone, %d before it came", r.Bytes(), before)
		}
	}
}
