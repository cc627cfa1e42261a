package whisper_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// TestStepAllocatesNothing checks that decoding steps are free of garbage once the batch has the
// memory that its windows need, under every search and under adapters beside each other.
func TestStepAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: exact counts of allocations absent under the race detector")
	}
	s := newSearchBed(t)
	rng := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct {
		kinds    [3]flora.Kind
		strategy flora.Strategy
	}{
		{[3]flora.Kind{flora.FLoRA, flora.LoRA, flora.FLoRA}, ""},
		{[3]flora.Kind{flora.HiRA, flora.DoRA, flora.IA3}, ""},
		{[3]flora.Kind{flora.FLoRA, flora.DoRA, flora.HiRA}, flora.Mix},
		{[3]flora.Kind{flora.IA3, flora.RSLoRA, flora.FLoRA}, flora.Merged},
	} {
		var adapters []*flora.Adapter
		for i, kind := range c.kinds {
			adapters = append(adapters, steadyAdapter(t, s.model, kind, 1+i, rng))
		}
		for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.I8} {
			if err := s.model.Pack(s.ops.Backend(), dtype); err != nil {
				t.Fatal(err)
			}
			policy := flora.DefaultPolicy(s.model)
			policy.MergedBytes = 100_000 // enough for some
			mixed, err := flora.NewBatchWith(s.model, s.ops.Backend(), flora.Options{Strategy: c.strategy, Policy: policy}, adapters...)
			if err != nil {
				t.Fatal(err)
			}
			s.checkSteadySteps(t, dtype, mixed, len(adapters))
		}
	}
}

// steadyAdapter returns an adapter that does something, as a file has it, not to be trained.
func steadyAdapter(t *testing.T, m *whisper.Model, kind flora.Kind, rank int, rng *rand.Rand) *flora.Adapter {
	t.Helper()
	a, err := flora.New(m, string(kind), kind, rank, flora.All, rng)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Sites {
		for _, p := range []*tensor.Mat{&f.A, &f.B, &f.U, &f.V, &f.M} {
			*p = tensor.NewMat(p.Rows, p.Cols, p.Data)
			for i := range p.Data {
				p.Data[i] += float32(0.1 * rng.NormFloat64())
			}
		}
	}
	return a
}

// checkSteadySteps counts the allocations of steps of every search, under no adapter and under
// windows of each of nAdapter and of none.
func (s searchBed) checkSteadySteps(t *testing.T, dtype tensor.DType, mixed *flora.Batch, nAdapter int) {
	const steps = 8
	for _, o := range []whisper.DecodeOptions{{}, {BeamSize: 3}, {Temperature: 0.7, BestOf: 3}} {
		for _, adapter := range []whisper.Adapter{nil, mixed} {
			// Only the end is suppressed, so that no window is done too soon.
			o.Language, o.WithoutTimestamps, o.SampleLen, o.Suppress = "en", true, 5*steps, []int32{s.model.Tokenizer.EOT()}
			b := s.model.NewBatch(s.ops, adapter)
			add := func() {
				for i, c := range s.cross {
					u := whisper.Utterance{Cross: c, Options: o}
					if adapter != nil {
						u.Adapter = int32(i % (1 + nAdapter))
					}
					if _, err := b.Add(u); err != nil {
						t.Fatal(err)
					}
				}
			}
			step := func() {
				if done, err := b.Step(); err != nil || len(done) > 0 {
					t.Fatalf("%+v: %d windows done, %v", o, len(done), err)
				}
			}
			for range 2 { // the second time in the memory of the first
				add()
				for range 4 {
					step()
				}
				// Memory that is made as threads come to work side by side is made once, maybe late.
				n := testing.AllocsPerRun(steps, step)
				for try := 0; n != 0 && try < 2; try++ {
					n = testing.AllocsPerRun(steps, step)
				}
				if n != 0 {
					t.Errorf("%v, beams %d, temperature %v, adapters %v: %v allocations a step, want 0", dtype, o.BeamSize, o.Temperature, adapter != nil, n)
				}
				for ticket := range 2 * len(s.cross) {
					b.Remove(ticket)
				}
			}
		}
	}
}

// TestWindowsEnterAndLeaveAtEachStep checks that a window's result is the same to the bit alone and
// in a batch which others enter, leave and are removed from at any step.
func TestWindowsEnterAndLeaveAtEachStep(t *testing.T) {
	s := newSearchBed(t)
	rng := rand.New(rand.NewPCG(4, 1))
	var us []whisper.Utterance
	for _, o := range searches() {
		for i, c := range s.cross {
			o.SampleLen = 1 + rng.IntN(12)
			o.Prompt = make([]int32, 2*i)
			us = append(us, whisper.Utterance{Cross: c, Options: o})
		}
	}
	b := s.model.NewBatch(s.ops, nil)
	at, got := map[int]int{}, map[int]whisper.Decoded{}
	removed := 0
	for next := 0; next < len(us) || b.Len() > 0; {
		for ; next < len(us) && b.Len() < 12 && rng.IntN(3) > 0; next++ {
			ticket, err := b.Add(us[next])
			if err != nil {
				t.Fatal(err)
			}
			at[ticket] = next
		}
		leaving := -1
		if rng.IntN(6) == 0 {
			var err error
			if leaving, err = b.Add(us[rng.IntN(len(us))]); err != nil {
				t.Fatal(err)
			}
		}
		done, err := b.Step()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range done {
			got[f.Ticket] = f.Decoded
		}
		if b.Remove(leaving) {
			removed++
		}
	}
	if removed == 0 {
		t.Error("no window was removed")
	}
	for ticket, i := range at {
		if alone := s.decode(t, us[i])[0]; !reflect.DeepEqual(got[ticket], alone) {
			t.Errorf("%+v: in the crowd\n%+v, alone\n%+v", us[i].Options, got[ticket], alone)
		}
	}
	if b.Len() != 0 || b.Rows() != 0 || b.Remove(0) {
		t.Errorf("%d windows are left", b.Len())
	}
}
