package flora

import (
	"fmt"
	"strings"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// prefix is what PEFT puts before the module names of the base model.
const prefix = "base_model.model."

// bare is what module names lack in adapters of the encoder-decoder without its output layer.
const bare = "model."

// layout is how a file has a factor.
type layout int

const (
	asIs       layout = iota
	transposed        // (cols, rows)
	flat              // (cols), of one row
)

// part is a tensor of one linear in a file.
type part struct {
	suffix string // of its name, behind the module's
	factor string // of Factors
	layout layout
	may    bool // may be absent
}

// parts are the tensors of a linear (nOut, nIn), by kind; r is the rank.
var parts = map[Kind][]part{
	FLoRA: {
		{".flora_A", "A", asIs, false}, // (r, nOut)
		{".flora_B", "B", asIs, false}, // (r, nIn)
		{".flora_bias", "D", flat, true},
	},
	HiRA: {
		{".hira_A", "B", asIs, false},       // (r, nIn)
		{".hira_B", "A", transposed, false}, // (nOut, r)
	},
	LoRA:   {loraDown, loraUp, loraBias},
	RSLoRA: {loraDown, loraUp, loraBias},
	DoRA: {
		loraDown, loraUp,
		{".lora_magnitude_vector", "M", flat, false},
		{".lora_magnitude_vector.weight", "M", flat, true}, // as the module has it, which PEFT renames when it saves
	},
	IA3: {
		{".ia3_l", "A", transposed, false}, // (nOut, 1), or of a feed-forward (1, nIn), which is B
	},
}

var (
	loraDown = part{".lora_A.weight", "V", asIs, false} // (r, nIn)
	loraUp   = part{".lora_B.weight", "U", asIs, false} // (nOut, r)
	loraBias = part{".lora_B.bias", "D", flat, true}
)

// factor returns the factor of that name.
func (f *Factors) factor(name string) *tensor.Mat {
	for _, p := range f.parts() {
		if p.name == name {
			return p.mat
		}
	}
	panic("flora: factor " + name)
}

// module is a linear of an adapter that is being read.
type module struct {
	site    whisper.Site
	name    string // as the configuration's expressions see it
	factors *Factors
	of      map[string]string // the name of the tensor of each factor
}

// parseTensor takes a tensor's name apart.
func (c *Config) parseTensor(full string) (site whisper.Site, name string, p part, err error) {
	for _, p := range parts[c.Kind()] {
		name, ok := strings.CutSuffix(full, p.suffix)
		if !ok {
			continue
		}
		name = strings.TrimPrefix(name, prefix)
		if site, ok = whisper.ParseSite(name); !ok {
			site, ok = whisper.ParseSite(bare + name)
		}
		if !ok {
			return site, name, p, fmt.Errorf("%w: tensor %.200s adapts a module that is no linear of Whisper", ErrUnsupported, full)
		}
		if p == loraBias && !c.LoRABias {
			return site, name, p, fmt.Errorf("%w: tensor %s, but lora_bias is false", ErrInvalid, full)
		}
		if c.Kind() == IA3 && c.feedForward(name) {
			p.factor, p.layout = "B", asIs
		}
		return site, name, p, nil
	}
	return site, "", part{}, fmt.Errorf("%w: tensor %.200s is not one of a %s adapter", ErrUnsupported, full, c.Kind())
}

// read returns a factor from the numbers of its tensor.
func (p part) read(name string, data []float32, shape []int) (tensor.Mat, error) {
	want := 2
	if p.layout == flat {
		want = 1
	}
	if len(shape) != want || len(data) == 0 {
		return tensor.Mat{}, fmt.Errorf("%w: tensor %s has shape %v, want %d dimensions", ErrInvalid, name, shape, want)
	}
	switch p.layout {
	case flat:
		return tensor.NewMat(1, shape[0], data), nil
	case transposed:
		return transpose(tensor.NewMat(shape[0], shape[1], data)), nil
	}
	return tensor.NewMat(shape[0], shape[1], data), nil
}

// write returns the shape and the numbers of a factor's tensor.
func (p part) write(m tensor.Mat) (shape []int, data []float32) {
	switch p.layout {
	case flat:
		return []int{m.Cols}, m.Data
	case transposed:
		m = transpose(m)
	}
	return []int{m.Rows, m.Cols}, m.Data
}

func transpose(m tensor.Mat) tensor.Mat {
	t := tensor.Zeros(m.Cols, m.Rows)
	for i := range m.Rows {
		for j, v := range m.Row(i) {
			t.Row(j)[i] = v
		}
	}
	return t
}

// complete checks that the factors of a linear are all there, fit each other and agree with the
// configuration, and takes LoRA's scale into U and D.
func (m *module) complete(c *Config) error {
	f, k := m.factors, c.Kind()
	if !c.targets(m.name) {
		return fmt.Errorf("%w: tensors of %s, which target_modules, exclude_modules and layers_to_transform leave out", ErrInvalid, m.name)
	}
	if k == IA3 {
		return m.completeIA3()
	}
	for _, p := range parts[k] {
		if f.factor(p.factor).IsZero() && (!p.may || p == loraBias && c.LoRABias) {
			return fmt.Errorf("%w: %s has no tensor %s", ErrInvalid, m.name, strings.TrimPrefix(p.suffix, "."))
		}
	}
	rows := []int{f.A.Rows, f.B.Rows} // the rank by each
	if k.isLoRA() {
		rows = []int{f.V.Rows, f.U.Cols}
	}
	nOut := max(f.A.Cols, f.U.Rows)
	switch want := c.rank(m.name); {
	case rows[0] != rows[1]:
		return fmt.Errorf("%w: the factors of %s have ranks %d and %d", ErrInvalid, m.name, rows[0], rows[1])
	case rows[0] != want:
		return fmt.Errorf("%w: factors of %s have rank %d, the configuration says %d", ErrInvalid, m.name, rows[0], want)
	case !f.M.IsZero() && f.M.Cols != nOut || !f.D.IsZero() && f.D.Cols != nOut:
		return fmt.Errorf("%w: %s has %d outputs by its factors, and others by what is added or the magnitude", ErrInvalid, m.name, nOut)
	}
	if k.isLoRA() {
		return m.scale(c)
	}
	return nil
}

// completeIA3 checks that there is one vector, and says what it scales.
func (m *module) completeIA3() error {
	f := m.factors
	if max(f.A.Rows, f.B.Rows) != 1 {
		return fmt.Errorf("%w: ia3_l of %s is of another shape than feedforward_modules says: (1, in) of those, else (out, 1)", ErrInvalid, m.name)
	}
	f.OnBias = f.B.IsZero()
	return nil
}

// scale takes the scale of the product into U, and that of what is added to the bias into D.
func (m *module) scale(c *Config) error {
	scale := float32(c.Scale(m.name))
	if !isFinite(float64(scale)) || scale == 0 {
		return fmt.Errorf("%w: the scale of %s is %v", ErrInvalid, m.name, c.Scale(m.name))
	}
	for _, data := range [][]float32{m.factors.U.Data, m.factors.D.Data} {
		for i := range data {
			data[i] *= scale
			if !isFinite(float64(data[i])) {
				return fmt.Errorf("%w: %s times its scale is not finite", ErrInvalid, m.name)
			}
		}
	}
	return nil
}
