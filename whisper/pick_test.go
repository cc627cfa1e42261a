package whisper_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/ref"
)

// picking is a backend that chooses tokens where its logits are.
type picking struct {
	*cpu.Backend
	ref.Picker
}

// TestPickerChoosesTheSame checks that a backend which chooses tokens itself leads every search to
// the tokens and scores of choosing on the host.
func TestPickerChoosesTheSame(t *testing.T) {
	s := newSearchBed(t)
	on := s
	on.ops = tensor.NewOps(picking{Backend: s.ops.Backend().(*cpu.Backend)})
	var us []whisper.Utterance
	for _, o := range searches() {
		for i, c := range s.cross {
			o.Language = []string{"en", ""}[i%2] // the other is detected
			o.AllowBlank, o.AnyFirstTime = i%3 == 1, i == 3
			us = append(us, whisper.Utterance{Cross: c, Options: o})
		}
	}
	want := s.decode(t, us...)
	for i, got := range on.decode(t, us...) {
		if !slices.Equal(got.Tokens, want[i].Tokens) || got.Language != want[i].Language {
			t.Errorf("%+v: tokens %v of %s, on the host %v of %s", us[i].Options, got.Tokens, got.Language, want[i].Tokens, want[i].Language)
		}
		for what, d := range map[string]float64{
			"log probability":          got.AvgLogProb - want[i].AvgLogProb,
			"probability of no speech": got.NoSpeechProb - want[i].NoSpeechProb,
			"probability of language":  got.LanguageProb - want[i].LanguageProb,
		} {
			if !(math.Abs(d) < 1e-5) {
				t.Errorf("%+v: %s differs by %v", us[i].Options, what, d)
			}
		}
	}
}

// TestPickerTellsOfWindowsThatFail checks that logits which are not finite end their window alone.
func TestPickerTellsOfWindowsThatFail(t *testing.T) {
	s := newSearchBed(t)
	s.ops = tensor.NewOps(picking{Backend: s.ops.Backend().(*cpu.Backend)})
	rng := rand.New(rand.NewPCG(3, 3))
	good, broken := goldentest.RandomMel(rng, 40), goldentest.RandomMel(rng, 40)
	broken.Data[7] = float32(math.NaN())
	cross, err := s.model.Encode(s.ops, nil, []audio.Mel{good, broken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range searches() {
		us := []whisper.Utterance{{Cross: cross[0], Options: o}, {Cross: cross[1], Options: o}}
		got, err := s.model.Decode(t.Context(), s.ops, nil, us)
		if err != nil {
			t.Fatal(err)
		}
		alone := s.decode(t, us[0])[0]
		if got[0].Err != nil || !slices.Equal(got[0].Tokens, alone.Tokens) || !errors.Is(got[1].Err, whisper.ErrNotFinite) {
			t.Errorf("%+v: %v and %v, %v alone, errors %v and %v", o, got[0].Tokens, got[1].Tokens, alone.Tokens, got[0].Err, got[1].Err)
		}
	}
}

// TestGoldenPicker decodes the kit's cases of one clip, and hears its clips' languages, on such a backend.
func TestGoldenPicker(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: the reference's choice among whole vocabularies absent under the race detector, which makes it slow")
	}
	k := openKit(t)
	k.Backend = picking{Backend: k.Backend.(*cpu.Backend)}
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		ran, got := decodeCases(t, k, name, m, func(c goldentest.DecodeCase) bool { return c.Clip == "jfk" })
		for i, c := range ran {
			c.Check(t, got[i])
		}
		checkLanguages(t, k, name, m)
	})
}
