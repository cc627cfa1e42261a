package train

import (
	"errors"
	"fmt"
	"slices"

	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// best is the evaluation that did best, and the weights that it was of.
type best struct {
	Step       int        `json:"step"`
	Evaluation Evaluation `json:"evaluation"`
	Since      int        `json:"since"` // evaluations since then

	weights [][]float32 // by parameter of the Trainable
}

// betterThan reports whether e has the lower word error rate, or the lower loss where the rates are equal or
// not computed.
func (e Evaluation) betterThan(f Evaluation) bool {
	if e.WER != nil && f.WER != nil && *e.WER != *f.WER {
		return *e.WER < *f.WER
	}
	return e.Loss < f.Loss
}

// consider keeps the weights that e was measured of, if they are the best so far and Options.Patience wants
// them.
func (t *trainer) consider(e *Evaluation) {
	switch {
	case e == nil || t.options.Patience == 0:
		return
	case t.best != nil && !e.betterThan(t.best.Evaluation):
		t.best.Since++
		return
	}
	b := &best{Step: t.step, Evaluation: *e}
	t.optimizer.swapAverage()
	for _, p := range t.options.Trainable.Params() {
		b.weights = append(b.weights, slices.Clone(p.Mat.Data))
	}
	t.optimizer.swapAverage()
	t.best = b
}

// stopped reports whether the training is over for want of improvement.
func (t *trainer) stopped() bool {
	return t.options.Patience > 0 && t.best != nil && t.best.Since >= t.options.Patience
}

// settle makes the parameters those of the result: the best of the evaluations, or else the average of the
// weights where there is one, or else the weights.
func (t *trainer) settle() {
	if t.best == nil {
		t.optimizer.swapAverage()
		return
	}
	for i, p := range t.options.Trainable.Params() {
		copy(p.Mat.Data, t.best.weights[i])
	}
	t.optimizer.change()
}

// tensors returns the weights as named matrices, shaped like the parameters.
func (b *best) tensors(params []NamedParam, visit func(name string, like tensor.Mat, data []float32)) {
	for i, p := range params {
		visit("best."+p.Name, p.Mat, b.weights[i])
	}
}

// restoreBest takes the best weights of a checkpoint, if they are wanted.
func (t *trainer) restoreBest(b *best, file *safetensors.File) error {
	if b == nil || t.options.Patience == 0 {
		return nil
	}
	params := t.options.Trainable.Params()
	for _, p := range params {
		b.weights = append(b.weights, make([]float32, len(p.Mat.Data)))
	}
	var bad error
	b.tensors(params, func(name string, like tensor.Mat, data []float32) {
		bad = errors.Join(bad, readTensor(file, name, like, data))
	})
	t.best = b
	return bad
}

// readTensor reads a tensor into data, which is shaped as like.
func readTensor(file *safetensors.File, name string, like tensor.Mat, data []float32) error {
	values, shape, err := file.Float32(name)
	if err != nil {
		return err
	}
	if !slices.Equal(shape, []int{like.Rows, like.Cols}) {
		return fmt.Errorf("%s is %v, want (%d, %d)", name, shape, like.Rows, like.Cols)
	}
	copy(data, values)
	return nil
}
