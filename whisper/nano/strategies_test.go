package nano_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// slightAdapters are adapters of every kind, at several ranks, that change the model a little.
func slightAdapters(t *testing.T, m *whisper.Model) []*flora.Adapter {
	t.Helper()
	rng := rand.New(rand.NewPCG(31, 31))
	var as []*flora.Adapter
	for _, kind := range flora.Kinds() {
		for _, rank := range []int{1, 6} {
			a, err := flora.New(m, fmt.Sprint(kind, rank), kind, rank, flora.All, rng)
			if err != nil {
				t.Fatal(err)
			}
			names, factors := a.Params()
			for i, p := range factors {
				width := 0.02
				if kind == flora.DoRA && names[i][len(names[i])-1] == 'M' {
					width = 0.002 // magnitudes are far below one
				}
				for j := range p.Data {
					p.Data[j] += float32(width * rng.NormFloat64())
				}
			}
			as = append(as, a)
		}
	}
	return as
}

// TestTranscriptsWhateverTheStrategy: whatever computes the linears under adapters, the model's own and random ones of
// every kind, the transcripts are the same (test 8 of the list).
func TestTranscriptsWhateverTheStrategy(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m, adapters, byLanguage := open(t, b, tensor.F32)
	for _, l := range m.Linears() { // DoRA's magnitudes begin as the norms of plain weights
		l.Weight.Mat, _, _ = l.Weight.Plain(b)
	}
	own := len(adapters)
	adapters = append(adapters, slightAdapters(t, m)...)
	var mels []audio.Mel
	var index []int32
	var langs []string
	next, taken := 0, map[string]int{}
	for _, u := range utterances(t) {
		if taken[u.Lang]++; taken[u.Lang] > 2 {
			continue
		}
		mel, err := audio.LogMel(samples(t, u), m.Dims.NMels)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(adapters, func(a *flora.Adapter) bool { return a.Name == byLanguage[u.Lang] })
		if i < 0 { // each of the others in turn
			i = own + next%(len(adapters)-own)
			next++
		}
		mels, index, langs = append(mels, mel), append(index, int32(i+1)), append(langs, u.Lang)
	}
	transcripts := func(o flora.Options) []string {
		batch, err := flora.NewBatchWith(m, b, o, adapters...)
		if err != nil {
			t.Fatal(err)
		}
		ops := tensor.NewOps(b)
		cross, err := m.Encode(ops, batch, mels, index)
		if err != nil {
			t.Fatal(err)
		}
		var us []whisper.Utterance
		for i, c := range cross {
			us = append(us, whisper.Utterance{Cross: c, Adapter: index[i], Options: whisper.DecodeOptions{Language: langs[i], WithoutTimestamps: true}})
		}
		decoded, err := m.Decode(context.Background(), ops, batch, us)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, d := range decoded {
			texts = append(texts, d.Text)
		}
		return texts
	}
	want := transcripts(flora.Options{})
	for _, s := range flora.Strategies() {
		policy := flora.DefaultPolicy(m)
		policy.MergedBytes = 1 << 30
		got := transcripts(flora.Options{Strategy: s, Policy: policy})
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s, utterance %d under %s: %q, want %q", s, i, adapters[index[i]-1].Name, got[i], want[i])
			}
		}
	}
}
