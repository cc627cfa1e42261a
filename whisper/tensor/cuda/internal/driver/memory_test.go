//go:build cuda && linux

package driver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"

	"glossa/whisper/tensor/cuda/internal/fake"
)

// small opens a device of the fake with little memory.
func small(t *testing.T, bytes int64) *Device {
	t.Helper()
	fake.Require(t)
	fake.Set("memory", bytes)
	t.Cleanup(func() { fake.Set("memory", 1<<30) })
	return open(t)
}

// Where there is no room, Alloc says so and all goes on; memory that is not used is given back before it says so.
func TestFakeOutOfMemory(t *testing.T) {
	d := small(t, 64<<20)
	k := kernels(t, d)
	x, y := upload(t, d, 1, 2, 3), upload(t, d, 0, 0, 0)
	if _, err := d.Alloc(64 << 20); !errors.Is(err, ErrMemory) {
		t.Fatalf("%v", err)
	}
	var some []Address
	for {
		a, err := d.Alloc(1 << 20)
		if errors.Is(err, ErrMemory) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		some = append(some, a)
	}
	if len(some) < 50 {
		t.Errorf("only %d of 64 MiB could be allocated", len(some))
	}
	for _, a := range some {
		d.Free(a)
	}
	large, err := d.Alloc(50 << 20) // more than any slab
	if err != nil {
		t.Errorf("after all was freed: %v", err)
	}
	d.Free(large)
	l := d.NewList()
	l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Float32(1), Int32(3))
	run(t, d, l)
	if got := download(t, d, y, 3); !slices.Equal(got, []float32{1, 2, 3}) {
		t.Errorf("%v", got)
	}
}

// Memory that a list names is not given back to the driver before the list has run, though it was freed.
func TestFakeMemoryOfAListIsKept(t *testing.T) {
	d := small(t, 64<<20)
	k := kernels(t, d)
	x := upload(t, d, ramp(1<<10, 1, 0)...)
	y := alloc(t, d, 30<<20)
	l := d.NewList()
	l.Set(y, 0, 4<<10)
	l.Launch(k["axpy"], Dim3{X: 4}, Dim3{X: 256}, 0, Pointer(y), Pointer(x), Float32(1), Int32(1<<10))
	d.Free(y)
	if a, err := d.Alloc(45 << 20); !errors.Is(err, ErrMemory) {
		t.Errorf("Alloc gave %#x, %v: the list still needs what is in the way", a, err)
	}
	run(t, d, l)
	if err := d.Wait(); err != nil {
		t.Fatal(err)
	}
	a, err := d.Alloc(45 << 20)
	if err != nil {
		t.Errorf("after the list has run: %v", err)
	}
	d.Free(a)
}

// A list for which there is no room says so when it is run, and is dropped.
func TestFakeStageOutOfMemory(t *testing.T) {
	d := small(t, 8<<20)
	x := upload(t, d, 1)
	l := d.NewList()
	a, b := l.Stage(16<<20, 16)
	if a != 0 || len(b) != 16<<20 {
		t.Fatalf("%#x, %d bytes", a, len(b))
	}
	l.Set(x, 0, 4)
	if err := d.Run(l); !errors.Is(err, ErrMemory) {
		t.Errorf("%v", err)
	}
	if got := download(t, d, x, 1); got[0] != 1 {
		t.Error("a list that was dropped ran")
	}
	l.Set(x, 0, 4)
	run(t, d, l)
	if got := download(t, d, x, 1); got[0] != 0 {
		t.Error("the list after it did not run")
	}
}

// Large and many pieces can be staged; their addresses are the same each time.
func TestStageGrows(t *testing.T) {
	d := open(t)
	l := d.NewList()
	sizes := []int{1, 7, chunkBytes - 100, 300, 3 * chunkBytes, 5}
	var first []Address
	for round := range 3 {
		y := alloc(t, d, 6)
		var at []Address
		for i, n := range sizes {
			a, b := l.Stage(n, 16)
			if a%16 != 0 || len(b) != n {
				t.Fatalf("%#x, %d bytes, want %d", a, len(b), n)
			}
			b[n-1] = byte(10*round + i)
			l.CopyDevice(y+Address(i), a+Address(n-1), 1)
			at = append(at, a)
		}
		out := make([]byte, len(sizes))
		if err := d.RunRead(l, out, y); err != nil {
			t.Fatal(err)
		}
		for i, v := range out {
			if v != byte(10*round+i) {
				t.Errorf("round %d, piece %d: %d", round, i, v)
			}
		}
		if round == 0 {
			first = at
		} else if !slices.Equal(at, first) {
			t.Errorf("the addresses changed from %#x to %#x", first, at)
		}
		d.Free(y)
	}
}

