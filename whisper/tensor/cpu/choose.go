package cpu

import "glossa/whisper/tensor"

var _ tensor.Chooser = (*Backend)(nil)

// eachLoop is one call of Each, kept for reuse with its bound method.
type eachLoop struct {
	f    func(i int)
	task func(w *worker, i int) // l.run
}

func (l *eachLoop) run(_ *worker, i int) { l.f(i) }

// Each calls f(0) … f(n-1) on all workers.
func (b *Backend) Each(n int, f func(i int)) {
	l := b.eachLoops.get()
	if l.task == nil {
		l.task = l.run
	}
	l.f = f
	b.parallel(n, l.task)
	l.f = nil
	b.eachLoops.put(l)
}

// Max returns max x.
func (b *Backend) Max(x []float32) float32 { return b.kernels.max(x) }

// SumExp returns Σ exp(x - shift).
func (b *Backend) SumExp(x []float32, shift float32) float32 { return b.kernels.sumExp(x, shift) }

// Exp computes y = exp(scale (x - shift)), the difference rounded first.
func (b *Backend) Exp(y, x []float32, shift, scale float32) (sum float32) {
	b.kernels.shift(y, x, shift, 0)
	return b.kernels.expSum(y, y, scale, 0)
}
