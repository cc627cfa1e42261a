package flora

import (
	"fmt"
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Strategy is a way to compute a linear under an adapter. What it computes is the same but for rounding.
type Strategy string

const (
	// By rows: the rows of all adapters pass the base model's weight together.
	Scales       Strategy = "scales"        // a row is scaled before and after
	Expand       Strategy = "expand"        // and stands there once for each term of the sum, added up after
	ShrinkExpand Strategy = "shrink-expand" // and has (x Vᵀ) Uᵀ added

	// By weight: the rows of one adapter pass a weight of its own.
	Mix    Strategy = "mix"    // made of the base model's at each use
	Merged Strategy = "merged" // kept, as far as there is room, else made at each use
)

// Strategies returns all strategies.
func Strategies() []Strategy { return []Strategy{Scales, Expand, ShrinkExpand, Mix, Merged} }

// Check reports a strategy that does not exist with [ErrStrategy].
func (s Strategy) Check() error {
	if !slices.Contains(Strategies(), s) {
		return fmt.Errorf("%w: %q", ErrStrategy, s)
	}
	return nil
}

// byWeight reports whether rows pass a weight of their own.
func (s Strategy) byWeight() bool { return s == Mix || s == Merged }

// Phase is what linears are called for.
type Phase string

const (
	Encode Phase = "encode" // a window's rows: of the encoder, and cross-attention's keys and values
	Decode Phase = "decode" // a row, or a few, of each hypothesis
)

// PhaseOf returns the phase of the linear at a site.
func PhaseOf(s whisper.Site) Phase {
	if s.Stack == whisper.EncoderStack || s.Role == whisper.CrossKey || s.Role == whisper.CrossValue {
		return Encode
	}
	return Decode
}

// ByRows returns the strategy by rows that f takes.
func (f *Factors) ByRows() Strategy {
	switch {
	case f.further() < f.terms():
		return Expand
	case !f.U.IsZero():
		return ShrinkExpand
	}
	return Scales
}

// scales reports whether the first term is scaled.
func (f *Factors) scales() bool { return !f.Base && f.terms() > 0 }

// further returns the index of the first of the further terms.
func (f *Factors) further() int {
	if f.Base {
		return 0
	}
	return 1
}

// reduced returns factors that do the same, without what does nothing: products with zeros, and scales that
// are all ones. It returns nil where nothing is left. f has no magnitude, and is for a linear of nOut channels.
func (f *Factors) reduced(nOut int) *Factors {
	g := &Factors{Base: f.Base, A: f.A, B: f.B, U: f.U, V: f.V, D: f.D}
	if all(g.U, 0) || all(g.V, 0) {
		g.U, g.V = tensor.Mat{}, tensor.Mat{}
	}
	if all(g.D, 0) {
		g.D = tensor.Mat{}
	}
	n := f.terms()
	var kept []int
	for k := range n {
		a, b := term(f.A, k), term(f.B, k)
		switch {
		case !a.IsZero() && all(a, 0) || !b.IsZero() && all(b, 0):
		case !g.Base && len(kept) == 0 && all(a, 1) && all(b, 1):
			g.Base = true
		default:
			kept = append(kept, k)
		}
	}
	if len(kept) < n {
		g.A, g.B = chosen(f.A, kept), chosen(f.B, kept)
	}
	if !g.Base && g.terms() == 0 {
		g.A = tensor.Zeros(1, nOut) // nothing of the weight is left
	}
	if g.Base && g.terms() == 0 && g.U.IsZero() && g.D.IsZero() {
		return nil
	}
	return g
}

// term returns row k of factors that may stand for ones.
func term(m tensor.Mat, k int) tensor.Mat {
	if m.IsZero() {
		return m
	}
	return m.Slice(k, k+1)
}

// all reports whether m has no number but v. It has none where it is the zero Mat.
func all(m tensor.Mat, v float32) bool {
	for _, x := range m.Data {
		if x != v {
			return false
		}
	}
	return true
}

// chosen returns some rows of m.
func chosen(m tensor.Mat, rows []int) tensor.Mat {
	if m.IsZero() || len(rows) == 0 {
		return tensor.Mat{}
	}
	c := tensor.Zeros(len(rows), m.Cols)
	for i, k := range rows {
		copy(c.Row(i), m.Row(k))
	}
	return c
}
