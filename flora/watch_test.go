package flora_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"glossa/flora"
	"glossa/whisper/tensor/ref"
)

// folder is a directory of adapters that a test writes to.
type folder struct {
	mu    sync.Mutex
	files fstest.MapFS
	err   error
}

// Open opens a file as it is now.
func (f *folder) Open(name string) (fs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
	}
	snapshot := fstest.MapFS{}
	for n, file := range f.files {
		snapshot[n] = file
	}
	return snapshot.Open(name)
}

// put writes files of an adapter, of the first n bytes of tensors where n is not 0.
func (f *folder) put(name string, files fstest.MapFS, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file, old := range files {
		data := old.Data
		if n > 0 && file == flora.TensorFile {
			data = data[:n]
		}
		f.files[name+"/"+file] = &fstest.MapFile{Data: data, ModTime: time.Now()}
	}
}

func (f *folder) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for file := range f.files {
		if strings.HasPrefix(file, name+"/") {
			delete(f.files, file)
		}
	}
}

func (f *folder) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// watching is a bank that watches a folder under a test's clock, with looks each second and files that
// settle in 2 s.
type watching struct {
	*bankBed
	*folder
	t      *testing.T
	events []string
}

// newWatching returns a bank on a backend that has no goroutines, whose time would not pass.
func newWatching(t *testing.T) *watching {
	return &watching{bankBed: newBankBedOn(t, ref.New(), flora.BankOptions{}), folder: &folder{files: fstest.MapFS{}}, t: t}
}

// begin begins to watch. What it returns ends that.
func (w *watching) begin() (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() {
		done <- w.Watch(ctx, w.folder, "adapters", flora.WatchOptions{Interval: time.Second, Settle: 2 * time.Second, Report: func(e flora.WatchEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e.String())
		}})
	}()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	}
}

// after lets a time pass, and expects that what was told begins so.
func (w *watching) after(d time.Duration, want ...string) {
	w.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.EqualFunc(w.events, want, strings.HasPrefix) {
		w.t.Errorf("after %v: %q, want %q", d, w.events, want)
	}
	w.events = nil
}

// TestWatchLoadsReplacesAndUnloads follows a directory through its life.
func TestWatchLoadsReplacesAndUnloads(t *testing.T) {
	one := newBankBed(t, flora.BankOptions{})
	first, second := one.files(t, 1), one.files(t, 2)
	synctest.Test(t, func(t *testing.T) {
		w := newWatching(t)
		w.put("old", second, 0)
		time.Sleep(time.Hour)
		defer w.begin()()
		w.after(100*time.Millisecond, "adapter old is loaded, version ") // written long ago: at once
		w.put("cs", first, 0)
		w.after(2 * time.Second) // seen at 1 s
		w.after(time.Second, "adapter cs is loaded, version ")
		v1, _ := w.Stat("cs")

		// Half-written, it is not opened while it grows; the old version serves.
		for n := range 5 {
			w.put("cs", second, 200+n)
			w.after(1500 * time.Millisecond)
		}
		w.put("cs", second, 0)
		if now, _ := w.Stat("cs"); now.Hash != v1.Hash {
			t.Error("a half-written version was taken")
		}
		w.after(4*time.Second, "adapter cs is loaded, version ")
		v2, _ := w.Stat("cs")
		if old, _ := w.Stat("old"); v2.Hash == v1.Hash || v2.Hash != old.Hash {
			t.Errorf("versions %s, %s", v1.Hash, v2.Hash)
		}

		w.put("cs", second, 0) // touched: equal content is no new version
		w.after(6 * time.Second)

		// What is away for a moment is not unloaded, as when one folder takes another's place.
		w.remove("cs")
		w.after(1500 * time.Millisecond)
		w.put("cs", first, 0)
		w.after(4*time.Second, "adapter cs is loaded, version "+v1.Hash[:12])
		w.remove("cs")
		w.after(4*time.Second, "adapter cs is unloaded")
		if w.Has("cs") || !w.Has("old") {
			t.Error("other names are there than should be")
		}
	})
}

// TestWatchReportsWhatFails checks that a folder that cannot be loaded is told of once and harms no other,
// nor its own old version, and that a directory which cannot be read unloads nothing.
func TestWatchReportsWhatFails(t *testing.T) {
	one := newBankBed(t, flora.BankOptions{})
	good := one.files(t, 1)
	synctest.Test(t, func(t *testing.T) {
		w := newWatching(t)
		w.put("a", good, 100)
		w.put("b", good, 0)
		w.put("c@d", good, 0)
		w.folder.files["notes.txt"] = &fstest.MapFile{Data: []byte("not an adapter")}
		w.folder.files["empty/x"] = &fstest.MapFile{}
		defer w.begin()()
		w.after(5*time.Second, "adapter a is not loaded: adapter adapters/a: flora: invalid adapter", "adapter b is loaded", "adapter c@d is not loaded: flora: invalid adapter")
		w.put("b", good, 100)
		w.after(10*time.Second, "adapter b is not loaded: adapter adapters/b: ")
		p, i := w.pin(t, "b")
		if !slices.Equal(w.logits(t, i), w.want(t, 1)) {
			t.Error("the old version is harmed")
		}
		p.Release()
		w.fail(fs.ErrPermission)
		w.after(10*time.Second, "flora: watch adapters: ")
		if !w.Has("b") {
			t.Error("a directory that cannot be read unloads its adapters")
		}
		w.fail(nil)
		w.put("a", good, 0)
		w.after(5*time.Second, "adapter a is loaded")

		// Somebody else has given the name away: the folder's end is not its end.
		w.load(t, "a", 5)
		w.remove("a")
		w.after(5 * time.Second)
		if !w.Has("a") {
			t.Error("a name that is not the folder's any more was unloaded with it")
		}
	})
}
