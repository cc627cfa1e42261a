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

// Forward returns the block's rows (nRow, nState) of x (nRow, nState).
func (b *Block) Forward(s *Step, x tensor.Mat) tensor.Mat {
	causal := b.Cross != nil
	x = s.Sum(x, b.Attn.Self(s, b.AttnNorm.Forward(s, x), causal))
	if b.Cross != nil {
		x = s.Sum(x, b.Cross.CrossAttend(s, b.CrossNorm.Forward(s, x)))
	}
	return s.Sum(x, b.MLP.Forward(s, b.MLPNorm.Forward(s, x)))
}
