package asr

import (
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// device is what the engine's goroutine computes with: the model and its adapters, or what a test
// puts in their place. Its errors are faults after which it is of no more use, but for those of add,
// which are the window's.
type device interface {
	// encode runs the encoder on windows of log-mel in one batch, each under its adapter.
	encode(mels []audio.Mel, adapterOf []int32) ([]*whisper.CrossKV, error)

	// free takes back what encode returned.
	free(c *whisper.CrossKV)

	// detect returns the probabilities of languages, by the base model.
	detect(cross []*whisper.CrossKV, allowed [][]string) ([]whisper.LanguageProbs, error)

	// add, remove and step are those of a [whisper.Batch].
	add(u whisper.Utterance) (ticket int, err error)
	remove(ticket int)
	step() ([]whisper.Finished, error)

	// align times the words of windows in one batch.
	align(items []whisper.Alignment) ([]whisper.Aligned, error)
}

// modelDevice is a model with its adapters on a backend.
type modelDevice struct {
	model    *whisper.Model
	ops      *tensor.Ops
	adapters *flora.Batch
	batch    *whisper.Batch
	pool     whisper.CrossPool
}

func newModelDevice(m *whisper.Model, b tensor.Backend, adapters *flora.Batch) *modelDevice {
	ops := tensor.NewOps(b)
	return &modelDevice{model: m, ops: ops, adapters: adapters, batch: m.NewBatch(ops, adapters)}
}

func (d *modelDevice) encode(mels []audio.Mel, adapterOf []int32) ([]*whisper.CrossKV, error) {
	return d.model.EncodeInto(&d.pool, d.ops, d.adapters, mels, adapterOf)
}

func (d *modelDevice) free(c *whisper.CrossKV) { d.pool.Free(c) }

func (d *modelDevice) detect(cross []*whisper.CrossKV, allowed [][]string) ([]whisper.LanguageProbs, error) {
	return d.model.DetectLanguage(d.ops, nil, cross, nil, allowed)
}

func (d *modelDevice) add(u whisper.Utterance) (int, error) { return d.batch.Add(u) }

func (d *modelDevice) remove(ticket int) { d.batch.Remove(ticket) }

func (d *modelDevice) step() ([]whisper.Finished, error) { return d.batch.Step() }

func (d *modelDevice) align(items []whisper.Alignment) ([]whisper.Aligned, error) {
	return d.model.AlignWords(d.ops, d.adapters, items)
}
