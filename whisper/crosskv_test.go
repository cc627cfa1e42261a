package whisper_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
)

// TestCrossPoolReusesMemory checks that keys and values in memory that others have left are those in
// memory of their own.
func TestCrossPoolReusesMemory(t *testing.T) {
	s := newSearchBed(t)
	rng := rand.New(rand.NewPCG(3, 8))
	var p whisper.CrossPool
	en := whisper.DecodeOptions{Language: "en"}
	for range 20 {
		var mels []audio.Mel
		for range 1 + rng.IntN(4) {
			mels = append(mels, goldentest.RandomMel(rng, 2+rng.IntN(90)))
		}
		own, err := s.model.Encode(s.ops, nil, mels, nil)
		if err != nil {
			t.Fatal(err)
		}
		pooled, err := s.model.EncodeInto(&p, s.ops, nil, mels, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range mels {
			got := s.decode(t, whisper.Utterance{Cross: own[i], Options: en}, whisper.Utterance{Cross: pooled[i], Options: en})
			if !reflect.DeepEqual(got[0], got[1]) {
				t.Errorf("%+v, want %+v", got[1], got[0])
			}
		}
		for _, c := range pooled {
			p.Free(c)
		}
	}
	if n := p.Len(); n > 4 {
		t.Errorf("memory of %d windows is left, of at most 4 at a time", n)
	}
}
