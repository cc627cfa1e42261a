package whisper_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
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

// TestWindowBytesOfCross checks the part of [whisper.Model.WindowBytes] that keys and values of
// cross-attention have, in every number format.
func TestWindowBytesOfCross(t *testing.T) {
	s := newSearchBed(t)
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		if err := s.model.Pack(s.ops.Backend(), dtype); err != nil {
			t.Fatal(err)
		}
		const few, many, all = 20, 101, 128
		o := whisper.DecodeOptions{Language: "en"}
		var held [3]int
		for i, frames := range []int{few, many, all} {
			cross, err := s.model.Encode(s.ops, nil, []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(1, 1)), frames)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			held[i] = cross[0].Bytes()
		}
		for i, frames := range []int{many, all} {
			got, want := s.model.WindowBytes(frames, o)-s.model.WindowBytes(few, o), held[i+1]-held[0]
			if got != want {
				t.Errorf("%v: %d bytes for %d frames more, they take %d", dtype, got, frames-few, want)
			}
		}
	}
}
