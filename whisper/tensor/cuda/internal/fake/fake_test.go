//go:build cuda && linux

package fake_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/cu"

	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
)

func TestMain(m *testing.M) { fake.Main(m, "testdata/plant.cu") }

// ptx makes the text of PTX that has kernels with pointers and, after them, integers.
func ptx(pointers, integers int, names ...string) string {
	var s strings.Builder
	s.WriteString(".version 7.0\n.target sm_75\n.address_size 64\n")
	for _, name := range names {
		params := append(slices.Repeat([]string{".param .u64 p"}, pointers), slices.Repeat([]string{".param .u32 p"}, integers)...)
		fmt.Fprintf(&s, ".visible .entry %s(%s)\n{ ret; }\n", name, strings.Join(params, ", "))
	}
	return s.String()
}

// bench is a device with one list.
type bench struct {
	*testing.T
	d *driver.Device
	l *driver.List
}

func open(t *testing.T) *bench {
	t.Helper()
	fake.Require(t)
	d, err := driver.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &bench{t, d, d.NewList()}
}

func (b *bench) kernel(pointers, integers int, name string) *driver.Kernel {
	b.Helper()
	k, err := b.d.LoadModule(ptx(pointers, integers, name), name)
	if err != nil {
		b.Fatal(err)
	}
	return k[name]
}

func floats(n int) []byte {
	var out []byte
	for i := range n {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(i+1)))
	}
	return out
}

func (b *bench) memory(data []byte) driver.Address {
	b.Helper()
	a, err := b.d.Alloc(len(data))
	if err != nil {
		b.Fatal(err)
	}
	if err := b.d.CopyIn(a, data); err != nil {
		b.Fatal(err)
	}
	return a
}

// try runs a kernel with (y, x, n) in one block of n threads, and returns y of size numbers and what Wait says.
func (b *bench) try(name string, n, size, shared int) ([]float32, error) {
	b.Helper()
	k := b.kernel(2, 1, name)
	y, x := b.memory(make([]byte, 4*size)), b.memory(floats(n))
	b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: n}, shared, driver.Pointer(y), driver.Pointer(x), driver.Int32(n))
	out := make([]byte, 4*size)
	err := b.d.RunRead(b.l, out, y)
	got := make([]float32, size)
	for i := range got {
		got[i] = math.Float32frombits(binary.LittleEndian.Uint32(out[4*i:]))
	}
	return got, err
}

// Each fault is planted in a kernel, and the fake reports it; the kernel without it passes.
func TestFakeFaultsOfKernels(t *testing.T) {
	t.Setenv("GLOSSA_CUDA_CHECK", "1") // allocations, tensor by tensor
	for _, c := range []struct {
		name    string
		threads int
		size    int
		shared  int
		want    string // of the error
	}{
		{"copy", 64, 64, 0, ""},
		{"copy_too_much", 128, 127, 0, "copy_too_much wrote behind an allocation of 508 bytes"},
		{"copy_before", 64, 64, 0, "copy_before wrote before an allocation of 256 bytes"},
		{"copy_far", 64, 64, 0, "copy_far: signal 11 in thread"},
		{"reverse", 256, 256, 0, ""},
		{"reverse_divergent", 256, 256, 0, "divergent: of 256 threads of block 0,0,0, 128 are at __syncthreads"},
		{"reverse_early", 256, 256, 0, "255 are at __syncthreads, 0 at a meeting of their warp, 1 have returned"},
		{"reverse_index", 64, 64, 0, "index 64 outside an array at"},
		{"copy_misaligned", 5, 5, 0, "is not aligned for its type at"},
		{"warp_sum", 256, 8, 32, ""},
		{"warp_sum_too_much", 256, 8, 32, "wrote behind its 32 bytes of shared memory"},
		{"warp_sum_divergent", 64, 64, 0, "24 are at __syncthreads, 40 at a meeting of their warp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			if c.name == "copy_too_much" { // n is the size, and the block has a thread more
				k := b.kernel(2, 1, c.name)
				y, x := b.memory(make([]byte, 4*c.size)), b.memory(floats(c.threads))
				b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: c.threads}, 0, driver.Pointer(y), driver.Pointer(x), driver.Int32(c.size))
				b.d.Run(b.l)
				expect(t, b.d.Wait(), c.want)
				return
			}
			_, err := b.try(c.name, c.threads, c.size, c.shared)
			expect(t, err, c.want)
		})
	}
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("a kernel without a fault: %v", err)
	case want != "" && (!errors.Is(err, driver.ErrLost) || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want ErrLost with %q", err, want)
	}
}

