package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/asr"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// modelFlags name a model and its adapters.
type modelFlags struct {
	Model      string   `default:"nano" placeholder:"nano|DIR|FILE|NAME" help:"The embedded model, a checkpoint (a folder in Hugging Face layout, a .pt file of openai/whisper, a ggml file of whisper.cpp), or one that glossa pull has brought. (${default})"`
	Adapter    string   `default:"auto" placeholder:"auto|none|NAME" help:"The adapter: that of each recording's language, none, or the named. (${default})"`
	Adapters   string   `placeholder:"DIR" help:"A folder whose subfolders are adapters in PEFT layout. One named by a language code is that language's."`
	AdapterDir []string `sep:"none" placeholder:"[LANG=]DIR|NAME" help:"An adapter in PEFT layout, or one that glossa pull has brought, named after its language or else after its folder or repository. Repeatable."`
	Batch      int      `default:"16" help:"The greatest number of windows decoded together."`
	DType      string   `name:"dtype" enum:"auto,f32,bf16,int8" default:"auto" help:"The number format of the weights; auto is the fastest that does not change error rates. (${enum})"`
	threadsFlag
}

// nanoName is the name of the embedded model.
const nanoName = "nano"

// adapterSet are adapters by name, and the name of the adapter of each language.
type adapterSet struct {
	adapters   []*flora.Adapter
	byLanguage map[string]string
}

// engine opens the model and its adapters.
func (f *modelFlags) engine() (*asr.Engine, error) {
	if f.Batch < 1 {
		return nil, fmt.Errorf("--batch %d: at least 1 is needed", f.Batch)
	}
	b, err := f.backend()
	if err != nil {
		return nil, err
	}
	dtype, err := chooseDType(b, f.DType)
	if err != nil {
		return nil, err
	}
	checkpoint, set, err := openModel(f.Model)
	if err != nil {
		return nil, err
	}
	m, err := f.load(checkpoint, b, dtype)
	if err = errors.Join(err, checkpoint.Close()); err != nil {
		return nil, err
	}
	if err := f.openAdapters(set); err != nil {
		return nil, err
	}
	options := asr.Options{SchedulerOptions: asr.SchedulerOptions{MaxWindows: f.Batch}}
	if len(set.adapters) > 0 && f.Model != nanoName { // which is as fast by what other machines measured
		if options.Adapters, err = strategyOptions(m, b, f.Batch); err != nil {
			return nil, err
		}
	}
	e, err := asr.New(m, b, set.adapters, set.byLanguage, options)
	if err != nil {
		return nil, err
	}
	if names := e.Adapters(); f.Adapter != asr.Auto && f.Adapter != asr.None && !slices.Contains(names, f.Adapter) {
		slices.Sort(names)
		there := "there are none"
		if len(names) > 0 {
			there = "there are: " + strings.Join(names, " ")
		}
		return nil, fmt.Errorf("%w %q; %s", flora.ErrUnknown, f.Adapter, there)
	}
	return e, nil
}

// load loads the model, if there is memory for it.
func (f *modelFlags) load(c *whisper.Checkpoint, b tensor.Backend, dtype tensor.DType) (*whisper.Model, error) {
	if err := checkLoading(c.Dims, dtype); err != nil {
		return nil, fmt.Errorf("model %s: %w", f.Model, err)
	}
	return whisper.Load(c, b, dtype)
}

// openModel opens the embedded model, or that of a directory, or one that was pulled.
func openModel(name string) (*whisper.Checkpoint, *adapterSet, error) {
	set := &adapterSet{byLanguage: make(map[string]string)}
	if name == nanoName {
		c, adapters, byLanguage, err := openNano()
		if err != nil {
			return nil, nil, fmt.Errorf("model %s: %w", nanoName, err)
		}
		return c, &adapterSet{adapters, byLanguage}, nil
	}
	where, _, err := localPath(name)
	if err != nil {
		return nil, nil, fmt.Errorf("model %w", err)
	}
	c, err := whisper.Open(where)
	if err != nil {
		return nil, nil, fmt.Errorf("model %w", err)
	}
	return c, set, nil
}

// openAdapters adds the adapters that the flags name. One of a name that the model brings with
// it takes its place.
func (f *modelFlags) openAdapters(set *adapterSet) error {
	given := make(map[string]string) // directory by name
	add := func(dir, lang string) error {
		where, short, err := localPath(dir)
		if err != nil {
			return fmt.Errorf("adapter %w", err)
		}
		a, err := flora.Open(where)
		if err != nil {
			return err
		}
		a.Name = cmp.Or(lang, short)
		if other, ok := given[a.Name]; ok {
			return fmt.Errorf("adapters %s and %s have the same name", other, dir)
		}
		given[a.Name] = dir
		set.add(a)
		return nil
	}
	dirs, err := f.subfolders()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := add(dir, ""); err != nil {
			return err
		}
	}
	for _, arg := range f.AdapterDir {
		lang, dir, ok := strings.Cut(arg, "=")
		if !ok {
			lang, dir = "", arg
		} else if lang, ok = whisper.LanguageCode(lang); !ok {
			return fmt.Errorf("--adapter-dir %s: unknown language", arg)
		}
		if err := add(dir, lang); err != nil {
			return err
		}
	}
	return nil
}

// add adds an adapter, for the language that it is named after.
func (s *adapterSet) add(a *flora.Adapter) {
	s.adapters = slices.DeleteFunc(s.adapters, func(b *flora.Adapter) bool { return b.Name == a.Name })
	s.adapters = append(s.adapters, a)
	if lang, ok := whisper.LanguageCode(a.Name); ok {
		s.byLanguage[lang] = a.Name
	}
}

// subfolders returns the folders in --adapters that hold an adapter.
func (f *modelFlags) subfolders() ([]string, error) {
	if f.Adapters == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(f.Adapters)
	if err != nil {
		return nil, fmt.Errorf("--adapters %s: %w", f.Adapters, reason(err))
	}
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(f.Adapters, e.Name())
		if _, err := os.Stat(filepath.Join(dir, flora.ConfigFile)); err == nil {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("--adapters %s: no subfolder holds %s", f.Adapters, flora.ConfigFile)
	}
	return dirs, nil
}
