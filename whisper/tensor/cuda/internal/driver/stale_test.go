//go:build cuda && linux

package driver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"

	"glossa/whisper/tensor/cuda/internal/fake"
)

// plantStale makes the device take the graph of one list, which was captured, for that of another: a fault of a device that told lists apart
// by their kernels alone.
func plantStale(t *testing.T, d *Device, captured, other []uint64) {
	t.Helper()
	if err := d.do(func() error {
		g := &d.graphs
		e := g.known[maphash.Bytes(g.seed, bytesOf(captured))]
		if e == nil || e.exec == nil {
			t.Error("the list was not captured")
			return nil
		}
		delete(g.known, maphash.Bytes(g.seed, bytesOf(captured)))
		g.known[maphash.Bytes(g.seed, bytesOf(other))] = &graph{words: slices.Clone(other), exec: e.exec}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A graph has the addresses of when it was captured. Where its memory was freed and is another's now, or what was staged lies elsewhere
// since the staging buffer has grown (TestStaleStaging), lists are captured anew. With a device that does not, a fault that is planted here, the other's
// numbers are overwritten, or those of an earlier step are read.
func TestStaleGraph(t *testing.T) {
	for _, planted := range []bool{false, true} {
		t.Run(fmt.Sprintf("planted %v", planted), func(t *testing.T) {
			d := open(t)
			k := kernels(t, d)
			x := upload(t, d, 1, 2, 3, 4)
			l := d.NewList()
			appendTo := func(y Address) []uint64 {
				l.Set(y, 0, 16)
				l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Float32(1), Int32(4))
				return slices.Clone(l.words)
			}
			freed := alloc(t, d, 16)
			var captured []uint64
			for range 2 {
				captured = appendTo(freed)
				run(t, d, l)
			}
			d.Free(freed)
			others := upload(t, d, 7, 7, 7, 7)
			if others != freed {
				t.Fatalf("%#x was freed, and %#x given out", freed, others)
			}
			y := upload(t, d, 0, 0, 0, 0)
			words := appendTo(y)
			if planted {
				plantStale(t, d, captured, words)
			}
			run(t, d, l)
			got := download(t, d, y, 4)
			kept := download(t, d, others, 4)
			if right := slices.Equal(got, []float32{1, 2, 3, 4}) && slices.Equal(kept, []float32{7, 7, 7, 7}); right == planted {
				t.Errorf("planted %v: %v, and what belongs to another is %v", planted, got, kept)
			}
		})
	}
}

func TestStaleStaging(t *testing.T) {
	for _, planted := range []bool{false, true} {
		t.Run(fmt.Sprintf("planted %v", planted), func(t *testing.T) {
			d := open(t)
			k := kernels(t, d)
			x, y := upload(t, d, 1, 2, 3, 4), alloc(t, d, 4)
			l := d.NewList()
			gather := func(row, before int) []uint64 {
				l.Stage(before, 16)
				rows, data := l.Stage(4, 16)
				binary.LittleEndian.PutUint32(data, uint32(row))
				l.Launch(k["gather_rows"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Pointer(rows), Int32(1))
				return slices.Clone(l.words)
			}
			var captured []uint64
			for row := range 3 {
				captured = gather(row, 16)
				run(t, d, l)
			}
			if got := download(t, d, y, 1); got[0] != 3 {
				t.Fatalf("%v", got)
			}
			words := gather(3, chunkBytes) // the rows are in a second chunk
			if slices.Equal(words, captured) {
				t.Fatal("the rows are where they were")
			}
			if planted {
				plantStale(t, d, captured, words)
			}
			run(t, d, l)
			if got := download(t, d, y, 1); (got[0] == 4) == planted {
				t.Errorf("planted %v: %v, want row 3, which is 4", planted, got)
			}
			for row := range 3 { // the graph of before is as good as it was
				gather(row, 16)
				run(t, d, l)
				if got := download(t, d, y, 1); got[0] != float32(row+1) {
					t.Errorf("row %d, after the buffer has grown: %v", row, got)
				}
			}
		})
	}
}

// Where each tensor is an allocation of its own, a stale graph names memory that the driver has again, and the fake says so.
func TestFakeStaleGraphIsAFault(t *testing.T) {
	t.Setenv("GLOSSA_CUDA_CHECK", "1")
	fake.Require(t)
	d, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() // whose error is the fault's
	k := kernels(t, d)
	x, first := upload(t, d, 1, 2, 3, 4), upload(t, d, 0)
	l := d.NewList()
	appendTo := func(y Address) []uint64 {
		l.Launch(k["gather_rows"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Pointer(first), Int32(4))
		return slices.Clone(l.words)
	}
	freed := upload(t, d, 0, 0, 0, 0)
	var captured []uint64
	for range 2 {
		captured = appendTo(freed)
		run(t, d, l)
	}
	d.Free(freed)
	y, z := upload(t, d, 0, 0, 0, 0), upload(t, d, 0, 0, 0, 0)
	for range 2 { // after which no list can name what was freed
		appendTo(y)
		run(t, d, l)
	}
	words := appendTo(z)
	plantStale(t, d, captured, words)
	err = d.Run(l)
	if err == nil {
		err = d.Wait()
	}
	if !errors.Is(err, ErrLost) {
		t.Errorf("a graph that writes to memory which was given back: error %v, want ErrLost", err)
	}
}
