//go:build cuda && linux

package whisper_test

import (
	"encoding/json"
	"slices"
	"testing"

	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/cudatest"
)

// TestGPUGoldens holds the GPU backend to the goldens: in float32 to the kit's tolerances, in bfloat16 to those of the format on the host. On
// the fake driver it takes the cases of one clip, in texts of up to 30 tokens, and of the models the smallest alone in bfloat16; on a GPU all.
func TestGPUGoldens(t *testing.T) {
	k := openKit(t)
	k.Backend = cudatest.Open(t)
	if cudatest.Fake() {
		k.Clip, k.MaxTokens = "jfk", 30
	}
	t.Run("encoder", func(t *testing.T) { testGoldenEncoder(t, k) })
	t.Run("logits", func(t *testing.T) { testGoldenLogits(t, k) })
	t.Run("decode", func(t *testing.T) { testGoldenDecode(t, k) })
	t.Run("language", func(t *testing.T) {
		k.Each(t, func(t *testing.T, name string, m *whisper.Model) { checkLanguages(t, k, name, m) })
	})
	t.Run("bf16", func(t *testing.T) {
		if cudatest.Fake() {
			k.Manifest.Models = map[string]json.RawMessage{"rand-v3": k.Manifest.Models["rand-v3"]}
		}
		i := slices.IndexFunc(dtypeTolerances, func(tol dtypeTolerance) bool { return tol.dtype == tensor.BF16 })
		testGoldenDType(t, k, dtypeTolerances[i])
	})
}
