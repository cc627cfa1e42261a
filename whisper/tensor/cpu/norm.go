package cpu

import (
	"math"

	"glossa/whisper/tensor"
)

// LayerNorm computes y[i] = gamma ∘ (x[i] - mean(x[i])) / sqrt(var(x[i]) + eps) + beta, the
// variance in a second pass over the row.
func (b *Backend) LayerNorm(y, x, gamma, beta tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b, l.c = y, x, gamma, beta
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			x := l.a.Row(i)
			mean, rstd := w.kernels.moments(x, tensor.LayerNormEps)
			w.kernels.normalise(l.y.Row(i), x, l.b.Data, l.c.Data, mean, rstd)
		}
	})
}

// LogSoftmax computes y[i] = (x[i] - max x[i]) - log Σ exp(x[i] - max x[i]).
func (b *Backend) LogSoftmax(y, x tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a = y, x
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			x := l.a.Row(i)
			m := w.kernels.max(x)
			sum := w.kernels.sumExp(x, m)
			w.kernels.shift(l.y.Row(i), x, m, float32(math.Log(float64(sum))))
		}
	})
}

// LayerNormBackward adds the gradients of LayerNorm. With x̂ = (x - mean)/σ and g = dy ∘ gamma,
//
//	dx += (g - mean(g) - x̂ mean(g ∘ x̂))/σ    dgamma += Σ_i dy ∘ x̂    dbeta += Σ_i dy
func (b *Backend) LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b, l.c = dx, dy, x, gamma
	if len(l.stats) < 2*x.Rows {
		l.stats = make([]float32, 2*x.Rows)
	}
	l.each(b, x.Rows, x.Cols, 1, normRowsBackward)
	if !dgamma.IsZero() {
		l.d = dgamma
		l.eachCol(b, x.Rows, x.Cols, func(l *rowLoop, w *worker, from, to int) {
			dgamma := l.d.Data[from:to]
			for i := range l.b.Rows {
				w.kernels.normAffine(dgamma, l.a.Row(i)[from:to], l.b.Row(i)[from:to], l.stats[2*i], l.stats[2*i+1])
			}
		})
	}
	if !dbeta.IsZero() {
		b.SumRows(dbeta, dy)
	}
}

// normRowsBackward leaves mean and 1/σ of each row in stats, and adds to dx where it is wanted.
func normRowsBackward(l *rowLoop, w *worker, from, to int) {
	for i := from; i < to; i++ {
		x := l.b.Row(i)
		mean, rstd := w.kernels.moments(x, tensor.LayerNormEps)
		l.stats[2*i], l.stats[2*i+1] = mean, rstd
		if l.y.IsZero() {
			continue
		}
		dy, n := l.a.Row(i), float32(len(x))
		sum, dot := w.kernels.normSums(dy, x, l.c.Data, mean, rstd)
		w.kernels.normBackward(l.y.Row(i), dy, x, l.c.Data, mean, rstd, sum/n, dot/n)
	}
}
