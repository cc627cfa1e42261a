package flora

import (
	"fmt"
	"io"
	"slices"

	"glossa/whisper/pickle"
	"glossa/whisper/safetensors"
	"glossa/whisper/torch"
)

// pickled is adapter_model.bin: a dict of tensors that torch.save wrote, as PEFT did before safetensors. Nothing in it is executed.
type pickled map[string]*torch.Tensor

// openPickle reads the dict in a file of size bytes. The errors are those of torch and pickle.
func openPickle(r io.ReaderAt, size int64) (pickled, error) {
	root, err := torch.New(r, size)
	if err != nil {
		return nil, err
	}
	dict, ok := root.(*pickle.Dict)
	if !ok {
		return nil, fmt.Errorf("%w: %T where a dict of tensors is wanted", torch.ErrFormat, root)
	}
	tensors := make(pickled)
	for key, value := range dict.All() {
		name, ok := key.(string)
		t, ok2 := value.(*torch.Tensor)
		if !ok || !ok2 {
			return nil, fmt.Errorf("%w: %T under %.100v where a tensor is wanted", torch.ErrFormat, value, key)
		}
		tensors[name] = t
	}
	return tensors, nil
}

// Names returns the names of the tensors in a fixed order.
func (p pickled) Names() []string {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Float32 returns the numbers of a tensor, row-major, and its shape. The errors are safetensors.ErrNotFinite and those of torch.
func (p pickled) Float32(name string) ([]float32, []int, error) {
	t := p[name]
	data, err := t.Float32()
	if err == nil {
		err = safetensors.CheckFinite(data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return data, t.Shape, nil
}
