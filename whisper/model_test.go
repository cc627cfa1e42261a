package whisper_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestCachedIsUncached: a sequence fed token by token has the logits that it has at once.
func TestCachedIsUncached(t *testing.T) {
	b := ref.New()
	m := goldentest.Tiny(t, b, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	o := tensor.NewOps(b)
	cross, err := m.Encode(o, nil, []audio.Mel{goldentest.RandomMel(rng, 50)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tokens := []int32{5, 9, 2, 200, 17, 3}
	o.Reset()
	s := &whisper.Step{Ops: o, Cross: cross, Seg: tensor.NewSegments(len(tokens))}
	want := slices.Clone(m.Decoder.Logits(s, m.Decoder.Forward(s, tokens)).Data)
	for _, cuts := range [][]int{{1, 1, 1, 1, 1, 1}, {3, 1, 2}, {5, 1}} {
		cache := m.Decoder.NewCache()
		from := 0
		for _, n := range cuts {
			o.Reset()
			s := &whisper.Step{Ops: o, Cross: cross, Seg: tensor.NewSegments(n), Cache: []*whisper.Cache{cache}}
			y := m.Decoder.Logits(s, m.Decoder.Forward(s, tokens[from:from+n]))
			for i, got := range y.Data {
				if w := want[from*y.Cols+i]; math.Abs(float64(got-w)) > 1e-4 {
					t.Fatalf("cut %v: logit %d of the rows from %d is %v, %v without a cache", cuts, i, from, got, w)
				}
			}
			from += n
		}
		if cache.Len() != len(tokens) {
			t.Errorf("cut %v: the cache holds %d tokens of %d", cuts, cache.Len(), len(tokens))
		}
	}
}

// TestUnpaddedWindows: frames beyond a short window do not exist for the model, and a window that
// it cannot take is refused.
func TestUnpaddedWindows(t *testing.T) {
	b := ref.New()
	m := goldentest.Tiny(t, b, 1)
	o := tensor.NewOps(b)
	rng := rand.New(rand.NewPCG(2, 2))
	for _, frames := range []int{1, 2, 7, m.Dims.WindowFrames()} {
		s := &whisper.Step{Ops: o}
		states, err := m.EncodeStates(s, []audio.Mel{goldentest.RandomMel(rng, frames)})
		if err != nil {
			t.Fatal(err)
		}
		if want := (frames + 1) / 2; states.Rows != want {
			t.Errorf("%d frames: %d states, want %d", frames, states.Rows, want)
		}
	}
	narrow := goldentest.RandomMel(rng, 10)
	narrow.NMels, narrow.Frames = 40, 20
	for name, mel := range map[string]audio.Mel{
		"empty": {NMels: 80}, "too long": goldentest.RandomMel(rng, m.Dims.WindowFrames()+1), "of 40 mels": narrow,
	} {
		if _, err := m.Encode(o, nil, []audio.Mel{mel}, nil); !errors.Is(err, whisper.ErrWindow) {
			t.Errorf("window %s: %v", name, err)
		}
	}
}

// TestDecodeFailsAlone: a window with options that make no sense, or with states that are not
// finite, fails and leaves the others as they are.
func TestDecodeFailsAlone(t *testing.T) {
	b := ref.New()
	m := goldentest.Tiny(t, b, 1)
	o := tensor.NewOps(b)
	rng := rand.New(rand.NewPCG(3, 3))
	good, broken := goldentest.RandomMel(rng, 40), goldentest.RandomMel(rng, 40)
	broken.Data[7] = float32(math.NaN())
	cross, err := m.Encode(o, nil, []audio.Mel{good, broken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	en := whisper.DecodeOptions{Language: "en", SampleLen: 6}
	alone, err := m.Decode(context.Background(), o, nil, []whisper.Utterance{{Cross: cross[0], Options: en}})
	if err != nil {
		t.Fatal(err)
	}
	us := []whisper.Utterance{
		{Cross: cross[0], Options: whisper.DecodeOptions{Language: "xx"}},
		{Cross: cross[1], Options: en},
		{Cross: cross[0], Options: en},
		{Cross: cross[0], Options: whisper.DecodeOptions{Language: "en", Task: "sing"}},
		{Cross: cross[0], Options: whisper.DecodeOptions{Language: "en", Prefix: []int32{-1}}},
		{Cross: cross[0], Options: whisper.DecodeOptions{Language: "en", Prefix: make([]int32, 1000)}},
	}
	got, err := m.Decode(context.Background(), o, nil, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{whisper.ErrLanguage, whisper.ErrNotFinite, nil, whisper.ErrTask} {
		if !errors.Is(got[i].Err, want) {
			t.Errorf("window %d: error %v, want %v", i, got[i].Err, want)
		}
	}
	if got[4].Err == nil || got[5].Err == nil {
		t.Error("tokens outside the vocabulary, or more than the context, were taken")
	}
	if !slices.Equal(got[2].Tokens, alone[0].Tokens) || got[2].AvgLogProb != alone[0].AvgLogProb {
		t.Errorf("beside windows that fail: %v, alone %v", got[2], alone[0])
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Decode(ctx, o, nil, us); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled decode: %v", err)
	}
}

func TestSiteNames(t *testing.T) {
	m := goldentest.Tiny(t, ref.New(), 1)
	seen := make(map[whisper.Site]bool)
	for _, l := range m.Linears() {
		site, ok := whisper.ParseSite(l.Site.String())
		if !ok || site != l.Site || seen[site] {
			t.Errorf("site %v reads back as %v", l.Site, site)
		}
		seen[site] = true
	}
	for _, name := range []string{"", "fc1", "model.encoder.layers.0.encoder_attn.q_proj", "model.decoder.layers.-1.fc1", "model.decoder.layers.01.fc1", "model.decoder.layers.0.fc3"} {
		if site, ok := whisper.ParseSite(name); ok {
			t.Errorf("%q was read as %v", name, site)
		}
	}
}
