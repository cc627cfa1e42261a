package whisper

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestPiecesAreThoseOfGPT2sExpression(t *testing.T) {
	for text, want := range map[string][]string{
		"":                    nil,
		" ":                   {" "},
		"a b":                 {"a", " b"},
		"a  b":                {"a", " ", " b"},
		"a \tb":               {"a", " ", "\t", "b"},
		"a\t b":               {"a", "\t", " b"},
		"a\n\nb  ":            {"a", "\n", "\n", "b", "  "},
		"don't":               {"don", "'t"},
		"DON'T":               {"DON", "'", "T"},
		"we'll've":            {"we", "'ll", "'ve"},
		"'lly":                {"'ll", "y"},
		" 's":                 {" '", "s"},
		"''s":                 {"''", "s"},
		"abc123,.!4":          {"abc", "123", ",.!", "4"},
		" 12 ½Ⅷ ٣":            {" 12", " ½Ⅷ", " ٣"},
		"日本 語":                {"日本", " 語"},
		"é\u0301x":            {"é", "\u0301", "x"},
		"a\u00a0\u3000b":      {"a", "\u00a0", "\u3000", "b"},
		"a\u00a0 b":           {"a", "\u00a0", " b"},
		"x\xff\xfey":          {"x", "\xff\xfe", "y"},
		" \xff":               {" \xff"},
		"  ":                  {"  "},
		"\r\n":                {"\r\n"},
		"<|endoftext|> tail!": {"<|", "endoftext", "|>", " tail", "!"},
	} {
		if got := slices.Collect(pieces(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// wordBag is text with the pair counts of Sennrich et al. 2016, figure 1: low ×5, lower ×2, newest ×6, widest ×3.
var wordBag = strings.Repeat("low\t", 5) + strings.Repeat("lower\t", 2) + strings.Repeat("newest\t", 6) + strings.Repeat("widest\t", 3)

func TestTrainBPELearnsTheMostFrequentPairs(t *testing.T) {
	v := TrainBPE(slices.Values([]string{wordBag}), 6)
	var learnt []string
	for i, token := range v.Tokens[nBytes:] {
		learnt = append(learnt, string(token))
		left, right := v.Tokens[v.Merges[i][0]], v.Tokens[v.Merges[i][1]]
		if string(left)+string(right) != string(token) {
			t.Errorf("merge %d is %q and %q, its token %q", i, left, right, token)
		}
	}
	// es and st occur 9 times, lo and ow 7 times, ne and ew 6 times: of equals that of the smaller ids is first.
	want := []string{"es", "est", "lo", "low", "ew", "new"}
	if !slices.Equal(learnt, want) {
		t.Errorf("learnt %q, want %q", learnt, want)
	}
}

func TestTrainBPEDependsOnlyOnTheTextsAndStopsAtSingles(t *testing.T) {
	texts := []string{"the cat sat", "the mat, the hat", "naïve café — 日本 日本", "\x00\xff\xff\xff\xff"}
	v := TrainBPE(slices.Values(texts), 1000)
	slices.Reverse(texts)
	for range 5 {
		if w := TrainBPE(slices.Values(texts), 1000); !reflect.DeepEqual(v, w) {
			t.Fatal("the order of the texts or the run changes the vocabulary")
		}
	}
	if n := len(v.Tokens) - nBytes; n == 0 || n >= 1000 || n != len(v.Merges) {
		t.Errorf("%d tokens learnt by %d merges", n, len(v.Merges))
	}
	seen := map[string]bool{}
	for _, token := range v.Tokens {
		if seen[string(token)] {
			t.Errorf("token %q is there twice", token)
		}
		seen[string(token)] = true
	}
	if !seen["the"] {
		t.Error(`"the" occurs twice and is no token`)
	}
}

// naiveTrain is Sennrich's algorithm without any index, recounting all pairs after every merge.
func naiveTrain(texts []string, nMerges int) (merges [][2]string) {
	counts := map[string]int{}
	for _, text := range texts {
		for piece := range pieces(text) {
			counts[piece]++
		}
	}
	words := map[string][]string{}
	for piece := range counts {
		for i := range len(piece) {
			words[piece] = append(words[piece], piece[i:i+1])
		}
	}
	order := map[string]int{}
	for i, b := range byteOrder {
		order[string([]byte{b})] = i
	}
	for range nMerges {
		pairs := map[[2]string]int{}
		for piece, w := range words {
			for i := 1; i < len(w); i++ {
				pairs[[2]string{w[i-1], w[i]}] += counts[piece]
			}
		}
		var best [2]string
		for p, n := range pairs {
			b := pairs[best]
			if n > b || n == b && (order[p[0]] < order[best[0]] || p[0] == best[0] && order[p[1]] < order[best[1]]) {
				best = p
			}
		}
		if pairs[best] < minPairCount {
			break
		}
		merges = append(merges, best)
		order[best[0]+best[1]] = len(order)
		for piece, w := range words {
			var out []string
			for i := 0; i < len(w); i++ {
				if i+1 < len(w) && w[i] == best[0] && w[i+1] == best[1] {
					out = append(out, w[i]+w[i+1])
					i++
				} else {
					out = append(out, w[i])
				}
			}
			words[piece] = out
		}
	}
	return merges
}

func TestTrainBPEEqualsRecounting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		var texts []string
		for range 20 {
			b := make([]byte, 40)
			for i := range b {
				b[i] = "aaabbcd  é"[rng.IntN(10)]
			}
			texts = append(texts, string(b))
		}
		v := TrainBPE(slices.Values(texts), 60)
		want := naiveTrain(texts, 60)
		if len(want) != len(v.Merges) {
			t.Fatalf("%d merges, want %d", len(v.Merges), len(want))
		}
		for i, m := range v.Merges {
			if got := [2]string{string(v.Tokens[m[0]]), string(v.Tokens[m[1]])}; got != want[i] {
				t.Fatalf("merge %d is %q, want %q", i, got, want[i])
			}
		}
	}
}

func TestEncodeAppliesMergesInOrderOfLearning(t *testing.T) {
	v := TrainBPE(slices.Values([]string{wordBag}), 6)
	tok, err := NewTokenizer(v, 99, 5)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"lowest":    {"low", "est"},
		"newest":    {"new", "est"},
		"slow snow": {"s", "low", " ", "s", "n", "o", "w"},
		"eses":      {"es", "es"},
	} {
		var got []string
		for _, id := range tok.Encode(text) {
			got = append(got, string(tok.bytes[id]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestDropoutVariesTheSegmentationOfTheSameText(t *testing.T) {
	v := TrainBPE(slices.Values([]string{wordBag}), 100)
	tok, err := NewTokenizer(v, 99, 5)
	if err != nil {
		t.Fatal(err)
	}
	const text = "lower newest widest"
	encode := func(p float64, seed uint64) []int32 {
		return tok.EncodeDropout(text, p, rand.New(rand.NewPCG(seed, 0)))
	}
	if got := encode(0, 1); !slices.Equal(got, tok.Encode(text)) {
		t.Errorf("p = 0: %v, want %v", got, tok.Encode(text))
	}
	if got := encode(1, 1); len(got) != len(text) {
		t.Errorf("p = 1: %v, want bytes", got)
	}
	seen := map[int]bool{}
	for seed := range uint64(50) {
		ids := encode(0.3, seed)
		if got := tok.Decode(ids); got != text {
			t.Fatalf("decodes to %q", got)
		}
		if !slices.Equal(ids, encode(0.3, seed)) {
			t.Fatal("the same seed gives two segmentations")
		}
		seen[len(ids)] = true
	}
	if len(seen) < 3 {
		t.Errorf("lengths %v: no variety", seen)
	}
}

// TestDropoutKeepsMergesAtTheirRate: of a single possible merge, a share of 1-p is applied.
func TestDropoutKeepsMergesAtTheirRate(t *testing.T) {
	tok, err := NewTokenizer(TrainBPE(slices.Values([]string{"ab ab"}), 1), 99, 5)
	if err != nil {
		t.Fatal(err)
	}
	const n, p = 20000, 0.1
	rng := rand.New(rand.NewPCG(7, 7))
	merged := 0
	for range n {
		if len(tok.EncodeDropout("ab", p, rng)) == 1 {
			merged++
		}
	}
	if share := float64(merged) / n; share < 0.89 || share > 0.91 {
		t.Errorf("merged %v of the time, want %v", share, 1-p)
	}
}

func TestLongPieceIsEncodedInAMoment(t *testing.T) {
	tok := tinyTokenizer(t)
	long := strings.Repeat("three", 1<<16)
	ids := tok.Encode(long)
	if tok.Decode(ids) != long || len(ids) >= len(long)/2 {
		t.Errorf("%d tokens for %d bytes", len(ids), len(long))
	}
}

func BenchmarkEncode(b *testing.B) {
	tok, err := NewTokenizer(TrainBPE(slices.Values([]string{wordBag, "one two three four five six seven"}), 200), 99, 5)
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("one lower three newest four widest ", 10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text)
	}
}
