package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

func (s *suite) runBackward(t *testing.T) {
	t.Run("SumRows", s.testSumRows)
	t.Run("ScaleBackward", s.testScaleBackward)
	t.Run("LayerNormBackward", s.testLayerNormBackward)
	t.Run("GELUBackward", s.testGELUBackward)
	t.Run("AttentionBackward", s.testAttentionBackward)
	t.Run("EmbedBackward", s.testEmbedBackward)
	t.Run("UnfoldBackward", s.testUnfoldBackward)
}

// optional calls f with each choice of destinations that are wanted, the others zero Mats.
func optional(destinations []tensor.Mat, f func(what string, chosen, wanted []tensor.Mat)) {
	for choice := range 1 << len(destinations) {
		chosen := make([]tensor.Mat, len(destinations))
		var wanted []tensor.Mat
		for i, d := range destinations {
			if choice&(1<<i) != 0 {
				chosen[i] = d
				wanted = append(wanted, d)
			}
		}
		f(fmt.Sprintf("destinations %0*b", len(destinations), choice), chosen, wanted)
	}
}

func (s *suite) testSumRows(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(20)
		y, x := m.changing(1, cols), m.input(rows, cols)
		s.agree(t, fmt.Sprintf("(%d, %d)", rows, cols), s.tol.SumRows, m, func(k kernels) { k.SumRows(y, x) }, y)
	})
}

func (s *suite) testScaleBackward(t *testing.T) {
	eachShape(func(rows, cols int) {
		for _, nScale := range []int{1, 4} {
			m := newMemory(21)
			x, scale, dy := m.input(rows, cols), m.input(nScale, cols), m.input(rows, cols)
			var index []int32
			if nScale > 1 {
				index = m.indices(rows, nScale)
			}
			d := []tensor.Mat{m.changing(rows, cols), m.changing(nScale, cols)}
			optional(d, func(what string, d, wanted []tensor.Mat) {
				what = fmt.Sprintf("(%d, %d) by %d, %s", rows, cols, nScale, what)
				s.agree(t, what, s.tol.ScaleBackward, m, func(k kernels) {
					k.ScaleBackward(d[0], d[1], dy, x, scale, index)
				}, wanted...)
			})
		}
	})
}

func (s *suite) testLayerNormBackward(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(22)
		x, gamma, dy := m.inputWithin(rows, cols, -3, 4), m.input(1, cols), m.input(rows, cols)
		d := []tensor.Mat{m.changing(rows, cols), m.changing(1, cols), m.changing(1, cols)}
		if cols == 2 {
			// With two columns dx is the tiny difference of equal terms, over a deviation that
			// may be tiny too: an ill-conditioned case, which no float32 kernel can get right.
			d[0] = tensor.Mat{}
		}
		optional(d, func(what string, d, wanted []tensor.Mat) {
			present := wanted[:0:0]
			for _, w := range wanted {
				if !w.IsZero() {
					present = append(present, w)
				}
			}
			s.agree(t, fmt.Sprintf("(%d, %d), %s", rows, cols, what), s.tol.LayerNormBackward, m, func(k kernels) {
				k.LayerNormBackward(d[0], d[1], d[2], dy, x, gamma)
			}, present...)
		})
	})
}

func (s *suite) testGELUBackward(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(23)
		for _, most := range []float32{1, 6, 30} {
			x, dy, dx := m.inputWithin(rows, cols, -most, most), m.input(rows, cols), m.changing(rows, cols)
			what := fmt.Sprintf("(%d, %d) within ±%g", rows, cols, most)
			s.agree(t, what, s.tol.GELUBackward, m, func(k kernels) { k.GELUBackward(dx, dy, x) }, dx)
		}
	})
}

func (s *suite) testEmbedBackward(t *testing.T) {
	const nVocab = 7
	eachShape(func(rows, cols int) {
		m := newMemory(24)
		dtable, dy, id := m.changing(nVocab, cols), m.input(rows, cols), m.indices(rows, nVocab)
		s.agree(t, fmt.Sprintf("(%d, %d)", rows, cols), s.tol.EmbedBackward, m, func(k kernels) {
			k.EmbedBackward(dtable, dy, id)
		}, dtable)
	})
}

func (s *suite) testUnfoldBackward(t *testing.T) {
	eachUnfolding(func(what string, u unfolding) {
		m := newMemory(25)
		dx, dy := m.changing(u.xSeg.Rows(), u.channels), m.input(u.ySeg.Rows(), u.kernel*u.channels)
		s.agree(t, what, s.tol.UnfoldBackward, m, func(k kernels) {
			k.UnfoldBackward(dx, dy, u.ySeg, u.xSeg, u.kernel, u.stride)
		}, dx)
	})
}
