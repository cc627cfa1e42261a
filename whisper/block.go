package whisper

import "glossa/whisper/tensor"

// Block is one residual attention block in its pre-norm form. The decoder's blocks are causal and
// have cross-attention.
type Block struct {
	AttnNorm  LayerNorm
	Attn      Attention
	CrossNorm LayerNorm
	Cross     *Attention // nil in the encoder
	MLPNorm   LayerNorm
	MLP       MLP
}

// Forward returns the block's rows (nRow, nState) of x (nRow, nState), in the place of x where no tape records.
func (b *Block) Forward(s *Step, x tensor.Mat) tensor.Mat {
	causal := b.Cross != nil
	x = b.Attn.SelfAdd(s, x, b.AttnNorm.Forward(s, x), causal)
	if b.Cross != nil {
		x = b.Cross.CrossAttendAdd(s, x, b.CrossNorm.Forward(s, x))
	}
	return b.MLP.ForwardAdd(s, x, b.MLPNorm.Forward(s, x))
}
