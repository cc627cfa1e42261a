package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor/cpu"
)

// newModel returns an initialised model that knows en and zh.
func newModel(t *testing.T) *whisper.Model {
	t.Helper()
	k, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"so la", "la do"}), 20), 2, 151)
	if err != nil {
		t.Fatal(err)
	}
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: 150, NAudioState: 16, NAudioHead: 2, NAudioLayer: 1, NAudioFFN: 32,
		NVocab: k.NVocab(), NTextCtx: 24, NTextState: 16, NTextHead: 2, NTextLayer: 1, NTextFFN: 32, Unpadded: true,
	})
	m.Tokenizer, m.Generation = k, whisper.DefaultGeneration(m.Dims, k)
	train.Initialize(m, 3)
	return m
}

// newOptions returns an experiment of two languages, two kinds and two ranks on a second of noise each.
func newOptions(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	var data []eval.Utterance
	for _, lang := range []string{"en", "zh"} {
		path := filepath.Join(dir, lang+".wav")
		header := "RIFF\x24\x7d\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x00\x7d\x00\x00"
		if err := os.WriteFile(path, append([]byte(header), make([]byte, 32000)...), 0o666); err != nil {
			t.Fatal(err)
		}
		data = append(data, eval.Utterance{AudioFilepath: path, Text: "so la", Lang: lang})
	}
	manifest := filepath.Join(dir, "m.jsonl")
	if err := eval.WriteManifest(manifest, data); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Out: filepath.Join(dir, "out"), Languages: []string{"en", "zh"}, Kinds: []flora.Kind{flora.LoRA, flora.FLoRA}, Ranks: []int{1, 2}, Seeds: 1,
		Target: flora.All, Train: train.DefaultOptions(train.Kind(flora.LoRA)), Base: "tiny", Search: "1 beam", Test: data,
	}
	o.Train.Data, o.Train.Steps, o.Train.BatchFrames, o.Train.Warmup = []train.Source{{Path: manifest}}, 2, 100, 1
	return o
}

// scorer is workers that do not transcribe: of a text of 10 words they get wrong as many as the rank of the
// adapter says, 9 without one.
type scorer struct {
	mu    sync.Mutex
	calls []string
}

func (s *scorer) worker(t *testing.T, m *whisper.Model) Worker {
	t.Helper()
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return Worker{Backend: b, Model: m, Score: func(_ context.Context, a *flora.Adapter, us []eval.Utterance) (eval.Score, error) {
		wrong, name := 9, "none"
		if a != nil {
			wrong, name = a.Rank, a.Name
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, us[0].Lang+" "+name)
		return eval.Score{Utterances: len(us), Words: eval.Counts{Hits: 10 - wrong, Substitutions: wrong}, Characters: eval.Counts{Hits: 1}}, nil
	}}
}

func TestExperimentDoesEachCellOnce(t *testing.T) {
	o, m := newOptions(t), newModel(t)
	s := new(scorer)
	var last Status
	if err := Run(t.Context(), o, []Worker{s.worker(t, m), s.worker(t, newModel(t))}, func(st Status) { last = st }); err != nil {
		t.Fatal(err)
	}
	if len(s.calls) != 10 || last.Done != 10 || last.Total != 10 { // 2 languages, and 2 kinds and 2 ranks of each
		t.Fatalf("%d cells: %q, status %+v", len(s.calls), s.calls, last)
	}
	for _, call := range s.calls {
		lang, name, _ := strings.Cut(call, " ")
		if name != "none" && !strings.HasPrefix(name, lang) {
			t.Errorf("adapter %s was measured in language %s", name, lang)
		}
	}
	for _, name := range []string{"wer.svg", "wer.png", "report.html", "results.json", "cells"} {
		if _, err := os.Stat(filepath.Join(o.Out, name)); err != nil {
			t.Error(err)
		}
	}

	// Another seed and kind are done, and nothing else; so is what has another learning rate.
	s.calls = nil
	o.Seeds, o.LearningRates = 2, map[flora.Kind]float64{flora.LoRA: 0.125}
	if err := Run(t.Context(), o, []Worker{s.worker(t, m)}, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls); n != 2*2*(2+1) { // languages, ranks, 2 seeds of lora and 1 of flora
		t.Errorf("%d cells were done: %q", n, s.calls)
	}
	table, err := os.ReadFile(filepath.Join(o.Out, "table.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| no adapter    |       90.0 |", "| lora, rank 1  | 10.0 ± 0.0 | 10.0 ± 0.0 | 10.0 ± 0.0 |", "| flora, rank 2 | 20.0 ± 0.0 |"} {
		if !strings.Contains(string(table), want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	s.calls = nil
	if err := Run(t.Context(), o, []Worker{s.worker(t, m)}, nil); err != nil || len(s.calls) > 0 {
		t.Errorf("%q were done again, %v", s.calls, err)
	}
}

func TestExperimentGoesOn(t *testing.T) {
	o, m := newOptions(t), newModel(t)
	o.Languages, o.Seeds = o.Languages[:1], 2
	s := new(scorer)
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, o, []Worker{s.worker(t, m)}, func(st Status) {
		if st.Done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	done := len(s.calls)
	path := filepath.Join(o.Out, resultsFile)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"lang": "en", "ki`); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	f.Close()
	if err := Run(t.Context(), o, []Worker{s.worker(t, m)}, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.calls) != 9 || done >= 9 {
		t.Errorf("%d cells before, %d in all, want 9", done, len(s.calls))
	}
	results, err := readResults(path)
	if err != nil || len(results) != 9 {
		t.Errorf("%d results, %v", len(results), err)
	}
}

func TestExperimentRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"a language without test":     func(o *Options) { o.Test = o.Test[:1] },
		"a language without training": func(o *Options) { o.Languages = []string{"de"}; o.Test[0].Lang = "de" },
		"a kind that is not known":    func(o *Options) { o.Kinds = []flora.Kind{"full"} },
		"rank 0":                      func(o *Options) { o.Ranks = []int{0} },
		"no seeds":                    func(o *Options) { o.Seeds = 0 },
	} {
		o := newOptions(t)
		change(&o)
		if err := Run(t.Context(), o, []Worker{new(scorer).worker(t, newModel(t))}, nil); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, want ErrOptions", name, err)
		}
	}
}

func TestRowsAverageOverSeeds(t *testing.T) {
	o := Options{Languages: []string{"cs", "fi"}, Kinds: []flora.Kind{flora.LoRA, flora.IA3}, Ranks: []int{1}, Seeds: 2}
	cell := func(lang string, seed uint64, wer float64) Result {
		return Result{Cell: Cell{lang, flora.LoRA, 1, seed}, WER: wer, CER: wer / 2, Parameters: 5}
	}
	diverged := cell("fi", 3, 0)
	diverged.Failed = "it diverged"
	rows := o.Rows([]Result{cell("cs", 1, 0.2), cell("cs", 2, 0.4), cell("fi", 1, 0.1), cell("fi", 2, 0.1), cell("cs", 3, 0.9), diverged})
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	text, err := json.Marshal(rows[0])
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	if r.WER["fi"] != (Rate{0.1, 0, 2}) || r.WER["cs"].String() != "50.0 ± 36.1" || r.WERAverage.String() != "20.0 ± 7.1" || r.CERAverage.String() != "10.0 ± 3.5" || r.Failed != 1 {
		t.Errorf("row %s", text)
	}
}
