package flora_test

import (
	"math/rand/v2"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
)

func TestTargetsAreDescribed(t *testing.T) {
	m := goldentest.Tiny(t, backend(t), 5)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, target := range []flora.Target{flora.All, flora.AttentionOnly, flora.DecoderOnly} {
		a, err := flora.New(m, "a", flora.LoRA, 2, target, rng)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Targets(); got != string(target) {
			t.Errorf("target %s is described as %q", target, got)
		}
	}
	ia3, err := flora.New(m, "a", flora.IA3, 0, flora.All, rng)
	if err != nil {
		t.Fatal(err)
	}
	if got := ia3.Targets(); got != "k_proj v_proj fc2" {
		t.Errorf("IA3 is described as %q", got)
	}
	for site := range ia3.Sites {
		if site.Role == whisper.Value {
			delete(ia3.Sites, site)
		}
	}
	if got := ia3.Targets(); got != "encoder: k_proj fc2; decoder: k_proj encoder_attn.v_proj fc2" {
		t.Errorf("IA3 without values is described as %q", got)
	}
	if encoder, decoder := ia3.Parameters(); encoder != 2*(48+192) || decoder != 2*(3*48+192) {
		t.Errorf("%d and %d parameters", encoder, decoder)
	}
}
