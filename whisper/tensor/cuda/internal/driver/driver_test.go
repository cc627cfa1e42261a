//go:build cuda && linux

package driver

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"glossa/whisper/tensor/cuda/internal/fake"
)

func TestMain(m *testing.M) { fake.Main(m, "testdata/kernels.cu") }

// ptx is testdata/kernels.cu, compiled. A GPU runs it; the fake runs the source.
//
//go:embed testdata/kernels.ptx
var ptx string

// TestBuildsPTX makes testdata/kernels.ptx again.
func TestBuildsPTX(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		fake.Skip(t, "clang-19, absent: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), clang, "-x", "cuda", "--cuda-device-only", "--cuda-gpu-arch=sm_75", "-nocudainc", "-nocudalib",
		"-O3", "-S", "-o", "-", "kernels.cu")
	cmd.Dir = "testdata"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != ptx {
		t.Error("testdata/kernels.ptx is not what clang-19 makes of kernels.cu")
	}
}

// open returns a device for a test, which checks at its end that everything was given back.
func open(t testing.TB) *Device {
	t.Helper()
	fake.Require(t)
	d, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if !fake.Used() {
			return
		}
		for _, what := range []string{"allocations", "host", "graphs"} {
			if n := fake.Get(what); n != 0 {
				t.Errorf("%d %s are left after Close", n, what)
			}
		}
	})
	return d
}

func kernels(t testing.TB, d *Device) map[string]*Kernel {
	t.Helper()
	k, err := d.LoadModule(ptx, "axpy", "gather_rows", "row_sum")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func alloc(t testing.TB, d *Device, bytes int) Address {
	t.Helper()
	a, err := d.Alloc(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func bytesOfFloats(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// upload puts numbers into fresh memory of the device.
func upload(t testing.TB, d *Device, x ...float32) Address {
	t.Helper()
	a := alloc(t, d, 4*len(x))
	if err := d.CopyIn(a, bytesOfFloats(x)); err != nil {
		t.Fatal(err)
	}
	return a
}

func download(t testing.TB, d *Device, a Address, n int) []float32 {
	t.Helper()
	x := make([]float32, n)
	if err := d.CopyOut(bytesOfFloats(x), a); err != nil {
		t.Fatal(err)
	}
	return x
}

func run(t testing.TB, d *Device, l *List) {
	t.Helper()
	if err := d.Run(l); err != nil {
		t.Fatal(err)
	}
}

func ramp(n int, from, step float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = from + step*float32(i)
	}
	return x
}

func TestInfo(t *testing.T) {
	d := open(t)
	i := d.Info()
	if i.Name == "" || i.Major < 7 || i.Multiprocessors <= 0 || i.TotalBytes <= 0 || i.SharedPerBlock < maxShared ||
		i.Driver <= 0 || i.BLAS <= 0 {
		t.Errorf("%+v", i)
	}
	free, total, err := d.Memory()
	if err != nil || free <= 0 || free > total || total > i.TotalBytes {
		t.Errorf("free %d of %d, %v", free, total, err)
	}
}

func TestCopy(t *testing.T) {
	d := open(t)
	for _, n := range []int{1, 100, slotBytes/4 - 1, slotBytes/4 + 1, 3 * slotBytes / 4, (maxSlots*slotBytes + slotBytes/2) / 4} {
		x := ramp(n, 1, 1)
		a := upload(t, d, x...)
		if got := download(t, d, a, n); !slices.Equal(got, x) {
			t.Errorf("%d numbers came back wrong", n)
		}
		d.Free(a)
	}
}

// step adds one step of work: y += a x, and of y the rows that were staged to z.
func step(l *List, k map[string]*Kernel, x, y, z Address, rows []int32, cols int) {
	index, staged := l.Stage(4*len(rows), 4)
	for i, r := range rows {
		binary.LittleEndian.PutUint32(staged[4*i:], uint32(r))
	}
	l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 256}, 0, Pointer(y), Pointer(x), Float32(2), Int32(8*cols))
	l.Launch(k["gather_rows"], Dim3{X: len(rows)}, Dim3{X: 32}, 0, Pointer(z), Pointer(y), Pointer(index), Int32(cols))
}

// A list is run plainly, then captured, then replayed; with what is staged in that step, each time.
func TestReplay(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	const cols = 5
	x, y := upload(t, d, ramp(8*cols, 1, 0.5)...), upload(t, d, make([]float32, 8*cols)...)
	z := alloc(t, d, 4*3*cols)
	l := d.NewList()
	want := make([]float32, 8*cols)
	for n := range 6 {
		rows := []int32{int32(n), int32(7 - n), int32(n / 2)}
		step(l, k, x, y, z, rows, cols)
		if l.Len() != 2 {
			t.Fatalf("%d operations", l.Len())
		}
		got := make([]float32, 3*cols)
		if err := d.RunRead(l, bytesOfFloats(got), z); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i] += 2 * (1 + 0.5*float32(i))
		}
		for i, r := range rows {
			if w := want[int(r)*cols : int(r+1)*cols]; !slices.Equal(got[i*cols:(i+1)*cols], w) {
				t.Errorf("step %d, row %d: %v, want %v", n, r, got[i*cols:(i+1)*cols], w)
			}
		}
		if l.Len() != 0 {
			t.Error("Run left operations in the list")
		}
	}
	s := d.Stats()
	if s.Lists != 6 || s.Launches != 2 || s.Captures != 1 || s.GraphLaunches != 5 || s.Uncaptured != 0 || s.Uncapturable != "" {
		t.Errorf("%+v: 1 list plainly, and 5 by one graph", s)
	}
}

