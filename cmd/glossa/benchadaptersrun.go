package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// adapterBench is a model whose adapters are measured.
type adapterBench struct {
	*benchModel
	on       computer
	geometry string
	dtype    tensor.DType
	costs    *flora.Costs
}

// contender is one way to compute a case.
type contender struct {
	name   string // "" of the base model
	batch  *flora.Batch
	chosen bool
	barred bool // may not be chosen
	slow   bool // so that once is enough
	times  []time.Duration
}

// adapter returns what the linears call.
func (t *contender) adapter() whisper.Adapter {
	if t.batch == nil {
		return nil
	}
	return t.batch
}

// chosenName is that of a choice which is not the same strategy everywhere.
const chosenName = "several"

// measureCase measures the base model and each strategy of a case by turns.
func (f *benchCommand) measureCase(ctx context.Context, m *adapterBench, c adapterCase) ([]adapterResult, error) {
	contenders, err := f.contenders(m, c)
	if err != nil {
		return nil, err
	}
	m.release()
	if c.phase == flora.Encode {
		err = f.encodeByTurns(ctx, m, c, contenders)
	} else {
		err = f.decodeByTurns(ctx, m, c, contenders)
	}
	if err != nil {
		return nil, err
	}
	return newAdapterResults(c, threadsOf(m.on.backend), contenders), nil
}

// contenders returns the base model, the strategies that are asked for, and the choice.
func (f *benchCommand) contenders(m *adapterBench, c adapterCase) ([]*contender, error) {
	as := m.randomAdapters(c)
	policy := flora.DefaultPolicy(m.Model)
	policy.Encode = encodeLoad(m.Model, m.on)
	policy.Decode = flora.Load{Rows: c.batch, Adapters: c.adapters}
	policy.MergedBytes = f.Merged.on(m.Model, m.on, c.batch)
	chosen, err := flora.NewBatchWith(m.Model, m.on.backend, flora.Options{Costs: m.costs, Policy: policy}, as...)
	if err != nil {
		return nil, err
	}
	name, byRows, err := strategiesOf(chosen, as[0])
	if err != nil {
		return nil, err
	}
	contenders := []*contender{{}}
	for _, s := range []flora.Strategy{byRows, flora.Mix, flora.Merged} {
		if f.Strategy != "all" && f.Strategy != string(s) {
			continue
		}
		p := *policy
		p.MergedBytes = 1 << 50
		if size := int64(len(as)) * phaseBytes(m, c.phase); s == flora.Merged && roomOn(m.on.backend) > 0 && size > roomOn(m.on.backend)/4*3 {
			continue
		}
		b, err := flora.NewBatchWith(m.Model, m.on.backend, flora.Options{Strategy: s, Policy: &p}, as...)
		if err != nil {
			return nil, err
		}
		contenders = append(contenders, &contender{name: string(s), batch: b, chosen: string(s) == name, barred: s == flora.Merged && policy.MergedBytes == 0})
	}
	if !slices.ContainsFunc(contenders, func(t *contender) bool { return t.chosen }) {
		contenders = append(contenders, &contender{name: name, batch: chosen, chosen: true})
	}
	return contenders, nil
}

// phaseBytes returns the bytes of the weights of a phase.
func phaseBytes(m *adapterBench, phase flora.Phase) (n int64) {
	for _, l := range m.Linears() {
		if flora.PhaseOf(l.Site) == phase {
			n += tensor.PackedBytes(l.Weight.Packed)
		}
	}
	return n
}

// strategiesOf returns the name of the strategy that a batch has for an adapter, and that by rows.
func strategiesOf(b *flora.Batch, a *flora.Adapter) (chosen string, byRows flora.Strategy, err error) {
	r, err := b.Prepare(a)
	if err != nil {
		return "", "", err
	}
	for site, factors := range a.Sites {
		s := string(r.Strategy(site))
		if chosen != "" && chosen != s {
			s = chosenName
		}
		chosen, byRows = s, factors.ByRows()
	}
	return chosen, byRows, nil
}

// randomAdapters returns the adapters of a case, of all linears of its phase.
func (m *adapterBench) randomAdapters(c adapterCase) []*flora.Adapter {
	rng := rand.New(rand.NewPCG(2, 2))
	random := func(rows, cols int, center, width float32) tensor.Mat {
		x := tensor.Zeros(rows, cols)
		for i := range x.Data {
			x.Data[i] = center + width*(2*rng.Float32()-1)
		}
		return x
	}
	var as []*flora.Adapter
	for i := range c.adapters {
		a := &flora.Adapter{Name: fmt.Sprint(i), Kind: c.kind, Rank: c.rank, Sites: make(map[whisper.Site]*flora.Factors)}
		for _, l := range m.Linears() {
			if flora.PhaseOf(l.Site) != c.phase {
				continue
			}
			nOut, nIn := l.Weight.Rows, l.Weight.Cols
			fs := &flora.Factors{Base: c.kind != flora.FLoRA && c.kind != flora.IA3}
			switch c.kind {
			case flora.FLoRA, flora.HiRA:
				fs.A, fs.B = random(c.rank, nOut, 1, 0.1), random(c.rank, nIn, 0.5, 0.1)
			case flora.IA3:
				fs.A = random(1, nOut, 1, 0.1)
			default:
				fs.U, fs.V = random(nOut, c.rank, 0, 0.1), random(c.rank, nIn, 0, 0.1)
			}
			if c.kind == flora.DoRA {
				fs.M = random(1, nOut, 1, 0.1)
			}
			a.Sites[l.Site] = fs
		}
		as = append(as, a)
	}
	return as
}

