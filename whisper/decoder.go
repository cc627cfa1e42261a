package whisper

import "glossa/whisper/tensor"

// Decoder predicts the next token from the tokens so far and the encoder's states (Radford et al.
// 2022, figure 1, right). Its output layer is the token embedding.
type Decoder struct {
	Tokens    tensor.Weight // (NVocab, nState): embedding and output layer
	Embedding tensor.Packed // Tokens in a format to look rows up in; nil: they are looked up in Tokens
	Positions tensor.Mat    // (NTextCtx, nState): learned
	Blocks    []Block
	Norm      LayerNorm
}

// CrossKV returns the cross-attention keys and values of each sequence of encoder states
// (nRow, nState), packed by s.Seg, each under its utterance's adapter. They live in the arena of
// s unless kept.
func (d *Decoder) CrossKV(s *Step, states tensor.Mat) []*CrossKV {
	kept := make([]*CrossKV, s.Seg.Len())
	for i := range kept {
		kept[i] = &CrossKV{layer: make([]tensor.KeyValue, len(d.Blocks))}
	}
	for l := range d.Blocks {
		cross := d.Blocks[l].Cross
		if !cross.PackKV || s.Recording() {
			for i, kv := range cross.KeyValue(s, states) {
				kept[i].layer[l] = kv
			}
			continue
		}
		packed := s.NewPackedKV(s.Seg, states.Cols, cross.NHead, cross.KV)
		s.Scope(func() tensor.Mat {
			s.PackKeyValue(packed, cross.KeyValue(s, states))
			return tensor.Mat{}
		})
		for i := range kept {
			kept[i].layer[l] = tensor.KeyValue{Packed: packed[i]}
		}
	}
	return kept
}

// KeepCrossKV is CrossKV in the memory of p. The errors are the device's; nothing is kept then.
func (d *Decoder) KeepCrossKV(p *CrossPool, s *Step, states tensor.Mat) ([]*CrossKV, error) {
	cross := d.CrossKV(s, states)
	for i, c := range cross {
		cross[i] = p.Keep(s.Ops, c)
	}
	if err := s.Read(nil, tensor.Mat{}); err != nil {
		p.freeAll(cross)
		return nil, err
	}
	return cross, nil
}

// Forward returns the states (nRow, nState) after the last norm for the tokens packed by s.Seg,
// which continue the sequences in s.Cache, if there are any, and attend to s.Cross.
func (d *Decoder) Forward(s *Step, tokens []int32) tensor.Mat {
	x := d.Embed(s, tokens)
	for i := range d.Blocks {
		x = s.Scope(func() tensor.Mat { return d.Blocks[i].Forward(s, x) })
	}
	return d.Norm.Forward(s, x)
}

// Embed returns the token embeddings with their positions added, the input of the first block.
func (d *Decoder) Embed(s *Step, tokens []int32) tensor.Mat {
	var x tensor.Mat
	if d.Embedding != nil && !s.Recording() {
		x = s.EmbedPacked(d.Embedding, tokens)
	} else {
		x = s.Ops.Embed(d.Tokens.Mat, tokens)
	}
	return s.Sum(x, s.Ops.Embed(d.Positions, s.positions()))
}

// Logits returns the logits (nRow, NVocab) of states x (nRow, nState).
func (d *Decoder) Logits(s *Step, x tensor.Mat) tensor.Mat {
	return s.Linear(x, &d.Tokens, tensor.Mat{})
}
