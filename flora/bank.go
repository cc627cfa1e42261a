package flora

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Bank holds the adapters of one model, by name, and lets them come and go while requests are served.
//
// A name stands for a version, which is identified by its content: a sha256. A [Pin] holds on to a
// version for a request from its beginning to its end. Loading a name anew makes a new version and
// changes no pin; a version that has neither a name nor a pin is forgotten.
//
// A version is in one of the tiers of [Tier]. What a pin needs comes up, by [Pin.Ready]; where all
// together take more than MaxBytes, what was used least lately goes down by a tier at a time, unless
// it is pinned. So the budget is exceeded by what is pinned, and by what came from no directory and
// cannot be opened again, alone.
//
// A bank may serve several devices, each with a batch of its own: an adapter that is ready is so for all
// of them, and has an index in each. The devices have numbers, in the order of [NewBank] and [Bank.AddBatch].
//
// Any number of goroutines may use a bank. Only the methods that change a [Batch], [Pin.IndexIn] and
// [Bank.SweepBatch], belong to the goroutine of that batch.
type Bank struct {
	model   *whisper.Model
	options BankOptions
	loading chan struct{} // as many as may open and prepare adapters at a time

	mu       sync.Mutex
	batches  []*banked // by number
	names    map[string]*alias
	byHash   map[string]*version
	versions map[*version]struct{}
	inMemory map[*version]struct{} // of them, on the host or the device
	loose    map[*version]struct{} // of them, that have lost their last name or pin
	turn     int64                 // of the last use
	asked    bool                  // Wake was called, and not all was swept since
	stats    BankStats
}

// banked is the batch of a device.
type banked struct {
	batch   *Batch
	retired bool
	leaving []placing // of versions that are gone, to be freed on the batch's goroutine
}

// BankOptions size a bank.
type BankOptions struct {
	// MaxBytes is the budget of all adapters in memory, as one device has them. The default value is 0: there is none.
	MaxBytes int64

	// Keep are names whose adapters never go down by a tier. The default value is nil: none.
	Keep []string

	// Strategies say how linears are computed under adapters. The default value is the zero value, that
	// of [NewBatch].
	Strategies Options

	// Reserved are names that no adapter can have. The default value is nil: none.
	Reserved []string

	// Wake is called, on any goroutine, when there is something for [Bank.SweepBatch] to do; it must not
	// wait for it. The default value is nil: the owners of the batches call it now and then.
	Wake func()
}

// alias is a name.
type alias struct {
	version  *version
	owner    any // what loads and unloads the name by itself, nil where nothing does
	requests int64
	lastUsed time.Time
}

// version is one content.
type version struct {
	hash   string // "" until it was opened
	name   string // the first that it had, for messages
	origin origin
	kind   Kind
	rank   int
	base   string
	reach  Reach

	adapter      *Adapter  // nil on disk
	adapterBytes int64     // of it
	on           []placing // by the numbers of batches, as many as it was ever prepared for

	pins   int
	names  int      // that stand for it
	kept   bool     // by one of its names
	used   int64    // turn of its last use
	rising *rise    // by which it comes up now
	twin   *version // that has turned out to have this content, and has its pins
}

// placing is what a version is in a batch.
type placing struct {
	resident *Resident // nil unless it is prepared
	index    int32     // 0 outside
}

// NewBank returns a bank without adapters for model m on b.
func NewBank(m *whisper.Model, b tensor.Backend, o BankOptions) (*Bank, error) {
	batch, err := NewBatchWith(m, b, o.Strategies)
	if err != nil {
		return nil, err
	}
	return &Bank{
		model: m, batches: []*banked{{batch: batch}}, options: o, loading: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		names: make(map[string]*alias), byHash: make(map[string]*version),
		versions: make(map[*version]struct{}), inMemory: make(map[*version]struct{}), loose: make(map[*version]struct{}),
	}, nil
}

// Batch returns the executor of the adapters on the first device.
func (b *Bank) Batch() *Batch { return b.BatchAt(0) }

// Load gives a name to an adapter, which must not be changed any more, and returns its hash. The errors
// are ErrInvalid, for a name, and ErrBase; the name then stays what it was.
func (b *Bank) Load(name string, a *Adapter) (hash string, err error) {
	if err := b.checkName(name); err != nil {
		return "", err
	}
	if err := a.Check(b.model); err != nil {
		return "", err
	}
	return b.install(name, a, origin{}, nil), nil
}

// LoadDir opens the adapter of a PEFT directory and gives it a name. It returns the hash of its content.
// The adapter may be opened again from there. The errors are those of [Open] and Load; a version that
// the name has stays as it is, in memory where the directory was its own.
func (b *Bank) LoadDir(name, dir string) (hash string, err error) {
	return b.load(name, dirOrigin(dir), nil)
}

// Register gives a name to the adapter of a PEFT directory that is opened when it is first asked for;
// what is wrong with it, [Pin.Ready] then tells. The error is ErrInvalid, for a name or for no
// directory.
func (b *Bank) Register(name, dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	} else if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a directory", ErrInvalid, dir)
	}
	return b.RegisterFS(name, os.DirFS(dir), dir)
}

