package whisper_test

import (
	"errors"
	"math"
	mathbits "math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/ref"
)

func TestDTW(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name       string
		nRow, nCol int
		match      []float32
		rows, cols []int
	}{
		{"diagonal", 2, 3, []float32{0, 0, -9, -9, -9, 0}, []int{0, 0, 1}, []int{0, 1, 2}},
		{"column twice", 3, 2, []float32{0, -9, 0, -9, -9, 0}, []int{0, 1, 2}, []int{0, 0, 1}},
		{"tie moves left", 2, 2, []float32{0, 0, 0, 0}, []int{0, 1, 1}, []int{0, 0, 1}},
		{"one cell", 1, 1, []float32{1}, []int{0}, []int{0}},
		{"no columns", 2, 0, nil, []int{0, 1}, []int{-1, -1}},
		{"NaN", 3, 1, []float32{nan, nan, nan}, []int{0, 1, 2, 2}, []int{-1, -1, -1, 0}},
	} {
		rows, cols := whisper.DTW(c.match, c.nRow, c.nCol)
		if !slices.Equal(rows, c.rows) || !slices.Equal(cols, c.cols) {
			t.Errorf("%s: rows %v, columns %v, want %v, %v", c.name, rows, cols, c.rows, c.cols)
		}
	}
}

// TestDTWIsBest compares the path's match with that of every path through small matrices without
// ties.
func TestDTWIsBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 200 {
		nRow, nCol := 1+rng.IntN(5), 1+rng.IntN(5)
		match := make([]float32, nRow*nCol)
		for i := range match {
			match[i] = float32(rng.NormFloat64())
		}
		var best func(i, j int) float64
		best = func(i, j int) float64 {
			v := float64(match[i*nCol+j])
			switch {
			case i == 0 && j == 0:
				return v
			case i == 0:
				return v + best(i, j-1)
			case j == 0:
				return v + best(i-1, j)
			}
			return v + max(best(i-1, j-1), best(i-1, j), best(i, j-1))
		}
		rows, cols := whisper.DTW(match, nRow, nCol)
		sum := 0.0
		for i := range rows {
			sum += float64(match[rows[i]*nCol+cols[i]])
		}
		if want := best(nRow-1, nCol-1); math.Abs(sum-want) > 1e-9 {
			t.Fatalf("(%d, %d) %v: the path %v, %v has a match of %g, the best %g", nRow, nCol, match, rows, cols, sum, want)
		}
	}
}

func TestMedianFilter(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct{ x, want []float32 }{
		{[]float32{3, 1, 2}, []float32{3, 1, 2}},
		{[]float32{4, 1, 3, 2}, []float32{2, 3, 2, 3}}, // of 2 3 1 4 1 3 2, of 3 1 4 1 3 2 3, …
		{[]float32{0, 0, 0, 9, 0, 0, 0, 0}, make([]float32, 8)},
		{[]float32{1, 2, 3, 4, 5, 6, 7, 8}, []float32{3, 3, 3, 4, 5, 6, 6, 6}},
		{[]float32{nan, 1, 1, 1, nan, nan, nan, nan}, []float32{1, 1, 1, nan, nan, nan, nan, nan}},
	} {
		got := slices.Clone(c.x)
		whisper.MedianFilter(got)
		if !slices.EqualFunc(got, c.want, func(a, b float32) bool { return a == b || a != a && b != b }) {
			t.Errorf("of %v: %v, want %v", c.x, got, c.want)
		}
	}
}

// TestMedianFilterOfBits takes every sequence of medianWidth zeros and ones: a network that finds
// their median finds any (Knuth, The Art of Computer Programming 3, section 5.3.4, theorem Z).
func TestMedianFilterOfBits(t *testing.T) {
	for bits := range uint8(1 << 7) {
		x := make([]float32, 7)
		for i := range x {
			x[i] = float32(bits >> i & 1)
		}
		whisper.MedianFilter(x)
		if got, want := x[3] == 1, mathbits.OnesCount8(bits) > 3; got != want {
			t.Errorf("median of %07b is %t", bits, got)
		}
	}
}

// timedWindows returns random windows and texts of a model whose adapter is the identity.
func timedWindows(t testing.TB, m *whisper.Model, o *tensor.Ops, n int) []whisper.Alignment {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 4))
	var items []whisper.Alignment
	for range n {
		frames := 1 + rng.IntN(m.Dims.WindowFrames())
		cross, err := m.Encode(o, nil, []audio.Mel{goldentest.RandomMel(rng, frames)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]int32, rng.IntN(20))
		for i := range text {
			text[i] = int32([]byte("ab ,x. ")[rng.IntN(7)])
		}
		items = append(items, whisper.Alignment{Cross: cross[0], Language: "en", Tokens: text, Frames: frames, Attended: true})
	}
	return items
}

