package whisper

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"glossa/whisper/safetensors"
)

// Errors of a model's files; every one of them comes with the file's name and what was wanted and found.
var (
	ErrCheckpoint    = errors.New("whisper: malformed checkpoint")
	ErrMissingTensor = errors.New("whisper: missing tensor")
	ErrTensorShape   = errors.New("whisper: tensor of another shape")
)

const (
	// modelPrefix begins the tensor names of a model with its output layer, as published; a bare encoder-decoder has none.
	modelPrefix = "model."
	// outputLayer is tied to the token embedding and published by some writers beside it.
	outputLayer    = "proj_out.weight"
	tokenEmbedding = "decoder.embed_tokens.weight"
)

// Checkpoint is an open model: the sizes, the vocabulary and the decoding settings, read, and the tensors, to be read by name.
// Its methods are safe for concurrent use.
type Checkpoint struct {
	Dims       Dims
	Tokenizer  *Tokenizer // nil for a file of tensors alone
	Generation Generation

	where   string            // the directory, for messages
	shards  []shard           // the files of tensors
	tensors map[string]source // by name without modelPrefix
}

// shard is one open file of tensors.
type shard struct {
	name   string
	file   *safetensors.File // nil in other formats
	closer io.Closer
}

// source is a tensor as the file describes it, and how to read it.
type source struct {
	safetensors.Tensor
	shard string // the file's name, for messages
	read  func(dst []float32) error
}

// numbers reads all of the tensor.
func (s source) numbers() ([]float32, error) {
	data := make([]float32, s.Len())
	return data, s.read(data)
}

// NewCheckpoint is a checkpoint of tensors alone, such as an encoder without decoder. It has no tokenizer, and closing the file
// stays with the caller. The errors are ErrDims and ErrCheckpoint.
func NewCheckpoint(d Dims, name string, file *safetensors.File) (*Checkpoint, error) {
	c := &Checkpoint{Dims: d}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, c.index([]shard{{name: name, file: file}})
}

// Close closes the files of tensors.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, s := range c.shards {
		if s.closer != nil {
			errs = append(errs, s.closer.Close())
		}
	}
	return errors.Join(errs...)
}

// index makes the table of tensors of the shards.
func (c *Checkpoint) index(shards []shard) error {
	c.shards = shards
	for _, sh := range shards {
		for _, full := range sh.file.Names() {
			t, _ := sh.file.Tensor(full)
			read := func(dst []float32) error { return sh.file.ReadFloat32(full, dst) }
			if err := c.add(strings.TrimPrefix(full, modelPrefix), source{t, sh.name, read}); err != nil {
				return fmt.Errorf("%s: %w", sh.name, err)
			}
		}
	}
	return nil
}

// add puts a tensor into the table.
func (c *Checkpoint) add(name string, s source) error {
	if other, ok := c.tensors[name]; ok {
		return fmt.Errorf("%w: tensor %q is also in %s as %q", ErrCheckpoint, s.Name, other.shard, other.Name)
	}
	if err := c.checkLayer(name); err != nil {
		return err
	}
	if c.tensors == nil {
		c.tensors = map[string]source{}
	}
	c.tensors[name] = s
	return nil
}

// checkLayer refuses a tensor of a layer that the configuration does not have.
func (c *Checkpoint) checkLayer(name string) error {
	for stack, layers := range map[string]int{"encoder": c.Dims.NAudioLayer, "decoder": c.Dims.NTextLayer} {
		rest, ok := strings.CutPrefix(name, stack+".layers.")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); err != nil || n < 0 || n >= layers {
			return fmt.Errorf("%w: tensor %q, the configuration has %d %s layers", ErrCheckpoint, name, layers, stack)
		}
	}
	return nil
}

// Names lists the tensors, sorted, each with the "model." prefix whether or not the file has it.
func (c *Checkpoint) Names() []string {
	names := make([]string, 0, len(c.tensors))
	for name := range c.tensors {
		if name != outputLayer {
			name = modelPrefix + name
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Tensor describes the tensor called name, as Float32 finds it; ok is false if there is none.
func (c *Checkpoint) Tensor(name string) (t safetensors.Tensor, ok bool) {
	s, ok := c.tensors[strings.TrimPrefix(name, modelPrefix)]
	return s.Tensor, ok
}

// Float32 is the elements of the tensor called name, row-major, which must have this shape. The name is that of Hugging Face
// checkpoints, "model.encoder.conv1.weight"; the prefix "model." may be absent there or here.
// The errors are ErrMissingTensor, ErrTensorShape and those of the format's package.
func (c *Checkpoint) Float32(name string, shape ...int) ([]float32, error) {
	s, err := c.find(name, shape)
	if err != nil {
		return nil, err
	}
	data := make([]float32, s.Len())
	return data, c.read(s, data)
}

// find is the tensor called name, which must have this shape.
func (c *Checkpoint) find(name string, shape []int) (source, error) {
	s, ok := c.tensors[strings.TrimPrefix(name, modelPrefix)]
	if !ok {
		return s, fmt.Errorf("%s: %w: %q of shape %v", c.files(), ErrMissingTensor, name, shape)
	}
	if !slices.Equal(s.Shape, shape) {
		return s, fmt.Errorf("%s: %w: %q has shape %v, want %v", c.path(s), ErrTensorShape, s.Name, s.Shape, shape)
	}
	return s, nil
}

// read fills dst with the elements of a tensor, which are as many.
func (c *Checkpoint) read(s source, dst []float32) error {
	if err := s.read(dst); err != nil {
		return fmt.Errorf("%s: %w", c.path(s), err)
	}
	return nil
}

// path is where a tensor lies, for messages.
func (c *Checkpoint) path(s source) string { return path.Join(c.where, s.shard) }

// files names the files of tensors, for messages: the only one, or the directory of several.
func (c *Checkpoint) files() string {
	if len(c.shards) == 1 {
		return path.Join(c.where, c.shards[0].name)
	}
	return c.where
}

// checkTied returns an error if the file has an output layer that is not the token embedding.
func (c *Checkpoint) checkTied() error {
	output, ok := c.tensors[outputLayer]
	if !ok {
		return nil
	}
	embedding, ok := c.tensors[tokenEmbedding]
	if !ok {
		return nil
	}
	if !slices.Equal(output.Shape, embedding.Shape) {
		return fmt.Errorf("%s: %w: %s has shape %v, %s %v", output.shard, ErrTensorShape, output.Name, output.Shape, embedding.Name, embedding.Shape)
	}
	a, err := output.numbers()
	if err != nil {
		return fmt.Errorf("%s: %w", output.shard, err)
	}
	b, err := embedding.numbers()
	if err != nil {
		return fmt.Errorf("%s: %w", embedding.shard, err)
	}
	if !slices.Equal(a, b) {
		return fmt.Errorf("%s: %w: %s differs from %s, to which it is tied", output.shard, ErrArchitecture, output.Name, embedding.Name)
	}
	return nil
}
