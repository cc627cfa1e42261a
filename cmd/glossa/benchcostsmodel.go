package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// costsBench measures a model and its adapters.
type costsBench struct {
	flags    *benchCostsCommand
	ctx      context.Context
	console  *console
	backend  backend
	geometry string // "" for the model of the flags
	done     int    // phases

	model      *benchModel
	engine     *asr.Engine // of a model with weights of its own
	observer   *costsObserver
	adapters   []*flora.Adapter
	strategies flora.Options
	batch      *flora.Batch // of as many adapters as there are rows, nil without
	steps      int          // of a window
	sounds     []costsSound
	kept       []*whisper.CrossKV // of windows of so many frames
	keptFrames int
	probe      func() (time.Duration, error)
	probed     []float64 // what the probe took
	reference  float64   // and at first
	out        *simulate.Model
}

// run measures all.
func (m *costsBench) run() (*simulate.Model, error) {
	m.out = &simulate.Model{Name: m.name(), Device: fmt.Sprintf("%s, %s, %d threads", processor(), m.backend.Name(), m.backend.Threads()), Measured: programVersion()}
	m.phase("model")
	if err := m.open(); err != nil {
		return nil, err
	}
	d := m.model.Dims
	o := m.out
	o.Cores = runtime.GOMAXPROCS(0)
	o.WindowFrames, o.Unpadded, o.TextContext = d.WindowFrames(), d.Unpadded, d.NTextCtx
	one, two := m.model.WindowBytes(d.WindowFrames(), whisper.DecodeOptions{}), m.model.WindowBytes(d.WindowFrames(), whisper.DecodeOptions{BeamSize: 2})
	o.HypothesisBytes = two - one
	o.WindowBytes = one - o.HypothesisBytes
	if err := m.findProbe(); err != nil {
		return nil, err
	}
	m.phase("texts")
	if err := m.measureText(); err != nil {
		return nil, fmt.Errorf("%s: texts: %w", o.Name, err)
	}
	var passes []*simulate.Model
	for range m.flags.Passes {
		copied := *o
		m.out = &copied
		if err := m.pass(); err != nil {
			return nil, err
		}
		passes = append(passes, m.out)
	}
	return m.usualSpeed(medianModel(passes)), nil
}

// pass measures everything once.
func (m *costsBench) pass() error {
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"encoder", m.measureEncode}, {"languages and words", m.measureCalls}, {"steps", m.measureSteps},
		{"loading", m.measureLoading}, {"adapters", m.measureBring},
	} {
		m.phase(part.name)
		if err := part.measure(); err != nil {
			return fmt.Errorf("%s: %s: %w", m.out.Name, part.name, err)
		}
	}
	return nil
}

// medianModel returns the first of some measurements, with the median of all in each of its numbers that is no whole number.
func medianModel(passes []*simulate.Model) *simulate.Model {
	values := make([]reflect.Value, len(passes))
	for i, p := range passes {
		values[i] = reflect.ValueOf(p).Elem()
	}
	medianValue(values)
	return passes[0]
}

// roundTimes rounds all numbers of a measurement.
func roundTimes(o *simulate.Model) *simulate.Model { return medianModel([]*simulate.Model{o}) }

// medianValue sets what is in the first of some values, all of one shape.
func medianValue(of []reflect.Value) {
	inner := func(f func(v reflect.Value) reflect.Value) {
		parts := make([]reflect.Value, len(of))
		for i, v := range of {
			parts[i] = f(v)
		}
		medianValue(parts)
	}
	switch first := of[0]; first.Kind() {
	case reflect.Float64:
		var numbers []float64
		for _, v := range of {
			numbers = append(numbers, v.Float())
		}
		slices.Sort(numbers)
		first.SetFloat(figures((numbers[(len(numbers)-1)/2] + numbers[len(numbers)/2]) / 2))
	case reflect.Struct:
		for i := range first.NumField() {
			inner(func(v reflect.Value) reflect.Value { return v.Field(i) })
		}
	case reflect.Pointer:
		if !first.IsNil() {
			inner(func(v reflect.Value) reflect.Value { return v.Elem() })
		}
	case reflect.Slice:
		for i := range first.Len() { // all passes have as many points
			inner(func(v reflect.Value) reflect.Value { return v.Index(i) })
		}
	}
}

// name returns what the model is called.
func (m *costsBench) name() string {
	switch {
	case m.flags.Name != "":
		return m.flags.Name
	case m.geometry != "":
		return m.geometry
	}
	return filepath.Base(m.flags.Model)
}

