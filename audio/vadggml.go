package audio

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// GGMLMagic is the first four bytes of a file that ReadSilero reads, little-endian.
const GGMLMagic = 0x67676d6c

// The layout of whisper.cpp's files for Silero VAD (models/convert-silero-vad-to-ggml.py): little-endian 32-bit integers, but for text and
// the tensors' elements.
const (
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
	if magic := g.int(); magic != GGMLMagic {
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
		if n < 1 || n > sileroMaxElements/count {
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
