package train

import (
	"fmt"
	"slices"

	"glossa/eval"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// openDev makes the batches of the Dev manifests, of the languages that are trained on.
func (t *trainer) openDev() error {
	var examples []*example
	for _, path := range t.options.Dev {
		utterances, err := ReadUtterances(path, t.options.Language, t.options.Warn)
		if err != nil {
			return err
		}
		utterances = slices.DeleteFunc(utterances, func(u eval.Utterance) bool { return !t.loader.maker.data.has(u.Lang) })
		n := len(utterances)
		if t.options.DevLimit > 0 {
			n = min(n, t.options.DevLimit)
		}
		chosen := make([]*example, n)
		parallel(n, func(i int) {
			u := utterances[i*len(utterances)/n]
			e := entry{u.AudioFilepath, u.Text, u.Lang, slices.Contains(t.options.IdentifyOnly, u.Lang)}
			var err error
			if chosen[i], err = t.loader.maker.plain(e); err != nil {
				t.loader.report(e.path, err)
			}
		})
		examples = append(examples, slices.DeleteFunc(chosen, func(x *example) bool { return x == nil })...)
	}
	if len(t.options.Dev) > 0 && len(examples) == 0 {
		return fmt.Errorf("%w: in the manifests to evaluate on", ErrNoExamples)
	}
	frames, from := 0, 0
	for i, x := range examples {
		if frames += x.mel.Frames; frames > t.options.BatchFrames && i > from {
			t.dev = append(t.dev, pack(examples[from:i]))
			frames, from = x.mel.Frames, i
		}
	}
	if from < len(examples) {
		t.dev = append(t.dev, pack(examples[from:]))
	}
	return nil
}

// evaluate measures the average of the weights, or the weights where there is none; nil where
// there is nothing to measure on.
func (t *trainer) evaluate() (*Evaluation, error) {
	if len(t.dev) == 0 && t.options.Evaluate == nil {
		return nil, nil
	}
	t.optimizer.swapAverage()
	defer t.optimizer.swapAverage()
	var sums losses
	for _, b := range t.dev {
		_, s := t.network.forward(b, 1, 1, false)
		sums.add(s)
	}
	if err := t.network.ops.Read(nil, tensor.Mat{}); err != nil {
		return nil, fmt.Errorf("train: evaluate after step %d: %w", t.step, err)
	}
	e := &Evaluation{Loss: ratio(sums.entropy, sums.tokens), TokenAccuracy: ratio(sums.right, sums.tokens)}
	if t.options.Evaluate == nil {
		return e, nil
	}
	m, err := t.packed()
	if err != nil {
		return nil, err
	}
	wer, err := t.options.Evaluate(m, t.options.Trainable.Adapter())
	if _, ok := t.options.Backend.(tensor.Device); ok && m != t.options.Model {
		m.Unpack()
	}
	if err != nil {
		return nil, fmt.Errorf("train: evaluate after step %d: %w", t.step, err)
	}
	e.WER = &wer
	return e, nil
}

// packed returns the model with the weights as they are now, packed for serving. Under an adapter
// it is the frozen model itself.
func (t *trainer) packed() (*whisper.Model, error) {
	base := t.options.Model
	if t.options.Trainable.Adapter() != nil {
		return base, nil
	}
	m := whisper.New(base.Dims)
	m.Tokenizer, m.Generation = base.Tokenizer, base.Generation
	to := m.Params()
	for i, p := range base.Params() {
		copy(to[i].Mat.Data, p.Mat.Data)
	}
	return m, m.Pack(t.options.Backend, tensor.F32)
}
