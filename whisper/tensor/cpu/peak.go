package cpu

import (
	"time"

	"glossa/whisper/tensor"
)

const (
	// peakTime is how long a peak is measured, in parts of at least peakPart of which the fastest
	// counts: another program that takes a core away only makes a part slower.
	peakTime = 400 * time.Millisecond
	peakPart = peakTime / 16

	// peakTasks is the number of tasks for each thread in a part, for threads of uneven speed.
	peakTasks = 8

	// readBytes is the memory that PeakRead reads, more than any cache holds, and readTask what
	// a task reads of it.
	readBytes = 512 << 20
	readTask  = 1 << 20
)

// Threads returns the number of goroutines that compute.
func (b *Backend) Threads() int { return b.threads }

// Native reports whether the instruction set multiplies weights of dtype as they are.
func (b *Backend) Native(dtype tensor.DType) bool {
	f := b.format(dtype)
	return f != nil && f.peak != nil
}

// Peak measures how many operations a second, a multiply-add counted as two, all threads together
// do in registers alone on weights of dtype: the bound of a matrix product. It is 0 where the
// instruction set has no instructions for them. It takes a fraction of a second.
func (b *Backend) Peak(dtype tensor.DType) float64 {
	if !b.Native(dtype) {
		return 0
	}
	f := b.format(dtype)
	n := 1 << 10 // of a task
	part := func() time.Duration {
		return b.timed(func() {
			b.parallel(peakTasks*b.threads, func(*worker, int) { f.peak(n) })
		})
	}
	for part() < peakPart {
		n *= 2
	}
	return float64(2*f.peakWidth) * float64(n) * float64(peakTasks*b.threads) / fastest(part).Seconds()
}

// PeakRead measures how many bytes a second all threads together read from memory: the bound of a
// product of a few rows, whose weights are read once. It takes a fraction of a second and 512 MiB.
func (b *Backend) PeakRead() float64 {
	const n, tasks = readTask / 8, readBytes / readTask
	data := make([]uint64, n*tasks)
	b.parallel(tasks, func(_ *worker, i int) { // zeros that were never written lie in no memory
		for j := i * n; j < (i+1)*n; j++ {
			data[j] = 1
		}
	})
	task := func(words []uint64) {
		if xor(words) != 0 {
			panic("cpu: an even number of equal words differ")
		}
	}
	pass := func() time.Duration {
		return b.timed(func() {
			b.parallel(tasks, func(_ *worker, i int) { task(data[i*n : (i+1)*n]) })
		})
	}
	return readBytes / fastest(pass).Seconds()
}

// timed returns how long f takes, the workers awake at its beginning.
func (b *Backend) timed(f func()) time.Duration {
	b.parallel(b.threads, func(*worker, int) {})
	begin := time.Now()
	f()
	return time.Since(begin)
}

// fastest returns the shortest of the times that part returns for as long as a peak is measured.
func fastest(part func() time.Duration) time.Duration {
	best := part()
	for sum := best; sum < peakTime; {
		d := part()
		best, sum = min(best, d), sum+d
	}
	return best
}

// xor combines words in four chains: loads of 8 bytes, in Go, are as fast as memory answers.
func xor(words []uint64) uint64 {
	var a, b, c, d uint64
	for len(words) >= 8 {
		a ^= words[0] ^ words[4]
		b ^= words[1] ^ words[5]
		c ^= words[2] ^ words[6]
		d ^= words[3] ^ words[7]
		words = words[8:]
	}
	for _, w := range words {
		a ^= w
	}
	return a ^ b ^ c ^ d
}

// peakGoWidth is the number of independent multiply-adds in a turn of peakGo.
const peakGoWidth = 10

// peakGo runs n times 10 independent multiply-adds acc = x acc + x, each product rounded as
// panelGo does.
func peakGo(n int) {
	x := peakFactor
	var a, b, c, d, e, f, g, h, i, j float32
	for range n {
		a = float32(x*a) + x
		b = float32(x*b) + x
		c = float32(x*c) + x
		d = float32(x*d) + x
		e = float32(x*e) + x
		f = float32(x*f) + x
		g = float32(x*g) + x
		h = float32(x*h) + x
		i = float32(x*i) + x
		j = float32(x*j) + x
	}
	if a+b+c+d+e+f+g+h+i+j != 0 {
		panic("cpu: a sum of zeros")
	}
}

// peakFactor is what peakGo multiplies by: zero, which the compiler does not know.
var peakFactor float32