// A missing barrier, and shared memory that nobody wrote, show as wrong numbers.
func TestFakeFaultsThatShowInNumbers(t *testing.T) {
	reversed := func(got []float32) bool {
		for i, v := range got {
			if v != float32(len(got)-i) {
				return false
			}
		}
		return true
	}
	for _, c := range []struct {
		name  string
		right bool
	}{{"reverse", true}, {"reverse_no_barrier", false}, {"reverse_unwritten", false}} {
		b := open(t)
		got, err := b.try(c.name, 256, 256, 0)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if reversed(got) != c.right {
			t.Errorf("%s: reversed is %v, want %v", c.name, !c.right, c.right)
		}
	}
}

// A row index of one too many reads another number, or what lies behind the last: NaN.
func TestFakeWrongRow(t *testing.T) {
	t.Setenv("GLOSSA_CUDA_CHECK", "1")
	b := open(t)
	for _, name := range []string{"rows", "rows_wrong"} {
		k := b.kernel(3, 0, name)
		y, x := b.memory(make([]byte, 12)), b.memory(floats(4))
		index := b.memory([]byte{3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0})
		b.l.Launch(k, driver.Dim3{X: 3}, driver.Dim3{X: 1}, 0, driver.Pointer(y), driver.Pointer(x), driver.Pointer(index))
		out := make([]byte, 12)
		if err := b.d.RunRead(b.l, out, y); err != nil {
			t.Fatal(err)
		}
		first := math.Float32frombits(binary.LittleEndian.Uint32(out))
		if name == "rows" && first != 4 || name == "rows_wrong" && first == first {
			t.Errorf("%s: %v", name, first)
		}
	}
}

func TestFakeVotes(t *testing.T) {
	b := open(t)
	k := b.kernel(1, 0, "votes")
	y := b.memory(make([]byte, 60))
	b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: 72}, 0, driver.Pointer(y))
	out := make([]byte, 60)
	if err := b.d.RunRead(b.l, out, y); err != nil {
		t.Fatal(err)
	}
	var got []uint32
	for at := 0; at < len(out); at += 4 {
		got = append(got, binary.LittleEndian.Uint32(out[at:]))
	}
	want := []uint32{0xaaaaaaaa, 0, 1, 2, 0, 0xaaaaaaaa, 1, 1, 34, 32, 0xaa, 0, 0, 66, 64}
	if !slices.Equal(got, want) {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// The arguments of a launch that are not the kernel's are a panic; PTX that is not the source's an error.
func TestFakeWrongArguments(t *testing.T) {
	b := open(t)
	k := b.kernel(2, 1, "copy")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("two arguments for three parameters do not panic")
			}
		}()
		b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: 1}, 0, driver.Pointer(256), driver.Pointer(256))
	}()
	const want = "the parameters of the PTX are not those of the source"
	if _, err := b.d.LoadModule(ptx(3, 0, "copy"), "copy"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	if _, err := b.d.LoadModule(ptx(1, 0, "absent"), "absent"); err == nil || !strings.Contains(err.Error(), "in no source") {
		t.Errorf("%v", err)
	}
}

