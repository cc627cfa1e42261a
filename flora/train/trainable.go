package train

import (
	"math"
	"math/rand/v2"
	"strings"

	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// NamedParam is a parameter that is trained.
type NamedParam struct {
	Name  string
	Mat   tensor.Mat // made by tensor.NewParam
	Decay bool       // by weight decay
	Rate  float64    // what the learning rate is multiplied by; 0 stands for 1
}

// Trainable is what a training changes: a whole model, or an adapter.
type Trainable interface {
	// Params returns the parameters, always the same in the same order.
	Params() []NamedParam

	// Adapter returns what applies the adapter to sequences of adapter index 1, nil where the
	// model itself is trained. It reads the parameters at each call of its Linear.
	Adapter() whisper.Adapter

	// Place copies the parameters to the memory of b too, where that is a device; those of the model, frozen ones
	// included, are there. Params then has both.
	Place(b tensor.Backend) error

	// Save writes the parameters as they are now to the new folder dir, in the form that the
	// service loads.
	Save(dir string) error
}

// full trains every parameter of a model but the encoder's positions, which are fixed.
type full struct {
	model  *whisper.Model
	params []NamedParam
}

// NewFull makes every parameter of m trainable but the encoder's positions, which are fixed
// sinusoids, and takes the packed weights away, which would go stale.
func NewFull(m *whisper.Model) Trainable {
	f := &full{model: m}
	m.Unpack()
	for _, p := range m.Params() {
		if p.Mat == &m.Encoder.Positions {
			continue
		}
		*p.Mat = tensor.NewParam(p.Mat.Rows, p.Mat.Cols, p.Mat.Data)
		decay := p.Mat.Rows > 1 && p.Mat != &m.Decoder.Positions
		f.params = append(f.params, NamedParam{Name: p.Name, Mat: *p.Mat, Decay: decay})
	}
	return f
}

func (f *full) Params() []NamedParam { return f.params }

// Place takes over where the model's parameters are.
func (f *full) Place(tensor.Backend) error {
	at := make(map[string]tensor.Mat)
	for _, p := range f.model.Params() {
		at[p.Name] = *p.Mat
	}
	for i := range f.params {
		f.params[i].Mat = at[f.params[i].Name]
	}
	return nil
}

func (f *full) Adapter() whisper.Adapter { return nil }

func (f *full) Save(dir string) error { return f.model.WriteDir(dir, safetensors.F32) }

// embeddingDeviation and positionDeviation are the standard deviations of the decoder's embeddings
// at the start (Radford et al. 2018, §4.1, and Whisper's own).
const (
	embeddingDeviation = 0.02
	positionDeviation  = 0.01
)

// convolutionGain and positionScale make the sound stand above the positions from the start: with
// sinusoids of their full height and convolutions by Glorot & Bengio, the CTC loss of a small model
// stays at that of blanks alone for thousands of steps.
const (
	convolutionGain = 3
	positionScale   = 0.2
)

// Initialize sets the parameters of m to where a training from nothing starts: linears by Glorot &
// Bengio 2010, eq. 16, those that end a residual branch divided by the square root of the number
// of branches (Radford et al. 2019, §2.3), embeddings normal, norms the identity, biases zero, the
// encoder's positions the sinusoids of upstream, scaled down, convolutions scaled up.
func Initialize(m *whisper.Model, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x6d6f64656c))
	branches := map[string]int{"model.encoder.": 2 * m.Dims.NAudioLayer, "model.decoder.": 3 * m.Dims.NTextLayer}
	for _, p := range m.Params() {
		switch {
		case p.Mat == &m.Encoder.Positions:
			sinusoids(*p.Mat)
			for i := range p.Mat.Data {
				p.Mat.Data[i] *= positionScale
			}
		case p.Mat == &m.Decoder.Positions:
			normal(rng, *p.Mat, positionDeviation)
		case p.Mat == &m.Decoder.Tokens.Mat:
			normal(rng, *p.Mat, embeddingDeviation)
		case p.Mat.Rows > 1:
			limit := math.Sqrt(6 / float64(p.Mat.Rows+p.Mat.Cols))
			if p.Conv {
				limit *= convolutionGain
			}
			if strings.HasSuffix(p.Name, "out_proj.weight") || strings.HasSuffix(p.Name, "fc2.weight") {
				limit /= math.Sqrt(float64(branches[p.Name[:len("model.encoder.")]]))
			}
			for i := range p.Mat.Data {
				p.Mat.Data[i] = float32((2*rng.Float64() - 1) * limit)
			}
		default:
			value := float32(0)
			if strings.HasSuffix(p.Name, "norm.weight") {
				value = 1
			}
			for i := range p.Mat.Data {
				p.Mat.Data[i] = value
			}
		}
	}
}

func normal(rng *rand.Rand, m tensor.Mat, deviation float64) {
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64() * deviation)
	}
}

// sinusoids sets p (nCtx, nState) to
//
//	p[t][i] = sin(t / 10000^(i/(n-1))), p[t][n+i] = cos(t / 10000^(i/(n-1))), n = nState/2
//
// (sinusoids of upstream's model.py).
func sinusoids(p tensor.Mat) {
	n := p.Cols / 2
	increment := math.Log(10000) / float64(max(n-1, 1))
	for t := range p.Rows {
		for i := range n {
			angle := float64(t) * math.Exp(-increment*float64(i))
			p.Row(t)[i], p.Row(t)[n+i] = float32(math.Sin(angle)), float32(math.Cos(angle))
		}
	}
}
