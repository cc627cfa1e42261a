//go:build cuda && linux

package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"glossa/audio"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// spectrogramOf returns what a device is told of an extractor.
func spectrogramOf(e *audio.Extractor) *tensor.Spectrogram {
	first, start, weights := e.Filters()
	return &tensor.Spectrogram{Window: e.Window(), Hop: audio.HopLength, First: first, Start: start, Weights: weights, Floor: audio.PowerFloor}
}

// sounds are what log-mels are compared on.
func sounds(t testing.TB) map[string][]float32 {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 4))
	make := func(seconds float64, f func(s float64) float64) []float32 {
		pcm := make([]float32, int(seconds*audio.SampleRate))
		for i := range pcm {
			pcm[i] = float32(f(float64(i) / audio.SampleRate))
		}
		return pcm
	}
	noise := func(amplitude float64) func(float64) float64 {
		return func(float64) float64 { return amplitude * rng.NormFloat64() }
	}
	tone := func(hertz float64) func(float64) float64 {
		return func(s float64) float64 { return math.Sin(2*math.Pi*hertz*s) + 1e-4*rng.NormFloat64() }
	}
	all := map[string][]float32{
		"noise": make(2, noise(0.2)), "quiet noise": make(1, noise(1e-5)), "silence": make(1, func(float64) float64 { return 0 }),
		"tone": make(1, tone(1000)), "high tone": make(1, tone(7777.7)), "low tone": make(1, tone(33)),
		"clipping": make(1, func(s float64) float64 { return max(-1, min(1, 9*math.Sin(2*math.Pi*440*s))) }),
		"loud":     make(1, noise(1e18)), "odd": make(1.23456, noise(0.1)), "impulse": make(0.1, func(s float64) float64 { return math.Floor(max(0, 1-s)) }),
	}
	clips, err := filepath.Glob(filepath.Join("..", "..", "..", "testdata", "multilingual", "*", "*"))
	if err != nil || len(clips) == 0 {
		t.Fatalf("no clips: %v", err)
	}
	for _, clip := range []string{clips[0], clips[len(clips)/2], clips[len(clips)-1]} {
		pcm, err := audio.DecodeFile(clip)
		if err != nil {
			t.Fatal(err)
		}
		all[clip] = pcm.Samples[:min(len(pcm.Samples), 3*audio.SampleRate)]
	}
	return all
}

// fused returns x y + z, which is 0 for what TestLogMelIsTheHosts asks unless products and sums are fused.
//
//go:noinline
func fused(x, y, z float64) float64 { return x*y + z }