// slowest is how many times the base model's time a strategy of encoding takes to be measured but once.
const slowest = 3

// adapterOf is the index of window i's adapter.
func (c adapterCase) adapterOf(i int) int32 { return int32(1 + i%c.adapters) }

// encodeByTurns encodes the windows of a case, to the keys and values of cross-attention.
func (f *benchCommand) encodeByTurns(ctx context.Context, m *adapterBench, c adapterCase, contenders []*contender) error {
	mels := randomMels(m.Dims, c.batch)
	adapterOf := make([]int32, c.batch)
	for i := range adapterOf {
		adapterOf[i] = c.adapterOf(i)
	}
	begin := time.Now()
	var first time.Duration // of the base model
	for round := 0; round < 2 || round < f.Repeat && !f.over(time.Since(begin)); round++ {
		for i, t := range contenders {
			if err := ctx.Err(); err != nil {
				return err
			}
			if t.slow {
				continue
			}
			d, err := m.encodeAdapted(mels, t.adapter(), adapterOf)
			if err != nil {
				return err
			}
			if i == 0 && round == 0 {
				first = d
			}
			t.slow = d > slowest*first
			if round > 0 || t.slow { // the first is for the memory to be there
				t.times = append(t.times, d)
			}
		}
	}
	return nil
}

// encodeAdapted encodes windows under adapters, on a GPU as many together as the engine does, and those of an adapter side by side as it has them.
func (m *adapterBench) encodeAdapted(mels []audio.Mel, a whisper.Adapter, adapterOf []int32) (time.Duration, error) {
	together := len(mels)
	if m.on.gpu() {
		together = gpuEncodes
	}
	begin := time.Now()
	var all []*whisper.CrossKV
	for from := 0; from < len(mels); from += together {
		to := min(from+together, len(mels))
		var of []int32
		if a != nil {
			of = adapterOf[from:to]
			slices.Sort(of)
		}
		cross, err := m.EncodeInto(&m.pool, m.ops, a, mels[from:to], of)
		if err != nil {
			return 0, err
		}
		all = append(all, cross...)
	}
	if err := m.ops.Read(nil, tensor.Mat{}); err != nil { // a device may compute no sooner
		return 0, err
	}
	d := time.Since(begin)
	for _, kv := range all {
		m.pool.Free(kv)
	}
	return d, nil
}

// decodeByTurns decodes the windows of a case in batches that take steps by turns.
func (f *benchCommand) decodeByTurns(ctx context.Context, m *adapterBench, c adapterCase, contenders []*contender) error {
	cross, err := m.EncodeInto(&m.pool, m.ops, nil, randomMels(m.Dims, 1), nil)
	if err != nil {
		return err
	}
	own := []*whisper.CrossKV{cross[0]}
	for len(own) < c.batch {
		own = append(own, m.pool.Keep(m.ops, cross[0]))
	}
	options := whisper.DecodeOptions{
		Language: "en", WithoutTimestamps: true, SampleLen: f.Tokens, Suppress: []int32{m.Tokenizer.EOT()},
	}
	batches := make([]*whisper.Batch, len(contenders))
	for i, t := range contenders {
		batches[i] = m.NewBatch(m.ops, t.adapter())
	}
	begin := time.Now()
	for round := 0; round == 0 || round < f.Repeat && !f.over(time.Since(begin)); round++ {
		for i, t := range contenders {
			for w, kv := range own {
				u := whisper.Utterance{Cross: kv, Options: options}
				if t.batch != nil {
					u.Adapter = c.adapterOf(w)
				}
				if _, err := batches[i].Add(u); err != nil {
					return err
				}
			}
		}
		for step := 0; batches[0].Len() > 0 && (step < leastSteps || !f.over(time.Since(begin))); step++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := stepByTurns(batches, contenders, step > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// leastSteps are taken however long they take.
const leastSteps = 5

// stepByTurns takes a step of each batch, and keeps its time where it is asked to.
func stepByTurns(batches []*whisper.Batch, contenders []*contender, timed bool) error {
	for i, b := range batches {
		begin := time.Now()
		done, err := b.Step()
		if err != nil {
			return err
		}
		if d := time.Since(begin); timed {
			contenders[i].times = append(contenders[i].times, d)
		}
		for _, w := range done {
			if w.Err != nil {
				return w.Err
			}
		}
	}
	return nil
}