// What is staged for a list may be overwritten for the next one at once: the copy reads another buffer. With one buffer, a fault that is
// planted here, the numbers of a later list reach the device in an earlier one; the fake reads the host's memory as late as a GPU may.
func TestStagingIsNotOverwritten(t *testing.T) {
	planting := []bool{false, true}
	if os.Getenv("FAKECUDA_MODE") == "thread" || !fake.Used() { // when the copy happens is a matter of luck
		planting = planting[:1]
	}
	for _, planted := range planting {
		t.Run(fmt.Sprintf("one buffer %v", planted), func(t *testing.T) {
			d := open(t)
			d.oneStage = planted
			y := alloc(t, d, 3)
			l := d.NewList()
			for i := range 3 {
				a, b := l.Stage(1, 1)
				b[0] = byte(1 + i)
				l.CopyDevice(y+Address(i), a, 1)
				run(t, d, l)
			}
			out := make([]byte, 3)
			if err := d.CopyOut(out, y); err != nil {
				t.Fatal(err)
			}
			if right := slices.Equal(out, []byte{1, 2, 3}); right == planted {
				t.Errorf("%v", out)
			}
		})
	}
}

// Blocks do not overlap, free neighbours join, and the same requests from the same state get the same addresses whatever the order of
// frees before.
func TestPool(t *testing.T) {
	p := pool{taken: make(map[Address]*block)}
	p.openUp(p.add(1<<20, 1<<20))
	p.openUp(p.add(8<<20, 2<<20))
	r := rand.New(rand.NewPCG(1, 2))
	var first []Address
	for round := range 50 {
		type piece struct {
			a Address
			n int64
		}
		var all []piece
		sizes := rand.New(rand.NewPCG(3, 4))
		for i := range 100 {
			n := sizes.Int64N(40_000)
			a, ok := p.take(n)
			if !ok {
				t.Fatalf("no room for %d bytes with %d used", n, p.used)
			}
			if a%grain != 0 {
				t.Fatalf("the address %#x", a)
			}
			for _, o := range all {
				if a < o.a+Address(o.n) && o.a < a+Address(n) {
					t.Fatalf("%d bytes at %#x and %d at %#x overlap", n, a, o.n, o.a)
				}
			}
			all = append(all, piece{a, n})
			if round == 0 {
				first = append(first, a)
			} else if first[i] != a {
				t.Fatalf("round %d: request %d got %#x, and %#x before", round, i, a, first[i])
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, o := range all {
			p.give(o.a)
		}
		if p.used != 0 || len(p.open) != 2 || p.open[0].size != 1<<20 || p.open[1].size != 2<<20 {
			t.Fatalf("%d bytes used, %d free blocks after all was freed", p.used, len(p.open))
		}
	}
	if got := p.release(p.frees - 1); len(got) != 1 || len(p.slabs) != 1 {
		t.Errorf("%d slabs were released: the last block freed was of one of two", len(got))
	}
	if got := p.release(p.frees); len(got) != 1 || p.reserved != 0 || len(p.open) != 0 {
		t.Errorf("%d slabs were released, %d bytes are left", len(got), p.reserved)
	}
}

func TestFreePanics(t *testing.T) {
	d := open(t)
	a := alloc(t, d, 100)
	d.Free(a)
	d.Free(0)
	defer func() {
		if recover() == nil {
			t.Error("a second Free of one address does not panic")
		}
	}()
	d.Free(a)
}

// All methods may be called from several goroutines.
func TestGoroutines(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			l := d.NewList()
			for n := range 10 {
				x, err := d.Alloc(4 * (100 + 50*g))
				if err != nil {
					t.Error(err)
					return
				}
				y, err := d.Alloc(4 * 100)
				if err != nil {
					t.Error(err)
					return
				}
				v := float32(10*g + n)
				if err := d.CopyIn(x, bytesOfFloats(ramp(100, v, 1))); err != nil {
					t.Error(err)
				}
				l.Set(y, 0, 400)
				l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 128}, 0, Pointer(y), Pointer(x), Float32(2), Int32(100))
				got := make([]float32, 100)
				if err := d.RunRead(l, bytesOfFloats(got), y); err != nil {
					t.Error(err)
				}
				if got[0] != 2*v || got[99] != 2*(v+99) {
					t.Errorf("%v and %v, want %v and %v", got[0], got[99], 2*v, 2*(v+99))
				}
				d.Free(x)
				d.Free(y)
				d.Stats()
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if s := d.Stats(); s.UsedBytes != 0 {
		t.Errorf("%d bytes are in use", s.UsedBytes)
	}
}

// With GLOSSA_CUDA_CHECK every tensor is an allocation of its own, which is given back when no list can name it; lists are replayed all the
// same.
func TestFakeCheckedMemory(t *testing.T) {
	t.Setenv("GLOSSA_CUDA_CHECK", "1")
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, ramp(40, 1, 1)...), upload(t, d, make([]float32, 40)...)
	l := d.NewList()
	before := fake.Get("allocations")
	out := make([]float32, 15)
	for n := range 5 {
		z := alloc(t, d, 4*15)
		step(l, k, x, y, z, []int32{1, 2, 3}, 5)
		d.Free(z)
		if err := d.RunRead(l, bytesOfFloats(out), y); err != nil {
			t.Fatal(err)
		}
		if more := fake.Get("allocations") - before; more > 1 { // the staging buffer
			t.Errorf("step %s: %d allocations more than before", strconv.Itoa(n), more)
		}
	}
	if s := d.Stats(); s.GraphLaunches != 4 {
		t.Errorf("%+v", s)
	}
}