// TestAlignmentAloneAndTogether pins that a window's words are bitwise the same alone, in any batch
// and in any order.
func TestAlignmentAloneAndTogether(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, o := goldentest.Tiny(t, b, 3), tensor.NewOps(b)
	items := timedWindows(t, m, o, 9)
	together, err := m.AlignWords(o, nil, items)
	if err != nil {
		t.Fatal(err)
	}
	reversed := slices.Clone(items)
	slices.Reverse(reversed)
	backwards, err := m.AlignWords(o, nil, reversed)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(backwards)
	words := 0
	for i := range items {
		alone, err := m.AlignWords(o, nil, items[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(alone[0], together[i]) || !reflect.DeepEqual(alone[0], backwards[i]) {
			t.Errorf("window %d: alone %v, together %v, in another order %v", i, alone[0], together[i], backwards[i])
		}
		words += len(alone[0].Words)
	}
	if words == 0 {
		t.Error("no window has words")
	}
}

// TestAlignmentOfShortWindows: a window without a whole encoder row, or with one, has words all at
// one time, as upstream's.
func TestAlignmentOfShortWindows(t *testing.T) {
	b := ref.New()
	m, o := goldentest.Tiny(t, b, 3), tensor.NewOps(b)
	cross, err := m.Encode(o, nil, []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(1, 1)), 2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for frames := 0; frames <= 3; frames++ {
		item := whisper.Alignment{Cross: cross[0], Language: "en", Tokens: m.Tokenizer.Encode("a b a"), Frames: frames}
		got, err := m.AlignWords(o, nil, []whisper.Alignment{item})
		if err != nil || got[0].Err != nil {
			t.Fatal(err, got[0].Err)
		}
		if len(got[0].Words) != 3 {
			t.Fatalf("%d frames: %v, want three words", frames, got[0].Words)
		}
		for _, w := range got[0].Words {
			if w.Start != -0.02 || w.End != -0.02 || !(w.Probability > 0 && w.Probability <= 1) {
				t.Errorf("%d frames: %+v", frames, w)
			}
		}
	}
}

// TestAlignmentFailsAlone: what is wrong with one window does not touch the others.
func TestAlignmentFailsAlone(t *testing.T) {
	b := ref.New()
	m, o := goldentest.Tiny(t, b, 3), tensor.NewOps(b)
	items := timedWindows(t, m, o, 5)
	items[0].Tokens = make([]int32, m.Dims.NTextCtx)
	items[1].Tokens = []int32{m.Tokenizer.EOT()}
	items[2].Language = "xx"
	items[3].Tokens = nil
	items[4].Tokens = m.Tokenizer.Encode(" ab")
	got, err := m.AlignWords(o, nil, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{whisper.ErrAlignment, whisper.ErrAlignment, whisper.ErrLanguage, nil, nil} {
		if !errors.Is(got[i].Err, want) || want == nil && got[i].Err != nil {
			t.Errorf("window %d: error %v, want %v", i, got[i].Err, want)
		}
	}
	if len(got[3].Words) != 0 || len(got[4].Words) != 1 || got[4].Words[0].Text != " ab" {
		t.Errorf("words %v and %v, want none and one", got[3].Words, got[4].Words)
	}
	m.Generation.AlignmentHeads = nil
	if got, err = m.AlignWords(o, nil, items[4:]); err != nil || !errors.Is(got[0].Err, whisper.ErrAlignment) {
		t.Errorf("without heads: %v, %v", got[0].Err, err)
	}
}

// TestAttendedIsTheGreatestWeight holds the attended frames against weights that are computed here, head by head, from the queries
// and keys.
func TestAttendedIsTheGreatestWeight(t *testing.T) {
	b := ref.New()
	m, o := goldentest.Tiny(t, b, 3), tensor.NewOps(b)
	for _, item := range timedWindows(t, m, o, 6) {
		got, err := m.AlignWords(o, nil, []whisper.Alignment{item})
		if err != nil || got[0].Err != nil {
			t.Fatal(err, got[0].Err)
		}
		start, err := m.Tokenizer.SOTSequence("en", "")
		if err != nil {
			t.Fatal(err)
		}
		tokens := append(append(start, m.Tokenizer.NoTimestamps()), item.Tokens...)
		nFrame := item.Frames / whisper.FramesPerToken
		sum := make([][]float64, len(item.Tokens))
		for i := range sum {
			sum[i] = make([]float64, nFrame)
		}
		o.Reset()
		s := &whisper.Step{Ops: o, Seg: tensor.Segments{0, int32(len(tokens))}, Cross: []*whisper.CrossKV{item.Cross}}
		s.Watch = func(layer int, q tensor.Mat, kv []tensor.KeyValue) {
			k := s.Keys(kv[0])
			qs, ks := make([]float32, q.Rows*q.Cols), make([]float32, k.Rows*k.Cols)
			if err := errors.Join(s.Read(qs, q), s.Read(ks, k)); err != nil {
				t.Fatal(err)
			}
			for _, h := range m.Generation.AlignmentHeads {
				if h[0] == layer {
					addWeights(sum, qs[(len(start))*q.Cols:], ks, q.Cols, h[1], q.Cols/m.Dims.NTextHead)
				}
			}
		}
		m.Decoder.Forward(s, tokens)
		if nFrame == 0 || len(item.Tokens) == 0 {
			continue
		}
		for i, f := range got[0].Attended {
			if f < 0 || f >= nFrame || sum[i][f] < slices.Max(sum[i])-1e-5 {
				t.Errorf("token %d of %d: frame %d of %d is not the most attended", i, len(sum), f, nFrame)
			}
		}
		if len(got[0].Attended) != len(item.Tokens) {
			t.Errorf("%d attended frames of %d tokens", len(got[0].Attended), len(item.Tokens))
		}
	}
}

// addWeights adds the weights of a head to those of each token: softmax over frames of the scaled products of queries and keys, whose
// rows have cols columns.
func addWeights(sum [][]float64, q, k []float32, cols, head, width int) {
	for i, row := range sum {
		w, total := make([]float64, len(row)), 0.0
		for t := range w {
			for c := head * width; c < (head+1)*width; c++ {
				w[t] += float64(q[i*cols+c]) * float64(k[t*cols+c]) / math.Sqrt(float64(width))
			}
			w[t] = math.Exp(w[t])
			total += w[t]
		}
		for t := range row {
			row[t] += w[t] / total
		}
	}
}

func TestMergePunctuations(t *testing.T) {
	for _, c := range []struct{ words, want []string }{
		{[]string{" Hi", ",", " you", "!", "?"}, []string{" Hi,", "", " you!?", "", ""}},
		{[]string{" (", " a", ")", "."}, []string{"", " ( a).", "", ""}},
		{[]string{" “", " \"", " a"}, []string{"", "", " “ \" a"}},
		{[]string{"¿", " a"}, []string{"¿", " a"}}, // without a space before it, a mark of neither kind
		{[]string{" a", " ", "."}, []string{" a", "", " ."}},
		{[]string{" a", " -"}, []string{" a", " -"}},
		{[]string{"."}, []string{"."}},
		{nil, nil},
	} {
		var words []whisper.WordTiming
		for i, text := range c.words {
			words = append(words, whisper.WordTiming{Word: whisper.Word{Text: text, Tokens: []int32{int32(i)}}})
		}
		whisper.MergePunctuations(words, "\"“¿([{-", "\".,!?)")
		var got []string
		var tokens []int32
		for _, w := range words {
			got, tokens = append(got, w.Text), append(tokens, w.Tokens...)
		}
		if !slices.Equal(got, c.want) || !slices.IsSorted(tokens) || len(tokens) != len(words) {
			t.Errorf("%q: %q with tokens %v, want %q", c.words, got, tokens, c.want)
		}
	}
}

// BenchmarkAlignWords reports what timing the words of a window costs, as a share of decoding it,
// at the sizes of whisper-tiny but for the vocabulary.
func BenchmarkAlignWords(b *testing.B) {
	backend, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	tok, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, 1501)
	if err != nil {
		b.Fatal(err)
	}
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: 1500, NAudioState: 384, NAudioHead: 6, NAudioLayer: 1,
		NVocab: tok.NVocab(), NTextCtx: 448, NTextState: 384, NTextHead: 6, NTextLayer: 4,
	})
	m.Tokenizer, m.Generation = tok, whisper.DefaultGeneration(m.Dims, tok)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, p := range m.Params() {
		for i := range p.Mat.Data {
			p.Mat.Data[i] = float32(rng.NormFloat64() / math.Sqrt(float64(p.Mat.Cols)))
		}
	}
	if err := m.Pack(backend, tensor.F32); err != nil {
		b.Fatal(err)
	}
	o := tensor.NewOps(backend)
	cross, err := m.Encode(o, nil, []audio.Mel{goldentest.RandomMel(rng, 3000)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	text := make([]int32, 100)
	for i := range text {
		text[i] = int32("ab "[rng.IntN(3)])
	}
	start := time.Now()
	decode := whisper.Utterance{Cross: cross[0], Options: whisper.DecodeOptions{
		Language: "en", SampleLen: len(text), Suppress: []int32{tok.EOT()}, WithoutTimestamps: true,
	}}
	if _, err := m.Decode(b.Context(), o, nil, []whisper.Utterance{decode}); err != nil {
		b.Fatal(err)
	}
	decoding := time.Since(start)
	item := whisper.Alignment{Cross: cross[0], Language: "en", Tokens: text, Frames: 3000}
	for b.Loop() {
		if _, err := m.AlignWords(o, nil, []whisper.Alignment{item}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/decoding.Seconds(), "align/decode")
}
