//go:build cuda && linux

package cuda

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

const (
	// peakTime is how long a peak is measured, in parts of at least peakPart of which the fastest counts. A part has peakMost
	// operations at most.
	peakTime = 300 * time.Millisecond
	peakPart = 5 * time.Millisecond
	peakMost = 16

	// peakSide and peakBytes are the largest product and copy that are measured: square matrices, and half of the memory that a copy
	// touches. They take no more than one part in peakShare of the device's memory, and become smaller where that is not free.
	peakSide  = 8192
	peakLeast = 256 // rows of the smallest product
	peakBytes = 512 << 20
	peakShare = 128
)

// peakTypes are the formats of weights whose products are measured.
var peakTypes = map[tensor.DType]driver.Type{tensor.F32: driver.F32, tensor.BF16: driver.BF16, tensor.F16: driver.F16}

// Peak measures how many operations a second, a multiply-add counted as two, cuBLAS does on large square matrices in the format of
// weights of dtype, with results in float32, by the device's own clock: the bound of an encoder. It is 0 for formats without a
// product, and where there is no room to measure. It takes a part of a second and up to 512 MiB, which it gives back.
func (b *Backend) Peak(dtype tensor.DType) float64 {
	in, ok := peakTypes[dtype]
	if !ok {
		return 0
	}
	size := in.Bytes()
	side := peakSide
	for b.info.TotalBytes/peakShare < int64(side*side*(2*size+4)) && side > peakLeast {
		side /= 2
	}
	for ; side >= peakLeast; side /= 2 {
		n := side * side
		at, err := b.device.Alloc(n * (2*size + 4))
		if err != nil {
			continue
		}
		x, w, y := at, at+driver.Address(n*size), at+driver.Address(2*n*size)
		g := driver.Gemm{M: side, N: side, K: side, A: x, B: w, C: y, In: in, Out: driver.F32, TransB: true, Alpha: 1}
		return 2 * float64(side) * float64(n) * b.peakRate(at, 2*n*size, dtype, func(l *driver.List) { l.Gemm(g) })
	}
	return 0
}

// PeakRead measures how many bytes a second a copy of the device's memory reads and writes together, by the device's own clock: the
// bound of a decoding step. It is 0 where there is no room for more than the caches hold. It takes a part of a second and up to 1 GiB,
// which it gives back.
func (b *Backend) PeakRead() float64 {
	const grain = 1 << 20
	most := min(peakBytes, int(b.info.TotalBytes/peakShare)) &^ (grain - 1)
	for n := most; n >= max(2*b.info.L2Bytes, grain); n = n / 2 &^ (grain - 1) {
		at, err := b.device.Alloc(2 * n)
		if err != nil {
			continue
		}
		to := at + driver.Address(n)
		return 2 * float64(n) * b.peakRate(at, n, tensor.F32, func(l *driver.List) { l.CopyDevice(to, at, n) })
	}
	return 0
}

// peakRate returns how often a second the operation that is appended runs at most on numbers in a format, the first bytes of what is at
// an address, and frees that. Where there is no room, or a fault, it is 0; a fault comes out of the next Read, too.
func (b *Backend) peakRate(at driver.Address, bytes int, dtype tensor.DType, operation func(*driver.List)) float64 {
	l := b.device.NewList()
	rate, err := 0.0, b.fillRandom(l, at, bytes, dtype)
	if err == nil {
		rate, err = b.timed(l, operation)
	}
	b.device.Free(at)
	if err = cmp.Or(err, l.Close(), b.device.Trim()); err == nil {
		return rate
	}
	if !errors.Is(err, driver.ErrMemory) {
		b.mu.Lock()
		b.fail(err)
		b.mu.Unlock()
	}
	return 0
}

// timed is peakRate on a list.
func (b *Backend) timed(l *driver.List, operation func(*driver.List)) (rate float64, err error) {
	var one time.Duration
	for range 2 { // the first may load what it runs
		operation(l)
		if one, err = b.device.Elapsed(l); err != nil {
			return 0, err
		}
	}
	n := min(1+int(peakPart/max(one, 1)), peakMost)
	for sum := one; sum < peakTime; {
		for range n {
			operation(l)
		}
		t, err := b.device.Elapsed(l)
		if err != nil {
			return 0, err
		}
		t = max(t, 1)
		rate, sum = max(rate, float64(n)/t.Seconds()), sum+t
	}
	return max(rate, 1/max(one, 1).Seconds()), nil
}

// fillRandom fills memory with normal random numbers, which repeat: the clock of a device is lower with them than with zeros.
func (b *Backend) fillRandom(l *driver.List, at driver.Address, bytes int, dtype tensor.DType) error {
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, 16<<10)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	data := bytesOf(x)
	if dtype != tensor.F32 {
		data = bytesOf(rounded(x, dtype))
	}
	have := min(len(data), bytes)
	if err := b.device.CopyIn(at, data[:have]); err != nil {
		return err
	}
	for have < bytes {
		n := min(have, bytes-have)
		l.CopyDevice(at+driver.Address(have), at, n)
		have += n
	}
	return b.device.Run(l)
}
