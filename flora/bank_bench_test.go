package flora_test

import (
	"fmt"
	"testing"

	"glossa/flora"
)

// BenchmarkPin pins, finds and releases an adapter that is in the batch, beside so many that are known by
// their directories: what a request costs the bank.
func BenchmarkPin(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("adapters=%d", n), func(b *testing.B) {
			bed := newBankBed(b, flora.BankOptions{MaxBytes: 1 << 30})
			files := bed.files(b, 1)
			for i := range n {
				if err := bed.RegisterFS(fmt.Sprint(i), files, "x"); err != nil {
					b.Fatal(err)
				}
			}
			bed.load(b, "cs", 2)
			first, _ := bed.pin(b, "cs")
			defer first.Release()
			b.ReportAllocs()
			for b.Loop() {
				p, err := bed.Pin("cs")
				if err != nil {
					b.Fatal(err)
				}
				if _, ok, _ := p.Index(); !ok {
					b.Fatal("not ready")
				}
				p.Release()
			}
		})
	}
}
