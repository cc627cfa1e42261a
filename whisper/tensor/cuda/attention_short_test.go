//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestAttentionOverShort checks attention of rounded rows whose result takes the place of a matrix that is short: of all of it, where the result is
// in float32 for its format or for its few rows, and of a part, whose rest is widened before the queries are rounded to the same buffer.
func TestAttentionOverShort(t *testing.T) {
	const cols = headSize
	for _, c := range []struct {
		name                string
		height, first, rows int // rows of the short matrix; those that are written over
		dtype               tensor.DType
	}{
		{"another format", manyRows, 0, manyRows, tensor.F16},
		{"few rows", manyRows, 0, manyRows - 1, tensor.BF16},
		{"all", manyRows, 0, manyRows, tensor.BF16},
		{"a part", 2 * manyRows, 9, manyRows, tensor.BF16},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			r := newRoom(t, b)
			w := r.random(cols, cols)
			if _, err := b.Pack(host(w), tensor.BF16); err != nil {
				t.Fatal(err)
			}
			x, gamma, beta, q := r.random(c.height, cols), r.random(1, cols), r.random(1, cols), r.random(c.rows, cols)
			y := r.empty(c.height, cols)
			b.LayerNormRounded(y, x, gamma, beta)
			if len(b.shortened) != 1 {
				t.Fatalf("%d matrices are short, want 1", len(b.shortened))
			}
			seg := tensor.NewSegments(c.rows)
			b.Attention(y.Slice(c.first, c.first+c.rows), q, seg, []tensor.KeyValue{{K: q, V: q, DType: c.dtype}}, 1, false)

			want := tensor.Zeros(c.height, cols)
			ref.New().LayerNorm(want, host(x), host(gamma), host(beta))
			ref.New().Attention(want.Slice(c.first, c.first+c.rows), host(q), seg, []tensor.KeyValue{{K: host(q), V: host(q)}}, 1, false)
			near(t, c.name, r.read(y), want, 0.03)
		})
	}
}
