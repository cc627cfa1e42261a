package train

import "glossa/whisper"

// products returns the floating-point operations of the matrix products of a training step on a
// batch, two for each multiplication and addition: for a linear of K by N on M rows 2MKN forward,
// as much for the gradient of its input, and as much for that of its weight where that is
// trained; for attention two products forward and four backward.
func products(d whisper.Dims, b *batch, nUnit int, weights bool) float64 {
	var frames, states, tokens, selfPairs, crossPairs, statePairs float64
	for i, n := range b.states {
		from, to := b.tokens.Range(i)
		s, t := float64(n), float64(to-from)
		frames += s * whisper.FramesPerToken
		states += s
		tokens += t
		statePairs += s * s
		selfPairs += t * t
		crossPairs += t * s
	}
	width := float64(d.NAudioState)
	const taps = 3 // of a convolution
	linear := 2*taps*float64(d.NMels)*width*frames + 2*taps*width*width*states
	linear += float64(d.NAudioLayer) * states * 2 * width * (4*width + 2*float64(d.AudioFFN()))
	linear += float64(d.NTextLayer) * 2 * width * (tokens*(6*width+2*float64(d.TextFFN())) + states*2*width)
	linear += 2 * width * (tokens*float64(d.NVocab) + states*float64(nUnit))
	attention := 4 * width * (float64(d.NAudioLayer)*statePairs + float64(d.NTextLayer)*(selfPairs+crossPairs))
	passes := 2.0
	if weights {
		passes = 3
	}
	return passes*linear + 3*attention
}
