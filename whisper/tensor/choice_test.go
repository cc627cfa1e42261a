package tensor_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

func TestChoicesPanic(t *testing.T) {
	o, logits := newOps(), tensor.Zeros(1, 10)
	for _, c := range []struct {
		says   string
		choice tensor.Choice
	}{
		{"timestamps from 11 of 10", tensor.Choice{Timestamps: 11}},
		{"timestamps from -1", tensor.Choice{Timestamps: -1}},
		{"temperature 0", tensor.Choice{Draws: []float64{1}}},
		{"temperature NaN", tensor.Choice{Draws: []float64{1}, Temperature: math.NaN()}},
		{"token index 10 of 10", tensor.Choice{Named: []int32{10}}},
		{"excluded tokens -1", tensor.Choice{Excluded: []tensor.IDRange{{From: -1, To: 1}}}},
		{"excluded tokens 8 … 10 of 10", tensor.Choice{Excluded: []tensor.IDRange{{From: 8, To: 11}}}},
	} {
		requirePanic(t, c.says, func() { _ = o.Pick(logits, []tensor.Choice{c.choice}) })
	}
	requirePanic(t, "logits is (1, 10), want (2, 10)", func() { _ = o.Pick(logits, make([]tensor.Choice, 2)) })
}

// faulty is a backend whose device is at fault when tokens are chosen.
type faulty struct {
	*ref.Backend
	err error
}

func (f faulty) Pick(tensor.Mat, []tensor.Choice) error { return f.err }

func TestPickTellsOfTheDevice(t *testing.T) {
	broken := errors.New("broken")
	for _, err := range []error{nil, broken} {
		got := tensor.NewOps(faulty{ref.New(), err}).Pick(tensor.Zeros(1, 3), make([]tensor.Choice, 1))
		if !errors.Is(got, err) || errors.Is(got, tensor.ErrDevice) != (err != nil) {
			t.Errorf("error %v, the device's is %v", got, err)
		}
	}
}

// TestChoiceIsReset checks that a question leaves nothing to the next.
func TestChoiceIsReset(t *testing.T) {
	o := newOps()
	c := make([]tensor.Choice, 1)
	c[0] = tensor.Choice{Suppressed: []int32{2}, Timestamps: 1, Likeliest: 2, Draws: []float64{0.5}, Temperature: 1, Named: []int32{0}}
	c[0].Exclude(0, 1)
	if err := o.Pick(tensor.Vector([]float32{1, 2, 3}), c); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c[0].IDs, []int32{1, 1}) || !slices.Equal(c[0].NamedLogits, []float32{1}) || c[0].LogProb(0) != 0 {
		t.Errorf("%+v", c[0])
	}
	c[0].Reset()
	c[0].Likeliest = 1
	if err := o.Pick(tensor.Vector([]float32{1, 2, 3}), c); err != nil {
		t.Fatal(err)
	}
	if want := math.Log(math.Exp(1) + math.Exp(2) + math.Exp(3)); !slices.Equal(c[0].IDs, []int32{2}) || len(c[0].NamedLogits) != 0 || math.Abs(c[0].Total-want) > 1e-6 {
		t.Errorf("%+v, want total %v", c[0], want)
	}
}
