package flora

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Pin holds on to the version of an adapter that a request began with, whatever is loaded and unloaded
// meanwhile. It must be released.
type Pin struct {
	bank    *Bank
	name    string
	want    string // what the hash must begin with
	version *version
}

// rise is the way up of a version into memory, which all wait for who need it.
type rise struct {
	done chan struct{}
	err  error
}

// Pin pins the adapter of a name, or with name@hash, of which a beginning is enough, that exact
// version of it. The error is ErrUnknown. Where the adapter has not been opened yet, or not lately, the
// hash is compared in [Pin.Ready]: until it is in memory again, its version is that of what is in its
// directory.
func (b *Bank) Pin(name string) (*Pin, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, want := b.names[name], ""
	if short, hash, exact := strings.Cut(name, "@"); exact {
		if a = b.names[short]; hash == "" {
			a = nil
		}
		name, want = short, strings.ToLower(hash)
	}
	if a == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknown, name)
	}
	p := &Pin{bank: b, name: name, want: want, version: a.version}
	if err := p.exact(a.version); err != nil && a.version.adapter != nil {
		return nil, err
	}
	a.requests++
	a.lastUsed = time.Now()
	a.version.pins++
	b.use(a.version)
	return p, nil
}

// exact reports by ErrUnknown that v is not the version that was asked for.
func (p *Pin) exact(v *version) error {
	if !strings.HasPrefix(v.hash, p.want) {
		return fmt.Errorf("%w: %s@%s: its version is %s", ErrUnknown, p.name, p.want, cmp.Or(v.hash, "not known yet"))
	}
	return nil
}

// Name returns the name that was pinned, without a hash.
func (p *Pin) Name() string { return p.name }

// Hash returns the content hash of the version, "" where it was not opened before Ready.
func (p *Pin) Hash() string {
	p.bank.mu.Lock()
	defer p.bank.mu.Unlock()
	return p.follow().hash
}

// Reach returns the reach of the adapter. It must be ready.
func (p *Pin) Reach() Reach {
	p.bank.mu.Lock()
	defer p.bank.mu.Unlock()
	return p.follow().reach
}

// IsReady reports whether Ready would return at once.
func (p *Pin) IsReady() bool {
	p.bank.mu.Lock()
	defer p.bank.mu.Unlock()
	return p.bank.prepared(p.follow())
}

// Ready opens the adapter and prepares it for all devices unless that is done, which may take long. It stays so
// until the pin is released. The errors are those of [Open], [BatchError] of [Batch.Prepare], and ErrUnknown
// where the version is not the one that was asked for or the pin was released.
func (p *Pin) Ready() error {
	b := p.bank
	b.mu.Lock()
	defer b.shrinkUnlock()
	for {
		if p.version == nil {
			return fmt.Errorf("%w: %s was released", ErrUnknown, p.name)
		}
		v := p.follow()
		if b.prepared(v) {
			return p.exact(v)
		}
		r := v.rising
		if r == nil {
			r = &rise{done: make(chan struct{})}
			v.rising = r
			b.lift(v, r)
		} else {
			b.mu.Unlock()
			<-r.done
			b.mu.Lock()
		}
		if r.err != nil {
			return r.err
		}
	}
}

// lift brings v up. It lets go of the lock meanwhile, and v is pinned.
func (b *Bank) lift(v *version, r *rise) {
	v.pins++
	a, from, name, lacking := v.adapter, v.origin, v.name, b.lacking(v)
	b.mu.Unlock()
	b.loading <- struct{}{}
	var hash string
	var prepared map[int]*Resident
	if a == nil {
		a, r.err = from.open(name)
	}
	if r.err == nil {
		hash = cmp.Or(a.Hash, a.sum())
		if prepared, r.err = prepare(a, lacking); r.err != nil && from.fsys != nil {
			r.err = from.wrap(r.err)
		}
	}
	<-b.loading
	b.mu.Lock()
	v.rising = nil
	v.pins--
	if gone := (*BatchError)(nil); errors.As(r.err, &gone) && b.batches[gone.Batch].retired {
		r.err = nil // who waits looks again at what is lacking
	}
	if r.err == nil {
		if v.adapter == nil {
			b.stats.Opened++
		}
		b.lifted(v, a, hash, prepared)
	}
	b.loosen(v)
	close(r.done)
}

