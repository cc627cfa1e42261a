//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"glossa/audio"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
)

// goldenMels are the largest and the mean difference from openai/whisper's log-mels that package audio allows itself.
const (
	goldenMelMost = 1e-4
	goldenMelMean = 2e-5
)

// TestGoldenLogMel holds log-mels of the device to those of openai/whisper.
func TestGoldenLogMel(t *testing.T) {
	b := openPlainly(t)
	k := goldentest.Open(t, b, "..", "..", "..", "..", "shared", "golden", "public")
	var clips map[string]any
	k.JSON(t, filepath.Join("mel", "mel.json"), &clips)
	compared := 0
	for clip := range clips {
		pcm, err := audio.DecodeFile(filepath.Join(k.Dir, "audio", clip+".wav"))
		if err != nil {
			t.Fatal(err)
		}
		f := k.Tensors(t, filepath.Join("mel", clip+".safetensors"))
		for _, nMels := range []int{80, 128} {
			for form, c := range map[string]struct {
				pcm     []float32
				padding int
			}{
				"pad30": {pcm.Samples, audio.ChunkSamples}, "nopad": {pcm.Samples, 0}, "trim30": {audio.PadOrTrim(pcm.Samples, audio.ChunkSamples), 0},
			} {
				name := fmt.Sprintf("%s_%d", form, nMels)
				if _, ok := f.Tensor(name); ok {
					compareGoldenMel(t, clip+" "+name, deviceMel(t, b, c.pcm, nMels, c.padding), f, name)
					compared++
				}
			}
		}
	}
	if compared == 0 {
		t.Error("the kit has no log-mel of a known form")
	}
}

// deviceMel returns the log-mel of a clip.
func deviceMel(t *testing.T, b *Backend, pcm []float32, nMels, padding int) (m audio.Mel) {
	t.Helper()
	e, err := audio.NewExtractor(nMels)
	if err != nil {
		t.Fatal(err)
	}
	form := spectrogramOf(e)
	err = e.LogMelBy(&m, pcm, padding, func(logs, highest, pcm []float32) error { return b.LogMel(logs, highest, pcm, form) })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compareGoldenMel compares a log-mel with a tensor (nMels, frames), at the frames that the kit lists or at all.
func compareGoldenMel(t *testing.T, what string, got audio.Mel, f *safetensors.File, name string) {
	t.Helper()
	want, _ := goldentest.Floats(t, f, name)
	var frames []int
	if _, ok := f.Tensor(name + "_frames"); ok {
		frames = goldentest.Integers(t, f, name+"_frames")
	} else {
		for i := range got.Frames {
			frames = append(frames, i)
		}
	}
	if len(want) != got.NMels*len(frames) {
		t.Fatalf("%s: %d numbers, want %d of %d frames", what, len(want), got.NMels, len(frames))
	}
	worst, sum := 0.0, 0.0
	for i, frame := range frames {
		for m, v := range got.Frame(frame) {
			d := math.Abs(float64(v) - float64(want[m*len(frames)+i]))
			worst, sum = math.Max(worst, d), sum+d
		}
	}
	goldentest.Within(t, "mel on the device", what, worst, goldenMelMost)
	if mean := sum / float64(len(want)); !(mean <= goldenMelMean) {
		t.Errorf("%s: the mean difference is %.3g, at most %.3g allowed", what, mean, goldenMelMean)
	}
}
