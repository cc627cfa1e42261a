package whisper

import (
	"math"
	"strings"
	"testing"
)

// TestEncoderFLOPsOfPublishedModels holds the formula to figures that were counted elsewhere.
func TestEncoderFLOPsOfPublishedModels(t *testing.T) {
	for name, want := range map[string]float64{"tiny": 36.9, "base": 87.4, "small": 344} {
		d, _ := Geometry(name)
		if got := d.EncoderFLOPs() / 1e9; math.Abs(got-want) > 0.002*want {
			t.Errorf("%s: %.1f GFLOP, want %v", name, got, want)
		}
	}
}

// TestCostsFollowTheParameters counts the same costs in the matrices that a model is made of.
func TestCostsFollowTheParameters(t *testing.T) {
	narrow := baseDims
	narrow.NAudioCtx, narrow.NAudioFFN, narrow.NTextFFN, narrow.NTextLayer = 256, 555, 777, 3
	for _, d := range []Dims{baseDims, narrow} {
		m := outline(d)
		encoder, cross, weights, channels := 0, 0, d.NVocab*d.NTextState, d.NVocab
		for _, l := range m.Linears() {
			size := l.Weight.Rows * l.Weight.Cols
			switch name := l.Site.String(); {
			case strings.Contains(name, "encoder_attn.k_proj"), strings.Contains(name, "encoder_attn.v_proj"):
				cross += 2 * size * d.NAudioCtx
			case l.Site.Stack == EncoderStack:
				encoder += 2 * size * d.NAudioCtx
			default:
				weights, channels = weights+size, channels+l.Weight.Rows
			}
		}
		encoder += 4 * d.NAudioLayer * d.NAudioCtx * d.NAudioCtx * d.NAudioState
		for _, c := range []*Conv{&m.Encoder.Conv1, &m.Encoder.Conv2} {
			encoder += 2 * c.Weight.Rows * c.Weight.Cols * d.WindowFrames() / c.Stride
		}
		if got := d.EncoderFLOPs(); got != float64(encoder) {
			t.Errorf("encoder: %v FLOP, want %d", got, encoder)
		}
		if got := d.CrossFLOPs(); got != float64(cross) {
			t.Errorf("cross-attention: %v FLOP, want %d", got, cross)
		}
		if w, c := d.StepWeights(); w != weights || c != channels {
			t.Errorf("a step: %d weights of %d channels, want %d of %d", w, c, weights, channels)
		}
	}
	tiny, _ := Geometry("tiny")
	if got, want := tiny.KeyValues(1500), 4*2*384*1500; got != want {
		t.Errorf("keys and values: %d numbers, want %d", got, want)
	}
}
