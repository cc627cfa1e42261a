package whisper

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"glossa/whisper/ggml"
	"glossa/whisper/torch"
)

// Open opens a model, told by its content: a directory in Hugging Face layout, a checkpoint of openai/whisper (.pt), or a model
// of whisper.cpp (ggml .bin). Tensors are read when they are asked for.
// The errors are those of OpenFS, of the formats' packages and of the file system, each with the path.
func Open(path string) (*Checkpoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		f.Close()
		return OpenDir(path)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: neither a directory nor a regular file", ErrCheckpoint)
	}
	var c *Checkpoint
	if err == nil {
		c, err = openFile(f, info.Size(), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	c.shards[0].closer = f
	return c, nil
}

// fileFormats are the files that Open knows by how they begin: to open, or to tell what to do.
var fileFormats = []struct {
	at     int
	begins string
	open   func(r io.ReaderAt, size int64, name string) (*Checkpoint, error)
	advice string
}{
	{0, torch.Magic, openTorch, ""},
	{0, "\x80\x02", openTorch, ""}, // torch tells of its older form
	{0, ggml.Magic, openGGML, ""},
	{0, "GGUF", nil, "GGUF; of whisper.cpp's models those called ggml-….bin are read"},
	{8, "{\"", nil, "safetensors alone; give the directory that holds it and " + fileConfig},
	{0, "version https://git-lfs", nil, "a pointer of Git LFS; fetch the file itself by git lfs pull"},
}

// openFile opens a model in one file of size bytes, which its errors do not name.
func openFile(r io.ReaderAt, size int64, name string) (*Checkpoint, error) {
	begin := make([]byte, 32)
	n, err := r.ReadAt(begin, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	begin = begin[:n]
	for _, f := range fileFormats {
		switch {
		case n < f.at || !bytes.HasPrefix(begin[f.at:], []byte(f.begins)):
		case f.open == nil:
			return nil, fmt.Errorf("%w: %s", ErrCheckpoint, f.advice)
		default:
			return f.open(r, size, name)
		}
	}
	return nil, fmt.Errorf("%w: neither a Hugging Face directory nor a .pt of openai/whisper nor a ggml .bin of whisper.cpp", ErrCheckpoint)
}
