//go:build cuda && linux

package cuda

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestGroupsAreShortTogether checks that what is left in 16 bits of many rows, which pass several weights of which one takes the place of another, is
// one matrix, and that a linear of these rows which is added to others reads it so; and that weights are made in one launch where each has room.
func TestGroupsAreShortTogether(t *testing.T) {
	for rooms, launches := range map[int]int{1: 2, 2: 1} {
		for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
			t.Run(fmt.Sprintf("%v, %d launches", dtype, launches), func(t *testing.T) { testGroupsAreShort(t, dtype, rooms, launches) })
		}
	}
}

func testGroupsAreShort(t *testing.T, dtype tensor.DType, rooms, launches int) {
	const rows, cols, inner, rank = manyRows + 40, 64, 96, 8
	parts := [4]int{0, 100, 130, rows}
	b := open(t)
	r := newRoom(t, b)
	x, up, down, bias := r.random(rows, cols), r.random(inner, cols), r.random(cols, inner), r.random(1, inner)
	pack := func(w tensor.Mat) *packed {
		p, err := b.Pack(host(w), dtype)
		if err != nil {
			t.Fatal(err)
		}
		return p.(*packed)
	}
	p, q := pack(up), pack(down)
	p.RoundResults()
	if err := b.Profile(true); err != nil {
		t.Fatal(err)
	}
	var room []tensor.Packed
	for range rooms {
		w, err := b.NewMixed(p)
		if err != nil {
			t.Fatal(err)
		}
		room = append(room, w)
	}

	reference := ref.New()
	hidden, want := tensor.Zeros(rows, inner), tensor.Zeros(rows, cols)
	groups, back := make([]tensor.RowGroup, 3), make([]tensor.RowGroup, 3)
	for i := range groups {
		from, to := parts[i], parts[i+1]
		groups[i] = tensor.RowGroup{From: from, To: to, Bias: bias}
		back[i] = tensor.RowGroup{From: from, To: to}
		w := host(up)
		if i > 0 {
			u := tensor.Update{Base: true, U: host(r.random(inner, rank)), V: host(r.random(rank, cols))}
			change, err := b.PackUpdate(u, inner, cols)
			if err != nil {
				t.Fatal(err)
			}
			groups[i].Weight, groups[i].Update = room[i%rooms], change
			w = u.Apply(w)
		}
		reference.MatMul(hidden.Slice(from, to), host(x).Slice(from, to), w, tensor.TransB, false)
	}
	reference.AddBias(hidden, hidden, host(bias))
	reference.GELU(hidden, hidden)
	reference.MatMul(want, hidden, host(down), tensor.TransB, false)
	reference.Add(want, want, host(x))

	h, y := r.empty(rows, inner), r.empty(rows, cols)
	b.Copy(y, x)
	b.GroupedLinear(h, x, p, groups, true, false)
	b.GroupedLinear(y, h, q, back, false, true)
	if n := len(b.shortened); n != 1 {
		t.Errorf("%d matrices are short, want 1", n)
	}
	near(t, "GELU", r.read(h), hidden, 0.15)
	near(t, "what was added", r.read(y), want, 0.5)
	if n := b.mixes(t); n != launches {
		t.Errorf("%d launches for weights, want %d", n, launches)
	}
}