// Lists that differ in one argument are different graphs.
func TestReplayTellsListsApart(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, ramp(64, 1, 1)...), upload(t, d, make([]float32, 64)...)
	l := d.NewList()
	want := float32(0)
	for range 4 {
		for _, a := range []float32{1, 10, 100} {
			l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 64}, 0, Pointer(y), Pointer(x), Float32(a), Int32(64))
			run(t, d, l)
			want += a
		}
	}
	if got := download(t, d, y, 64); got[0] != want || got[63] != 64*want {
		t.Errorf("%v and %v, want %v and %v", got[0], got[63], want, 64*want)
	}
	if s := d.Stats(); s.Captures != 3 || s.GraphLaunches != 9 {
		t.Errorf("%+v: 3 graphs, each run 3 times", s)
	}
}

func TestSteadyStepAllocatesNothing(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, ramp(40, 1, 1)...), upload(t, d, make([]float32, 40)...)
	l := d.NewList()
	out := make([]float32, 15)
	rows := []int32{1, 2, 3}
	one := func() {
		z, err := d.Alloc(4 * 15)
		if err != nil {
			t.Fatal(err)
		}
		w, err := d.Alloc(1000)
		if err != nil {
			t.Fatal(err)
		}
		step(l, k, x, y, z, rows, 5)
		d.Free(w)
		if err := d.RunRead(l, bytesOfFloats(out), z); err != nil {
			t.Fatal(err)
		}
		d.Free(z)
	}
	for range 5 {
		one()
	}
	before := d.Stats()
	if n := testing.AllocsPerRun(50, one); n > 0 {
		t.Errorf("a step allocates %v times on the heap", n)
	}
	after := d.Stats()
	if after.DriverAllocs != before.DriverAllocs || after.Captures != before.Captures || after.Launches != before.Launches {
		t.Errorf("a steady step changed %+v to %+v", before, after)
	}
	if after.GraphLaunches-before.GraphLaunches != 51 {
		t.Errorf("%d graph launches in 51 steps", after.GraphLaunches-before.GraphLaunches)
	}
}

