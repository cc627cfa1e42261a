package flora

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"strings"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Errors of adapters.
var (
	ErrUnknown     = errors.New("flora: unknown adapter")
	ErrUnsupported = errors.New("flora: unsupported adapter")
	ErrInvalid     = errors.New("flora: invalid adapter")
	ErrBase        = errors.New("flora: adapter of another base model")
)

// Kind is a family of adapters.
type Kind string

const (
	FLoRA Kind = "flora"
	LoRA  Kind = "lora"
)

// Factors adapt one linear of weight (nOut, nIn).
type Factors struct {
	A, B tensor.Mat // (r, nOut), (r, nIn): the scaled terms; zero Mat: one term of ones
	U, V tensor.Mat // (nOut, r), (r, nIn): the added product, its scale in U; zero Mat: none
}

// rank returns the number of scaled terms.
func (f *Factors) rank() int {
	if f.A.IsZero() {
		return 1
	}
	return f.A.Rows
}

// Adapter is a set of factors for linears of one base model. It does not change once it is open.
type Adapter struct {
	Name string
	Kind Kind
	Rank int
	Base string // name of the base model, as the file has it

	// BaseHash is the fingerprint of the base model, "" where the file has none.
	BaseHash string

	Sites map[whisper.Site]*Factors

	// Hash identifies the content: sha256 over the kind and the factors, in hexadecimal.
	Hash string
}

// Check reports with [ErrBase] whether m is the adapter's base model, as far as its file tells, and
// every factor fits its linear of m.
func (a *Adapter) Check(m *whisper.Model) error {
	if a.BaseHash != "" && a.BaseHash != m.Fingerprint() {
		return fmt.Errorf("%w: %s was trained on a model %q of other weights", ErrBase, a.Name, a.Base)
	}
	linears := make(map[whisper.Site]*whisper.Linear)
	for _, l := range m.Linears() {
		linears[l.Site] = l
	}
	for _, site := range a.sortedSites() {
		f, l := a.Sites[site], linears[site]
		if l == nil {
			return fmt.Errorf("%w: %s adapts %s, which the model does not have", ErrBase, a.Name, site)
		}
		nOut, nIn := l.Weight.Rows, l.Weight.Cols
		for _, m := range []struct {
			mat        tensor.Mat
			dim        int
			what       string
			rowsAreDim bool
		}{{f.A, nOut, "A", false}, {f.B, nIn, "B", false}, {f.V, nIn, "V", false}, {f.U, nOut, "U", true}} {
			got := m.mat.Cols
			if m.rowsAreDim {
				got = m.mat.Rows
			}
			if !m.mat.IsZero() && got != m.dim {
				return fmt.Errorf("%w: %s: %s of %s has width %d, the model's linear is (%d, %d)", ErrBase, a.Name, m.what, site, got, nOut, nIn)
			}
		}
	}
	return nil
}

func (a *Adapter) sortedSites() []whisper.Site {
	sites := make([]whisper.Site, 0, len(a.Sites))
	for s := range a.Sites {
		sites = append(sites, s)
	}
	slices.SortFunc(sites, func(x, y whisper.Site) int { return strings.Compare(x.String(), y.String()) })
	return sites
}

// sum returns the content hash of the adapter.
func (a *Adapter) sum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", a.Kind, a.Rank)
	for _, site := range a.sortedSites() {
		f := a.Sites[site]
		fmt.Fprintln(h, site)
		for _, m := range []tensor.Mat{f.A, f.B, f.U, f.V} {
			hashMat(h, m)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashMat(h hash.Hash, m tensor.Mat) {
	b := binary.LittleEndian.AppendUint64(nil, uint64(m.Rows))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Cols))
	for _, v := range m.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	h.Write(b)
}
