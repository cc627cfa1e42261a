package flora

import (
	"fmt"
	"math"
	"math/rand/v2"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Target says which linears of a model an adapter adapts.
type Target string

const (
	All           Target = "all"       // every linear of every block, as the paper's Whisper experiment
	AttentionOnly Target = "attention" // queries, keys, values and outputs
	DecoderOnly   Target = "decoder"   // every linear of the decoder: the encoder's pass is shared
)

// has reports whether the target includes site.
func (t Target) has(site whisper.Site) bool {
	switch t {
	case AttentionOnly:
		return site.Role != whisper.FC1 && site.Role != whisper.FC2
	case DecoderOnly:
		return site.Stack == whisper.DecoderStack
	}
	return true
}

// New returns an adapter of model m to be trained: its factors are parameters with gradients, and
// it changes nothing yet. fLoRA's first term is ones; its further ones, and LoRA's product, have
// one factor zero and the other random (He et al. 2015, uniform), since equal factors would have
// equal gradients for ever.
func New(m *whisper.Model, name string, k Kind, rank int, target Target, rng *rand.Rand) (*Adapter, error) {
	if rank < 1 || rank > maxRank {
		return nil, fmt.Errorf("%w: rank %d", ErrInvalid, rank)
	}
	switch target {
	case All, AttentionOnly, DecoderOnly:
	default:
		return nil, fmt.Errorf("%w: target %q", ErrInvalid, target)
	}
	a := &Adapter{Name: name, Kind: k, Rank: rank, BaseHash: m.Fingerprint(), Sites: make(map[whisper.Site]*Factors)}
	param := func(rows, cols int) tensor.Mat { return tensor.NewParam(rows, cols, make([]float32, rows*cols)) }
	for _, l := range m.Linears() {
		if !target.has(l.Site) {
			continue
		}
		nOut, nIn := l.Weight.Rows, l.Weight.Cols
		f := new(Factors)
		switch k {
		case FLoRA:
			f.A, f.B = param(rank, nOut), param(rank, nIn)
			kaiming(f.B, rng)
			setOnes(f.A.Row(0))
			setOnes(f.B.Row(0))
		case LoRA:
			f.U, f.V = param(nOut, rank), param(rank, nIn)
			kaiming(f.V, rng)
		default:
			return nil, fmt.Errorf("%w: kind %q", ErrUnsupported, k)
		}
		a.Sites[l.Site] = f
	}
	return a, nil
}

// Params returns the factors by the names of their tensors, in a fixed order.
func (a *Adapter) Params() (names []string, mats []tensor.Mat) {
	for _, site := range a.sortedSites() {
		f := a.Sites[site]
		for _, p := range []struct {
			part string
			mat  tensor.Mat
		}{{"A", f.A}, {"B", f.B}, {"U", f.U}, {"V", f.V}} {
			if !p.mat.IsZero() {
				names, mats = append(names, site.String()+"."+p.part), append(mats, p.mat)
			}
		}
	}
	return names, mats
}

func kaiming(m tensor.Mat, rng *rand.Rand) {
	bound := 1 / math.Sqrt(float64(m.Cols))
	for i := range m.Data {
		m.Data[i] = float32((2*rng.Float64() - 1) * bound)
	}
}

func setOnes(x []float32) {
	for i := range x {
		x[i] = 1
	}
}
