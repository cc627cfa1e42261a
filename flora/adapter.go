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
	ErrStrategy    = errors.New("flora: unknown strategy")
	ErrCosts       = errors.New("flora: impossible costs")
)

// Kind is a family of adapters.
type Kind string

// The kinds, by what they make of a weight W (nOut, nIn) with factors of rank r.
const (
	FLoRA  Kind = "flora"  // W ∘ (Aᵀ B): Wen & Chaudhuri 2024, eqs. 3 and 4
	HiRA   Kind = "hira"   // W ∘ (1 + B A): Huang et al. 2025
	LoRA   Kind = "lora"   // W + α/r B A: Hu et al. 2022
	RSLoRA Kind = "rslora" // W + α/√r B A: Kalajdzievski 2023
	DoRA   Kind = "dora"   // m ∘ (W + α/r B A) / ‖W + α/r B A‖ by row: Liu et al. 2024
	IA3    Kind = "ia3"    // l ∘ W and l ∘ bias by row, of a feed-forward W by column: Liu et al. 2022
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{FLoRA, HiRA, LoRA, RSLoRA, DoRA, IA3} }

// Adapter is a set of factors for linears of one base model. It does not change once it is open.
type Adapter struct {
	Name string
	Kind Kind
	Rank int
	Base string // name of the base model, as the file has it

	// BaseHash is the fingerprint of the base model, "" where the file has none.
	BaseHash string

	Sites map[whisper.Site]*Factors

	// Config is what the adapter's file says of it, nil where it has none. It is not part of the content.
	Config *Config

	// Card is text about the adapter, in Markdown, that [Adapter.Write] writes beside it. [Open] does not read it.
	Card string

	// Hash identifies the content: sha256 over the kind and the factors, in hexadecimal.
	Hash string

	placed *tensor.Memory // of factors on a device
}

// Place copies the factors to the memory of b, where that is a device, for the adapter to be trained there. The host's
// stay; tensor.Ops.Send brings over what changes in them. The error wraps tensor.ErrMemory.
func (a *Adapter) Place(b tensor.Backend) error {
	if _, ok := b.(tensor.Device); !ok {
		return nil
	}
	var to []*tensor.Mat
	var from []tensor.Mat
	for _, site := range a.sortedSites() {
		for _, p := range a.Sites[site].parts() {
			to, from = append(to, p.mat), append(from, *p.mat)
		}
	}
	memory, err := tensor.Place(b, to, from)
	if err != nil {
		return fmt.Errorf("adapter %s: %w", a.Name, err)
	}
	a.placed.Free()
	a.placed = memory
	return nil
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
		l := linears[site]
		if l == nil {
			return fmt.Errorf("%w: %s adapts %s, which the model does not have", ErrBase, a.Name, site)
		}
		if err := a.Sites[site].fit(l.Weight.Rows, l.Weight.Cols); err != nil {
			return fmt.Errorf("%w: %s: %s: %w", ErrBase, a.Name, site, err)
		}
	}
	return nil
}

func (a *Adapter) sortedSites() []whisper.Site {
	sites := make([]whisper.Site, 0, len(a.Sites))
	for s := range a.Sites {
		sites = append(sites, s)
	}
	slices.SortFunc(sites, compareSites)
	return sites
}

func compareSites(x, y whisper.Site) int { return strings.Compare(x.String(), y.String()) }

// addsTo reports whether a kind's term of W itself is there unscaled.
func (k Kind) addsTo() bool { return k != FLoRA && k != IA3 }

// isLoRA reports whether a kind adds a product.
func (k Kind) isLoRA() bool { return k == LoRA || k == RSLoRA || k == DoRA }

// sum returns the content hash of the adapter.
func (a *Adapter) sum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", a.Kind, a.Rank)
	for _, site := range a.sortedSites() {
		f := a.Sites[site]
		fmt.Fprintln(h, site)
		for _, p := range f.parts() {
			if !p.mat.IsZero() {
				fmt.Fprintln(h, p.name)
				hashMat(h, *p.mat)
			}
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
