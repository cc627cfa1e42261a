package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

// BenchmarkLowRankLinear computes the linears of a step of 16 rows beside products of low rank, whose factors are 16
// different ones, in turns of so many linears that no cache holds their weights.
func BenchmarkLowRankLinear(b *testing.B) {
	const rows, size, turns = 16, 512, 64
	backend, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	r := rand.New(rand.NewPCG(1, 1))
	x, y, w := randomMat(r, rows, size), tensor.Zeros(rows, size), randomMat(r, size, size)
	for _, dtype := range allDTypes {
		var weights []tensor.Packed
		for range turns {
			p, err := backend.Pack(w, dtype)
			if err != nil {
				b.Fatal(err)
			}
			weights = append(weights, p)
		}
		for _, rank := range []int{0, 1, 8, 16} {
			low := make([][]*tensor.LowRank, turns)
			for i := range low {
				for range rows {
					l, _ := tensor.NewLowRank(backend, randomMat(r, size, max(rank, 1)), randomMat(r, max(rank, 1), size), tensor.Mat{}, dtype)
					low[i] = append(low[i], l)
				}
			}
			b.Run(fmt.Sprintf("%s/%d", dtype, rank), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if rank == 0 {
						backend.Linear(y, x, weights[i%turns], tensor.Mat{})
					} else {
						backend.LowRankLinear(y, x, weights[i%turns], tensor.Mat{}, tensor.Scales{}, low[i%turns], false)
					}
				}
			})
		}
	}
}

// BenchmarkMix mixes weights of the sizes of base, a product of rank 8 or scales of rank 8.
func BenchmarkMix(b *testing.B) {
	const rank = 8
	backend, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	r := rand.New(rand.NewPCG(1, 1))
	for _, dtype := range allDTypes {
		for _, s := range [][2]int{{512, 512}, {2048, 512}, {512, 2048}} {
			p, err := backend.Pack(randomMat(r, s[0], s[1]), dtype)
			if err != nil {
				b.Fatal(err)
			}
			mixed, _ := backend.NewMixed(p)
			for name, u := range map[string]tensor.Update{
				"product": {Base: true, U: randomMat(r, s[0], rank), V: randomMat(r, rank, s[1])},
				"scales":  {A: randomMat(r, rank, s[0]), B: randomMat(r, rank, s[1])},
			} {
				b.Run(fmt.Sprintf("%s/%dx%d/%s", dtype, s[0], s[1], name), func(b *testing.B) {
					change, _ := backend.PackUpdate(u, s[0], s[1])
					for b.Loop() {
						backend.Mix(mixed, p, change)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s[0]*s[1]), "ns/weight")
				})
			}
		}
	}
}
