package audio

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrWeights: a file that does not hold the weights of Silero VAD.
var ErrWeights = errors.New("audio: weights of Silero VAD")

// Tensors are named tensors, such as those of a safetensors file.
type Tensors interface {
	Names() []string
	// Float32 is the elements of a tensor, row-major, and its shape.
	Float32(name string) ([]float32, []int, error)
}

// sileroNames are the names of the tensors.
type sileroNames struct {
	basis                                                                string
	encoder                                                              string // of a layer's weight and bias, by number from first on
	first                                                                int
	inputWeight, hiddenWeight, inputBias, hiddenBias, outWeight, outBias string
}

// sileroNamings are the names that are in use: of the state_dict of silero_vad.jit, which whisper.cpp's converter keeps, the same without
// their prefix, and of silero_vad_16k.safetensors.
var sileroNamings = []sileroNames{
	stateDictNames("_model."),
	stateDictNames(""),
	{
		"stft_conv.weight", "conv%d", 1,
		"lstm_cell.weight_ih", "lstm_cell.weight_hh", "lstm_cell.bias_ih", "lstm_cell.bias_hh", "final_conv.weight", "final_conv.bias",
	},
}

func stateDictNames(prefix string) sileroNames {
	rnn, out := prefix+"decoder.rnn.", prefix+"decoder.decoder.2."
	return sileroNames{
		prefix + "stft.forward_basis_buffer", prefix + "encoder.%d.reparam_conv", 0,
		rnn + "weight_ih", rnn + "weight_hh", rnn + "bias_ih", rnn + "bias_hh", out + "weight", out + "bias",
	}
}

// NewSilero takes the network's weights from tensors. Others among them are passed over. Errors: ErrWeights for one that is missing, or not
// of the network's shape, and those of t.
func NewSilero(t Tensors) (*Silero, error) {
	names := t.Names()
	i := slices.IndexFunc(sileroNamings, func(n sileroNames) bool { return slices.Contains(names, n.basis) })
	if i < 0 {
		return nil, fmt.Errorf("%w: no tensor %q or %q", ErrWeights, sileroNamings[0].basis, sileroNamings[2].basis)
	}
	l := &sileroLoader{tensors: t}
	s := l.network(&sileroNamings[i])
	if l.err != nil {
		return nil, l.err
	}
	return s, nil
}

// sileroLoader takes tensors until the first error.
type sileroLoader struct {
	tensors Tensors
	err     error
}

func (l *sileroLoader) network(n *sileroNames) *Silero {
	s := &Silero{fft: newFFT256()}
	l.checkBasis(n.basis, s.fft)
	for i, c := range sileroEncoder {
		name := fmt.Sprintf(n.encoder, n.first+i)
		s.encoder[i] = conv{
			in: c.in, out: c.out, stride: c.stride,
			weight: tapsFirst(l.take(name+".weight", c.out, c.in, sileroKernel), c.in),
			bias:   l.take(name+".bias", c.out),
		}
	}
	const gates = sileroGates * sileroState
	input, hidden := l.take(n.inputWeight, gates, sileroState), l.take(n.hiddenWeight, gates, sileroState)
	s.rnn = affine{make([]float32, 0, len(input)+len(hidden)), l.take(n.inputBias, gates)}
	hiddenBias := l.take(n.hiddenBias, gates)
	if l.err == nil {
		for g := range gates {
			s.rnn.weight = append(s.rnn.weight, input[g*sileroState:(g+1)*sileroState]...)
			s.rnn.weight = append(s.rnn.weight, hidden[g*sileroState:(g+1)*sileroState]...)
			s.rnn.bias[g] += hiddenBias[g]
		}
	}
	s.out = affine{l.take(n.outWeight, 1, sileroState, 1), l.take(n.outBias, 1)}
	return s
}

// take returns a copy of the elements of a tensor of the given shape. Dimensions of 1 do not matter.
func (l *sileroLoader) take(name string, shape ...int) []float32 {
	if l.err != nil {
		return nil
	}
	data, has, err := l.tensors.Float32(name)
	switch {
	case err != nil:
		l.err = fmt.Errorf("%w: %w", ErrWeights, err)
	case !slices.Equal(squeeze(has), squeeze(shape)):
		l.err = fmt.Errorf("%w: tensor %q has shape %v: want %v", ErrWeights, name, has, shape)
	default:
		for i, v := range data {
			if v-v != 0 {
				l.err = fmt.Errorf("%w: element %d of tensor %q is %v", ErrWeights, i, name, v)
				return nil
			}
		}
		return slices.Clone(data)
	}
	return nil
}

// squeeze is a shape without its dimensions of 1.
func squeeze(shape []int) []int {
	return slices.DeleteFunc(slices.Clone(shape), func(n int) bool { return n == 1 })
}

// basisTolerance is above what a basis loses in half precision.
const basisTolerance = 1e-3

// checkBasis checks that the transform's basis, stored as a convolution of (2·129, 256), real parts before imaginary parts, is the windowed
// Fourier basis that f computes: every release of the network has that one.
func (l *sileroLoader) checkBasis(name string, f *fft256) {
	basis := l.take(name, 2*sileroBins, sileroFFT)
	if l.err != nil {
		return
	}
	imaginary := basis[sileroBins*sileroFFT:]
	for k := range sileroBins {
		for n, w := range f.window {
			sin, cos := math.Sincos(2 * math.Pi * float64(k*n%sileroFFT) / sileroFFT)
			re, im := float64(basis[k*sileroFFT+n]), float64(imaginary[k*sileroFFT+n])
			if math.Abs(re-w*cos) > basisTolerance || math.Abs(im+w*sin) > basisTolerance {
				l.err = fmt.Errorf("%w: tensor %q is not a Fourier basis of %d points under a Hann window", ErrWeights, name, sileroFFT)
				return
			}
		}
	}
}

// tapsFirst turns weights (out, in, sileroKernel) into (out, sileroKernel, in).
func tapsFirst(w []float32, in int) []float32 {
	turned := make([]float32, len(w))
	for i, v := range w {
		tap, c, o := i%sileroKernel, i/sileroKernel%in, i/sileroKernel/in
		turned[(o*sileroKernel+tap)*in+c] = v
	}
	return turned
}
