package torch

import (
	"fmt"

	"glossa/whisper/pickle"
	"glossa/whisper/safetensors"
)

// storages are the classes of storages by name, each with the type of its elements.
var storages = map[string]safetensors.DType{
	"torch.FloatStorage":    safetensors.F32,
	"torch.HalfStorage":     safetensors.F16,
	"torch.BFloat16Storage": safetensors.BF16,
	"torch.DoubleStorage":   safetensors.F64,
}

// env is the whitelist of what a pickle in a file of tensors may name.
type env struct {
	file *archive
	left int64 // bytes that further tensors may have
}

// Global is one of the whitelisted names.
func (e *env) Global(module, name string) (any, error) {
	full := module + "." + name
	if dtype, ok := storages[full]; ok {
		return dtype, nil
	}
	switch full {
	case "collections.OrderedDict":
		return pickle.Func(orderedDict), nil
	case "torch._utils._rebuild_tensor_v2":
		return pickle.Func(e.rebuildTensor), nil
	case "torch._utils._rebuild_parameter":
		return pickle.Func(rebuildParameter), nil
	}
	return nil, fmt.Errorf("%w: %.100q", ErrGlobal, full)
}

// Persistent is a storage: ("storage", class, key, location, number of elements).
func (e *env) Persistent(id any) (any, error) {
	t, _ := id.(pickle.Tuple)
	if len(t) != 5 || t[0] != "storage" {
		return nil, fmt.Errorf("%w: a persistent id that is no storage", ErrFormat)
	}
	dtype, ok1 := t[1].(safetensors.DType)
	key, ok2 := t[2].(string)
	n, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return nil, fmt.Errorf("%w: storage of %T, %T and %T", ErrFormat, t[1], t[2], t[4])
	}
	m, ok := e.file.members[e.file.prefix+"/data/"+key]
	if !ok {
		return nil, fmt.Errorf("%w: no member data/%.100s", ErrTruncated, key)
	}
	begin, err := e.file.stored(m)
	if err != nil {
		return nil, err
	}
	if has := int64(m.UncompressedSize64) / int64(dtype.Size()); n < 0 || n > has {
		return nil, fmt.Errorf("%w: storage %s of %d %s elements, its member has %d", ErrTruncated, key, n, dtype, has)
	}
	return &storage{r: e.file.r, begin: begin, dtype: dtype, n: n}, nil
}

func orderedDict(args pickle.Tuple) (any, error) {
	if len(args) != 0 {
		return nil, fmt.Errorf("%w: OrderedDict of %d arguments", ErrFormat, len(args))
	}
	return &pickle.Dict{}, nil
}

// rebuildTensor is a view: (storage, offset, size, stride, requires_grad, hooks[, metadata]).
func (e *env) rebuildTensor(args pickle.Tuple) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("%w: tensor of %d arguments", ErrFormat, len(args))
	}
	s, ok1 := args[0].(*storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := integers(args[2])
	stride, ok4 := integers(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, fmt.Errorf("%w: tensor of %T, %T, %T and %T", ErrFormat, args[0], args[1], args[2], args[3])
	}
	t, err := newTensor(s, offset, shape, stride)
	if err != nil {
		return nil, err
	}
	if e.left -= t.bytes(); e.left < 0 {
		return nil, fmt.Errorf("%w: shape %v is too much", ErrLimit, shape)
	}
	return t, nil
}

// rebuildParameter is the tensor of a parameter: (tensor, requires_grad, hooks).
func rebuildParameter(args pickle.Tuple) (any, error) {
	if len(args) > 0 {
		if t, ok := args[0].(*Tensor); ok {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: a parameter without tensor", ErrFormat)
}

// integers is v as a tuple of integers.
func integers(v any) (list []int64, ok bool) {
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) > maxDims {
		return nil, false
	}
	for _, item := range t {
		n, ok := item.(int64)
		if !ok {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}
