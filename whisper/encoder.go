package whisper

import "glossa/whisper/tensor"

// convKernel and the stride of the second convolution: two frames of 10 ms make one row of 20 ms.
const (
	convKernel = 3
	convStride = 2
)

// Conv is a one-dimensional convolution over the rows of each sequence, zero padded, as a linear
// over unfolded neighbourhoods.
type Conv struct {
	Weight tensor.Weight // (nOut, convKernel*nIn): tap by tap
	Bias   tensor.Mat    // (1, nOut)
	Stride int
}

// ForwardGELU returns GELU of the convolution of x (nRow, nIn) packed by seg, and the segments of the
// result.
func (c *Conv) ForwardGELU(s *Step, x tensor.Mat, seg tensor.Segments) (tensor.Mat, tensor.Segments) {
	u, seg := s.Unfold(x, seg, convKernel, c.Stride)
	return s.LinearGELU(u, &c.Weight, c.Bias), seg
}

// Encoder turns log-mel frames into states (Radford et al. 2022, figure 1, left).
type Encoder struct {
	Conv1, Conv2 Conv
	Positions    tensor.Mat // (NAudioCtx, nState): sinusoids
	Blocks       []Block
	Norm         LayerNorm
}

// Forward returns the states (nRow, nState), one for 20 ms, of the frames mel (nFrame, nMels), one
// for 10 ms, packed by s.Seg. It leaves in s.Seg the segments of the states.
func (e *Encoder) Forward(s *Step, mel tensor.Mat) tensor.Mat {
	x := e.Embed(s, mel)
	for i := range e.Blocks {
		x = s.Scope(func() tensor.Mat { return e.Blocks[i].Forward(s, x) })
	}
	return e.Norm.Forward(s, x)
}

// Embed returns the convolved frames with their positions added, the input of the first block.
func (e *Encoder) Embed(s *Step, mel tensor.Mat) tensor.Mat {
	x, seg := e.Conv1.ForwardGELU(s, mel, s.Seg)
	x, seg = e.Conv2.ForwardGELU(s, x, seg)
	s.Seg = seg
	return s.Sum(x, s.Embed(e.Positions, s.positions()))
}

// round says whether the backend may round what products and attention alone read to their format, as they do themselves.
func (e *Encoder) round(rounded bool) {
	for i := range e.Blocks {
		b := &e.Blocks[i]
		b.AttnNorm.Rounded, b.MLPNorm.Rounded = rounded, rounded
		for _, l := range []*Linear{&b.Attn.Query, &b.Attn.Key, &b.Attn.Value, &b.MLP.FC1} {
			if r, ok := l.Weight.Packed.(tensor.ResultRounder); ok && rounded {
				r.RoundResults()
			}
		}
	}
	e.Norm.Rounded = rounded
}