// lifted takes in what lift has brought. Where another version has the same content, v becomes one with
// it.
func (b *Bank) lifted(v *version, a *Adapter, hash string, prepared map[int]*Resident) {
	if twin := b.byHash[hash]; twin != nil && twin != v {
		b.join(v, twin)
		v = twin
	}
	b.opened(v, a, hash)
	for number, r := range prepared {
		at := v.at(number)
		if v.adapter == a && at.resident == nil && !b.batches[number].retired {
			at.resident = r
		} else {
			r.Free() // what came to a twin meanwhile stays: its own rise prepares it
		}
	}
}

// join lets v, which is in no batch, be one with its twin.
func (b *Bank) join(v, twin *version) {
	for _, a := range b.names {
		if a.version == v {
			a.version = twin
		}
	}
	twin.names, twin.pins, twin.kept = twin.names+v.names, twin.pins+v.pins, twin.kept || v.kept
	if v.hash != "" && b.byHash[v.hash] == v {
		delete(b.byHash, v.hash)
	}
	v.twin, v.names, v.pins = twin, 0, 0
	delete(b.versions, v)
}

// follow returns the version that is pinned.
func (p *Pin) follow() *version {
	for p.version.twin != nil {
		p.version = p.version.twin
	}
	return p.version
}

// Index is IndexIn of the first device.
func (p *Pin) Index() (index int32, ok bool, err error) { return p.IndexIn(0) }

// IndexIn returns the index of the adapter in the batch of a device, which it is given where it has none and
// is ready. It stays the adapter's until the pin is released. It belongs to the goroutine of that batch. The error wraps
// tensor.ErrMemory, of a device.
func (p *Pin) IndexIn(number int) (index int32, ok bool, err error) {
	b := p.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	v := p.follow()
	at := v.at(number)
	if at.resident == nil || p.exact(v) != nil {
		return 0, false, nil
	}
	b.use(v)
	if at.index == 0 {
		if at.index, err = b.batches[number].batch.Put(at.resident); err != nil {
			return 0, false, err
		}
		b.shrink()
		b.sweep(number)
	}
	return at.index, true, nil
}

// Release lets the version go: no row, key, value or other state that was computed under it is used any
// more. Further calls do nothing.
func (p *Pin) Release() {
	b := p.bank
	b.mu.Lock()
	if p.version == nil {
		b.mu.Unlock()
		return
	}
	v := p.follow()
	v.pins--
	b.loosen(v)
	p.version = nil
	b.shrinkUnlock()
}

// open opens the adapter, again where its files have changed meanwhile.
func (o origin) open(name string) (*Adapter, error) {
	const attempts = 3
	for range attempts {
		before, err := stampOf(o.fsys)
		if err != nil {
			return nil, o.wrap(fmt.Errorf("%w: %w", ErrInvalid, err))
		}
		a, err := OpenFS(o.fsys, name)
		after, changed := stampOf(o.fsys)
		switch {
		case changed != nil || after != before:
			continue
		case err != nil:
			return nil, o.wrap(err)
		}
		return a, nil
	}
	return nil, o.wrap(fmt.Errorf("%w: its files are being written", ErrInvalid))
}

// stamp tells one state of an adapter's files from another without reading them: of its configuration, and of its
// tensors in either format.
type stamp [3]fileStamp

type fileStamp struct {
	size     int64
	modified time.Time
}

// stampOf returns the stamp of the directory that is the root of fsys.
func stampOf(fsys fs.FS) (s stamp, err error) {
	for i, name := range []string{ConfigFile, TensorFile, PickleFile} {
		info, err := fs.Stat(fsys, name)
		if errors.Is(err, fs.ErrNotExist) && name != ConfigFile {
			continue
		}
		if err != nil {
			return stamp{}, err
		}
		s[i] = fileStamp{info.Size(), info.ModTime().Round(0)}
	}
	return s, nil
}
