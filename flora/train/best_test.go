package train

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"glossa/flora"
	"glossa/whisper"
)

// trainByRates trains an adapter whose word error rates by evaluation, one a step, are given, in as many
// runs as there are steps to stop after. It returns the weights of the result, those after each step, and
// the last step.
func trainByRates(t *testing.T, rates []float64, patience int, stops ...int) (result []float32, byStep map[int][]float32, last Progress) {
	t.Helper()
	manifest, out := writeTones(t, 20, "en"), filepath.Join(t.TempDir(), "out")
	byStep = make(map[int][]float32)
	for _, stop := range append(stops, 0) {
		m := newModel(t, 20, 16, 1)
		o := newOptions(t, m, manifest, len(rates))
		a, trainable, err := NewAdapter(m, AdapterOptions{Kind: flora.FLoRA, Rank: 1, Target: flora.All})
		if err != nil {
			t.Fatal(err)
		}
		weights := func() (w []float32) {
			_, mats := a.Params()
			for _, p := range mats {
				w = append(w, p.Data...)
			}
			return w
		}
		o.Trainable, o.Out, o.Resume, o.CTCWeight, o.EMA = trainable, out, true, 0, 0
		o.EvaluateEvery, o.Patience, o.LearningRate, o.CheckpointEvery = 1, patience, 0.01, 3
		step := 0
		o.Evaluate = func(*whisper.Model, whisper.Adapter) (float64, error) {
			if len(byStep) == 0 && step == 0 {
				return 1, nil // before the training
			}
			return rates[step], nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = Run(ctx, o, func(p Progress) {
			last, step = p, p.Step
			if p.Step > 0 {
				byStep[p.Step] = weights()
			}
			if p.Step == stop && stop > 0 {
				cancel()
			}
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		result = weights()
	}
	return result, byStep, last
}

func TestTrainingEndsWithoutImprovement(t *testing.T) {
	rates := []float64{0.9, 0.5, 0.6, 0.55, 0.7, 0.1}
	result, byStep, last := trainByRates(t, rates, 3)
	if last.Step != 5 || last.Best != 2 || !slices.Equal(result, byStep[2]) {
		t.Errorf("it ended after step %d, the best was %d; the result is that of step 2: %v", last.Step, last.Best, slices.Equal(result, byStep[2]))
	}
	// A checkpoint keeps the best.
	resumed, _, last := trainByRates(t, rates, 3, 3, 4)
	if last.Step != 5 || last.Best != 2 || !slices.Equal(resumed, result) {
		t.Errorf("resumed, it ended after step %d, the best was %d; the result is the same: %v", last.Step, last.Best, slices.Equal(resumed, result))
	}
	// One that was over is not gone on with.
	resumed, _, last = trainByRates(t, rates, 3, 5)
	if last.Step != 5 || !slices.Equal(resumed, result) {
		t.Errorf("begun again it ended after step %d; the result is the same: %v", last.Step, slices.Equal(resumed, result))
	}
}

func TestWithoutPatienceTheLastIsTheResult(t *testing.T) {
	result, byStep, last := trainByRates(t, []float64{0.1, 0.5, 0.6, 0.7}, 0)
	if last.Step != 4 || last.Best != 0 || !slices.Equal(result, byStep[4]) {
		t.Errorf("it ended after step %d, the best was %d; the result is the last: %v", last.Step, last.Best, slices.Equal(result, byStep[4]))
	}
}

func TestTimeLeftCountsEvaluations(t *testing.T) {
	s := speedometer{evaluation: 10 * time.Second}
	s.start(0)
	s.at = append(s.at, moment{time: s.at[0].time.Add(4 * time.Second), step: 4})
	s.pause(time.Minute)
	for every, want := range map[int]time.Duration{0: 16 * time.Second, 5: 26 * time.Second, 3: 36 * time.Second, 4: 36 * time.Second} {
		p := Progress{Step: 4, Steps: 10}
		if s.report(&p, every); p.ETA != want {
			t.Errorf("evaluated every %d steps, %v are left, want %v", every, p.ETA, want)
		}
	}
}
