package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"glossa/asr/simulate"
	"glossa/asr/simulate/measure"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper/tensor"
)

// measureAll measures the models that the flags name.
func (f *benchCostsCommand) measureAll(ctx context.Context, c *console) (measured []*simulate.Model, err error) {
	b, err := f.device()
	if err != nil {
		return nil, err
	}
	names := f.Geometry
	if len(names) == 0 {
		names = []string{""}
	}
	done := 0
	for _, geometry := range names {
		m := &costsModel{benchCostsCommand: f, backend: b, geometry: geometry, console: c}
		phase := func(what string) {
			c.advance(int64(done), "%s: %s", m.name(), what)
			done++
		}
		phase("model")
		o, err := m.open()
		if err != nil {
			return nil, err
		}
		o.Phase = phase
		outcome, err := measure.Run(ctx, o)
		if err != nil {
			return nil, err
		}
		outcome.Measured = programVersion()
		measured = append(measured, outcome)
	}
	return measured, nil
}

// phases returns the number of parts of the measurement that the bar counts.
func (f *benchCostsCommand) phases() int {
	return (1 + measure.Phases(f.Passes)) * max(len(f.Geometry), 1)
}

// costsModel is a model that is measured.
type costsModel struct {
	*benchCostsCommand
	backend  computer
	geometry string // "" for the model of the flags
	console  *console
}

// name returns what the model is called.
func (m *costsModel) name() string {
	switch {
	case m.Name != "":
		return m.Name
	case m.geometry != "":
		return m.geometry
	}
	return filepath.Base(m.Model)
}

// most returns the greatest number of rows, which is that of adapters too.
func (m *costsModel) most() int { return m.Rows[len(m.Rows)-1] }

// open opens the model and its adapters, or makes them up.
func (m *costsModel) open() (o measure.Options, err error) {
	dtype, err := chooseDType(m.backend.backend, m.DType)
	if err != nil {
		return o, err
	}
	o = measure.Options{
		Name: m.name(), Device: m.backend.describe(), DType: dtype.String(),
		Backend: m.backend.backend, Adapter: m.Adapter, Tokens: m.Tokens, Rows: m.Rows, Seconds: m.Seconds, Passes: m.Passes,
	}
	if m.geometry == "" {
		err = m.openModel(&o)
	} else {
		err = m.makeModel(&o, dtype)
	}
	if err != nil {
		return o, err
	}
	if len(o.Adapters) > 0 && !o.Resident { // as modelFlags.engine has it
		if o.Strategies, err = strategyOptions(o.Model, m.backend, m.Batch, m.MergedMemory); err != nil {
			return o, err
		}
	}
	o.Sounds, err = m.sounds()
	return o, err
}

// openModel opens the model that the flags name.
func (m *costsModel) openModel(o *measure.Options) (err error) {
	o.Steps = new(measure.Steps)
	m.observer = o.Steps.Observer()
	if o.Engine, err = m.engineOn([]computer{m.backend}, nil); err != nil {
		return err
	}
	o.Model = o.Engine.Model()
	if m.Model == nanoName {
		o.Resident = true
		c, adapters, _, err := openNano()
		if err != nil {
			return err
		}
		o.Adapters = adapters
		return c.Close()
	}
	for _, a := range o.Engine.Adapters() {
		if a.Dir == "" {
			continue
		}
		opened, err := flora.Open(a.Dir)
		if err != nil {
			return err
		}
		if o.Adapters = append(o.Adapters, opened); len(o.Adapters) == m.most() {
			break
		}
	}
	return nil
}

// makeModel makes a model and an adapter of random weights.
func (m *costsModel) makeModel(o *measure.Options, dtype tensor.DType) error {
	d, tokenizer, err := benchGeometry(m.geometry)
	if err != nil {
		return err
	}
	if err := checkMemory(m.backend, d, dtype, m.most(), 1, false); err != nil {
		return fmt.Errorf("%s %s: %w", m.geometry, dtype, err)
	}
	made, err := newBenchModel(d, tokenizer, m.backend.backend, dtype)
	if err != nil {
		return err
	}
	if o.Model = made.Model; m.Kind == "none" {
		return nil
	}
	rng := rand.New(rand.NewPCG(3, 3))
	a, err := flora.New(o.Model, "random", flora.Kind(m.Kind), m.Rank, flora.All, rng)
	if err != nil {
		return err
	}
	for _, f := range a.Sites {
		for _, p := range []*tensor.Mat{&f.A, &f.B, &f.U, &f.V, &f.M} {
			*p = tensor.NewMat(p.Rows, p.Cols, p.Data)
			for i := range p.Data {
				p.Data[i] += float32(0.1 * rng.NormFloat64())
			}
		}
	}
	o.Adapters = []*flora.Adapter{a}
	return nil
}

const (
	usualData  = "testdata/multilingual/manifest.jsonl"
	mostSounds = 240
)

// sounds reads the recordings that the flags name, so many at most, spread over all. Without a flag there may be none.
func (m *costsModel) sounds() (sounds []measure.Sound, err error) {
	data := m.Data
	if data == "" {
		if _, err := os.Stat(usualData); err != nil || m.geometry != "" {
			return nil, nil
		}
		data = usualData
	}
	us, err := train.ReadUtterances(data, "", m.console.warn)
	if err != nil {
		return nil, err
	}
	n := min(len(us), mostSounds)
	for i := range n {
		u := us[i*len(us)/n]
		s, err := measure.ReadSound(u.AudioFilepath, u.Lang)
		if err != nil {
			return nil, err
		}
		sounds = append(sounds, s)
	}
	return sounds, nil
}