// open opens the model and its adapters, or makes them up.
func (m *costsBench) open() (err error) {
	dtype, err := chooseDType(m.backend, m.flags.DType)
	if err != nil {
		return err
	}
	m.out.DType = dtype.String()
	if m.geometry == "" {
		err = m.openModel()
	} else {
		err = m.makeModel(dtype)
	}
	if err != nil || len(m.adapters) == 0 {
		return err
	}
	if m.geometry != "" || m.flags.Model != nanoName { // as modelFlags.engine has it
		if m.strategies, err = strategyOptions(m.model.Model, m.backend, m.flags.Batch); err != nil {
			return err
		}
	}
	var all []*flora.Adapter
	for i := range m.flags.Rows[len(m.flags.Rows)-1] {
		a := *m.adapters[i%len(m.adapters)]
		a.Name = strconv.Itoa(i)
		all = append(all, &a)
	}
	m.batch, err = flora.NewBatchWith(m.model.Model, m.backend, m.strategies, all...)
	return err
}

// openModel opens the model that the flags name.
func (m *costsBench) openModel() error {
	m.observer = new(costsObserver)
	m.flags.observer = m.observer.observer()
	var err error
	if m.engine, err = m.flags.engineOn(m.backend); err != nil {
		return err
	}
	m.model = &benchModel{Model: m.engine.Model(), ops: tensor.NewOps(m.backend)}
	if m.flags.Model == nanoName {
		c, adapters, _, err := openNano()
		if err != nil {
			return err
		}
		m.adapters = adapters
		return c.Close()
	}
	for _, a := range m.engine.Adapters() {
		if a.Dir == "" {
			continue
		}
		opened, err := flora.Open(a.Dir)
		if err != nil {
			return err
		}
		m.adapters = append(m.adapters, opened)
		if len(m.adapters) == m.flags.Rows[len(m.flags.Rows)-1] {
			break
		}
	}
	return nil
}

// makeModel makes a model and adapters of random weights.
func (m *costsBench) makeModel(dtype tensor.DType) error {
	d, tokenizer, err := benchGeometry(m.geometry)
	if err != nil {
		return err
	}
	if err := checkMemory(d, dtype, m.flags.Rows[len(m.flags.Rows)-1], 1, false); err != nil {
		return fmt.Errorf("%s %s: %w", m.geometry, dtype, err)
	}
	if m.model, err = newBenchModel(d, tokenizer, m.backend, dtype); err != nil {
		return err
	}
	if m.flags.Kind == "none" {
		return nil
	}
	rng := rand.New(rand.NewPCG(3, 3))
	a, err := flora.New(m.model.Model, "random", flora.Kind(m.flags.Kind), m.flags.Rank, flora.All, rng)
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
	m.adapters = []*flora.Adapter{a}
	return nil
}

// measureBring measures how long it takes to bring an adapter in from its folder.
func (m *costsBench) measureBring() error {
	if len(m.adapters) == 0 {
		return nil
	}
	a := m.adapters[0]
	o := &simulate.Adapters{Kind: string(a.Kind), Rank: a.Rank, Reach: reachNames[a.Reach()]}
	m.out.Adapters = o
	if m.geometry == "" {
		for _, code := range m.engine.Languages() {
			if m.engine.AdapterOf(code) != "" {
				o.Languages = append(o.Languages, code)
			}
		}
	}
	dir, err := os.MkdirTemp("", "glossa-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := a.Write(dir, safetensors.F32); err != nil {
		return err
	}
	seconds, err := m.timed(func() (time.Duration, error) {
		bank, err := flora.NewBank(m.model.Model, m.backend, flora.BankOptions{Strategies: m.strategies})
		if err != nil {
			return 0, err
		}
		if err := bank.Register("a", dir); err != nil {
			return 0, err
		}
		pin, err := bank.Pin("a")
		if err != nil {
			return 0, err
		}
		defer pin.Release()
		begin := time.Now()
		err = pin.Ready()
		took := time.Since(begin)
		for _, i := range bank.List() {
			o.Bytes = i.Bytes
		}
		return took, err
	})
	if o.Bring = figures(seconds); m.geometry == "" && m.flags.Model == nanoName {
		o.Bring = 0 // they are there from the beginning
	}
	return err
}

// reachNames are those that package simulate has.
var reachNames = map[flora.Reach]string{flora.ReachDecoder: "decoder", flora.ReachCross: "cross", flora.ReachEncoder: "encoder"}

// figures rounds a number to four figures.
func figures(x float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil || math.IsInf(y, 0) {
		return x
	}
	return y
}
