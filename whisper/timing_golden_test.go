package whisper_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// alignmentCase is one call of upstream's find_alignment() in a kit's words.json.
type alignmentCase struct {
	Clip, Language string
	NumFrames      int     `json:"num_frames"`
	TextTokens     []int32 `json:"text_tokens"`
	Words          []struct {
		Word        string
		Tokens      []int32
		Start, End  float64
		Probability float64
	}
	After  []mergedWord `json:"after_merge_punctuations"`
	Stable bool         `json:"same_with_noise_0.0001"`
}

type mergedWord struct {
	Word       string
	Tokens     []int32
	Start, End float64
}

// TestGoldenAlignment holds the alignment matrix, the path through it and the words against
// upstream, the windows of a model aligned in one batch.
func TestGoldenAlignment(t *testing.T) {
	k := openKit(t)
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		file := name + "/words.safetensors"
		if _, err := os.Stat(filepath.Join(k.Dir, file)); err != nil {
			t.Skipf("SKIP: the kit has no words for %s: %v", name, err)
		}
		f, tol := k.Tensors(t, file), k.Tolerance(t, file)
		var cases []alignmentCase
		k.JSON(t, name+"/words.json", &cases)
		o := tensor.NewOps(k.Backend)
		var items []whisper.Alignment
		for _, c := range cases {
			cross, err := m.Encode(o, nil, []audio.Mel{k.Mel(t, c.Clip, m.Dims)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, whisper.Alignment{Cross: cross[0], Language: c.Language, Tokens: c.TextTokens, Frames: c.NumFrames})
		}
		aligned, err := m.AlignWords(o, nil, items)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range cases {
			match, nFrame, err := m.AlignmentMatch(o, items[i])
			if err != nil {
				t.Fatal(err)
			}
			want, shape := goldentest.Floats(t, f, fmt.Sprint(i, ".matrix"))
			if len(match) != len(want) || nFrame != shape[1] {
				t.Fatalf("%s: matrix of %d numbers, %d frames, want %v", c.Clip, len(match), nFrame, shape)
			}
			rows := make([]int, shape[0])
			for r := range rows {
				rows[r] = r
			}
			goldentest.CompareRows(t, "alignment", c.Clip, tensor.NewMat(shape[0], nFrame, match), rows, want, tol)
			text, time := whisper.DTW(want, shape[0], shape[1])
			if !slices.Equal(text, goldentest.Integers(t, f, fmt.Sprint(i, ".text_indices"))) ||
				!slices.Equal(time, goldentest.Integers(t, f, fmt.Sprint(i, ".time_indices"))) {
				t.Errorf("%s: another path through upstream's matrix than upstream's", c.Clip)
			}
			if aligned[i].Err != nil {
				t.Errorf("%s: %v", c.Clip, aligned[i].Err)
			} else if c.Stable {
				c.check(t, aligned[i].Words)
			}
		}
	})
}

// check compares words as they are found, and as their punctuation is merged.
func (c alignmentCase) check(t *testing.T, got []whisper.WordTiming) {
	t.Helper()
	if len(got) != len(c.Words) {
		t.Errorf("%s: %d words, want %d", c.Clip, len(got), len(c.Words))
		return
	}
	const step = 1.0 / whisper.TokensPerSecond
	apart := func(a, b float64) bool { return !(math.Abs(a-b) <= step+1e-9) }
	for i, w := range c.Words {
		g := got[i]
		if g.Text != w.Word || !slices.Equal(g.Tokens, w.Tokens) || apart(g.Start, w.Start) || apart(g.End, w.End) ||
			!(math.Abs(g.Probability-w.Probability) <= 1e-3) {
			t.Errorf("%s: word %d is %+v, want %+v", c.Clip, i, g, w)
		}
	}
	const prepended, appended = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
	whisper.MergePunctuations(got, prepended, appended)
	for i, w := range c.After {
		if g := got[i]; g.Text != w.Word || !slices.Equal(g.Tokens, w.Tokens) || apart(g.Start, w.Start) || apart(g.End, w.End) {
			t.Errorf("%s: merged word %d is %+v, want %+v", c.Clip, i, g, w)
		}
	}
}
