//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestShort follows rows through what an encoder's block does with many of them, in which LayerNorm, products and GELU leave 16 bits alone, and checks
// what whoever reads float32 sees of them: all, a part, what was written over a part, and what came instead.
func TestShort(t *testing.T) {
	const rows, cols, inner = manyRows + 5, 72, 144
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
		t.Run(dtype.String(), func(t *testing.T) {
			b := open(t)
			r := newRoom(t, b)
			x, gamma, beta := r.random(rows, cols), r.random(1, cols), r.random(1, cols)
			up, down, bias, back := r.random(inner, cols), r.random(cols, inner), r.random(1, inner), r.random(1, cols)
			pack := func(w tensor.Mat, results bool) tensor.Packed {
				p, err := b.Pack(host(w), dtype)
				if err != nil {
					t.Fatal(err)
				}
				if results {
					p.(tensor.ResultRounder).RoundResults()
				}
				return p
			}
			p, q := pack(up, true), pack(down, false)

			y, h, z := r.empty(rows, cols), r.empty(rows, inner), r.empty(rows, cols)
			b.Copy(z, x)
			b.LayerNormRounded(y, x, gamma, beta)
			b.LinearGELU(h, y, p, bias)
			b.LinearAdd(z, h, q, back, tensor.Scales{}, nil)
			if n := len(b.shortened); n != 2 {
				t.Errorf("%d matrices are short, want 2", n)
			}
			want := func() (y, h, z tensor.Mat) {
				y, h, z = tensor.Zeros(rows, cols), tensor.Zeros(rows, inner), tensor.Zeros(rows, cols)
				c := ref.New()
				c.LayerNorm(y, host(x), host(gamma), host(beta))
				c.MatMul(h, y, host(up), tensor.TransB, false)
				c.AddBias(h, h, host(bias))
				c.GELU(h, h)
				c.MatMul(z, h, host(down), tensor.TransB, false)
				c.AddBias(z, z, host(back))
				c.Add(z, z, host(x))
				return y, h, z
			}
			wantY, wantH, wantZ := want()
			near(t, "a residual", r.read(z), wantZ, 0.5)

			part := r.empty(3, cols) // widens y
			b.Copy(part, y.Slice(7, 10))
			near(t, "a part", r.read(part), wantY.Slice(7, 10), 0.03)
			near(t, "LayerNorm", r.read(y), wantY, 0.03)
			near(t, "GELU", r.read(h), wantH, 0.15)

			b.LayerNormRounded(y, x, gamma, beta)
			b.Zero(y.Slice(2, 4)) // what stays of y is widened before
			clear(wantY.Slice(2, 4).Data)
			near(t, "what is written over in part", r.read(y), wantY, 0.03)

			b.LayerNormRounded(y, x, gamma, beta)
			b.Copy(y, x)
			if len(b.shortened) != 0 {
				t.Error("a matrix is short that was written over")
			}
			near(t, "what came instead", r.read(y), host(x), 0)

			b.LayerNormRounded(y, x, gamma, beta)
			before := b.list.Len()
			b.Discard(y)
			if len(b.shortened) != 0 || b.list.Len() != before {
				t.Error("what is discarded is widened, or stays")
			}
			b.LayerNormRounded(y.Slice(0, manyRows-1), x.Slice(0, manyRows-1), gamma, beta)
			if len(b.shortened) != 0 {
				t.Error("few rows are short")
			}
		})
	}
}

// TestLinearAdd checks residual linears of many rows and of few, plain, scaled and with products of low rank.
func TestLinearAdd(t *testing.T) {
	const cols, rank = 96, 8
	b := open(t)
	r := newRoom(t, b)
	w, bias := r.random(cols, cols), r.random(1, cols)
	in, out := r.random(2, cols), r.random(2, cols)
	u, v := r.random(cols, rank), r.random(rank, cols)
	p, err := b.Pack(host(w), tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	low, err := tensor.NewLowRank(b, host(u), host(v), tensor.Mat{}, tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 20, manyRows + 1} {
		for _, c := range []struct {
			name        string
			scaled, low bool
		}{{"plain", false, false}, {"scaled", true, false}, {"low rank", false, true}, {"both", true, true}} {
			x, y, z := r.random(rows, cols), r.random(rows, cols), r.empty(rows, cols)
			var s tensor.Scales
			var lows []*tensor.LowRank
			for i := range rows {
				if c.scaled {
					s.Row = append(s.Row, int32(i%2))
				}
				if c.low {
					lows = append(lows, []*tensor.LowRank{low, nil}[i%2])
				}
			}
			if c.scaled {
				s.In, s.Out = in, out
			}
			b.LowRankLinear(z, x, p, bias, s, lows, false)
			product := r.read(z)
			before := r.read(y)
			b.LinearAdd(y, x, p, bias, s, lows)
			ref.New().Add(product, product, before)
			near(t, c.name, r.read(y), product, 1e-4)
		}
	}
}
