package flora

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"

	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// prefix is what PEFT puts before the module names of the base model.
const prefix = "base_model.model."

// Open reads the adapter of a PEFT directory. It is named after the directory. The errors are
// [ErrInvalid], [ErrUnsupported] and those of safetensors, with the file and tensor at fault.
func Open(dir string) (*Adapter, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is not a directory", ErrInvalid, dir)
	}
	a, err := OpenFS(os.DirFS(dir), nameOf(dir))
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	return a, nil
}

// OpenFS is [Open] for a PEFT directory that is the root of fsys.
func OpenFS(fsys fs.FS, name string) (*Adapter, error) {
	c, err := readConfig(fsys)
	if err != nil {
		return nil, err
	}
	file, err := fsys.Open(TensorFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer file.Close()
	r, size, err := readerAt(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, TensorFile, err)
	}
	tensors, err := safetensors.New(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, TensorFile, err)
	}
	return build(c, tensors, name)
}

// readerAt returns random access to an open file, read into memory where it gives none.
func readerAt(f fs.File) (io.ReaderAt, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if r, ok := f.(io.ReaderAt); ok {
		return r, info.Size(), nil
	}
	data, err := io.ReadAll(f)
	return bytes.NewReader(data), int64(len(data)), err
}

// build assembles the adapter from its tensors, each of which must be known and have its pair.
func build(c *Config, file *safetensors.File, name string) (*Adapter, error) {
	a := &Adapter{Name: name, Kind: c.kind(), Rank: c.Rank, Base: c.Base, BaseHash: c.BaseHash, Sites: make(map[whisper.Site]*Factors)}
	for _, full := range file.Names() {
		site, part, err := parseTensor(full, a.Kind)
		if err != nil {
			return nil, err
		}
		m, err := readMat(file, full)
		if err != nil {
			return nil, err
		}
		f := a.Sites[site]
		if f == nil {
			f = &Factors{Base: a.Kind == LoRA}
			a.Sites[site] = f
		}
		f.set(part, m)
	}
	if len(a.Sites) == 0 {
		return nil, fmt.Errorf("%w: %s holds no tensors", ErrInvalid, TensorFile)
	}
	for _, site := range a.sortedSites() {
		if err := a.Sites[site].complete(c, site.String()); err != nil {
			return nil, err
		}
	}
	a.Hash = a.sum()
	return a, nil
}

// parts of a linear's factors, by the end of the tensor's name.
var parts = map[Kind]map[string]string{
	FLoRA: {".flora_A": "A", ".flora_B": "B"},
	LoRA:  {".lora_A.weight": "V", ".lora_B.weight": "U"},
}

// parseTensor takes a tensor's name apart.
func parseTensor(full string, k Kind) (site whisper.Site, part string, err error) {
	for suffix, part := range parts[k] {
		module, ok := strings.CutSuffix(full, suffix)
		if !ok {
			continue
		}
		module = strings.TrimPrefix(module, prefix)
		site, ok := whisper.ParseSite(module)
		if !ok {
			return site, "", fmt.Errorf("%w: tensor %s adapts a module that is no linear of Whisper", ErrUnsupported, full)
		}
		return site, part, nil
	}
	return site, "", fmt.Errorf("%w: tensor %s is not one of a %s adapter", ErrUnsupported, full, k)
}

// readMat reads a finite matrix.
func readMat(file *safetensors.File, name string) (tensor.Mat, error) {
	data, shape, err := file.Float32(name)
	if err != nil {
		return tensor.Mat{}, fmt.Errorf("%w: %s: %w", ErrInvalid, TensorFile, err)
	}
	if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > math.MaxInt32 || shape[1] > math.MaxInt32 {
		return tensor.Mat{}, fmt.Errorf("%w: tensor %s has shape %v, want a matrix", ErrInvalid, name, shape)
	}
	return tensor.NewMat(shape[0], shape[1], data), nil
}

// set stores one of the factors.
func (f *Factors) set(part string, m tensor.Mat) {
	switch part {
	case "A":
		f.A = m
	case "B":
		f.B = m
	case "U":
		f.U = m
	case "V":
		f.V = m
	}
}

// complete checks that the factors of module are all there, fit each other and agree with the
// configuration, and takes LoRA's scale into U.
func (f *Factors) complete(c *Config, module string) error {
	targeted, err := c.targets(module)
	if err != nil {
		return err
	}
	if !targeted {
		return fmt.Errorf("%w: tensors of %s, which target_modules does not name", ErrInvalid, module)
	}
	want, err := c.rank(module)
	if err != nil {
		return err
	}
	first, second, rank := f.A, f.B, f.A.Rows
	if c.kind() == LoRA {
		first, second, rank = f.U, f.V, f.V.Rows
	}
	switch {
	case first.IsZero() || second.IsZero():
		return fmt.Errorf("%w: %s has one factor of two", ErrInvalid, module)
	case c.kind() == FLoRA && f.A.Rows != f.B.Rows || c.kind() == LoRA && f.U.Cols != f.V.Rows:
		return fmt.Errorf("%w: factors of %s are (%d, %d) and (%d, %d)", ErrInvalid, module, first.Rows, first.Cols, second.Rows, second.Cols)
	case rank != want:
		return fmt.Errorf("%w: factors of %s have rank %d, the configuration says %d", ErrInvalid, module, rank, want)
	case c.kind() == FLoRA:
		return nil
	}
	scale, err := c.scale(module)
	if err != nil {
		return err
	}
	for i := range f.U.Data {
		f.U.Data[i] *= scale
	}
	return nil
}
