package asr

import (
	"slices"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// device is what the engine's goroutine computes with: the model and its adapters, or what a test
// puts in their place. Its errors are faults after which it is of no more use, but for those of add,
// which are the window's, and for those that wrap [tensor.ErrMemory]: what was to be done then has not happened, and
// all is as it was before.
type device interface {
	// encode runs the encoder on windows of log-mel in one batch, each under its adapter. It keeps the
	// states of the windows whose indices keep lists, in ascending order, until its next call.
	encode(mels []audio.Mel, adapterOf []int32, keep []int) ([]*whisper.CrossKV, error)

	// project returns keys and values of kept states, those whose indices among keep are given, each
	// under its adapter.
	project(kept []int, adapterOf []int32) ([]*whisper.CrossKV, error)

	// free takes back what encode or project returned.
	free(c *whisper.CrossKV)

	// detect returns the probabilities of languages, by the base model.
	detect(cross []*whisper.CrossKV, allowed [][]string) ([]whisper.LanguageProbs, error)

	// add, remove and step are those of a [whisper.Batch].
	add(u whisper.Utterance) (ticket int, err error)
	remove(ticket int)
	step() ([]whisper.Finished, error)

	// rows returns the number of hypotheses in the batch.
	rows() int

	// align times the words of windows in one batch.
	align(items []whisper.Alignment) ([]whisper.Aligned, error)

	// trim gives back memory that is held for later.
	trim()
}

// modelDevice is a model with its adapters on a backend.
type modelDevice struct {
	model    *whisper.Model
	ops      *tensor.Ops
	adapters *flora.Batch
	batch    *whisper.Batch
	pool     whisper.CrossPool
	kept     []keptStates
}

// keptStates are the encoder's states (nRow, nState) of a window.
type keptStates struct {
	rows, cols int
	data       []float32
}

func newModelDevice(m *whisper.Model, b tensor.Backend, adapters *flora.Batch) *modelDevice {
	ops := tensor.NewOps(b)
	return &modelDevice{model: m, ops: ops, adapters: adapters, batch: m.NewBatch(ops, adapters)}
}

func (d *modelDevice) encode(mels []audio.Mel, adapterOf []int32, keep []int) ([]*whisper.CrossKV, error) {
	d.ops.Reset()
	s := &whisper.Step{Ops: d.ops, Adapter: d.adapters, AdapterOf: adapterOf}
	states, err := d.model.EncodeStates(s, mels)
	if err != nil {
		return nil, err
	}
	d.kept = slices.Grow(d.kept[:0], len(keep))[:len(keep)]
	for k, i := range keep {
		from, to := s.Seg.Range(i)
		n := (to - from) * states.Cols
		data := slices.Grow(d.kept[k].data[:0], n)[:n]
		if err := d.ops.Read(data, states.Slice(from, to)); err != nil {
			return nil, err
		}
		d.kept[k] = keptStates{to - from, states.Cols, data}
	}
	return d.model.Decoder.KeepCrossKV(&d.pool, s, states)
}

func (d *modelDevice) project(kept []int, adapterOf []int32) ([]*whisper.CrossKV, error) {
	d.ops.Reset()
	s := &whisper.Step{Ops: d.ops, Adapter: d.adapters, AdapterOf: adapterOf, Seg: tensor.Segments{0}}
	all, cols := make([][]float32, 0, len(kept)), 0
	for _, k := range kept {
		all, cols = append(all, d.kept[k].data), d.kept[k].cols
		s.Seg = append(s.Seg, s.Seg[len(s.Seg)-1]+int32(d.kept[k].rows))
	}
	return d.model.Decoder.KeepCrossKV(&d.pool, s, d.ops.UploadParts(s.Seg.Rows(), cols, all))
}

func (d *modelDevice) free(c *whisper.CrossKV) { d.pool.Free(c) }

func (d *modelDevice) detect(cross []*whisper.CrossKV, allowed [][]string) ([]whisper.LanguageProbs, error) {
	return d.model.DetectLanguage(d.ops, nil, cross, nil, allowed)
}

func (d *modelDevice) add(u whisper.Utterance) (int, error) { return d.batch.Add(u) }

func (d *modelDevice) remove(ticket int) { d.batch.Remove(ticket) }

func (d *modelDevice) step() ([]whisper.Finished, error) { return d.batch.Step() }

func (d *modelDevice) rows() int { return d.batch.Rows() }

func (d *modelDevice) trim() {
	d.ops.Free()
	d.pool.Trim()
	d.batch.Trim()
	d.adapters.Trim()
}

func (d *modelDevice) align(items []whisper.Alignment) ([]whisper.Aligned, error) {
	return d.model.AlignWords(d.ops, d.adapters, items)
}