// TestLogMelIsTheHosts holds log-mels to those of package audio, at the ends of the sound too: they are the same to the bit, where Go's
// compiler does not fuse products and sums.
func TestLogMelIsTheHosts(t *testing.T) {
	b := open(t)
	tolerance := 0.0
	if x := 1 + 0x1p-30; fused(x, x, -(1+0x1p-29)) != 0 {
		tolerance = 1e-6
	}
	for name, pcm := range sounds(t) {
		for _, nMels := range []int{80, 128} {
			for _, padding := range []int{0, 5000} {
				e, err := audio.NewExtractor(nMels)
				if err != nil {
					t.Fatal(err)
				}
				form := spectrogramOf(e)
				var want, got audio.Mel
				if err := e.LogMel(&want, pcm, padding); err != nil {
					t.Fatal(err)
				}
				frames := 0
				err = e.LogMelBy(&got, pcm, padding, func(logs, highest, pcm []float32) error {
					frames += len(highest)
					return b.LogMel(logs, highest, pcm, form)
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Frames != want.Frames || got.Padding != want.Padding || frames < want.Content()-4 {
					t.Fatalf("%s: %d frames, %d padding, want %d, %d; %d on the device", name, got.Frames, got.Padding, want.Frames, want.Padding, frames)
				}
				for i, v := range want.Data {
					if d := math.Abs(float64(got.Data[i] - v)); !(d <= tolerance) {
						t.Fatalf("%s: frame %d, filter %d: %v, the host has %v", name, i/nMels, i%nMels, got.Data[i], v)
					}
				}
			}
		}
	}
}

// TestLogMelInChunks computes a sound of several chunks, and checks that it takes no more memory of the device than one.
func TestLogMelInChunks(t *testing.T) {
	b := openPlainly(t)
	const filters, hop = 2, 3
	rng := rand.New(rand.NewPCG(5, 5))
	s := &tensor.Spectrogram{Window: make([]float64, melPoints), Hop: hop, First: []int32{3, 7}, Start: []int32{0, 2, 3}, Weights: []float64{1, 2, 3}, Floor: 1e-10}
	for i := range s.Window {
		s.Window[i] = rng.Float64()
	}
	pcm := make([]float32, (melChunk+20)*hop+melPoints)
	for i := range pcm {
		pcm[i] = rng.Float32()
	}
	compute := func(pcm []float32) (y, highest []float32) {
		n := s.Frames(len(pcm))
		y, highest = make([]float32, n*filters), make([]float32, n)
		if err := b.LogMel(y, highest, pcm, s); err != nil {
			t.Fatal(err)
		}
		return y, highest
	}
	y, highest := compute(pcm)
	stats := b.mel.device.Stats()
	if most := int64(10 << 20); stats.ReservedBytes+4*melSamples > most || stats.GraphLaunches > 0 {
		t.Errorf("%d bytes of the device, want at most %d; %d graphs", stats.ReservedBytes+4*melSamples, most, stats.GraphLaunches)
	}
	from := melChunk - 10
	part, partHighest := compute(pcm[from*hop:][:20*hop+melPoints])
	for i, v := range part {
		if y[from*filters+i] != v {
			t.Fatalf("number %d behind frame %d is %v in a chunk, %v alone", i, from, y[from*filters+i], v)
		}
	}
	for i, v := range partHighest {
		if highest[from+i] != v {
			t.Fatalf("the maximum of frame %d is %v in a chunk, %v alone", from+i, highest[from+i], v)
		}
	}
	after := b.mel.device.Stats()
	if after.Allocs != stats.Allocs || after.DriverAllocs != stats.DriverAllocs {
		t.Error("a second log-mel allocates on the device")
	}
}

// TestLogMelBesideSteps computes log-mels while a decoding step is repeated: the step stays one graph, and has the numbers that it has alone.
func TestLogMelBesideSteps(t *testing.T) {
	const steps = 40
	b := openPlainly(t)
	e, err := audio.NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	form, pcm := spectrogramOf(e), sounds(t)["noise"][:8000]
	d, alone := newDecoder(t, b, 5, tensor.BF16), newDecoder(t, openPlainly(t), 5, tensor.BF16)
	n := form.Frames(len(pcm))
	var wait sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wait.Go(func() {
			y, highest := make([]float32, 80*n), make([]float32, n)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := b.LogMel(y, highest, pcm, form); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range steps {
		d.step()
		alone.step()
		for j, v := range alone.result {
			if d.result[j] != v {
				t.Errorf("step %d: number %d is %v, and %v alone", i, j, d.result[j], v)
				break
			}
		}
	}
	close(stop)
	wait.Wait()
	if s := b.device.Stats(); s.Captures != 1 || s.GraphLaunches < steps-3 || s.Uncaptured != 0 {
		t.Errorf("%d captures, %d launches of graphs in %d steps", s.Captures, s.GraphLaunches, steps)
	}
	if s := b.mel.device.Stats(); s.Lists < 2 {
		t.Errorf("%d lists of log-mels", s.Lists)
	}
}

// TestFakeLogMelFaults checks what is told where the device has no memory, and that it computes when it has; where it is lost; and where it was
// closed.
func TestFakeLogMelFaults(t *testing.T) {
	little(t, 48<<20)
	opened, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	b := opened.(*Backend)
	defer b.Close() // whose error is the device's
	e, err := audio.NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	form, pcm := spectrogramOf(e), make([]float32, 2000)
	n := form.Frames(len(pcm))
	y, highest := make([]float32, 80*n), make([]float32, n)
	logMel := func() error { return b.LogMel(y, highest, pcm, form) }
	var taken []uintptr
	for n := 1 << 20; n > 0; {
		at, err := b.Alloc(n)
		if err != nil {
			n /= 2
			continue
		}
		taken = append(taken, at)
	}
	for range 2 {
		if err := logMel(); !errors.Is(err, tensor.ErrMemory) {
			t.Errorf("without memory: error %v, want ErrMemory", err)
		}
	}
	for _, at := range taken {
		b.Free(at)
	}
	if _, err := b.Alloc(9 << 20); err != nil { // which gives back what nothing uses
		t.Fatal(err)
	}
	if err := logMel(); err != nil {
		t.Errorf("with memory again: %v", err)
	}
	fake.Set("lose_at", 1)
	defer fake.Set("lose_at", 0)
	for range 2 {
		if err := logMel(); !errors.Is(err, driver.ErrLost) || errors.Is(err, tensor.ErrMemory) {
			t.Errorf("lost: error %v, want ErrLost", err)
		}
	}
	b.Close()
	if err := logMel(); err == nil {
		t.Error("a closed device computes")
	}
}

// BenchmarkLogMel measures the log-mel of 30 s and of 10 min, as the host gets it.
func BenchmarkLogMel(b *testing.B) {
	fake.Require(b)
	opened, err := New(0)
	if err != nil {
		b.Fatal(err)
	}
	device := opened.(*Backend)
	defer device.Close()
	for _, nMels := range []int{80, 128} {
		for _, seconds := range []int{30, 600} {
			if fake.Used() && seconds > 30 {
				continue // the fake is no faster at it
			}
			b.Run(fmt.Sprintf("%d/%ds", nMels, seconds), func(b *testing.B) {
				e, err := audio.NewExtractor(nMels)
				if err != nil {
					b.Fatal(err)
				}
				form, pcm := spectrogramOf(e), make([]float32, seconds*audio.SampleRate)
				for i := range pcm {
					pcm[i] = rand.Float32() - 0.5
				}
				var m audio.Mel
				for b.Loop() {
					err := e.LogMelBy(&m, pcm, 0, func(logs, highest, pcm []float32) error { return device.LogMel(logs, highest, pcm, form) })
					if err != nil {
						b.Fatal(err)
					}
				}
				perRun := b.Elapsed().Seconds() / float64(b.N)
				b.ReportMetric(1000*perRun*30/float64(seconds), "ms/30s")
				b.ReportMetric(float64(seconds)/perRun, "RTFx")
			})
		}
	}
}
