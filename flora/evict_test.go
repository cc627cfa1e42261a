package flora_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
)

// TestEviction checks that what was used least lately goes down, tier by tier, that what is pinned, kept
// or without a directory does not, and that all comes up again as it was.
func TestEviction(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	one := b.adapter(t, "", 1).Bytes()
	p, _ := func() (*flora.Pin, int32) { b.load(t, "a", 1); return b.pin(t, "a") }()
	device := b.Stats().Bytes
	p.Release()
	if one <= 0 || device <= one {
		t.Fatalf("%d bytes, %d on the device", one, device)
	}
	budget := 3*device + one - 1 // not quite for another beside three on the device
	b = newBankBed(t, flora.BankOptions{MaxBytes: budget, Keep: []string{"kept"}})
	root := t.TempDir()
	hashes := make(map[string]string)
	for i, name := range []string{"kept", "a", "b", "c", "d"} {
		dir := filepath.Join(root, name)
		b.write(t, dir, uint64(i))
		hash, err := b.LoadDir(name, dir)
		if err != nil {
			t.Fatal(err)
		}
		hashes[name] = hash
		p, _ := b.pin(t, name)
		p.Release()
		b.Sweep()
		if b.Stats().Bytes > budget {
			t.Fatalf("%d bytes are beyond the budget", b.Stats().Bytes)
		}
	}
	tiers := func(want string) {
		t.Helper()
		got := ""
		for _, name := range []string{"kept", "a", "b", "c", "d"} {
			got += string(b.tier(t, name)) + " "
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("tiers %s, want %s", got, want)
		}
	}
	tiers("device disk disk device device")
	p, i := b.pin(t, "a")
	if p.Hash() != hashes["a"] || !slices.Equal(b.logits(t, i), b.want(t, 1)) {
		t.Error("a version that was on disk is not what it was")
	}
	tiers("device device disk disk device")
	// From memory alone it cannot go below it.
	b.load(t, "m", 7)
	b.Sweep()
	tiers("device device disk disk host") // by one tier, as far as is needed
	q, _ := b.pin(t, "m")
	r, _ := b.pin(t, "c") // beyond the budget: all are pinned or kept
	if b.Stats().Bytes <= budget {
		t.Errorf("%d bytes", b.Stats().Bytes)
	}
	tiers("device device disk device disk")
	for _, p := range []*flora.Pin{p, q, r} {
		p.Release()
		b.Sweep()
	}
	tiers("device disk disk device disk")
	if got := b.tier(t, "m"); got != flora.OnDevice {
		t.Errorf("m is on the %s", got)
	}
	b.load(t, "n", 8)
	b.load(t, "o", 9)
	b.load(t, "p", 10)
	b.Sweep()
	if got := b.tier(t, "m"); got != flora.OnHost {
		t.Errorf("m, which came from memory, is on the %s", got)
	}
}

// TestBrokenDirectoryHarmsNobody checks that a directory that cannot be loaded is told of, and that the
// version that its name has stays, in memory, since nothing can be opened in its place.
func TestBrokenDirectoryHarmsNobody(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{MaxBytes: 1})
	root := t.TempDir()
	dir := filepath.Join(root, "cs")
	b.write(t, dir, 1)
	hash, err := b.LoadDir("cs", dir)
	if err != nil {
		t.Fatal(err)
	}
	p, i := b.pin(t, "cs")
	file := filepath.Join(dir, flora.TensorFile)
	if err := os.Truncate(file, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.LoadDir("cs", dir); !errors.Is(err, flora.ErrInvalid) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a file that was cut: %v", err)
	}
	if !slices.Equal(b.logits(t, i), b.want(t, 1)) {
		t.Error("a request in flight was harmed")
	}
	p.Release()
	b.Sweep()
	p, i = b.pin(t, "cs")
	if p.Hash() != hash || !slices.Equal(b.logits(t, i), b.want(t, 1)) {
		t.Error("the old version was harmed")
	}
	p.Release()
	// Registered, it is told of when it is asked for; repaired, it serves.
	if err := b.Register("x", dir); err != nil {
		t.Fatal(err)
	}
	q, err := b.Pin("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Ready(); !errors.Is(err, flora.ErrInvalid) {
		t.Errorf("a broken directory that is opened on demand: %v", err)
	}
	b.write(t, dir, 2)
	if err := q.Ready(); err != nil {
		t.Errorf("repaired: %v", err)
	}
	q.Release()
	if err := q.Ready(); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("released: %v", err)
	}
}

