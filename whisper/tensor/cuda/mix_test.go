//go:build cuda && linux

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// TestMixesTogether checks that updates of a weight which are made in one launch have the bits of those made one by one, where they are written
// to addresses of 16 bytes and where not, that nothing is written beside them, and that launches of as many updates are one graph, whatever they are.
func TestMixesTogether(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16} {
		for _, shape := range [][2]int{{1, 1}, {5, 7}, {9, 8}, {6, 40}, {33, 264}} {
			t.Run(fmt.Sprintf("%v %v", dtype, shape), func(t *testing.T) { testMixesTogether(t, dtype, shape[0], shape[1]) })
		}
	}
}

func testMixesTogether(t *testing.T, dtype tensor.DType, nOut, nIn int) {
	const together = 8
	b := open(t)
	r := newRoom(t, b)
	p, err := b.Pack(host(r.random(nOut, nIn)), dtype)
	if err != nil {
		t.Fatal(err)
	}
	w, size := p.(*packed), int(p.(*packed).bytes)
	changes, want := r.mixesAlone(w)
	if len(changes)%together != 0 {
		t.Fatalf("%d updates", len(changes))
	}

	number := typeOf(dtype).Bytes()
	rooms, err := b.newPacked(together*nOut+1, nIn, dtype)
	if err != nil {
		t.Fatal(err)
	}
	untouched := bytes.Repeat([]byte{0x5a}, int(rooms.bytes))
	before := b.device.Stats()
	for _, from := range []int{0, number} {
		for i := 0; i < len(changes); i += together {
			if err := b.device.CopyIn(rooms.at, untouched); err != nil {
				t.Fatal(err)
			}
			expected := slices.Clone(untouched)
			var updates []mixEntry
			for j, u := range changes[i : i+together] {
				at := from + j*size
				updates = append(updates, u.into(rooms.at+driver.Address(at)))
				copy(expected[at:], want[i+j])
			}
			b.begin()
			b.mix(w, updates)
			if n := b.list.Len(); n != 1 {
				t.Errorf("%d operations, want 1", n)
			}
			b.run()
			b.end()
			if got := r.bytes(rooms); !bytes.Equal(got, expected) {
				t.Errorf("updates %d to %d, from byte %d on, are not what they are alone", i, i+together, from)
			}
		}
	}
	after := b.device.Stats()
	if lists, n := after.Lists-before.Lists, after.Captures-before.Captures; n > 2 || after.GraphLaunches-before.GraphLaunches < lists-2 {
		t.Errorf("%d graphs, %d launches of them for %d lists", n, after.GraphLaunches-before.GraphLaunches, lists)
	}
}

// mixesAlone returns updates of w with all that they may have or lack, and what each writes alone, which it compares with the equation.
func (r *room) mixesAlone(w *packed) (changes []*update, written [][]byte) {
	r.t.Helper()
	weight := tensor.Weight{Mat: tensor.Mat{Rows: w.nOut, Cols: w.nIn}, Packed: w}
	plain, _, err := weight.Plain(r.b)
	if err != nil {
		r.t.Fatal(err)
	}
	to, err := r.b.newPacked(w.nOut, w.nIn, w.dtype)
	if err != nil {
		r.t.Fatal(err)
	}
	weight.Packed = to
	rounding := map[tensor.DType]float64{tensor.F32: 0x1p-22, tensor.BF16: 0x1p-8, tensor.F16: 0x1p-11}[w.dtype]
	for _, u := range r.updates(w.nOut, w.nIn) {
		change, err := r.b.PackUpdate(u, w.nOut, w.nIn)
		if err != nil {
			r.t.Fatal(err)
		}
		r.b.Mix(to, w, change)
		got, _, err := weight.Plain(r.b)
		if err != nil {
			r.t.Fatal(err)
		}
		want, greatest := u.Apply(plain), 0.0
		for _, x := range want.Data {
			greatest = max(greatest, math.Abs(float64(x)))
		}
		near(r.t, fmt.Sprintf("base %t, A %d, B %d, rank %d", u.Base, u.A.Rows, u.B.Rows, u.V.Rows), got, want, rounding*greatest+5e-6)
		changes, written = append(changes, change.(*update)), append(written, r.bytes(to))
	}
	return changes, written
}

// updates returns those of a weight (nOut, nIn) with and without the weight itself, of ranks 0, 1, 8 and 17, with no terms, and with 1 and 3 that have A, B
// or both.
func (r *room) updates(nOut, nIn int) (all []tensor.Update) {
	for _, base := range []bool{false, true} {
		for _, rank := range []int{0, 1, 8, 17} {
			u := tensor.Update{Base: base}
			if rank > 0 {
				u.U, u.V = host(r.random(nOut, rank)), host(r.random(rank, nIn))
			}
			all = append(all, u)
			for _, terms := range []int{1, 3} {
				a, b := host(r.random(terms, nOut)), host(r.random(terms, nIn))
				for _, sides := range [][2]tensor.Mat{{a, {}}, {{}, b}, {a, b}} {
					u.A, u.B = sides[0], sides[1]
					all = append(all, u)
				}
			}
		}
	}
	return all
}

// bytes returns the bytes of a weight.
func (r *room) bytes(p *packed) []byte {
	r.t.Helper()
	data := make([]byte, p.bytes)
	if err := r.b.device.CopyOut(data, p.at); err != nil {
		r.t.Fatal(err)
	}
	return data
}
