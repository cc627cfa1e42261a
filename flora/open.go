package flora

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"glossa/whisper"
	"glossa/whisper/safetensors"
)

// Open reads the adapter of a PEFT directory, whichever of the kinds it is of. It is named after the directory.
//
// Nothing is passed over in silence: a member of the configuration that is not known to change nothing must be off
// (null, false, zero or empty), and every tensor must be one of the kind's, of a linear that the configuration
// targets, of the rank that it says, and finite.
//
// The errors are [ErrInvalid], [ErrUnsupported] and those of the formats, with the file and the member or tensor at fault.
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
	file, format, err := openTensors(fsys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer file.Close()
	r, size, err := readerAt(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, format, err)
	}
	var tensors tensorFile
	if format == PickleFile {
		tensors, err = openPickle(r, size)
	} else {
		tensors, err = safetensors.New(r, size)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, format, err)
	}
	return assemble(c, tensors, format, name)
}

// openTensors opens the file of tensors: as PEFT does, the pickle only where there is no other.
func openTensors(fsys fs.FS) (fs.File, string, error) {
	file, err := fsys.Open(TensorFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, TensorFile, err
	}
	if file, pickleErr := fsys.Open(PickleFile); pickleErr == nil {
		return file, PickleFile, nil
	}
	return nil, "", err
}

// maxTensors is the greatest size of a file of tensors, in bytes. Adapters of rank 256 of all linears of
// Whisper's largest models have 1.3 GB.
const maxTensors = 4 << 30

// assemble returns the adapter of a configuration and tensors.
func assemble(c *Config, tensors tensorFile, format, name string) (a *Adapter, err error) {
	a = &Adapter{Name: name, Kind: c.Kind(), Rank: c.Rank, Base: c.Base, BaseHash: c.BaseHash, Config: c}
	if file, ok := tensors.(*safetensors.File); ok && a.BaseHash == "" {
		a.BaseHash = file.Metadata()[metaBaseHash]
	}
	if a.Sites, err = readSites(c, tensors, format); err != nil {
		return nil, err
	}
	if a.Kind == IA3 {
		a.Rank = 0
	}
	a.Hash = a.sum()
	return a, nil
}

// tensorFile is a file of finite numbers.
type tensorFile interface {
	Names() []string
	Float32(name string) ([]float32, []int, error)
}

// readerAt returns random access to an open file, read into memory where it gives none.
func readerAt(f fs.File) (io.ReaderAt, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	if info.Size() > maxTensors {
		return nil, 0, fmt.Errorf("%d bytes, at most %d are read", info.Size(), int64(maxTensors))
	}
	if r, ok := f.(io.ReaderAt); ok {
		return r, info.Size(), nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTensors))
	return bytes.NewReader(data), int64(len(data)), err
}

// readSites assembles the factors from their tensors, each of which must be known and have its pair.
func readSites(c *Config, file tensorFile, format string) (map[whisper.Site]*Factors, error) {
	modules := make(map[whisper.Site]*module)
	for _, full := range file.Names() {
		site, name, p, err := c.parseTensor(full)
		if err != nil {
			return nil, err
		}
		m := modules[site]
		if m == nil {
			m = &module{site: site, name: name, factors: &Factors{Base: c.Kind().addsTo()}, of: make(map[string]string)}
			modules[site] = m
		}
		if other := m.of[p.factor]; other != "" {
			return nil, fmt.Errorf("%w: tensors %s and %s are the same", ErrInvalid, other, full)
		}
		m.of[p.factor] = full
		data, shape, err := file.Float32(full)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, format, err)
		}
		if *m.factors.factor(p.factor), err = p.read(full, data, shape); err != nil {
			return nil, err
		}
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("%w: %s holds no tensors", ErrInvalid, format)
	}
	sites := make(map[whisper.Site]*Factors, len(modules))
	for _, site := range slices.SortedFunc(maps.Keys(modules), compareSites) {
		if err := modules[site].complete(c); err != nil {
			return nil, err
		}
		sites[site] = modules[site].factors
	}
	return sites, nil
}
