package whisper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"glossa/whisper/safetensors"
)

func TestGoldenCheckpointsHaveEveryTensorOfTheirDims(t *testing.T) {
	for name, c := range kitCheckpoints(t) {
		text, err := os.ReadFile(kitPath(t, name, "info.json"))
		if err != nil {
			t.Fatal(err)
		}
		var info struct {
			Dims           map[string]int
			AlignmentHeads [][2]int `json:"alignment_heads"`
		}
		if err := json.Unmarshal(text, &info); err != nil {
			t.Fatal(err)
		}
		d := c.Dims
		for field, got := range map[string]int{
			"n_mels": d.NMels, "n_audio_ctx": d.NAudioCtx, "n_audio_state": d.NAudioState, "n_audio_head": d.NAudioHead, "n_audio_layer": d.NAudioLayer,
			"n_vocab": d.NVocab, "n_text_ctx": d.NTextCtx, "n_text_state": d.NTextState, "n_text_head": d.NTextHead, "n_text_layer": d.NTextLayer,
		} {
			if want, ok := info.Dims[field]; !ok || got != want {
				t.Errorf("%s: %s is %d, want %d", name, field, got, want)
			}
		}
		if len(c.Generation.AlignmentHeads) != len(info.AlignmentHeads) {
			t.Errorf("%s: alignment heads %v, want %v", name, c.Generation.AlignmentHeads, info.AlignmentHeads)
		}
		params := New(d).Params()
		if len(params) != len(c.Names()) {
			t.Errorf("%s: %d tensors, the model has %d parameters", name, len(c.Names()), len(params))
		}
		for _, p := range params {
			if _, err := c.Float32(p.Name, p.Shape()...); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestEncoderAloneOpens(t *testing.T) {
	path := DataFile(t, "the encoder of whisper-base", "whisper-base-encoder-f16.safetensors")
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := NewCheckpoint(baseDims, path, f)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range New(baseDims).Params() {
		if _, ok := c.Tensor(p.Name); !ok {
			continue
		}
		n++
		if _, err := c.Float32(p.Name, p.Shape()...); err != nil {
			t.Error(err)
		}
	}
	if n != len(f.Names()) {
		t.Errorf("%d of the file's %d tensors belong to the model", n, len(f.Names()))
	}
}

// BenchmarkGoldenOpenDir is the time to open a model, of which the vocabulary of 50,000 merges is nearly all.
func BenchmarkGoldenOpenDir(b *testing.B) {
	models := kitPath(b, "models")
	entries, err := os.ReadDir(models)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		b.Run(e.Name(), func(b *testing.B) {
			for b.Loop() {
				c, err := OpenDir(filepath.Join(models, e.Name(), "hf"))
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
		})
	}
}
