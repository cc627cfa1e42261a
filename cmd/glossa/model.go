package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"glossa/asr"
	"glossa/flora"
	"glossa/whisper"
)

// modelFlags name a model and its adapters.
type modelFlags struct {
	Model         string       `default:"nano" placeholder:"nano|DIR|FILE|NAME" help:"The embedded model, a checkpoint (a folder in Hugging Face layout, a .pt file of openai/whisper, a ggml file of whisper.cpp), or one that glossa pull has brought. (${default})"`
	Adapter       string       `default:"auto" placeholder:"auto|none|NAME" help:"The adapter: that of each recording's language, none, or the named. (${default})"`
	Adapters      string       `placeholder:"DIR" help:"A folder whose subfolders are adapters in PEFT layout, each opened when it is needed. One named by a language code is that language's."`
	AdapterDir    []string     `sep:"none" placeholder:"[LANG=]DIR|NAME" help:"An adapter in PEFT layout, or one that glossa pull has brought, named after its language or else after its folder or repository. Repeatable."`
	Batch         int          `default:"16" help:"The greatest number of windows decoded together, on each device. (${default}, on a GPU 64)"`
	DType         string       `name:"dtype" enum:"auto,f32,bf16,f16,int8" default:"auto" help:"The number format of the weights. auto is the fastest that does not change error rates: bf16 where the device multiplies it as it is, a GPU from compute capability 8.0 on, else f16 on a GPU, else f32. f16, in which checkpoints are published, is for GPUs, int8 for processors. (${enum})"`
	AdapterMemory byteSize     `placeholder:"SIZE" help:"The most memory that adapters may take, such as 500MB; those of --adapters that were not used lately then are opened again when they are needed. (no limit)"`
	MergedMemory  mergedMemory `placeholder:"SIZE|none" help:"The most memory of each device for weights of the encoder that are kept as the adapters which were used last make them; those of others are made at each use. (on a GPU a quarter of what the model and a full batch leave free, else none)"`
	routeFlags
	computeFlags

	watched  bool          // Adapters is for somebody else to open
	observer *asr.Observer // is told what the engine does
	log      *slog.Logger  // is told what befalls devices; nil: the standard error is
	speakers int           // live sessions that are heard at a time, 0 for the default
}

// nanoName is the name of the embedded model.
const nanoName = "nano"

// engine opens the model and its adapters on the devices that the flags name.
func (f *modelFlags) engine() (*asr.Engine, error) {
	if f.Batch < 1 {
		return nil, fmt.Errorf("--batch %d: at least 1 is needed", f.Batch)
	}
	on, fallback, err := f.devices()
	if err != nil {
		return nil, err
	}
	return f.engineOn(on, fallback)
}

// engineOn is engine on devices, and where they fail on what fallback opens, unless it is nil.
func (f *modelFlags) engineOn(on []computer, fallback func() (computer, error)) (*asr.Engine, error) {
	routes, err := f.routes()
	if err != nil {
		return nil, err
	}
	devices, adapters, err := f.loadOn(on)
	if err != nil {
		return nil, err
	}
	m, batch := devices[0].Model, f.batchOn(on[0])
	options := asr.Options{SchedulerOptions: schedulerOptions(on[0], batch), Routes: routes, AdapterMemory: int64(f.AdapterMemory), Observer: f.observing(), Speakers: f.speakers}
	if fallback != nil {
		options.Fallback = func() (asr.Device, error) { return f.fallBack(fallback) }
	}
	if f.Model == nanoName {
		if options.Written, err = nanoLanguages(); err != nil {
			return nil, err
		}
	}
	if f.Model != nanoName && (f.Adapters != "" || len(f.AdapterDir) > 0) { // nano is as fast by what other machines measured
		if options.Strategies, err = strategyOptions(m, on[0], batch, f.MergedMemory); err != nil {
			return nil, err
		}
	}
	e, err := asr.NewOn(devices, adapters, nil, options)
	if err != nil {
		return nil, err
	}
	if err := f.openAdapters(e); err != nil {
		return nil, err
	}
	for _, name := range append(routes.Names(), f.Adapter) {
		if err := checkAdapter(e, name); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// checkAdapter reports whether there is an adapter of a name.
func checkAdapter(e *asr.Engine, name string) error {
	if name == asr.Auto || name == asr.None {
		return nil
	}
	if short, _, _ := strings.Cut(name, "@"); short != "" {
		if _, err := e.Adapter(short); err == nil {
			return nil
		}
	}
	there := "there are none"
	if adapters := e.Adapters(); len(adapters) > 0 {
		there = "there are:"
		for _, a := range adapters {
			there += " " + a.Name
		}
	}
	return fmt.Errorf("%w %q; %s", flora.ErrUnknown, name, there)
}

// load loads the model, if there is memory for it.
func (f *modelFlags) load(c *whisper.Checkpoint, on computer) (*whisper.Model, error) {
	dtype, err := chooseDType(on.backend, f.DType)
	if err != nil {
		return nil, err
	}
	if err := checkLoading(on, c.Dims, dtype); err != nil {
		return nil, fmt.Errorf("model %s: %w", f.Model, err)
	}
	return whisper.Load(c, on.backend, dtype)
}

// openModel opens the embedded model, which brings adapters with it, or that of a directory, or one that
// was pulled.
func openModel(name string) (*whisper.Checkpoint, []*flora.Adapter, error) {
	if name == nanoName {
		c, adapters, _, err := openNano()
		if err != nil {
			return nil, nil, fmt.Errorf("model %s: %w", nanoName, err)
		}
		return c, adapters, nil
	}
	where, _, err := localPath(name)
	if err != nil {
		return nil, nil, fmt.Errorf("model %w", err)
	}
	c, err := whisper.Open(where)
	if err != nil {
		return nil, nil, fmt.Errorf("model %w", err)
	}
	return c, nil, nil
}

// openAdapters gives an engine the adapters that the flags name: those of --adapters when they are
// needed, those that are named one by one at once. One of a name that the model brings with it takes its
// place.
func (f *modelFlags) openAdapters(e *asr.Engine) error {
	given := make(map[string]string) // directory by name
	add := func(dir, lang string, atOnce bool) error {
		where, short, err := localPath(dir)
		if err != nil {
			return fmt.Errorf("adapter %w", err)
		}
		name := cmp.Or(lang, short)
		if other, ok := given[name]; ok {
			return fmt.Errorf("adapters %s and %s have the same name", other, dir)
		}
		given[name] = dir
		if atOnce || f.Adapter == name {
			_, err := e.LoadAdapterDir(name, where)
			return err
		}
		return e.RegisterAdapter(name, where)
	}
	dirs, err := f.subfolders()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := add(dir, "", false); err != nil {
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
		if err := add(dir, lang, true); err != nil {
			return err
		}
	}
	return nil
}

// subfolders returns the folders in --adapters that hold an adapter.
func (f *modelFlags) subfolders() ([]string, error) {
	if f.Adapters == "" || f.watched {
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
