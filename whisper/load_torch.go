package whisper

import (
	"fmt"
	"io"

	"glossa/whisper/pickle"
	"glossa/whisper/safetensors"
	"glossa/whisper/torch"
)

// openTorch opens a checkpoint of openai/whisper: {"dims": {…}, "model_state_dict": {…}}, as its load_model reads it.
// The errors are ErrDims, ErrVocabulary, ErrCheckpoint and those of torch and pickle.
func openTorch(r io.ReaderAt, size int64, name string) (*Checkpoint, error) {
	root, err := torch.New(r, size)
	if err != nil {
		return nil, err
	}
	dims, ok1 := member(root, "dims")
	state, ok2 := member(root, "model_state_dict")
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: no dims and model_state_dict, which a checkpoint of openai/whisper has", ErrCheckpoint)
	}
	c := &Checkpoint{shards: []shard{{name: name}}}
	if c.Dims, err = torchDims(dims); err != nil {
		return nil, err
	}
	for key, value := range state.All() {
		full, ok := key.(string)
		t, ok2 := value.(*torch.Tensor)
		if !ok || !ok2 {
			return nil, fmt.Errorf("%w: model_state_dict has %T under %.100v", ErrCheckpoint, value, key)
		}
		info := safetensors.Tensor{Name: full, DType: t.DType, Shape: t.Shape}
		if err := c.addUpstream(source{info, name, t.ReadFloat32}); err != nil {
			return nil, err
		}
	}
	tokens, err := upstreamTokens(c.Dims.NVocab)
	if err != nil {
		return nil, err
	}
	return c, c.finishUpstream(tokens)
}

// member is the dict in the dict v under key.
func member(v any, key string) (*pickle.Dict, bool) {
	d, ok := v.(*pickle.Dict)
	if !ok {
		return nil, false
	}
	v, _ = d.Get(key)
	d, ok = v.(*pickle.Dict)
	return d, ok
}

// torchDims reads upstream's ModelDimensions.
func torchDims(dims *pickle.Dict) (d Dims, err error) {
	for _, f := range []struct {
		name string
		to   *int
	}{
		{"n_mels", &d.NMels}, {"n_audio_ctx", &d.NAudioCtx}, {"n_audio_state", &d.NAudioState}, {"n_audio_head", &d.NAudioHead},
		{"n_audio_layer", &d.NAudioLayer}, {"n_vocab", &d.NVocab}, {"n_text_ctx", &d.NTextCtx}, {"n_text_state", &d.NTextState},
		{"n_text_head", &d.NTextHead}, {"n_text_layer", &d.NTextLayer},
	} {
		v, _ := dims.Get(f.name)
		n, ok := v.(int64)
		if !ok {
			return d, fmt.Errorf("%w: %s is %v", ErrDims, f.name, v)
		}
		*f.to = int(n)
	}
	return d, d.Validate()
}
