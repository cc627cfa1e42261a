package audio

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// goldenKit is the folder of the golden kit: $GLOSSA_GOLDEN or ../shared/golden/public beside the repository. It skips t if absent.
func goldenKit(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GLOSSA_GOLDEN")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "golden", "public")
	}
	if _, err := os.Stat(filepath.Join(dir, "mel", "mel.json")); err != nil {
		t.Skipf("SKIP: golden kit %s absent: %v", dir, err)
	}
	return dir
}

// tensors is a parsed safetensors file of a golden kit, for tests alone.
type tensors struct {
	header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	data []byte
}

func readTensors(t *testing.T, path string) tensors {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(b)
	var ts tensors
	if err := json.Unmarshal(b[8:8+n], &ts.header); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	ts.data = b[8+n:]
	return ts
}

func (ts tensors) bytes(t *testing.T, name, dtype string) []byte {
	t.Helper()
	h, ok := ts.header[name]
	if !ok || h.DType != dtype {
		t.Fatalf("tensor %q of %s is absent or %s", name, dtype, h.DType)
	}
	return ts.data[h.Offsets[0]:h.Offsets[1]]
}

func (ts tensors) float32s(t *testing.T, name string) []float32 {
	b := ts.bytes(t, name, "F32")
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

func (ts tensors) int64s(t *testing.T, name string) []int {
	b := ts.bytes(t, name, "I64")
	v := make([]int, len(b)/8)
	for i := range v {
		v[i] = int(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v
}

// goldenMelTolerance is the largest absolute difference allowed. The reference computes in float32 and is itself up to 2.3e-5 away
// from a computation in float64 (vs_float64_max in mel.json); the mean difference allowed is the kit's own.
const (
	goldenMelTolerance     = 1e-4
	goldenMelMeanTolerance = 2e-5
)

// melFacts is what mel.json says of one clip and number of mels.
type melFacts struct {
	Frames        int     `json:"frames"`
	ContentFrames int     `json:"content_frames"`
	Floor         float64 `json:"floor"`
}

func TestGoldenMel(t *testing.T) {
	kit := goldenKit(t)
	var clips map[string]struct{ File string }
	readJSON(t, filepath.Join(kit, "audio", "audio.json"), &clips)
	var facts map[string]map[string]melFacts
	readJSON(t, filepath.Join(kit, "mel", "mel.json"), &facts)
	for clip, byMels := range facts {
		t.Run(clip, func(t *testing.T) {
			pcm, err := DecodeFile(filepath.Join(kit, clips[clip].File))
			if err != nil {
				t.Fatal(err)
			}
			ts := readTensors(t, filepath.Join(kit, "mel", clip+".safetensors"))
			compared := 0
			for _, nMels := range []int{80, 128} {
				forms := goldenForms(t, pcm.Samples, nMels)
				if want, ok := byMels[fmt.Sprintf("mel_%d", nMels)]; ok {
					checkMelFacts(t, forms["pad30"], want)
				}
				for form, got := range forms {
					name := fmt.Sprintf("%s_%d", form, nMels)
					if _, ok := ts.header[name]; ok {
						compareMel(t, name, got, ts)
						compared++
					}
				}
			}
			if compared == 0 {
				t.Errorf("no tensor of %s compared", clip)
			}
		})
	}
}

// goldenForms computes the spectrogram in the kit's three forms, by the names of its tensors.
func goldenForms(t *testing.T, pcm []float32, nMels int) map[string]Mel {
	t.Helper()
	padded, err := LogMelPadded(pcm, nMels, ChunkSamples)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := LogMel(pcm, nMels)
	if err != nil {
		t.Fatal(err)
	}
	trimmed, err := LogMel(PadOrTrim(pcm, ChunkSamples), nMels)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Mel{"pad30": padded, "nopad": plain, "trim30": trimmed}
}

func checkMelFacts(t *testing.T, padded Mel, want melFacts) {
	t.Helper()
	if padded.Frames != want.Frames || padded.Content() != want.ContentFrames {
		t.Errorf("%d mels: %d frames of which %d content, want %d and %d",
			padded.NMels, padded.Frames, padded.Content(), want.Frames, want.ContentFrames)
	}
	silent := padded.Frame(padded.Frames - 10)
	if d := math.Abs(float64(silent[0]) - want.Floor); d > goldenMelTolerance {
		t.Errorf("%d mels: silent frames hold %g, want %g", padded.NMels, silent[0], want.Floor)
	}
}

// compareMel compares got with the tensor name, upstream's mel-major (NMels, frames), at the frames that the tensor name_frames lists, or
// at all.
func compareMel(t *testing.T, name string, got Mel, ts tensors) {
	t.Helper()
	want := ts.float32s(t, name)
	var frames []int
	if _, ok := ts.header[name+"_frames"]; ok {
		frames = ts.int64s(t, name+"_frames")
	} else {
		for i := range got.Frames {
			frames = append(frames, i)
		}
	}
	if len(want) != got.NMels*len(frames) {
		t.Errorf("%s: golden has %d values, want %d mels of %d frames", name, len(want), got.NMels, len(frames))
		return
	}
	worst, sum := 0.0, 0.0
	for i, frame := range frames {
		for m, v := range got.Frame(frame) {
			d := math.Abs(float64(v) - float64(want[m*len(frames)+i]))
			worst, sum = max(worst, d), sum+d
		}
	}
	mean := sum / float64(len(want))
	t.Logf("GOLDEN mel: %s: differs by %.2g of %.2g", name, worst, goldenMelTolerance) // as in whisper/goldentest
	if !(worst <= goldenMelTolerance && mean <= goldenMelMeanTolerance) {
		t.Errorf("%s: largest difference %g, mean %g; allowed %g and %g",
			name, worst, mean, goldenMelTolerance, goldenMelMeanTolerance)
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