func TestBlockSums(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, sums := upload(t, d, ramp(3*1000, 0, 1)...), alloc(t, d, 12)
	l := d.NewList()
	l.Launch(k["row_sum"], Dim3{X: 3}, Dim3{X: 256}, 64<<10, Pointer(sums), Pointer(x), Int32(1000))
	run(t, d, l)
	if got := download(t, d, sums, 3); got[0] != 499500 || got[1] != 1499500 || got[2] != 2499500 {
		t.Errorf("%v", got)
	}
	if most := k["row_sum"].maxShared; most != d.Info().SharedPerBlock-128 {
		t.Errorf("%d bytes of dynamic shared memory beside 128 of static", most)
	}
}

func TestCopyDeviceAndSet(t *testing.T) {
	d := open(t)
	x, y := upload(t, d, 1, 2, 3, 4), upload(t, d, 5, 6, 7, 8)
	l := d.NewList()
	l.CopyDevice(y+4, x+8, 8)
	l.Set(x, 0, 12)
	l.CopyDevice(x, x, 0)
	run(t, d, l)
	if got := download(t, d, y, 4); !slices.Equal(got, []float32{5, 3, 4, 8}) {
		t.Errorf("%v", got)
	}
	if got := download(t, d, x, 4); !slices.Equal(got, []float32{0, 0, 0, 4}) {
		t.Errorf("%v", got)
	}
}

func TestFakeUncapturableListsRunPlainly(t *testing.T) {
	for _, setting := range []string{"no_capture", "no_instantiate"} {
		t.Run(setting, func(t *testing.T) {
			d := open(t)
			k := kernels(t, d)
			fake.Set(setting, 1)
			t.Cleanup(func() { fake.Set(setting, 0) })
			x, y := upload(t, d, ramp(64, 1, 1)...), upload(t, d, make([]float32, 64)...)
			l := d.NewList()
			for range 4 {
				l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 64}, 0, Pointer(y), Pointer(x), Float32(1), Int32(64))
				run(t, d, l)
			}
			if got := download(t, d, y, 64); got[1] != 8 {
				t.Errorf("%v, want 8", got[1])
			}
			if s := d.Stats(); s.Uncaptured != 3 || s.Captures != 0 || s.Launches != 4 || !strings.Contains(s.Uncapturable, "CUDA_ERROR_") {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestGraphsAreGivenUp(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, ramp(64, 1, 1)...), upload(t, d, make([]float32, 64)...)
	l := d.NewList()
	for n := range maxGraphs + 7 {
		for range 3 {
			l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 64}, 0, Pointer(y), Pointer(x), Float32(float32(n)), Int32(64))
			run(t, d, l)
		}
	}
	want := float32(3 * (maxGraphs + 7) * (maxGraphs + 6) / 2)
	if got := download(t, d, y, 64); got[0] != want {
		t.Errorf("%v, want %v", got[0], want)
	}
	if s := d.Stats(); s.Evictions != 7 || s.Captures != maxGraphs+7 {
		t.Errorf("%+v", s)
	}
}

// A device that is lost says so for ever; what comes after Close and Open works.
func TestFakeLost(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, 1, 2), upload(t, d, 0, 0)
	l := d.NewList()
	add := func() {
		l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Float32(1), Int32(2))
	}
	fake.Set("lose_at", 2)
	add()
	add()
	if err := d.Run(l); err != nil {
		t.Fatalf("a fault of the work comes out of Wait, not of Run: %v", err)
	}
	err := d.Wait()
	var e *Error
	if !errors.Is(err, ErrLost) || !errors.As(err, &e) || e.Name != "CUDA_ERROR_LAUNCH_FAILED" || !strings.Contains(err.Error(), "axpy") {
		t.Errorf("Wait: %v", err)
	}
	add()
	if err := d.Run(l); !errors.Is(err, ErrLost) {
		t.Errorf("Run: %v", err)
	}
	if l.Len() != 0 {
		t.Error("the list is not empty")
	}
	if err := d.CopyIn(x, make([]byte, 4)); !errors.Is(err, ErrLost) {
		t.Errorf("CopyIn: %v", err)
	}
	if _, err := d.Alloc(1); !errors.Is(err, ErrLost) {
		t.Errorf("Alloc: %v", err)
	}
	d.Close()
	if err := d.Wait(); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait after Close: %v", err)
	}
	d = open(t)
	if got := download(t, d, upload(t, d, 3), 1); got[0] != 3 {
		t.Errorf("%v", got)
	}
}

