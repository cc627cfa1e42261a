package flora_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// device is a simulated one.
type device interface {
	tensor.Device
	Stats() tensortest.DeviceStats
	Limit(bytes int64)
}

// devices are simulated ones without and with the interfaces that a backend may have beside.
func devices(host tensor.Backend) map[string]device {
	return map[string]device{
		"plain": tensortest.Simulate(host, tensortest.DeviceOptions{}),
		"fused": tensortest.SimulateFused(host, tensortest.DeviceOptions{}),
	}
}

func TestGoldenAdaptersOnDevice(t *testing.T) {
	k := openKit(t)
	k.Backend = tensortest.SimulateFused(k.Backend, tensortest.DeviceOptions{})
	testGoldenAdapters(t, k)
}

func TestBatchedIsAloneOnDevice(t *testing.T) {
	for name, d := range devices(backend(t)) {
		t.Run(name, func(t *testing.T) {
			testBatchedIsAlone(t, d, 1, 7)
			testDecodeBatchedIsAlone(t, d)
		})
	}
}

// TestStrategiesOnDeviceAreTheHosts compares logits under adapters of every kind, by every strategy, with those of the
// host backend that a device computes with.
func TestStrategiesOnDeviceAreTheHosts(t *testing.T) {
	host := ref.New()
	logits := func(b tensor.Backend, o flora.Options) [][]float32 {
		m := goldentest.Tiny(t, b, 1)
		batch, err := flora.NewBatchWith(m, b, o, randomAdapters(t, m, 3)...)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(7, 7))
		var index []int32
		var tokens [][]int32
		for i := range len(batch.Names()) + 1 {
			index, tokens = append(index, int32(i)), append(tokens, []int32{1, 2, int32(i)})
		}
		return goldentest.Logits(t, m, tensor.NewOps(b), batch, mels(rng, len(index)), index, tokens)
	}
	for what, o := range forced(goldentest.Tiny(t, host, 1)) {
		want := logits(host, o)
		for name, d := range devices(host) {
			got := logits(d, o)
			for i := range want {
				tensortest.Tolerance{Abs: 1e-4, Rel: 1e-4}.Compare(t, fmt.Sprintf("%s %q, adapter %d", name, what, i), got[i], want[i])
			}
		}
	}
}

// TestAdaptersComeAndGoOnDevice checks that what adapters have of a device is given back, and that one that there is no
// room for is refused, while the others go on.
func TestAdaptersComeAndGoOnDevice(t *testing.T) {
	for name, d := range devices(ref.New()) {
		t.Run(name, func(t *testing.T) {
			m := goldentest.Tiny(t, d, 1)
			as := randomAdapters(t, m, 3)
			batch, err := flora.NewBatch(m, d, as[0])
			if err != nil {
				t.Fatal(err)
			}
			o := tensor.NewOps(d)
			logits := func() [][]float32 {
				return goldentest.Logits(t, m, o, batch, mels(rand.New(rand.NewPCG(7, 7)), 2), []int32{0, 1}, [][]int32{{1, 2}, {3}})
			}
			want := logits()
			before := d.Stats().Used
			var highest int64
			for round := range 4 {
				for _, a := range as[1:] {
					r, err := batch.Prepare(a)
					if err != nil {
						t.Fatal(err)
					}
					index, err := batch.Put(r)
					if err != nil {
						t.Fatal(err)
					}
					batch.Remove(index)
					r.Free()
					r.Free()
				}
				if used := d.Stats().Used; round == 0 {
					highest = used // with room for the scales of two
				} else if used > highest { // less where what nobody has any more was collected
					t.Errorf("round %d: %d bytes are in use, %d after the first and %d before", round, used, highest, before)
				}
			}
			refused := false
			for room := int64(0); room < 1<<22; room = 2*room + 1000 {
				d.Limit(d.Stats().Used + room)
				var r *flora.Resident
				batch, err := flora.NewBatch(m, d)
				if err == nil {
					r, err = batch.Prepare(as[1])
				}
				if err == nil {
					if _, err = batch.Put(r); err == nil {
						batch.Remove(1)
					}
					r.Free()
				}
				if err != nil {
					refused = true
					if !errors.Is(err, tensor.ErrMemory) {
						t.Errorf("error %v, want ErrMemory", err)
					}
				}
			}
			d.Limit(0)
			if !refused {
				t.Error("there was room for all")
			}
			for i, got := range logits() {
				if !slices.Equal(got, want[i]) {
					t.Errorf("logits %d are others than before", i)
				}
			}
		})
	}
}

// TestForwardWithoutMemory checks that a pass under adapters that a device has no room for is an error of the pass, and
// the next one is as ever.
func TestForwardWithoutMemory(t *testing.T) {
	for what, options := range forced(goldentest.Tiny(t, ref.New(), 1)) {
		for name, d := range devices(ref.New()) { // new ones, of which nothing is collected meanwhile
			m := goldentest.Tiny(t, d, 1)
			batch, err := flora.NewBatchWith(m, d, options, randomAdapters(t, m, 3)...)
			if err != nil {
				t.Fatal(err)
			}
			o := tensor.NewOps(d)
			encode := func() error {
				mels := mels(rand.New(rand.NewPCG(7, 7)), len(batch.Names()))
				index := make([]int32, len(mels))
				for i := range index {
					index[i] = int32(i + 1)
				}
				var pool whisper.CrossPool
				cross, err := m.EncodeInto(&pool, o, batch, mels, index)
				for _, c := range cross {
					pool.Free(c)
				}
				pool.Trim()
				return err
			}
			failed := 0
			for room := int64(0); ; room += 3 << 20 {
				d.Limit(d.Stats().Used + room)
				err := encode()
				d.Limit(0)
				if err == nil {
					break
				}
				if failed++; !errors.Is(err, tensor.ErrMemory) {
					t.Fatalf("%s %q: error %v, want ErrMemory", name, what, err)
				}
			}
			if failed == 0 {
				t.Errorf("%s %q: there was room for all", name, what)
			}
		}
	}
}
