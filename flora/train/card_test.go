package train

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/flora"
	"glossa/whisper"
)

// TestCardTellsWhatWasTrained trains an adapter and reads its card.
func TestCardTellsWhatWasTrained(t *testing.T) {
	manifest := writeTones(t, 12, "en")
	m := newModel(t, 20, 16, 1)
	o := newOptions(t, m, manifest, 4)
	a, trainable, err := NewAdapter(m, AdapterOptions{Kind: flora.LoRA, Rank: 3, Alpha: 6, Target: flora.DecoderOnly, Base: "small"})
	if err != nil {
		t.Fatal(err)
	}
	rate := 0.5
	o.Trainable, o.Program, o.CTCWeight, o.Patience, o.EvaluateEvery, o.Dev = trainable, "glossa v9", 0, 3, 2, []string{manifest}
	o.Evaluate = func(*whisper.Model, whisper.Adapter) (float64, error) { rate /= 2; return rate, nil }
	if err := Run(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Out, modelFolder, flora.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := flora.Open(filepath.Join(o.Out, modelFolder))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	_, mats := a.Params()
	for _, p := range mats {
		n += len(p.Data)
	}
	for _, want := range []string{
		"library_name: peft\nbase_model: small\n", "language:\n- en\n", "- lora\n", "An adapter (lora of rank 3, alpha 6, target decoder) of the Whisper model `small` for English (en).",
		"| base model's hash | `" + m.Fingerprint() + "` |", "Hash of the content: `" + saved.Hash + "`", fmt.Sprintf("| parameters | %d, over ", n),
		"| steps | 4; these are the weights of step 4, the best on dev |", "| made by | glossa v9 |", "glossa transcribe --model small --adapter-dir en=DIR recording.wav",
		fmt.Sprintf("| manifest.jsonl | 1 | 12 | 0.00 | `%x` |", sha256.Sum256(data)), "| manifest.jsonl (dev) | - | 12 | ",
		"| without the adapter | ", "| 25.0% |", "| with it | ", "| 6.2% |", `"LearningRate": 0.001`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
}

// TestCardOfAFolderCountsItsSound holds that lengths are measured where no manifest tells them.
func TestCardOfAFolderCountsItsSound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "en")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		writeWAV(t, filepath.Join(dir, name+".wav"), tone(400, 0.5))
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), []byte("do re"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	o := newOptions(t, newModel(t, 20, 16, 1), dir, 3)
	if err := Run(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Out, modelFolder, flora.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"library_name: transformers\npipeline_tag", "A Whisper model for English (en).", "| en | 1 | 2 | 0.00 | `"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
}
