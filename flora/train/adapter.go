package train

import (
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
)

// adapter trains the factors of an adapter over a frozen model.
type adapter struct {
	adapter *flora.Adapter
	alone   whisper.Adapter
	params  []NamedParam
}

// NewAdapter makes the factors of a, which flora.New made for m, trainable. Scales are not
// decayed: their neutral value is not zero. The error is flora.ErrBase.
func NewAdapter(m *whisper.Model, a *flora.Adapter) (Trainable, error) {
	alone, err := flora.Alone(m, a)
	if err != nil {
		return nil, err
	}
	t := &adapter{adapter: a, alone: alone}
	names, mats := a.Params()
	for i, name := range names {
		t.params = append(t.params, NamedParam{Name: name, Mat: mats[i], Decay: a.Kind == flora.LoRA})
	}
	return t, nil
}

func (t *adapter) Params() []NamedParam { return t.params }

func (t *adapter) Adapter() whisper.Adapter { return t.alone }

func (t *adapter) Save(dir string) error { return t.adapter.Write(dir, safetensors.F32) }