// A copy that reads or writes outside memory, or in memory that was freed, is an error.
func TestFakeUseAfterFree(t *testing.T) {
	t.Setenv("GLOSSA_CUDA_CHECK", "1")
	for _, c := range []struct {
		name string
		use  func(b *bench, freed, y driver.Address)
	}{
		{"copy", func(b *bench, freed, y driver.Address) { b.l.CopyDevice(y, freed, 16) }},
		{"set", func(b *bench, freed, y driver.Address) { b.l.Set(freed, 1, 16) }},
		{"product", func(b *bench, freed, y driver.Address) {
			b.l.Gemm(driver.Gemm{M: 2, N: 2, K: 2, A: freed, B: freed, C: y, Alpha: 1})
		}},
		{"kernel", func(b *bench, freed, y driver.Address) { // writes, which shows at once
			k := b.kernel(2, 1, "copy")
			b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: 4}, 0, driver.Pointer(freed), driver.Pointer(y), driver.Int32(4))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			y, freed := b.memory(floats(4)), b.memory(floats(4))
			b.d.Free(freed)
			b.l.Set(y, 0, 4)
			if err := b.d.Run(b.l); err != nil { // now no list can name it, and it goes back to the driver
				t.Fatal(err)
			}
			c.use(b, freed, y)
			err := b.d.Run(b.l)
			if err == nil {
				err = b.d.Wait()
			}
			if err == nil {
				t.Error("no error")
			}
			t.Log(err)
		})
	}
}

// A graph holds the arguments of when it was captured: replayed for memory that has moved, it writes to the wrong place. The driver
// captures anew, for other arguments are another list.
func TestFakeGraphsAreNotReplayedForOtherArguments(t *testing.T) {
	b := open(t)
	k := b.kernel(2, 1, "copy")
	x := b.memory(floats(4))
	var places []driver.Address
	for range 3 {
		places = append(places, b.memory(make([]byte, 16)))
	}
	for n := range 9 {
		y := places[n%3]
		b.l.Set(y, 0, 16)
		b.l.Launch(k, driver.Dim3{X: 1}, driver.Dim3{X: 4}, 0, driver.Pointer(y), driver.Pointer(x), driver.Int32(4))
		out := make([]byte, 16)
		if err := b.d.RunRead(b.l, out, y); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out, floats(4)) {
			t.Errorf("run %d: %v", n, out)
		}
	}
	if s := b.d.Stats(); s.Captures != 3 {
		t.Errorf("%d captures for three places", s.Captures)
	}
}

// A fault of a kernel leaves the handling of Go's own faults as it was.
func TestFakeSignalsOfGo(t *testing.T) {
	b := open(t)
	if _, err := b.try("copy_far", 64, 64, 0); !errors.Is(err, driver.ErrLost) {
		t.Error(err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "nil pointer dereference") {
			t.Errorf("recovered %v", err)
		}
	}()
	var nothing *bench
	nothing.l = nil
}

// With one seed, faults of order repeat.
func TestFakeSeed(t *testing.T) {
	fake.Require(t)
	b := open(t)
	fake.Set("seed", 7)
	t.Cleanup(func() { fake.Set("seed", 0) })
	first, err := b.try("reverse_no_barrier", 256, 256, 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.try("reverse_no_barrier", 256, 256, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if math.Float32bits(first[i]) != math.Float32bits(again[i]) {
			t.Fatalf("number %d: %v and %v", i, first[i], again[i])
		}
	}
}

// A call of the driver from a thread that has no context, which is every thread but the device's, is an error.
func TestFakeCallOffTheOwningThread(t *testing.T) {
	b := open(t)
	b.memory(make([]byte, 4))
	for name, err := range map[string]error{
		"MemAlloc":    second(cu.MemAlloc(16)),
		"MakeStream":  second(cu.MakeStream(cu.NonBlocking)),
		"Synchronize": cu.Synchronize(),
		"MemInfo":     third(cu.MemInfo()),
	} {
		if err != cu.InvalidContext {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error   { return err }
func third[T any](_, _ T, err error) error { return err }
