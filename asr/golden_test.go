package asr_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

func backend(t testing.TB) tensor.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// transcribeCase is one call of whisper.transcribe() in a kit's transcribe.json.
type transcribeCase struct {
	Name    string
	Clip    string
	Options map[string]json.RawMessage
	Result  struct {
		Text     string
		Segments []asr.Segment
		Language string
	}
	Stable bool `json:"same_with_noise_0.0001"`
}

// request translates upstream's options; !ok where the case asks for what is not implemented.
func (c transcribeCase) request(t *testing.T, k *goldentest.Kit) (r asr.Request, ok bool) {
	t.Helper()
	r = asr.Request{Timestamps: true, Adapter: asr.None, Audio: func() ([]float32, error) {
		pcm, err := audio.DecodeFile(filepath.Join(k.Dir, "audio", c.Clip+".wav"))
		if err != nil {
			return nil, err
		}
		return pcm.Samples, nil
	}}
	greedy := false
	for name, raw := range c.Options {
		var err error
		switch name {
		case "language":
			err = json.Unmarshal(raw, &r.Language)
		case "task":
			err = json.Unmarshal(raw, &r.Task)
		case "condition_on_previous_text":
			var condition bool
			err = json.Unmarshal(raw, &condition)
			r.Unconditioned = !condition
		case "temperature":
			greedy = string(raw) == "0.0" || string(raw) == "0"
		default:
			return r, false
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, greedy && c.Stable
}

// TestGoldenTranscribe holds whole recordings, decoded in shared batches, against upstream's
// sequential transcribe() at temperature 0.
func TestGoldenTranscribe(t *testing.T) {
	k := goldentest.Open(t, backend(t), "..", "..", "shared", "golden", "public")
	k.Each(t, func(t *testing.T, name string, _ *whisper.Model) {
		var cases, ran []transcribeCase
		if _, err := os.Stat(filepath.Join(k.Dir, name, "transcribe.json")); err != nil {
			t.Skipf("SKIP: the kit has no transcribe.json for %s", name)
		}
		k.JSON(t, name+"/transcribe.json", &cases)
		var requests []asr.Request
		for _, c := range cases {
			if r, ok := c.request(t, k); ok {
				ran, requests = append(ran, c), append(requests, r)
			}
		}
		if len(ran) == 0 {
			t.Skip("SKIP: no case at temperature 0 with the options that are implemented")
		}
		e, err := asr.New(k.Model(t, name), k.Backend, nil, nil, asr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		err = e.Transcribe(context.Background(), requests, func(i int, r *asr.Result) {
			done++
			checkResult(t, ran[i], r)
		})
		if err != nil || done != len(ran) {
			t.Fatalf("%d of %d results, error %v", done, len(ran), err)
		}
		t.Logf("%d cases of %d", len(ran), len(cases))
	})
}

func checkResult(t *testing.T, c transcribeCase, got *asr.Result) {
	t.Helper()
	want := c.Result
	if got.Err != nil {
		t.Errorf("%s: %v", c.Name, got.Err)
		return
	}
	if got.Text != strings.TrimSpace(want.Text) || got.Language != want.Language {
		t.Errorf("%s: %s %q, want %s %q", c.Name, got.Language, got.Text, want.Language, want.Text)
	}
	// Upstream keeps empty segments in its list, without text.
	segments := slices.DeleteFunc(want.Segments, func(s asr.Segment) bool { return s.Text == "" })
	if len(got.Segments) != len(segments) {
		t.Errorf("%s: %d segments, want %d", c.Name, len(got.Segments), len(segments))
		return
	}
	for i, w := range segments {
		g := got.Segments[i]
		if g.Seek != w.Seek || math.Abs(g.Start-w.Start) > 1e-6 || math.Abs(g.End-w.End) > 1e-6 || g.Text != w.Text || !slices.Equal(g.Tokens, w.Tokens) {
			t.Errorf("%s: segment %d is %+v, want %+v", c.Name, i, g, w)
		}
		if math.Abs(g.AvgLogProb-w.AvgLogProb) > 2e-3 || math.Abs(g.NoSpeechProb-w.NoSpeechProb) > 1e-3 {
			t.Errorf("%s: segment %d has avg_logprob %v, no_speech_prob %v, want %v, %v", c.Name, i, g.AvgLogProb, g.NoSpeechProb, w.AvgLogProb, w.NoSpeechProb)
		}
	}
}
