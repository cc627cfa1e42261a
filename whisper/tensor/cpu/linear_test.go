package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

var allDTypes = []tensor.DType{tensor.F32, tensor.BF16, tensor.I8}

// TestLinearBF16 compares products with those of the operands that the kernel multiplies, in
// float64: weights rounded to bfloat16, and activations where the kernel rounds them.
func TestLinearBF16(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(21, 22))
		for _, s := range shapes(r) {
			if tooSlow(b, s) {
				continue
			}
			x, w := operands(r, s[0], s[1], s[2], tensor.TransB)
			bias := randomMat(r, 1, s[1])
			f, _ := b.Pack(w, tensor.BF16)
			y, check := guarded(s[0], s[1])
			b.Linear(y, x, f, bias)
			roundBF16(w.Data)
			if b.format(tensor.BF16).aSize == 4 {
				roundBF16(x.Data)
			}
			checkProduct(t, y, tensor.Mat{}, x, w, tensor.TransB, bias.Data)
			check(t)
		}
	})
}

func roundBF16(xs []float32) {
	for i, x := range xs {
		xs[i] = math.Float32frombits(uint32(bfloat16(x)) << 16)
	}
}

// TestLinearI8 holds every kernel to the same bits: those of sums of whole numbers.
func TestLinearI8(t *testing.T) {
	quantise := func(row []float32) (q []int32, scale float32) {
		scale, inverse := quantiseScale(absMaxGo(row))
		for _, v := range row {
			q = append(q, int32(math.RoundToEven(float64(v*inverse))))
		}
		return q, scale
	}
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, s := range shapes(r) {
			if tooSlow(b, s) {
				continue
			}
			x, w := operands(r, s[0], s[1], s[2], tensor.TransB)
			bias := randomMat(r, 1, s[1])
			f, _ := b.Pack(w, tensor.I8)
			y, check := guarded(s[0], s[1])
			b.Linear(y, x, f, bias)
			check(t)
			step := 1 + s[0]*s[1]*s[2]>>20
			for i := 0; i < s[0]; i++ {
				qx, sx := quantise(x.Row(i))
				for j := i % step; j < s[1]; j += step {
					qw, sw := quantise(w.Row(j))
					var sum int32
					for p := range qx {
						sum += qx[p] * qw[p]
					}
					if want := float32(float32(float32(sum)*sx)*sw) + bias.Data[j]; y.Row(i)[j] != want {
						t.Fatalf("%v: element (%d, %d) is %v, want %v", s, i, j, y.Row(i)[j], want)
					}
				}
			}
		}
	})
}

// TestLinearRowsAreIndependent pins the determinism law for narrow weights.
func TestLinearRowsAreIndependent(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(25, 26))
		one := newBackend(1, b.kernels)
		for _, s := range [][3]int{{37, 97, 600}, {450, 61, 300}, {7, 3000, 513}, {26, 70, 30}} {
			if tooSlow(b, s) {
				continue
			}
			m, n, k := s[0], s[1], s[2]
			x, w := operands(r, m, n, k, tensor.TransB)
			bias := randomMat(r, 1, n)
			y, z := randomMat(r, m, n), randomMat(r, m, n)
			for _, dtype := range allDTypes {
				f, _ := b.Pack(w, dtype)
				b.Linear(y, x, f, bias)
				one.Linear(z, x, f, bias)
				requireBits(t, "one thread", y.Data, z.Data)
				row := randomMat(r, 1, n)
				for i := range m {
					b.Linear(row, x.Slice(i, i+1), f, bias)
					requireBits(t, fmt.Sprintf("%v: row %d of %d", dtype, i, m), y.Row(i), row.Data)
				}
			}
		}
	})
}

func TestBFloat16(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct{ x, want float64 }{
		{0, 0}, {1, 1}, {-1.5, -1.5}, {1 + 0x1p-8, 1}, {1 + 0x3p-8, 1 + 0x4p-8}, {1 + 0x1.1p-8, 1 + 0x1p-7},
		{0x1.ffp127, inf}, {inf, inf}, {-inf, -inf}, {nan, nan}, {0x1p-126, 0x1p-126}, {0x1p-127, 0}, {-0x1p-140, 0},
	} {
		got := float64(math.Float32frombits(uint32(bfloat16(float32(c.x))) << 16))
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("bfloat16(%v) = %v, want %v", c.x, got, c.want)
		}
	}
}

// TestPackBalanced: what balancing moves between activations and weights does not change the product, of
// which less is lost where columns differ in range. A column of zeros, and one that no activation has, are
// left as they are.
func TestPackBalanced(t *testing.T) {
	const nRow, nIn, nOut, outlier, most = 5, 96, 70, 30, 0.02
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(25, 26))
		x, w := operands(r, nRow, nOut, nIn, tensor.TransB)
		ranges := make([]float32, nIn)
		for j := range ranges {
			ranges[j] = 1
		}
		ranges[4], ranges[6] = outlier, 0
		for i := range nRow {
			x.Row(i)[4] *= outlier
			x.Row(i)[6] = 0
		}
		for i := range nOut {
			w.Row(i)[2] *= outlier
			w.Row(i)[8] = 0
		}
		exact := tensor.Zeros(nRow, nOut)
		for i := range nRow {
			for o := range nOut {
				exact.Row(i)[o] = dotGo(x.Row(i), w.Row(o))
			}
		}
		loss := func(p tensor.Packed, err error) float64 {
			if err != nil {
				t.Fatal(err)
			}
			y, check := guarded(nRow, nOut)
			b.Linear(y, x, p, tensor.Mat{})
			check(t)
			lost, all := 0.0, 0.0
			for i, v := range exact.Data {
				d := float64(y.Data[i] - v)
				lost, all = lost+d*d, all+float64(v)*float64(v)
			}
			return math.Sqrt(lost / all)
		}
		plain, balanced := loss(b.Pack(w, tensor.I8)), loss(b.PackBalanced(w, tensor.I8, ranges))
		if !(balanced <= most && balanced < plain) {
			t.Errorf("%.3g of the product lost, %.3g without balance", balanced, plain)
		}
		for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
			if a, p := loss(b.Pack(w, dtype)), loss(b.PackBalanced(w, dtype, ranges)); a != p {
				t.Errorf("%s: %.3g of the product lost, %.3g without balance", dtype, p, a)
			}
		}
	})
}