// RegisterFS is Register of a PEFT directory that is the root of fsys. dir is what messages call it.
func (b *Bank) RegisterFS(name string, fsys fs.FS, dir string) error {
	if err := b.checkName(name); err != nil {
		return err
	}
	b.mu.Lock()
	v := &version{name: name, origin: origin{fsys, dir}}
	b.versions[v] = struct{}{}
	b.point(name, v, nil)
	b.shrinkUnlock()
	return nil
}

// Unload takes a name away. Requests that have pinned its version go on under it, and new ones are
// refused. The error is ErrUnknown.
func (b *Bank) Unload(name string) error {
	b.mu.Lock()
	defer b.shrinkUnlock()
	if b.names[name] == nil {
		return fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	b.forget(name)
	return nil
}

// Has reports whether there is an adapter of a name.
func (b *Bank) Has(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.names[name] != nil
}

// Reaches reports whether any adapter in memory has this reach.
func (b *Bank) Reaches(r Reach) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for v := range b.inMemory {
		if v.reach == r {
			return true
		}
	}
	return false
}

// checkName reports what is wrong with a name, by ErrInvalid.
func (b *Bank) checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: an adapter needs a name", ErrInvalid)
	case slices.Contains(b.options.Reserved, name):
		return fmt.Errorf("%w: no adapter can be named %q, which means something else", ErrInvalid, name)
	case strings.ContainsFunc(name, func(r rune) bool { return r == '@' || r == '/' || !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: name %q of an adapter: it may not have @, / or what cannot be printed", ErrInvalid, name)
	}
	return nil
}

// load is LoadDir for any origin, on behalf of an owner of the name.
func (b *Bank) load(name string, from origin, owner any) (hash string, err error) {
	if err := b.checkName(name); err != nil {
		return "", err
	}
	b.loading <- struct{}{}
	a, err := from.open(name)
	<-b.loading
	if err == nil {
		if err = a.Check(b.model); err != nil {
			err = from.wrap(err)
		}
	}
	if err != nil {
		b.detach(name, from.dir)
		return "", err
	}
	return b.install(name, a, from, owner), nil
}

// install gives a name to an adapter of the bank's model.
func (b *Bank) install(name string, a *Adapter, from origin, owner any) (hash string) {
	hash = cmp.Or(a.Hash, a.sum()) // one that was never a file has none
	b.mu.Lock()
	defer b.shrinkUnlock()
	v := b.byHash[hash]
	if v == nil {
		v = &version{name: name}
		b.versions[v] = struct{}{}
	}
	if from.fsys != nil {
		v.origin = from
		b.stats.Opened++
	}
	b.opened(v, a, hash)
	b.point(name, v, owner)
	return hash
}

// opened notes what an adapter has turned out to be.
func (b *Bank) opened(v *version, a *Adapter, hash string) {
	if v.hash != hash && v.hash != "" {
		delete(b.byHash, v.hash)
	}
	v.hash, b.byHash[hash] = hash, v
	v.kind, v.rank, v.base, v.reach = a.Kind, a.Rank, a.Base, a.Reach()
	if v.adapter == nil {
		v.adapter, v.adapterBytes = a, a.Bytes()
		b.inMemory[v] = struct{}{}
	}
	b.use(v)
}

// use makes v what was used last.
func (b *Bank) use(v *version) {
	b.turn++
	v.used = b.turn
}

// point lets a name stand for v.
func (b *Bank) point(name string, v *version, owner any) {
	a := b.names[name]
	if a == nil {
		a = new(alias)
		b.names[name] = a
	}
	v.names++ // first, lest v lose its last
	if a.version != nil {
		b.unname(a.version)
	}
	a.version, a.owner = v, owner
	v.kept = v.kept || slices.Contains(b.options.Keep, name)
}

// forget takes a name away.
func (b *Bank) forget(name string) {
	b.unname(b.names[name].version)
	delete(b.names, name)
}

// unname notes that a name stands for v no more.
func (b *Bank) unname(v *version) {
	v.names--
	b.loosen(v)
	v.kept = false
	for name, a := range b.names {
		v.kept = v.kept || v.names > 0 && a.version == v && slices.Contains(b.options.Keep, name)
	}
}

// loosen notes that v has lost a name or a pin.
func (b *Bank) loosen(v *version) {
	if v.names == 0 && v.pins == 0 {
		b.loose[v] = struct{}{}
	}
}

// detach lets the version of a name stay in memory, if it is there, where what it was opened from has
// become something else.
func (b *Bank) detach(name, dir string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.names[name]; a != nil && a.version.adapter != nil && a.version.origin.dir == dir {
		a.version.origin.fsys = nil
	}
}

// origin is where an adapter can be opened.
type origin struct {
	fsys fs.FS  // its root holds the files; nil: nowhere
	dir  string // for messages
}

func dirOrigin(dir string) origin { return origin{os.DirFS(dir), dir} }

// wrap says of an error where it comes from.
func (o origin) wrap(err error) error { return fmt.Errorf("adapter %s: %w", o.dir, err) }
