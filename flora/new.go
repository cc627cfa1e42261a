package flora

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

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
// it changes nothing yet. fLoRA's first term is ones; its further ones, HiRA's, and the product of LoRA
// and its kin have one factor zero and the other random (He et al. 2015, uniform), since equal factors
// would have equal gradients for ever. Products are scaled by 1, that is α = r, or √r under rsLoRA.
//
// IA3 has no rank; it scales keys, values and the operand of the second linear of an MLP (Liu et al.
// 2022), of the target those. DoRA's magnitudes are the norms of the plain weights of m.
func New(m *whisper.Model, name string, k Kind, rank int, target Target, rng *rand.Rand) (*Adapter, error) {
	switch {
	case !slices.Contains(Kinds(), k):
		return nil, fmt.Errorf("%w: kind %q", ErrUnsupported, k)
	case k != IA3 && (rank < 1 || rank > maxRank):
		return nil, fmt.Errorf("%w: rank %d", ErrInvalid, rank)
	case !slices.Contains([]Target{All, AttentionOnly, DecoderOnly}, target):
		return nil, fmt.Errorf("%w: target %q", ErrInvalid, target)
	}
	if k == IA3 {
		rank = 0
	}
	a := &Adapter{Name: name, Kind: k, Rank: rank, BaseHash: m.Fingerprint(), Sites: make(map[whisper.Site]*Factors)}
	for _, l := range m.Linears() {
		if target.has(l.Site) && (k != IA3 || ia3Role(l.Site.Role)) {
			a.Sites[l.Site] = newFactors(k, rank, l, rng)
		}
	}
	return a, nil
}

// ia3Role reports whether IA3 scales the linears of a role.
func ia3Role(r whisper.Role) bool {
	switch r {
	case whisper.Key, whisper.Value, whisper.CrossKey, whisper.CrossValue, whisper.FC2:
		return true
	}
	return false
}

// newFactors returns the factors that l begins with.
func newFactors(k Kind, rank int, l *whisper.Linear, rng *rand.Rand) *Factors {
	nOut, nIn := l.Weight.Rows, l.Weight.Cols
	param := func(rows, cols int) tensor.Mat { return tensor.NewParam(rows, cols, make([]float32, rows*cols)) }
	switch k {
	case FLoRA:
		f := &Factors{A: param(rank, nOut), B: param(rank, nIn)}
		kaiming(f.B, rng)
		setOnes(f.A.Row(0))
		setOnes(f.B.Row(0))
		return f
	case HiRA:
		f := &Factors{Base: true, A: param(rank, nOut), B: param(rank, nIn)}
		kaiming(f.B, rng)
		return f
	case IA3:
		if l.Site.Role == whisper.FC2 {
			f := &Factors{B: param(1, nIn)}
			setOnes(f.B.Data)
			return f
		}
		f := &Factors{A: param(1, nOut), OnBias: true}
		setOnes(f.A.Data)
		return f
	}
	f := &Factors{Base: true, U: param(nOut, rank), V: param(rank, nIn)}
	kaiming(f.V, rng)
	if k == DoRA {
		f.M = tensor.NewParam(1, nOut, f.norms(l.Weight.Mat))
	}
	return f
}

// Params returns the factors by the names of their tensors, in a fixed order.
func (a *Adapter) Params() (names []string, mats []tensor.Mat) {
	for _, site := range a.sortedSites() {
		for _, p := range a.Sites[site].parts() {
			if !p.mat.IsZero() {
				names, mats = append(names, site.String()+"."+p.name), append(mats, *p.mat)
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
