package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// adaptersCommand has the commands on adapters as files.
type adaptersCommand struct {
	List    adaptersList    `cmd:"" help:"List adapters."`
	Show    adaptersShow    `cmd:"" help:"Tell everything of one adapter."`
	Verify  adaptersVerify  `cmd:"" help:"Check adapters, and whether they fit a model."`
	Convert adaptersConvert `cmd:"" help:"Make an adapter one of another kind."`
	Merge   adaptersMerge   `cmd:"" help:"Merge an adapter into a model."`
}

// Help is shown by "glossa help adapters".
func (adaptersCommand) Help() string {
	return `An adapter is a folder in PEFT layout: adapter_config.json and adapter_model.safetensors (or adapter_model.bin). The kinds are
flora, hira, lora, rslora, dora and ia3. What may change an adapter's result and is not computed is refused, with its name.

Examples:

    glossa adapters list --adapters adapters
    glossa adapters show adapters/cs
    glossa adapters verify --model small adapters/*
    glossa adapters convert adapters/cs --to flora --out cs-flora
    glossa adapters merge adapters/cs --model small --out small-cs`
}

// storedAdapter is an adapter and where it is.
type storedAdapter struct {
	*flora.Adapter
	dir  string // "" of one that is embedded
	size int64  // bytes of its files
}

// openAdapter opens an adapter by its folder, by the name of one that is embedded, or by that of one that was pulled.
func openAdapter(name string) (*storedAdapter, error) {
	if _, err := os.Stat(name); err != nil {
		embedded, err := embeddedAdapters()
		if err != nil {
			return nil, err
		}
		for _, a := range embedded {
			if a.Name == name {
				return a, nil
			}
		}
	}
	dir, short, err := localPath(name)
	if err != nil {
		return nil, fmt.Errorf("adapter %w", err)
	}
	a, err := flora.Open(dir)
	if err != nil {
		return nil, err
	}
	a.Name = short
	if abs, err := filepath.Abs(dir); err == nil && dir == name {
		a.Name = filepath.Base(abs) // of "." too
	}
	return &storedAdapter{a, dir, sizeOf(dir)}, nil
}

// embeddedAdapters returns the adapters of the embedded model. Their sizes are those of their factors.
func embeddedAdapters() ([]*storedAdapter, error) {
	checkpoint, adapters, _, err := openNano()
	if err != nil {
		return nil, err
	}
	var stored []*storedAdapter
	for _, a := range adapters {
		encoder, decoder := a.Parameters()
		stored = append(stored, &storedAdapter{a, "", int64(encoder+decoder) * int64(safetensors.F32.Size())})
	}
	return stored, checkpoint.Close()
}

// sizeOf returns the size of the files of an adapter.
func sizeOf(dir string) (size int64) {
	for _, name := range []string{flora.ConfigFile, flora.TensorFile, flora.PickleFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			size += info.Size()
		}
	}
	return size
}

// openPlain opens a model with plain weights, if there is memory for it.
func openPlain(name string) (*whisper.Model, error) {
	checkpoint, _, err := openModel(name)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	if err := checkLoading(computer{name: cpuDevice}, checkpoint.Dims, tensor.F32); err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return whisper.LoadPlain(checkpoint)
}

// openFor returns the model that adapters are checked against, nil where none is named.
func openFor(name string) (*whisper.Model, error) {
	if name == "" {
		return nil, nil
	}
	return openPlain(name)
}

// otherBase tells that an adapter was made for a model of another name, "" where it was not. That proves nothing: one
// model has several names.
func otherBase(a *flora.Adapter, model string) string {
	if a.Base == "" || path.Base(filepath.ToSlash(a.Base)) == path.Base(filepath.ToSlash(model)) {
		return ""
	}
	return fmt.Sprintf("made for %q", a.Base)
}

// shortHash is the beginning of a content hash.
func shortHash(hash string) string {
	const digits = 12
	return hash[:min(digits, len(hash))]
}

// newFolder refuses a folder that holds something.
func newFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--out %s: %w", dir, reason(err))
	case len(entries) > 0:
		return fmt.Errorf("--out %s: it is not empty", dir)
	}
	return nil
}

// fileDType is the number format of files that are written.
type fileDType string

// numbers returns the format by the name that files have for it.
func (f fileDType) numbers() safetensors.DType {
	return map[fileDType]safetensors.DType{"f32": safetensors.F32, "f16": safetensors.F16, "bf16": safetensors.BF16}[f]
}
