package flora_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper/goldentest"
)

// TestRequestKeepsItsVersionAfterALoad: a request in flight got another adapter after a load.
func TestRequestKeepsItsVersionAfterALoad(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	first := b.load(t, "cs", 1)
	old, i := b.pin(t, "cs")
	second := b.load(t, "cs", 2)
	young, j := b.pin(t, "cs")
	if first == second || old.Hash() != first || young.Hash() != second || i == j {
		t.Errorf("versions %s and %s at %d and %d", old.Hash(), young.Hash(), i, j)
	}
	if !slices.Equal(b.logits(t, i), b.want(t, 1)) || !slices.Equal(b.logits(t, j), b.want(t, 2)) {
		t.Error("a version is not what it was loaded as")
	}
	if list := b.List(); len(list) != 2 || !list[1].Retired || list[1].Hash != first || list[1].Pins != 1 {
		t.Errorf("%+v", list)
	}
	old.Release()
	old.Release()
	b.Sweep()
	if list := b.List(); len(list) != 1 || list[0].Hash != second || list[0].Pins != 1 || list[0].Requests != 2 {
		t.Errorf("behind the last request of the old version: %+v", list)
	}
}

// TestSameNameNewWeights: the same name with new weights used a stale cache. The new version takes the
// very index of the old one.
func TestSameNameNewWeights(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	b.load(t, "cs", 1)
	p, i := b.pin(t, "cs")
	b.logits(t, i)
	p.Release()
	b.load(t, "cs", 2)
	b.Sweep()
	p, j := b.pin(t, "cs")
	defer p.Release()
	if j != i {
		t.Fatalf("index %d, the free one is %d", j, i)
	}
	if !slices.Equal(b.logits(t, j), b.want(t, 2)) {
		t.Error("under new weights the logits are others than alone")
	}
}

// TestIndexIsTakenWhilePinned checks that an unloaded adapter keeps its index for those who have pinned
// it, that no other gets it before, and that another does behind them.
func TestIndexIsTakenWhilePinned(t *testing.T) {
	woken := 0
	b := newBankBed(t, flora.BankOptions{Wake: func() { woken++ }})
	b.load(t, "cs", 1)
	p, i := b.pin(t, "cs")
	if err := b.Unload("cs"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Pin("cs"); !errors.Is(err, flora.ErrUnknown) || b.Has("cs") {
		t.Errorf("an unloaded name: %v", err)
	}
	if err := b.Unload("cs"); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("unloaded twice: %v", err)
	}
	b.Sweep()
	b.load(t, "de", 2)
	q, j := b.pin(t, "de")
	if i == j || !slices.Equal(b.logits(t, i), b.want(t, 1)) {
		t.Errorf("the adapter at %d, pinned, has given way to that at %d", i, j)
	}
	q.Release()
	if woken != 0 {
		t.Errorf("woken %d times with nothing to do", woken)
	}
	p.Release()
	p.Release()
	if woken != 1 {
		t.Errorf("woken %d times, want 1", woken)
	}
	b.load(t, "fi", 3)
	if _, k := b.pin(t, "fi"); k == i {
		t.Error("the index was reused outside the goroutine of the batch")
	}
	b.Sweep()
	b.load(t, "mr", 4)
	if _, k := b.pin(t, "mr"); k != i {
		t.Errorf("index %d, want the free %d", k, i)
	}
}