// TestAnotherBaseIsRefused checks adapters of other models, and names.
func TestAnotherBaseIsRefused(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{Reserved: []string{"auto"}})
	other := *b
	other.model = goldentest.Tiny(t, backend(t), 2)
	if _, err := b.Load("cs", other.adapter(t, "cs", 1)); !errors.Is(err, flora.ErrBase) || b.Has("cs") {
		t.Errorf("another base: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "cs")
	other.write(t, dir, 1)
	if _, err := b.LoadDir("cs", dir); !errors.Is(err, flora.ErrBase) || !strings.Contains(err.Error(), dir) || b.Has("cs") {
		t.Errorf("another base in a directory: %v", err)
	}
	for _, name := range []string{"", "a@b", "a/b", "a\nb", "auto"} {
		if _, err := b.Load(name, b.adapter(t, "x", 1)); !errors.Is(err, flora.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
		if err := b.Register(name, dir); !errors.Is(err, flora.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if err := b.Register("x", filepath.Join(dir, flora.ConfigFile)); !errors.Is(err, flora.ErrInvalid) {
		t.Errorf("a file: %v", err)
	}
}

// countingFS counts how often its tensors are opened.
type countingFS struct {
	fs.FS
	opened atomic.Int32
}

func (c *countingFS) Open(name string) (fs.File, error) {
	if name == flora.TensorFile {
		c.opened.Add(1)
	}
	return c.FS.Open(name)
}

// TestOneOpeningServesAll checks that an adapter that many ask for at once is opened once, and that it
// is ready for each of them.
func TestOneOpeningServesAll(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	files := &countingFS{FS: b.files(t, 1)}
	if err := b.RegisterFS("cs", files, "cs"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 20 {
		p, err := b.Pin("cs")
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			if err := p.Ready(); err != nil || !p.IsReady() || p.Reach() != flora.ReachEncoder {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	// Each opening stats the files twice and opens the tensors once.
	if n := files.opened.Load(); n > 3 {
		t.Errorf("the tensors are opened %d times", n)
	}
	if i, _ := b.Stat("cs"); i.Pins != 20 || i.Requests != 20 || i.Tier != flora.OnHost {
		t.Errorf("%+v", i)
	}
}

// TestReach checks what of the base model's pass serves under which adapter.
func TestReach(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	a := b.adapter(t, "a", 1)
	for _, want := range []flora.Reach{flora.ReachEncoder, flora.ReachCross, flora.ReachDecoder} {
		if got := a.Reach(); got != want {
			t.Errorf("reach %d, want %d", got, want)
		}
		for site := range a.Sites {
			out := site.Stack == whisper.EncoderStack
			if want == flora.ReachCross {
				out = site.Role == whisper.CrossKey || site.Role == whisper.CrossValue
			}
			if out {
				delete(a.Sites, site)
			}
		}
	}
	if hash := b.load(t, "a", 1); b.Reaches(flora.ReachCross) || !b.Reaches(flora.ReachEncoder) {
		t.Errorf("the reach of %s", hash)
	}
}

// TestBaseRowsStayWhenAdaptersAreLoaded: base rows changed when an adapter was loaded. Beside rows of every
// kind that come and go, base rows are those of the model without a bank.
func TestBaseRowsStayWhenAdaptersAreLoaded(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	want := goldentest.Logits(t, b.model, b.ops, nil, b.mel, nil, [][]int32{{1, 2, 3}})[0]
	for i, a := range randomAdapters(t, b.model, 3) {
		if _, err := b.Load(a.Name, a); err != nil {
			t.Fatal(err)
		}
		p, index := b.pin(t, a.Name)
		mel := []audio.Mel{b.mel[0], b.mel[0], b.mel[0]}
		got := goldentest.Logits(t, b.model, b.ops, b.Batch(), mel, []int32{0, index, 0}, [][]int32{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}})
		if !slices.Equal(got[0], want) || !slices.Equal(got[2], want) || slices.Equal(got[1], want) {
			t.Errorf("base rows beside %s", a.Name)
		}
		p.Release()
		if i%2 == 0 {
			if err := b.Unload(a.Name); err != nil {
				t.Fatal(err)
			}
			b.Sweep()
		}
		if !slices.Equal(b.logits(t, 0), want) {
			t.Errorf("base rows behind %s", a.Name)
		}
	}
	if _, err := b.Pin(""); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("no name: %v", err)
	}
}
