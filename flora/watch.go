package flora

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"
)

// WatchOptions say how a directory is watched.
type WatchOptions struct {
	// Interval is the time between two looks. The default value is 0: 2 s.
	Interval time.Duration

	// Settle is the time for which the files of an adapter must have stayed as they are before they are
	// opened, and must have been absent before the adapter is unloaded. The default value is 0: 3 s.
	Settle time.Duration

	// Report is called with everything that happened, one call at a time. The default value is nil.
	Report func(WatchEvent)
}

// WatchEvent is what became of an adapter in a watched directory.
type WatchEvent struct {
	Name string // "" of the directory itself
	Hash string // of the version that was loaded
	Err  error  // why it was not; the version that was there before stays
	Gone bool   // it was unloaded
}

// String tells of the event in a line.
func (e WatchEvent) String() string {
	const digits = 12 // of a hash, enough to tell one from another
	switch {
	case e.Err != nil && e.Name != "":
		return fmt.Sprintf("adapter %s is not loaded: %v", e.Name, e.Err)
	case e.Err != nil:
		return e.Err.Error()
	case e.Gone:
		return fmt.Sprintf("adapter %s is unloaded", e.Name)
	}
	return fmt.Sprintf("adapter %s is loaded, version %s", e.Name, e.Hash[:min(digits, len(e.Hash))])
}

// WatchDir loads the adapters in the subfolders of dir, which are named after them, replaces them when
// their files change and unloads them when they vanish, until ctx is done, whose error it returns.
//
// It looks at sizes and times of modification every few seconds, since notices of changes do not reach
// over network file systems. Files that were written a while ago are opened at once, others when they
// have settled, and the hash of the content decides whether there is a new version. A name that was
// given to another adapter otherwise is left alone until its folder changes.
func (b *Bank) WatchDir(ctx context.Context, dir string, o WatchOptions) error {
	return b.watch(ctx, origin{os.DirFS(dir), dir}, o)
}

func (b *Bank) watch(ctx context.Context, root origin, o WatchOptions) error {
	o.Interval, o.Settle = cmp.Or(o.Interval, 2*time.Second), cmp.Or(o.Settle, 3*time.Second)
	if o.Report == nil {
		o.Report = func(WatchEvent) {}
	}
	w := &watcher{bank: b, root: root, options: o, folders: make(map[string]*watched)}
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for {
		w.look(time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// watcher is the owner of the names of a directory's subfolders.
type watcher struct {
	bank    *Bank
	root    origin
	options WatchOptions
	folders map[string]*watched
	failing bool // the directory cannot be read
}

// watched is a subfolder that holds an adapter, or did.
type watched struct {
	stamp stamp     // zero: there is none
	since time.Time // it is seen so
	done  bool      // what it asks for was done, or has failed
}

// look does what the directory asks for at a time.
func (w *watcher) look(now time.Time) {
	entries, err := fs.ReadDir(w.root.fsys, ".")
	if err != nil {
		if !w.failing { // once; and nothing is unloaded that may still be there
			w.options.Report(WatchEvent{Err: fmt.Errorf("flora: watch %s: %w", w.root.dir, err)})
		}
		w.failing = true
		return
	}
	w.failing = false
	seen := make(map[string]bool)
	for _, e := range entries {
		name := e.Name()
		sub, err := fs.Sub(w.root.fsys, name)
		if err != nil {
			continue
		}
		s, err := stampOf(sub)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && w.folders[name] != nil {
			seen[name] = true // it may still be there
			continue
		}
		if err == nil {
			seen[name] = true
			w.see(name, s, now)
		}
	}
	for name := range w.folders {
		if !seen[name] {
			w.see(name, stamp{}, now)
		}
	}
	for _, name := range w.settled(now) {
		w.act(name)
	}
}

// see notes how the files of a subfolder are.
func (w *watcher) see(name string, s stamp, now time.Time) {
	f := w.folders[name]
	switch {
	case f == nil:
		since := now
		if written := s.written(); now.Sub(written) >= w.options.Settle {
			since = written
		}
		w.folders[name] = &watched{stamp: s, since: since}
	case f.stamp != s:
		*f = watched{stamp: s, since: now}
		w.bank.detach(name, w.origin(name).dir)
	}
}

// written returns when the files were last written.
func (s stamp) written() time.Time {
	if s[0].modified.After(s[1].modified) {
		return s[0].modified
	}
	return s[1].modified
}

// settled returns the subfolders that something is to be done about, in order.
func (w *watcher) settled(now time.Time) (names []string) {
	for name, f := range w.folders {
		if !f.done && now.Sub(f.since) >= w.options.Settle {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// act loads, replaces or unloads the adapter of a subfolder.
func (w *watcher) act(name string) {
	f := w.folders[name]
	if f.stamp == (stamp{}) {
		delete(w.folders, name)
		if w.bank.unloadOf(name, w) {
			w.options.Report(WatchEvent{Name: name, Gone: true})
		}
		return
	}
	before, _ := w.bank.Stat(name)
	hash, err := w.bank.load(name, w.origin(name), w)
	if f.done = true; err != nil || hash != before.Hash {
		w.options.Report(WatchEvent{Name: name, Hash: hash, Err: err})
	}
}

// origin returns where a subfolder's adapter is opened.
func (w *watcher) origin(name string) origin {
	sub, err := fs.Sub(w.root.fsys, name)
	if err != nil {
		sub = w.root.fsys // a name that ReadDir has returned is valid
	}
	return origin{sub, path.Join(w.root.dir, name)}
}

// unloadOf unloads a name if it is the owner's, and reports whether it was.
func (b *Bank) unloadOf(name string, owner any) bool {
	b.mu.Lock()
	defer b.shrinkUnlock()
	if a := b.names[name]; a == nil || a.owner != owner {
		return false
	}
	b.forget(name)
	return true
}