// TestNamesShareEqualContent checks that equal content is one version, wherever it came from.
func TestNamesShareEqualContent(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	dir := filepath.Join(t.TempDir(), "x")
	b.write(t, dir, 1)
	hash, err := b.LoadDir("x", dir)
	if err != nil {
		t.Fatal(err)
	}
	p, i := b.pin(t, "x")
	if err := b.Register("y", dir); err != nil {
		t.Fatal(err)
	}
	early, err := b.Pin("y")
	if err != nil || early.Hash() != "" || early.IsReady() {
		t.Fatalf("a directory that is not opened: %q, %v", early.Hash(), err)
	}
	q, j := b.pin(t, "y")
	if got := b.load(t, "z", 1); got != hash || i != j || early.Hash() != hash || q.Hash() != hash {
		t.Errorf("hashes %s, %s, %s, %s at %d and %d", hash, got, early.Hash(), q.Hash(), i, j)
	}
	if list := b.List(); len(list) != 3 || list[1].Pins != 3 || list[2].Pins != 3 || list[1].Bytes != list[0].Bytes {
		t.Errorf("%+v", list)
	}
	p.Release()
	q.Release()
	early.Release()
	for _, name := range []string{"x", "z"} {
		if err := b.Unload(name); err != nil {
			t.Fatal(err)
		}
	}
	b.Sweep()
	if got := b.tier(t, "y"); got != flora.OnDevice {
		t.Errorf("what has one of its names still is on the %s", got)
	}
	if err := b.Unload("y"); err != nil {
		t.Fatal(err)
	}
	b.Sweep()
	if b.Stats().Bytes != 0 || len(b.List()) != 0 || len(b.Batch().Names()) != 0 {
		t.Errorf("%d bytes are left, %v", b.Stats().Bytes, b.List())
	}
}

// TestExactVersion checks that name@hash is that version or nothing.
func TestExactVersion(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{MaxBytes: 1})
	dir := filepath.Join(t.TempDir(), "cs")
	b.write(t, dir, 1)
	hash, err := b.LoadDir("cs", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cs@" + hash, "cs@" + hash[:6], "cs@" + strings.ToUpper(hash[:6])} {
		p, _ := b.pin(t, name)
		if p.Name() != "cs" || p.Hash() != hash {
			t.Errorf("%s is %s, %s", name, p.Name(), p.Hash())
		}
		for _, other := range []string{"cs@", "cs@x", "cs@" + hash + "0", "de@" + hash, "@", "cs@@"} {
			if _, err := b.Pin(other); !errors.Is(err, flora.ErrUnknown) {
				t.Errorf("%s: %v", other, err)
			}
		}
		p.Release()
		b.Sweep()
	}
	// The directory has changed since it went to disk: the name goes on, the exact version is gone.
	if got := b.tier(t, "cs"); got != flora.OnDisk {
		t.Fatalf("on the %s", got)
	}
	b.write(t, dir, 2)
	exact, err := b.Pin("cs@" + hash)
	if err != nil {
		t.Fatal(err)
	}
	defer exact.Release()
	if err := exact.Ready(); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("an exact version that is gone: %v", err)
	}
	if _, ok, _ := exact.Index(); ok {
		t.Error("an exact version that is gone has an index")
	}
	p, i := b.pin(t, "cs")
	defer p.Release()
	if p.Hash() == hash || !slices.Equal(b.logits(t, i), b.want(t, 2)) {
		t.Error("the name does not stand for what is in its directory")
	}
}

// TestNegativeIndexIsNoAlias: adapter index -1 aliased adapter 0. It is a programmer's fault, and no other
// adapter.
func TestNegativeIndexIsNoAlias(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	b.load(t, "cs", 1)
	p, _ := b.pin(t, "cs")
	defer p.Release()
	defer func() {
		if recover() == nil {
			t.Error("index -1 is an adapter")
		}
	}()
	b.logits(t, -1)
}

// TestMixedLoRAAndBaseRows: mixed LoRA and base rows gave garbage.
func TestMixedLoRAAndBaseRows(t *testing.T) {
	b := newBankBed(t, flora.BankOptions{})
	text := [][]int32{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}, {1, 2, 3}}
	base := goldentest.Logits(t, b.model, b.ops, nil, b.mel, nil, text[:1])[0]
	for _, a := range randomAdapters(t, b.model, 3) {
		if _, err := b.Load(a.Name, a); err != nil {
			t.Fatal(err)
		}
		p, i := b.pin(t, a.Name)
		want := b.logits(t, i)
		mels := []audio.Mel{b.mel[0], b.mel[0], b.mel[0], b.mel[0]}
		for k, got := range goldentest.Logits(t, b.model, b.ops, b.Batch(), mels, []int32{i, 0, i, 0}, text) {
			if !slices.Equal(got, [][]float32{want, base}[k%2]) {
				t.Errorf("row %d beside others of %s and none", k, a.Name)
			}
		}
		p.Release()
	}
}
