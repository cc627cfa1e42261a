package asr

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"testing"

	"glossa/audio"
)

// TestEmbeddedModelGoesOn breaks recordings of several windows off, of the test set's voices one after the other, and has them go on with the
// embedded model.
func TestEmbeddedModelGoesOn(t *testing.T) {
	e := openNano(t)
	pcm, _ := joined(clips(t, 40), 0.5)
	sound := func() ([]float32, error) { return pcm, nil }
	speech := func(pcm []float32) ([]audio.Span, error) {
		return audio.FindSpeechContext(context.Background(), audio.NewLongTermDetector(), pcm, audio.DefaultSpeechOptions())
	}
	for name, q := range map[string]Request{
		"one by one":   {Audio: sound, Timestamps: true, Words: &usual},
		"side by side": {Audio: sound, Speech: speech, SwitchLanguage: true, Words: &usual},
	} {
		want, err := e.Transcribe(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var behind []Checkpoint
		var told []Segment
		breaks := 0
		for {
			k := keepOf(t, e, q, behind, 0)
			behind, told = append(behind, throughJSON(t, k.checkpoints)...), append(told, k.segments...)
			if k.err == nil {
				if !reflect.DeepEqual(k.result, want) || !reflect.DeepEqual(told, want.Segments) {
					t.Errorf("%s:\n%+v, want\n%+v", name, k.result, want)
				}
				break
			}
			breaks++
		}
		if breaks < 2 || want.Text == "" || !slices.IsSortedFunc(behind, func(a, b Checkpoint) int { return cmp.Compare(a.Done, b.Done) }) {
			t.Errorf("%s: broken off %d times: %q", name, breaks, want.Text)
		}
	}
}
