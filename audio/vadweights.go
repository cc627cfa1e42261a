package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// The layout of whisper.cpp's files for Silero VAD (models/convert-silero-vad-to-ggml.py): little-endian 32-bit integers, but for text and
// the tensors' elements.
const (
	ggmlMagic   = 0x67676d6c
	ggmlF32     = 0
	ggmlF16     = 1
	ggmlMaxText = 64 // bytes of a name
	ggmlMaxDims = 4
)

// sileroModelType is the model that a file must be of.
const sileroModelType = "silero-16k"

// ReadSilero reads the network from a file for whisper.cpp. Errors: ErrWeights, and those of r. It takes no more memory than a true file's,
// whatever r holds.
func ReadSilero(r io.Reader) (*Silero, error) {
	g := &ggmlReader{r: bufio.NewReader(r), tensors: make(map[string]ggmlTensor)}
	g.header()
	for g.err == nil && !g.atEnd() {
		g.tensor()
	}
	if g.err != nil {
		return nil, g.err
	}
	return NewSilero(g)
}

// ggmlReader reads a file until the first error. It is the file's Tensors.
type ggmlReader struct {
	r       *bufio.Reader
	err     error
	tensors map[string]ggmlTensor
	names   []string
}

type ggmlTensor struct {
	data  []float32
	shape []int
}

func (g *ggmlReader) Names() []string { return g.names }

func (g *ggmlReader) Float32(name string) ([]float32, []int, error) {
	t, ok := g.tensors[name]
	if !ok {
		return nil, nil, fmt.Errorf("no tensor %q", name)
	}
	return t.data, t.shape, nil
}

func (g *ggmlReader) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf("%w: %s", ErrWeights, fmt.Sprintf(format, args...))
	}
}

// bytes returns the next n bytes.
func (g *ggmlReader) bytes(n int) []byte {
	b := make([]byte, n)
	if g.err != nil {
		return b
	}
	switch _, err := io.ReadFull(g.r, b); {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		g.fail("the file ends early")
	case err != nil:
		g.err = fmt.Errorf("%w: %w", ErrWeights, err)
	}
	return b
}

func (g *ggmlReader) int() int { return int(int32(binary.LittleEndian.Uint32(g.bytes(4)))) }

// text returns the next n bytes as text.
func (g *ggmlReader) text(n int) string {
	if n < 0 || n > ggmlMaxText {
		g.fail("a name of %d bytes", n)
		return ""
	}
	return string(g.bytes(n))
}

func (g *ggmlReader) atEnd() bool {
	_, err := g.r.Peek(1)
	return err == io.EOF
}

// header reads all that comes before the tensors.
func (g *ggmlReader) header() {
	if magic := g.int(); magic != ggmlMagic {
		g.fail("not a ggml file")
	}
	if kind := g.text(g.int()); kind != sileroModelType {
		g.fail("a model of type %q: want %q", kind, sileroModelType)
	}
	for range 3 {
		g.int() // version: the shapes tell whether it is one that this network knows
	}
	want := []int{sileroWindow, sileroContext, len(sileroEncoder)}
	for _, c := range sileroEncoder {
		want = append(want, c.in, c.out, sileroKernel)
	}
	want = append(want, sileroState, sileroState, sileroState, 1)
	for i, n := range want {
		if has := g.int(); has != n {
			g.fail("parameter %d is %d: want %d", i, has, n)
		}
	}
}

// sileroMaxElements is the size of the network's largest tensor.
const sileroMaxElements = 2 * sileroBins * sileroFFT

// tensor reads the next tensor.
func (g *ggmlReader) tensor() {
	dims, length, kind := g.int(), g.int(), g.int()
	if dims < 0 || dims > ggmlMaxDims {
		g.fail("a tensor of %d dimensions", dims)
		return
	}
	shape, count := make([]int, dims), 1
	for i := range shape {
		n := g.int()
		shape[dims-1-i] = n // the file has the fastest first
		if n < 1 || n > sileroMaxElements || count*n > sileroMaxElements {
			g.fail("a tensor with a dimension of %d", n)
			return
		}
		count *= n
	}
	name := g.text(length)
	if _, ok := g.tensors[name]; ok {
		g.fail("two tensors %q", name)
	}
	if len(g.names) == sileroTensors {
		g.fail("more than %d tensors", sileroTensors)
	}
	data := make([]float32, count)
	switch kind {
	case ggmlF32:
		for i, raw := 0, g.bytes(4*count); i < count; i++ {
			data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case ggmlF16:
		for i, raw := 0, g.bytes(2*count); i < count; i++ {
			data[i] = halfToFloat32(binary.LittleEndian.Uint16(raw[2*i:]))
		}
	default:
		g.fail("tensor %q has elements of type %d: want f32 or f16", name, kind)
	}
	if g.err == nil {
		g.tensors[name] = ggmlTensor{data, shape}
		g.names = append(g.names, name)
	}
}

// sileroTensors is the number of the network's tensors.
const sileroTensors = 1 + 2*len(sileroEncoder) + 4 + 2

// halfToFloat32 is the value of an IEEE 754 binary16 number.
func halfToFloat32(h uint16) float32 {
	const mantissaBits, bias = 10, 15
	sign, exponent, mantissa := float64(1), int(h>>mantissaBits&0x1f), float64(h&(1<<mantissaBits-1))
	if h>>15 != 0 {
		sign = -1
	}
	switch exponent {
	case 0:
		return float32(sign * math.Ldexp(mantissa, 1-bias-mantissaBits))
	case 0x1f:
		return float32(math.NaN()) // or infinite, which no weight is either
	}
	return float32(sign * math.Ldexp(mantissa+(1<<mantissaBits), exponent-bias-mantissaBits))
}
