package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// adapter trains the factors of an adapter over a frozen model.
type adapter struct {
	options AdapterOptions
	adapter *flora.Adapter
	alone   whisper.Adapter
	params  []NamedParam
}

// AdapterOptions say what adapter is trained.
type AdapterOptions struct {
	Kind   flora.Kind
	Rank   int          // of no meaning for IA3
	Target flora.Target // the linears that are adapted

	// Alpha is the α of LoRA and its kin, 0 for a scale of 1: α = r, √r under rsLoRA.
	Alpha float64 `json:",omitempty"`

	// Name and Base are the names of the adapter and of its base model, as they are stored.
	Name, Base string `json:"-"`

	// Seed determines the factors that are random at the start.
	Seed uint64 `json:"-"`
}

// String returns the kind with its rank, α and target.
func (o AdapterOptions) String() string {
	text := string(o.Kind)
	if o.Rank > 0 {
		text += fmt.Sprintf(" of rank %d", o.Rank)
	}
	if o.Alpha > 0 {
		text += fmt.Sprintf(", alpha %g", o.Alpha)
	}
	return text + ", target " + string(o.Target)
}

// adapterStream is the stream of random numbers that adapters begin with.
const adapterStream = 0x61646170746572

// NewAdapter returns a new adapter of m, which changes nothing yet (see [flora.New]), and what trains it.
// The products of HiRA, and of LoRA and its kin, are decayed; scales and magnitudes are not, whose neutral
// value is not zero.
//
// The factor U of LoRA and its kin is α/r times B, α/√r under rsLoRA. AdamW moves B by the learning rate
// whatever its scale, so U is moved by as much times the scale. The errors are those of flora.New, and
// ErrOptions for an α of a kind without one.
func NewAdapter(m *whisper.Model, o AdapterOptions) (*flora.Adapter, Trainable, error) {
	a, err := flora.New(m, o.Name, o.Kind, o.Rank, o.Target, rand.New(rand.NewPCG(o.Seed, adapterStream)))
	if err != nil {
		return nil, nil, err
	}
	a.Base = o.Base
	scale, err := productScale(a, o.Alpha)
	if err != nil {
		return nil, nil, err
	}
	alone, err := flora.Alone(m, a)
	if err != nil {
		return nil, nil, err
	}
	o.Rank = a.Rank
	t := &adapter{options: o, adapter: a, alone: alone}
	names, mats := a.Params()
	for i, name := range names {
		p := NamedParam{Name: name, Mat: mats[i]}
		switch part := name[len(name)-1]; part {
		case 'A', 'B':
			p.Decay = a.Kind == flora.HiRA
		case 'U', 'V':
			p.Decay = true
			if part == 'U' {
				p.Rate = scale
			}
		}
		t.params = append(t.params, p)
	}
	return a, t, nil
}

// productScale returns α/r or α/√r, 1 where alpha is 0.
func productScale(a *flora.Adapter, alpha float64) (float64, error) {
	if alpha == 0 {
		return 1, nil
	}
	switch {
	case !(alpha > 0) || math.IsInf(alpha, 0):
		return 0, fmt.Errorf("%w: alpha is %v", ErrOptions, alpha)
	case a.Kind == flora.LoRA || a.Kind == flora.DoRA:
		return alpha / float64(a.Rank), nil
	case a.Kind == flora.RSLoRA:
		return alpha / math.Sqrt(float64(a.Rank)), nil
	}
	return 0, fmt.Errorf("%w: alpha is %v, and kind %s has none; lora, rslora and dora do", ErrOptions, alpha, a.Kind)
}

func (t *adapter) Params() []NamedParam { return t.params }

// Place places the factors.
func (t *adapter) Place(b tensor.Backend) error {
	if err := t.adapter.Place(b); err != nil {
		return err
	}
	_, mats := t.adapter.Params()
	for i, m := range mats {
		t.params[i].Mat = m
	}
	return nil
}

func (t *adapter) Adapter() whisper.Adapter { return t.alone }

func (t *adapter) Save(dir string) error { return t.adapter.Write(dir, safetensors.F32) }

// adapterOptions returns those of the adapter that is trained, without what a checkpoint does not tell; nil
// where a model is trained.
func (t *trainer) adapterOptions() *AdapterOptions {
	a, ok := t.options.Trainable.(*adapter)
	if !ok {
		return nil
	}
	return &AdapterOptions{Kind: a.options.Kind, Rank: a.options.Rank, Target: a.options.Target, Alpha: a.options.Alpha}
}
