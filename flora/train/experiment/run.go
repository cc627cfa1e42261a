package experiment

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"glossa/eval"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
)

// Names in the folder of an experiment.
const (
	cellFolder  = "cells"         // a training each
	resultsFile = "results.jsonl" // a Result a line
)

// run is an experiment under way. Its methods are safe for concurrent use.
type run struct {
	options  *Options
	settings map[Cell]string
	progress func(Status)
	file     *os.File
	todo     []Cell
	begin    time.Time

	mu       sync.Mutex
	results  []Result
	skipped  int
	fraction map[Cell]float64 // done of each cell under way
}

// newRun reads the results that there are, and finds what is left to do.
func newRun(o *Options, m *whisper.Model, progress func(Status)) (*run, error) {
	r := &run{options: o, progress: progress, begin: time.Now(), settings: make(map[Cell]string), fraction: make(map[Cell]float64)}
	data, err := o.dataSums()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(o.Out, resultsFile)
	old, err := readResults(path)
	if err != nil {
		return nil, err
	}
	bySettings := make(map[string]Result)
	for _, res := range old {
		bySettings[res.Cell.String()+res.Settings] = res
	}
	for _, c := range o.cells() {
		s, err := o.settings(c, m.Fingerprint(), data[c.Lang])
		if err != nil {
			return nil, err
		}
		r.settings[c] = s
		if res, ok := bySettings[c.String()+s]; ok {
			r.results = append(r.results, res)
		} else {
			r.todo = append(r.todo, c)
		}
	}
	r.skipped = len(r.results)
	r.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return r, nil
}

func (r *run) close() { r.file.Close() } // each line is written at once

// readResults returns the lines of a file of results, but for what a crash has cut, which it takes away.
func readResults(path string) ([]Result, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	if end := bytes.LastIndexByte(text, '\n') + 1; end < len(text) {
		if err := os.Truncate(path, int64(end)); err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
		text = text[:end]
	}
	var results []Result
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		var res Result
		if err := json.Unmarshal(lines.Bytes(), &res); err != nil {
			return nil, fmt.Errorf("experiment: %s:%d: %w; another --out begins anew", path, n, err)
		}
		results = append(results, res)
	}
	return results, lines.Err()
}

