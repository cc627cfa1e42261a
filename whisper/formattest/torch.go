package formattest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"glossa/whisper/safetensors"
)

// Size is a member of upstream's ModelDimensions.
type Size struct {
	Name  string
	Value int
}

// Torch writes a checkpoint of openai/whisper, as torch.save(dict(dims=…, model_state_dict=…)) does.
func Torch(w io.Writer, dims []Size, tensors []Tensor) error {
	var p Pickle
	p.Op("\x80\x02}(").Text("dims").Op("}(")
	for _, d := range dims {
		p.Text(d.Name).Int(d.Value)
	}
	p.Op("u").Text("model_state_dict").Global("collections", "OrderedDict").Op(")R(")
	for i, t := range tensors {
		p.Text(t.Name).Tensor(fmt.Sprint(i), t)
	}
	p.Op("u}").Text("_metadata").Global("collections", "OrderedDict").Op(")Rsb") // which torch sets on state dicts
	return Archive(w, p.Op("u.").Bytes(), tensors)
}

// Archive writes the file of torch.save around a pickle whose tensors have the storages "0", "1", ….
func Archive(w io.Writer, pickle []byte, tensors []Tensor) error {
	z := zip.NewWriter(w)
	add := func(name string, data []byte, n int) error {
		m, err := z.CreateRaw(&zip.FileHeader{Name: "archive/" + name, CompressedSize64: uint64(n), UncompressedSize64: uint64(n), CRC32: crc32.ChecksumIEEE(data)})
		if err != nil {
			return err
		}
		return write(m, data, n)
	}
	if err := add("data.pkl", pickle, len(pickle)); err != nil {
		return err
	}
	for i, t := range tensors {
		n := t.stored() * t.DType.Size()
		if err := add(fmt.Sprint("data/", i), t.Data, n); err != nil {
			return err
		}
	}
	if err := add("version", []byte("3\n"), 2); err != nil {
		return err
	}
	return z.Close()
}

// storageNames are the classes of storages.
var storageNames = map[safetensors.DType]string{
	safetensors.F32: "FloatStorage", safetensors.F16: "HalfStorage", safetensors.BF16: "BFloat16Storage", safetensors.F64: "DoubleStorage",
}

// Pickle is a pickle in the making, by instructions of protocol 2.
type Pickle struct{ bytes.Buffer }

// Op appends instructions as they are.
func (p *Pickle) Op(ops string) *Pickle {
	p.WriteString(ops)
	return p
}

// Text pushes a string.
func (p *Pickle) Text(s string) *Pickle {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	return p.Op(s)
}

// Int pushes an integer.
func (p *Pickle) Int(n int) *Pickle {
	p.WriteString("\x8a\x08")
	p.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return p
}

// Global pushes a named object.
func (p *Pickle) Global(module, name string) *Pickle { return p.Op("c" + module + "\n" + name + "\n") }

// Ints pushes a tuple of integers.
func (p *Pickle) Ints(list []int) *Pickle {
	p.Op("(")
	for _, n := range list {
		p.Int(n)
	}
	return p.Op("t")
}

// Tensor pushes a tensor in the storage called key.
func (p *Pickle) Tensor(key string, t Tensor) *Pickle {
	stride := t.Stride
	if stride == nil {
		n := 1
		for _, d := range slices.Backward(t.Shape) {
			stride = append(stride, n)
			n *= d
		}
		slices.Reverse(stride)
	}
	p.Global("torch._utils", "_rebuild_tensor_v2").Op("((").Text("storage").Global("torch", storageNames[t.DType])
	p.Text(key).Text("cpu").Int(t.stored()).Op("tQ")
	return p.Int(0).Ints(t.Shape).Ints(stride).Op("\x89").Global("collections", "OrderedDict").Op(")RtR")
}