func TestLaunchPanics(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	l := d.NewList()
	good := []Arg{Pointer(256), Pointer(256), Float32(1), Int32(1)}
	for _, c := range []struct {
		name        string
		grid, block Dim3
		shared      int
		args        []Arg
		want        string
	}{
		{"an argument too few", Dim3{X: 1}, Dim3{X: 1}, 0, good[:3], "3 arguments; it has 4 parameters"},
		{"an integer for a float", Dim3{X: 1}, Dim3{X: 1}, 0, []Arg{good[0], good[1], good[3], good[3]},
			"argument 2 is a 32-bit integer; the parameter is a float"},
		{"a number for a pointer", Dim3{X: 1}, Dim3{X: 1}, 0, []Arg{good[0], good[3], good[2], good[3]}, "argument 1 is a 32-bit integer"},
		{"an empty grid", Dim3{}, Dim3{X: 1}, 0, good, "a grid of {0 1 1}"},
		{"a large block", Dim3{X: 1}, Dim3{X: 32, Y: 33}, 0, good, "a block of {32 33 1}"},
		{"a deep block", Dim3{X: 1}, Dim3{X: 1, Z: 65}, 0, good, "a block of {1 1 65}"},
		{"much shared memory", Dim3{X: 1}, Dim3{X: 1}, 1 << 20, good, "1048576 bytes of shared memory"},
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, c.want) {
					t.Errorf("%s: panics with %q, want %q", c.name, p, c.want)
				}
			}()
			l.Launch(k["axpy"], c.grid, c.block, c.shared, c.args...)
		}()
	}
	for _, v := range []int{math.MinInt32 - 1, math.MaxUint32 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Int32(%d) does not panic", v)
				}
			}()
			Int32(v)
		}()
	}
}

func TestLoadModuleErrors(t *testing.T) {
	d := open(t)
	if _, err := d.LoadModule(ptx, "axpy", "absent"); err == nil || !strings.Contains(err.Error(), "kernel absent") {
		t.Errorf("%v", err)
	}
	if _, err := d.LoadModule("no PTX"); err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_INVALID_") {
		t.Errorf("%v", err)
	}
	if _, err := d.LoadModule(".entry f(.param .align 8 .b8 p[16])"); err == nil || !strings.Contains(err.Error(), "neither a pointer nor a number") {
		t.Errorf("%v", err)
	}
	if !fake.Used() {
		return
	}
	wrong := strings.Replace(ptx, ".param .f32 axpy_param_2,", "", 1)
	if _, err := d.LoadModule(wrong, "axpy"); err == nil || !strings.Contains(err.Error(), "the parameters of the PTX are not those of the source") {
		t.Errorf("%v", err)
	}
}

func TestProfile(t *testing.T) {
	d := open(t)
	k := kernels(t, d)
	x, y := upload(t, d, ramp(64, 1, 1)...), upload(t, d, make([]float32, 64)...)
	l := d.NewList()
	if err := d.Profile(true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 64}, 0, Pointer(y), Pointer(x), Float32(1), Int32(64))
		l.Gemm(Gemm{M: 4, N: 5, K: 6, A: x, B: x, C: y, Alpha: 1})
		l.Set(y, 0, 4)
		l.CopyDevice(y, x, 4)
		run(t, d, l)
	}
	timings, err := d.Timings()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range timings {
		names = append(names, s.Name)
		if s.Calls != 3 || s.Time <= 0 {
			t.Errorf("%+v", s)
		}
	}
	slices.Sort(names)
	if want := []string{"axpy", "copy", "product 4 x 5 x 6, 1 times", "set"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	if err := d.Profile(false); err != nil {
		t.Fatal(err)
	}
}
