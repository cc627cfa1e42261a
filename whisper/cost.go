package whisper

// EncoderFLOPs returns the operations that the encoder takes for a whole window, a multiply-add counted as two: those of its
// matrix products, which are all but a hundredth. With T = NAudioCtx rows of width d = NAudioState,
//
//	conv1      2 · 2T · 3 NMels · d     a row for each of 2T frames, from 3 frames of NMels
//	conv2      2 · T · 3d · d           a row for every second of them
//	a block    2 · T · 4d²              queries, keys, values and the output
//	           2 · T · 2 d FFN          fc1 and fc2
//	           2 · 2 · T² d             scores q kᵀ and their products with v, of all heads together
func (d Dims) EncoderFLOPs() float64 {
	t, n := float64(d.NAudioCtx), float64(d.NAudioState)
	conv1 := 2 * t * FramesPerToken * convKernel * float64(d.NMels) * n
	conv2 := 2 * t * convKernel * n * n
	block := 2*t*(4*n*n+2*n*float64(d.AudioFFN())) + 4*t*t*n
	return conv1 + conv2 + float64(d.NAudioLayer)*block
}

// CrossFLOPs returns the operations that turn the encoder's states of a whole window into the keys and values of the decoder's
// cross-attention: two products of T rows by d² in each layer.
func (d Dims) CrossFLOPs() float64 {
	return float64(d.NTextLayer) * 2 * 2 * float64(d.NAudioCtx) * float64(d.NAudioState) * float64(d.NTextState)
}

// StepWeights returns how many weights a step of the decoder reads, whatever the number of its rows, and how many output
// channels they have: in each layer queries, keys, values and output of self-attention, queries and output of
// cross-attention, whose keys and values are computed once for a window, and the MLP; and the output layer.
func (d Dims) StepWeights() (weights, channels int) {
	n, ffn, layers := d.NTextState, d.TextFFN(), d.NTextLayer
	weights = layers*(4*n*n+2*n*n+2*n*ffn) + d.NVocab*n
	channels = layers*(4*n+2*n+ffn+n) + d.NVocab
	return weights, channels
}

// KeyValues returns how many numbers the keys and values of rows have in all layers of the decoder: of tokens in its
// self-attention, or of the encoder's in its cross-attention. A step reads all of both, of every sequence.
func (d Dims) KeyValues(rows int) int { return 2 * d.NTextLayer * d.NTextState * rows }
