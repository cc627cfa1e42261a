package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/whisper"
)

func TestTrainingLearnsAHandfulOfExamples(t *testing.T) {
	manifest := writeTones(t, 8, "en")
	m := newModel(t, 40, 32, 1)
	o := newOptions(t, m, manifest, 250)
	o.LearningRate, o.EMA, o.NoSpeech, o.Timestamps, o.Augment = 5e-3, 0.9, 0, 0, Augment{}
	o.Dev, o.EvaluateEvery = []string{manifest}, 0
	var first, last Progress
	var result *Evaluation
	err := Run(t.Context(), o, func(p Progress) {
		if p.Step == 1 {
			first = p
		}
		if last = p; p.Evaluation != nil {
			result = p.Evaluation
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loss %.3f to %.3f, CTC %.2f to %.2f, %.0f examples/s", first.Loss, last.Loss, first.CTC, last.CTC, last.ExamplesPerSecond)
	if first.Loss < 3 || last.Loss > 0.05 || last.CTC > 0.5 {
		t.Errorf("loss from %v to %v, CTC from %v to %v: it did not learn", first.Loss, last.Loss, first.CTC, last.CTC)
	}
	if result == nil || result.TokenAccuracy < 1 {
		t.Errorf("evaluation %+v, want a token accuracy of 1", result)
	}
	c, err := whisper.OpenDir(filepath.Join(o.Out, modelFolder))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	saved, err := whisper.LoadPlain(c)
	if err != nil {
		t.Fatal(err)
	}
	if saved.Dims != m.Dims {
		t.Errorf("the saved model is %+v, want %+v", saved.Dims, m.Dims)
	}
}

// weightsAfter trains for the given steps, in as many runs as there are numbers, and returns the weights.
func weightsAfter(t *testing.T, manifest string, ahead int, stops ...int) []float32 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	var weights []float32
	for _, stop := range stops {
		m := newModel(t, 20, 16, 1)
		o := newOptions(t, m, manifest, 12)
		o.Out, o.Resume, o.Ahead = out, true, ahead
		ctx, cancel := context.WithCancel(t.Context())
		err := Run(ctx, o, func(p Progress) {
			if p.Step == stop {
				cancel()
			}
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		weights = nil
		for _, p := range m.Params() {
			weights = append(weights, p.Mat.Data...)
		}
	}
	return weights
}

func TestResumedEqualsUninterrupted(t *testing.T) {
	manifest := writeTones(t, 30, "en")
	whole := weightsAfter(t, manifest, 2, 12)
	if parts := weightsAfter(t, manifest, 0, 4, 5, 12); !slices.Equal(whole, parts) {
		t.Error("a training interrupted after 4 and 5 steps has other weights than one that was not")
	}
}

func TestResumeRefusesOtherOptions(t *testing.T) {
	manifest := writeTones(t, 4, "en")
	m := newModel(t, 20, 16, 1)
	o := newOptions(t, m, manifest, 2)
	if err := Run(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o, nil); !errors.Is(err, ErrExists) {
		t.Errorf("a second training into the folder: %v, want ErrExists", err)
	}
	o.Resume, o.LearningRate = true, 0.5
	err := Run(t.Context(), o, nil)
	if !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), "LearningRate was 0.001") {
		t.Errorf("resumed with another learning rate: %v", err)
	}
}

func TestBadFilesAreSkippedByName(t *testing.T) {
	manifest := writeTones(t, 6, "en")
	dir := filepath.Dir(manifest)
	if err := os.WriteFile(filepath.Join(dir, "ab.wav"), []byte("not audio"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "ac.wav")); err != nil {
		t.Fatal(err)
	}
	o := newOptions(t, newModel(t, 20, 16, 1), manifest, 4)
	var warnings []string
	o.Warn = func(message string) { warnings = append(warnings, message) }
	skipped := 0
	if err := Run(t.Context(), o, func(p Progress) { skipped = p.Skipped }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(warnings)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "ab.wav") || !strings.Contains(warnings[1], "ac.wav") || skipped < 2 {
		t.Errorf("%d skipped, warnings %q", skipped, warnings)
	}
}

func TestTrainingOfNothingUsableEnds(t *testing.T) {
	manifest := writeTones(t, 1, "en")
	if err := os.WriteFile(filepath.Join(filepath.Dir(manifest), "aa.wav"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	o := newOptions(t, newModel(t, 20, 16, 1), manifest, 4)
	if err := Run(t.Context(), o, nil); !errors.Is(err, ErrNoExamples) {
		t.Errorf("error %v, want ErrNoExamples", err)
	}
}

func TestDivergenceStopsTheTraining(t *testing.T) {
	manifest := writeTones(t, 6, "en")
	m := newModel(t, 20, 16, 1)
	m.Decoder.Norm.Gamma.Data[0] = float32(math.Inf(1))
	o := newOptions(t, m, manifest, 50)
	o.MaxBadSteps = 3
	before := m.Decoder.Tokens.Data[5]
	if err := Run(t.Context(), o, nil); !errors.Is(err, ErrDiverged) {
		t.Errorf("error %v, want ErrDiverged", err)
	}
	if m.Decoder.Tokens.Data[5] != before {
		t.Error("a step that was not finite changed a weight")
	}
}
