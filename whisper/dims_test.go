package whisper

import (
	"encoding/json"
	"errors"
	"testing"
)

// baseDims are those of openai/whisper-base.
var baseDims = Dims{
	NMels: 80, NAudioCtx: 1500, NAudioState: 512, NAudioHead: 8, NAudioLayer: 6,
	NVocab: 51865, NTextCtx: 448, NTextState: 512, NTextHead: 8, NTextLayer: 6,
}

func TestDimsOfConfigRoundTrip(t *testing.T) {
	narrow := baseDims
	narrow.NAudioCtx, narrow.NTextFFN, narrow.Unpadded = 256, 777, true
	for _, d := range []Dims{baseDims, narrow} {
		text, err := json.Marshal(d.config())
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseDims(text)
		d.NAudioFFN, d.NTextFFN = d.AudioFFN(), d.TextFFN()
		if err != nil || got != d {
			t.Errorf("%+v %v, want %+v", got, err, d)
		}
	}
	if narrow.WindowSeconds() != 5.12 || narrow.WindowFrames() != 512 || baseDims.WindowSeconds() != 30 || baseDims.WindowFrames() != 3000 {
		t.Errorf("windows of %v s and %d frames, %v s and %d frames", narrow.WindowSeconds(), narrow.WindowFrames(), baseDims.WindowSeconds(), baseDims.WindowFrames())
	}
	if baseDims.AudioFFN() != 2048 || narrow.TextFFN() != 777 {
		t.Errorf("widths %d and %d", baseDims.AudioFFN(), narrow.TextFFN())
	}
}

func TestValidateNamesTheField(t *testing.T) {
	if err := baseDims.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Dims){
		"mels":    func(d *Dims) { d.NMels = 0 },
		"ctx":     func(d *Dims) { d.NAudioCtx = -1 },
		"state":   func(d *Dims) { d.NAudioState = 520 },
		"states":  func(d *Dims) { d.NAudioState, d.NTextState = 1<<20, 1<<20 },
		"odd":     func(d *Dims) { d.NAudioState, d.NTextState, d.NAudioHead, d.NTextHead = 5, 5, 1, 1 },
		"heads":   func(d *Dims) { d.NAudioHead = 7 },
		"layers":  func(d *Dims) { d.NTextLayer = 1 << 30 },
		"vocab":   func(d *Dims) { d.NVocab = 1 << 40 },
		"textCtx": func(d *Dims) { d.NTextCtx = 0 },
		"ffn":     func(d *Dims) { d.NTextFFN = -4 },
	} {
		d := baseDims
		change(&d)
		if err := d.Validate(); !errors.Is(err, ErrDims) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseDims(f *testing.F) {
	text, err := json.Marshal(baseDims.config())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"model_type":"whisper","d_model":1e300}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDims(text)
		if err == nil && (d.NAudioState%d.NAudioHead != 0 || d.WindowFrames() <= 0 || d.AudioFFN() <= 0) {
			t.Fatalf("%+v is valid", d)
		}
	})
}
