package train

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/tensortest"
)

// trained returns the parameters of m after a few steps on b, of the whole model or of an adapter, with CTC and its guide
// where it is the model.
func trained(t *testing.T, b tensor.Backend, manifest string, kind flora.Kind) (names []string, params [][]float32, e *Evaluation) {
	t.Helper()
	m := newModel(t, 40, 32, 2)
	o := newOptions(t, m, manifest, 6)
	o.Backend, o.Precision, o.Warmup, o.EMA = b, PrecisionF32, 2, 0.9
	o.Dev, o.EvaluateEvery = []string{manifest}, 3
	if kind != "" {
		_, trainable, err := NewAdapter(m, AdapterOptions{Kind: kind, Rank: 2, Target: flora.All, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		o.Trainable, o.CTCWeight, o.GuideWeight, o.LearningRate = trainable, 0, 0, 5e-3
	}
	o.Evaluate = func(m *whisper.Model, a whisper.Adapter) (float64, error) { return 1, nil }
	if err := Run(t.Context(), o, func(p Progress) { e = p.Evaluation }); err != nil {
		t.Fatal(err)
	}
	for _, p := range o.Trainable.Params() {
		names, params = append(names, p.Name), append(params, p.Mat.Data)
	}
	return names, params, e
}

// TestTrainingOnDeviceIsTheHosts checks that a few steps on a device, of the whole model and of adapters of all kinds, give
// the parameters that they give on the host, but for rounding.
func TestTrainingOnDeviceIsTheHosts(t *testing.T) {
	manifest := writeTones(t, 6, "en")
	for _, kind := range append(flora.Kinds(), "") {
		t.Run(fmt.Sprint("kind ", kind), func(t *testing.T) {
			host := newBackend(t)
			names, want, before := trained(t, host, manifest, kind)
			_, got, after := trained(t, tensortest.Simulate(host, tensortest.DeviceOptions{}), manifest, kind)
			for i, name := range names {
				tensortest.Tolerance{Abs: 2e-4, Rel: 2e-4}.Compare(t, name, got[i], want[i])
			}
			if math.Abs(after.Loss-before.Loss) > 1e-3 {
				t.Errorf("loss %v, on the host %v", after.Loss, before.Loss)
			}
		})
	}
}

// TestTrainingWithoutMemory checks that a training that a device has no room for says so.
func TestTrainingWithoutMemory(t *testing.T) {
	manifest := writeTones(t, 6, "en")
	for _, bytes := range []int64{10_000, 3 << 20} {
		m := newModel(t, 40, 32, 1)
		o := newOptions(t, m, manifest, 2)
		o.Out = filepath.Join(t.TempDir(), "out")
		o.Backend, o.Precision = tensortest.Simulate(o.Backend, tensortest.DeviceOptions{Memory: bytes}), PrecisionF32
		if err := Run(t.Context(), o, nil); !errors.Is(err, tensor.ErrMemory) {
			t.Errorf("%d bytes: %v, want ErrMemory", bytes, err)
		}
	}
}