// dataSums identifies the training and test utterances of each language.
func (o *Options) dataSums() (map[string]string, error) {
	sums := make(map[string]string)
	texts := make(map[string]*bytes.Buffer)
	for _, lang := range o.Languages {
		texts[lang] = new(bytes.Buffer)
	}
	add := func(what string, weight float64, us []eval.Utterance) {
		for _, u := range us {
			if b := texts[u.Lang]; b != nil {
				fmt.Fprintf(b, "%s\t%v\t%s\t%s\n", what, weight, filepath.Base(u.AudioFilepath), u.Text)
			}
		}
	}
	trained := make(map[string]bool)
	for _, s := range o.Train.Data {
		us, err := train.ReadUtterances(s.Path, o.Train.Language, nil)
		if err != nil {
			return nil, err
		}
		for _, u := range us {
			trained[u.Lang] = true
		}
		add("train", s.Weight, us)
	}
	add("test", 1, o.Test)
	for lang, b := range texts {
		if !trained[lang] {
			return nil, fmt.Errorf("%w: the data to train on has no utterance in language %q", ErrOptions, lang)
		}
		sum := sha256.Sum256(b.Bytes())
		sums[lang] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}

// settings identifies all that the result of a cell depends on.
func (o *Options) settings(c Cell, model, data string) (string, error) {
	all := struct {
		Model, Data, Search string
		Target              flora.Target
		Train               *train.Options
	}{Model: model, Data: data, Search: o.Search}
	if c.Kind != None {
		t := o.training(c)
		t.Data = nil // known by its sum
		all.Target, all.Train = o.Target, &t
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("experiment: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6]), nil
}

// training returns the options of a cell's training but for what computes.
func (o *Options) training(c Cell) train.Options {
	t := o.Train
	t.Seed, t.Languages, t.LearningRate = c.Seed, []string{c.Lang}, o.LearningRates[c.Kind]
	t.Dev, t.Evaluate, t.EvaluateEvery, t.Patience, t.CheckpointEvery, t.Keep = nil, nil, 0, 0, 0, 1
	t.Resume = true
	return t
}

// do trains and measures a cell, and takes note of the result.
func (r *run) do(ctx context.Context, w Worker, c Cell) error {
	res := Result{Cell: c, Settings: r.settings[c]}
	var a *flora.Adapter
	if c.Kind != None {
		var err error
		if a, err = r.train(ctx, w, c, &res); err != nil && !errors.Is(err, train.ErrDiverged) {
			return err
		}
		if err != nil {
			res.Failed = err.Error()
			return r.finish(res)
		}
	}
	begin := time.Now()
	score, err := w.Score(ctx, a, r.options.test(c.Lang))
	if err != nil {
		return err
	}
	res.TestSeconds = time.Since(begin).Seconds()
	res.Utterances, res.WER, res.CER = score.Utterances, score.WER(), score.CER()
	return r.finish(res)
}

// train trains the adapter of a cell, and leaves its files in the folder of the cell.
func (r *run) train(ctx context.Context, w Worker, c Cell, res *Result) (*flora.Adapter, error) {
	t := r.options.training(c)
	t.Backend, t.Model = w.Backend, w.Model
	t.Out = filepath.Join(r.options.Out, cellFolder, c.String()+"-"+res.Settings)
	a, trainable, err := train.NewAdapter(w.Model, train.AdapterOptions{
		Kind: c.Kind, Rank: max(c.Rank, 1), Target: r.options.Target, Name: c.String(), Base: r.options.Base, Seed: c.Seed,
	})
	if err != nil {
		return nil, err
	}
	t.Trainable = trainable
	for _, p := range trainable.Params() {
		res.Parameters += len(p.Mat.Data)
	}
	res.LearningRate, res.Steps = t.LearningRate, t.Steps
	begin := time.Now()
	last, n := 0.0, 0
	err = train.Run(ctx, t, func(p train.Progress) {
		if p.Step > p.Steps-max(p.Steps/10, 1) {
			last, n = last+p.Loss, n+1
		}
		r.advance(c, float64(p.Step)/float64(p.Steps))
	})
	if err != nil {
		return nil, err
	}
	res.TrainSeconds, res.Loss = time.Since(begin).Seconds(), last/float64(max(n, 1))
	checkpoints, _ := filepath.Glob(filepath.Join(t.Out, "step-*"))
	for _, dir := range checkpoints {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// advance takes note of how much of a cell is done.
func (r *run) advance(c Cell, fraction float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fraction[c] = fraction
	r.tell(c, nil)
}

// finish writes the result of a cell.
func (r *run) finish(res Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	line, err := json.Marshal(res)
	if err != nil {
		return err
	}
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		return err
	}
	delete(r.fraction, res.Cell)
	r.results = append(r.results, res)
	r.tell(res.Cell, &res)
	return writeTables(r.options, r.results)
}

// tell calls progress.
func (r *run) tell(c Cell, res *Result) {
	if r.progress == nil {
		return
	}
	s := Status{Cell: c, Result: res, Done: len(r.results), Total: r.skipped + len(r.todo), Skipped: r.skipped}
	for _, f := range r.fraction {
		s.Fraction += f
	}
	did, all := s.Fraction, 0.0 // trainings; to measure a model alone is nothing beside them
	for _, res := range r.results[r.skipped:] {
		if res.Kind != None {
			did++
		}
	}
	for _, c := range r.todo {
		if c.Kind != None {
			all++
		}
	}
	if did > 0 {
		s.ETA = time.Duration(time.Since(r.begin).Seconds() / did * (all - did) * float64(time.Second))
	}
	r.progress(s)
}

// report writes the tables and the figures of what there is.
func (r *run) report() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.results) == 0 {
		return nil
	}
	return errors.Join(writeTables(r.options, r.results), writeFigures(r.options, r.results))
}
