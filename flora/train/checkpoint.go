package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// Errors of checkpoints.
var (
	ErrCheckpoint = errors.New("train: unusable checkpoint")
	ErrExists     = errors.New("train: the folder already has checkpoints")
)

// Files of a checkpoint Out/step-00000500. A checkpoint is written under a temporary name and then
// renamed, so that one of this name is complete.
const (
	stepPrefix  = "step-"
	temporary   = ".partial"
	modelFolder = "model" // what the service loads
	stateFile   = "state.safetensors"
	recordFile  = "training.json"
)

// record is what a checkpoint says about its training.
type record struct {
	Step     int             `json:"step"`
	Updates  int             `json:"updates"`
	BadSteps int             `json:"bad_steps"`
	Skipped  int             `json:"skipped"`
	Data     position        `json:"data"`
	Sizes    map[string]int  `json:"sizes"` // entries by pool
	Options  json.RawMessage `json:"options"`

	Adapter *AdapterOptions `json:"adapter,omitempty"`
	Seconds float64         `json:"seconds,omitempty"` // of training, evaluations included
	Best    *best           `json:"best,omitempty"`
}

// checkpointName returns the folder of the checkpoint after so many steps.
func checkpointName(step int) string { return fmt.Sprintf("%s%08d", stepPrefix, step) }

// checkpoints lists the names of the complete checkpoints in out, the oldest first.
func checkpoints(out string) ([]string, error) {
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stepPrefix) && !strings.HasSuffix(e.Name(), temporary) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// save writes a checkpoint after the current step and removes those beyond the number to keep.
func (t *trainer) save() error {
	dir := filepath.Join(t.options.Out, checkpointName(t.step))
	partial := dir + temporary
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.MkdirAll(partial, 0o777); err != nil {
		return err
	}
	if err := t.saveModel(filepath.Join(partial, modelFolder)); err != nil {
		return err
	}
	if err := t.saveState(partial); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	names, err := checkpoints(t.options.Out)
	for len(names) > max(t.options.Keep, 1) && err == nil {
		err = os.RemoveAll(filepath.Join(t.options.Out, names[0]))
		names = names[1:]
	}
	return err
}

// saveModel writes the result so far: the average of the weights where there is one.
func (t *trainer) saveModel(dir string) error {
	t.optimizer.swapAverage()
	defer t.optimizer.swapAverage()
	return t.options.Trainable.Save(dir)
}

// saveState writes what a resumed training needs beside the model.
func (t *trainer) saveState(dir string) error {
	var values []safetensors.Values
	add := func(name string, like tensor.Mat, data []float32) {
		values = append(values, safetensors.Values{Name: name, Shape: []int{like.Rows, like.Cols}, Data: data})
	}
	t.optimizer.tensors(add)
	if t.best != nil {
		t.best.tensors(t.options.Trainable.Params(), add)
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, values, nil, safetensors.F32); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), file.Bytes(), 0o666); err != nil {
		return err
	}
	options, err := json.Marshal(&t.options)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(record{
		Step: t.step, Updates: t.optimizer.updates, BadSteps: t.badSteps, Skipped: t.skipped,
		Data: t.at, Sizes: t.loader.maker.data.sizes(), Options: options,
		Adapter: t.adapterOptions(), Seconds: t.seconds(), Best: t.best,
	}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordFile), append(text, '\n'), 0o666)
}

// restore continues from the newest checkpoint in the training's folder, if there is one.
func (t *trainer) restore() error {
	names, err := checkpoints(t.options.Out)
	if err != nil || len(names) == 0 {
		return err
	}
	if !t.options.Resume {
		return fmt.Errorf("%w: %s", ErrExists, filepath.Join(t.options.Out, names[len(names)-1]))
	}
	dir := filepath.Join(t.options.Out, names[len(names)-1])
	if err := t.load(dir); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCheckpoint, dir, err)
	}
	return nil
}

func (t *trainer) load(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	if err := t.compare(r); err != nil {
		return err
	}
	file, err := safetensors.Open(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	defer file.Close()
	var bad error
	t.optimizer.tensors(func(name string, like tensor.Mat, data []float32) {
		bad = errors.Join(bad, readTensor(file, name, like, data))
	})
	t.optimizer.change()
	t.step, t.optimizer.updates, t.badSteps, t.skipped = r.Step, r.Updates, r.BadSteps, r.Skipped
	t.at, t.secondsBefore = r.Data, r.Seconds
	t.loader.at, t.loader.skipped = r.Data.clone(), r.Skipped
	return errors.Join(bad, t.restoreBest(r.Best, file))
}

// compare returns an error that names what differs between a checkpoint's training and this one.
func (t *trainer) compare(r record) error {
	if a := t.adapterOptions(); a != nil && r.Adapter != nil && *a != *r.Adapter {
		return fmt.Errorf("the adapter was %s, and is %s now", r.Adapter, a)
	}
	now, err := json.Marshal(&t.options)
	if err != nil {
		return err
	}
	var before, after map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(r.Options, &before), json.Unmarshal(now, &after)); err != nil {
		return err
	}
	if before["Precision"] == nil { // a checkpoint from before there was a choice
		before["Precision"] = json.RawMessage(`"` + PrecisionF32 + `"`)
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(after))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		var was bytes.Buffer
		if before[name] != nil {
			if err := json.Compact(&was, before[name]); err != nil {
				return err
			}
		}
		if !bytes.Equal(was.Bytes(), after[name]) {
			return fmt.Errorf("%s was %s, and is %s now", name, orNone(was.Bytes()), orNone(after[name]))
		}
	}
	sizes := t.loader.maker.data.sizes()
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		if r.Sizes[name] != sizes[name] {
			return fmt.Errorf("data set and language %q had %d entries, and has %d now", name, r.Sizes[name], sizes[name])
		}
	}
	if len(r.Data.Drawn) != len(t.at.Drawn) || len(r.Sizes) != len(sizes) {
		return fmt.Errorf("it drew from %d pools of data, there are %d now", len(r.Data.Drawn), len(t.at.Drawn))
	}
	return nil
}

// orNone returns the value of an option as an error names it.
func orNone(value []byte) string {
	if len(value) == 0 {
		return "none"
	}
	return string(value)
}
