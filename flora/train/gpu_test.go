//go:build cuda && linux

package train

import (
	"fmt"
	"math"
	"testing"

	"glossa/flora"
	"glossa/whisper/tensor/cuda/cudatest"
	"glossa/whisper/tensor/tensortest"
)

// TestGPUTraining checks that a few steps on a GPU, of the whole model and of adapters of all kinds, give the parameters that they give on
// the host, but for rounding. On the fake driver it takes an adapter whose terms are trained as one weight.
func TestGPUTraining(t *testing.T) {
	kinds := append(flora.Kinds(), "")
	if cudatest.Open(t); cudatest.Fake() {
		kinds = []flora.Kind{flora.HiRA}
	}
	manifest := writeTones(t, 6, "en")
	for _, kind := range kinds {
		t.Run(fmt.Sprint("kind ", kind), func(t *testing.T) {
			names, want, before := trained(t, newBackend(t), manifest, kind)
			_, got, after := trained(t, cudatest.Open(t), manifest, kind)
			for i, name := range names {
				tensortest.Tolerance{Abs: 1e-3, Rel: 1e-3}.Compare(t, name, got[i], want[i])
			}
			if math.Abs(after.Loss-before.Loss) > 1e-3 {
				t.Errorf("loss %v, on the host %v", after.Loss, before.Loss)
			}
		})
	}
}
