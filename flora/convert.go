package flora

import (
	"fmt"
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Convert returns an adapter of another kind that does exactly the same, with nothing approximated:
//
//	fLoRA of rank r, its first term ones  →  HiRA of rank r-1
//	HiRA of rank r                        →  fLoRA of rank r+1, its first term ones
//	IA3                                   →  fLoRA of rank 1
//	LoRA                                  ↔  rsLoRA
//
// IA3 needs the model m, whose biases it scales too; else m may be nil. The errors are [ErrUnsupported], with the reason,
// where there is no such adapter, and [ErrBase].
func (a *Adapter) Convert(to Kind, m *whisper.Model) (*Adapter, error) {
	c := &Adapter{Name: a.Name, Kind: to, Rank: a.Rank, Base: a.Base, BaseHash: a.BaseHash, Sites: make(map[whisper.Site]*Factors, len(a.Sites))}
	var one func(whisper.Site, *Factors) (*Factors, error)
	switch {
	case a.Kind == to, a.Kind == LoRA && to == RSLoRA, a.Kind == RSLoRA && to == LoRA:
		one = func(_ whisper.Site, f *Factors) (*Factors, error) { return f, nil }
	case a.Kind == HiRA && to == FLoRA:
		c.Rank++
		one = func(_ whisper.Site, f *Factors) (*Factors, error) {
			return &Factors{A: prependOnes(f.A), B: prependOnes(f.B)}, nil
		}
	case a.Kind == FLoRA && to == HiRA:
		c.Rank--
		one = func(_ whisper.Site, f *Factors) (*Factors, error) { return f.withoutOnes() }
	case a.Kind == IA3 && to == FLoRA:
		c.Rank = 1
		biases, err := a.biases(m)
		if err != nil {
			return nil, err
		}
		one = func(s whisper.Site, f *Factors) (*Factors, error) { return f.termOf(biases[s]), nil }
	default:
		return nil, fmt.Errorf("%w: %s to %s: %s", ErrUnsupported, a.Kind, to, whyNot(a.Kind, to))
	}
	for _, site := range a.sortedSites() {
		f, err := one(site, a.Sites[site])
		if err != nil {
			return nil, fmt.Errorf("%s to %s: %s: %w", a.Kind, to, site, err)
		}
		c.Sites[site] = f
	}
	c.Hash = c.sum()
	return c, nil
}

// whyNot tells why a kind does not become another.
func whyNot(from, to Kind) string {
	switch {
	case !slices.Contains(Kinds(), to):
		return fmt.Sprintf("there is no such kind; there are %v", Kinds())
	case from == DoRA:
		return "its magnitude scales the weights themselves, which no other kind's file holds; merge it into the model instead"
	case to == DoRA:
		return "its magnitudes would be norms of merged weights, which are rounded; serve it as it is"
	case from.isLoRA():
		return "what a product adds to the weights is no scaling of them: from the weights alone it does not work; serve it as it is, or train anew"
	case to.isLoRA():
		return "what a scaling adds to the weights is of full rank; serve it as it is, or merge it into the model"
	case to == IA3:
		return "IA3 scales the biases too, on one side of the weights alone"
	}
	return "IA3 scales the biases too, which HiRA's files do not hold; convert it to flora"
}

// prependOnes returns m with a row of ones before it.
func prependOnes(m tensor.Mat) tensor.Mat {
	p := tensor.Zeros(m.Rows+1, m.Cols)
	setOnes(p.Row(0))
	copy(p.Data[m.Cols:], m.Data)
	return p
}

// withoutOnes returns HiRA's factors of fLoRA's whose first term is ones.
func (f *Factors) withoutOnes() (*Factors, error) {
	switch {
	case !f.D.IsZero():
		return nil, fmt.Errorf("%w: it adds to the bias, which HiRA's files do not hold", ErrUnsupported)
	case !all(f.A.Slice(0, 1), 1) || !all(f.B.Slice(0, 1), 1):
		return nil, fmt.Errorf("%w: the first term is not ones, as W in W ∘ (1 + B A) is", ErrUnsupported)
	case f.terms() < 2:
		return nil, fmt.Errorf("%w: it is of rank 1 and changes nothing", ErrUnsupported)
	}
	return &Factors{Base: true, A: f.A.Slice(1, f.A.Rows), B: f.B.Slice(1, f.B.Rows)}, nil
}

// linearOf is what IA3's factors are of: a linear's bias, zero where it has none, and sizes.
type linearOf struct {
	bias      tensor.Mat
	nOut, nIn int
}

// biases returns the linears that IA3 adapts. The error is [ErrBase], or [ErrUnsupported] where the model is needed and nil.
func (a *Adapter) biases(m *whisper.Model) (map[whisper.Site]linearOf, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: %s to %s without the model, whose biases it scales", ErrUnsupported, IA3, FLoRA)
	}
	if err := a.Check(m); err != nil {
		return nil, err
	}
	linears := make(map[whisper.Site]linearOf)
	for _, l := range m.Linears() {
		linears[l.Site] = linearOf{l.Bias, l.Weight.Rows, l.Weight.Cols}
	}
	return linears, nil
}

// termOf returns fLoRA's factors of IA3's.
func (f *Factors) termOf(l linearOf) *Factors {
	g := f.withBias(l.bias)
	return &Factors{A: withRows(g.A, 1, l.nOut), B: withRows(g.B, 1, l.nIn), D: g.D}
}
