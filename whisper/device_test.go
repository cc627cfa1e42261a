package whisper_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// simulated is a simulated device.
type simulated interface {
	tensor.Device
	Stats() tensortest.DeviceStats
	Limit(bytes int64)
	Break(err error)
}

// devices are simulated ones without and with the interfaces that a backend may have beside, by the host backend that
// each computes with.
func devices(t *testing.T) map[string]struct {
	host   tensor.Backend
	device simulated
} {
	t.Helper()
	fast, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fast.Close)
	return map[string]struct {
		host   tensor.Backend
		device simulated
	}{
		"plain":          {ref.New(), tensortest.Simulate(ref.New(), tensortest.DeviceOptions{})},
		"fused":          {ref.New(), tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{})},
		"fused over cpu": {fast, tensortest.SimulateFused(fast, tensortest.DeviceOptions{})},
	}
}

// longText is the most tokens of the models here: more than a page of a cache has.
const longText = 200

// deviceBed returns a model on b, and some windows.
func deviceBed(t *testing.T, b tensor.Backend) searchBed {
	t.Helper()
	s := searchBed{model: goldentest.TinyOf(t, b, 4, longText), ops: tensor.NewOps(b)}
	rng := rand.New(rand.NewPCG(8, 8))
	var mels []audio.Mel
	for range 3 {
		mels = append(mels, goldentest.RandomMel(rng, 20+rng.IntN(40)))
	}
	var err error
	if s.cross, err = s.model.Encode(s.ops, nil, mels, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// utterances are the windows of a bed under every kind of search, some as long as two pages.
func (s searchBed) utterances() []whisper.Utterance {
	var us []whisper.Utterance
	for i, o := range searches() {
		o.SampleLen = 12
		if i%4 == 3 {
			o.SampleLen, o.Suppress = 135, []int32{s.model.Tokenizer.EOT()} // it never ends by itself
		}
		if i == 0 {
			o.Language = ""
		}
		us = append(us, whisper.Utterance{Cross: s.cross[i%len(s.cross)], Options: o})
	}
	return us
}

// TestDeviceDecodesAsHost checks that windows decoded on a device, together and over pages of caches, are to the bit those of
// the host backend that it computes with.
func TestDeviceDecodesAsHost(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: long searches absent under the race detector")
	}
	for name, c := range devices(t) {
		t.Run(name, func(t *testing.T) {
			host, device := deviceBed(t, c.host), deviceBed(t, c.device)
			want, got := host.decode(t, host.utterances()...), device.decode(t, device.utterances()...)
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Errorf("window %d:\n%+v, on the host\n%+v", i, got[i], want[i])
				}
			}
			var times [2][]whisper.Aligned
			for i, s := range []searchBed{host, device} {
				var items []whisper.Alignment
				for j, d := range want[:3] {
					text := slices.DeleteFunc(slices.Clone(d.Tokens), func(id int32) bool { return id >= s.model.Tokenizer.EOT() })
					items = append(items, whisper.Alignment{Cross: s.cross[j], Language: "en", Tokens: text, Frames: 20, Attended: true})
				}
				var err error
				if times[i], err = s.model.AlignWords(s.ops, nil, items); err != nil {
					t.Fatal(err)
				}
			}
			if text := fmt.Sprint(times[1]); text != fmt.Sprint(times[0]) { // NaN differs from itself
				t.Errorf("words %v, on the host %v", text, times[0])
			}
		})
	}
}

// TestGoldensOnDevice holds a device to the goldens of the encoder and of decoding.
func TestGoldensOnDevice(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: goldens on a device absent under the race detector, under which they take long")
	}
	k := openKit(t)
	k.Backend = tensortest.Simulate(k.Backend, tensortest.DeviceOptions{})
	testGoldenEncoder(t, k)
	testGoldenDecode(t, k)
}

// TestDeviceStepAllocatesNothing checks that steps take no memory of a device once a batch has the memory that its windows
// need, and that all is given back in the end.
func TestDeviceStepAllocatesNothing(t *testing.T) {
	for name, c := range devices(t) {
		t.Run(name, func(t *testing.T) {
			d := c.device
			var pool whisper.CrossPool
			m, o := goldentest.TinyOf(t, d, 4, longText), tensor.NewOps(d)
			cross, err := m.EncodeInto(&pool, o, nil, []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(8, 8)), 30)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := m.NewBatch(o, nil)
			options := whisper.DecodeOptions{Language: "en", BeamSize: 3, SampleLen: 80, Suppress: []int32{m.Tokenizer.EOT()}}
			for round := range 3 {
				if _, err := b.Add(whisper.Utterance{Cross: cross[0], Options: options}); err != nil {
					t.Fatal(err)
				}
				before := d.Stats().Allocations
				for b.Len() > 0 {
					if _, err := b.Step(); err != nil {
						t.Fatal(err)
					}
				}
				if n := d.Stats().Allocations - before; round > 0 && n > 0 {
					t.Errorf("round %d: %d allocations", round, n)
				}
			}
			b.Free()
			pool.Free(cross[0])
			pool.Trim()
			o.Free()
			m.Unpack()
			if used := d.Stats().Used; used != 0 {
				t.Errorf("%d bytes of the device are in use by nobody", used)
			}
		})
	}
}

// TestDeviceOutOfMemory checks that steps and encodings that there is no memory for fail with ErrMemory and change nothing
// else: what goes on when there is memory again, is what it would have been.
func TestDeviceOutOfMemory(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: long searches absent under the race detector")
	}
	for name, c := range devices(t) {
		t.Run(name, func(t *testing.T) {
			s := deviceBed(t, c.device)
			us := s.utterances()
			for i := range us {
				us[i].Options.Language = "en"
			}
			want := s.decode(t, us...)
			want = append(want, want[3]) // which comes once more
			s.ops.Free()
			s.decodeWithoutMemory(t, c.device, us, want)
		})
	}
}

// decodeWithoutMemory decodes windows while memory comes and goes, and compares those that come to an end.
func (s searchBed) decodeWithoutMemory(t *testing.T, d simulated, us []whisper.Utterance, want []whisper.Decoded) {
	t.Helper()
	b := s.model.NewBatch(s.ops, nil)
	add := func(u whisper.Utterance) {
		if _, err := b.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range us {
		add(u)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	failed, alone, same := 0, 0, 0
	for step, again := 0, false; b.Len() > 0; step++ {
		if rng.IntN(12) == 0 || step == 20 {
			b.Trim()
		}
		switch {
		case step == 20: // a beam that there is room for the first hypothesis of
			add(us[3])
			d.Limit(d.Stats().Used + int64(4*s.model.Dims.KeyValues(tensor.PageRows)))
		case !again:
			d.Limit(d.Stats().Used)
		}
		done, err := b.Step()
		if again = err != nil; again {
			failed++
			if !errors.Is(err, tensor.ErrMemory) {
				t.Fatal(err)
			}
			d.Limit(d.Stats().Used) // and so does an encoding
			if _, err := s.model.Encode(s.ops, nil, []audio.Mel{goldentest.RandomMel(rng, 100)}, nil); !errors.Is(err, tensor.ErrMemory) {
				t.Errorf("encoding without memory: %v", err)
			}
		}
		for _, f := range done {
			switch {
			case errors.Is(f.Err, tensor.ErrMemory):
				alone++
			case !reflect.DeepEqual(f.Decoded, want[f.Ticket]):
				t.Errorf("window %d:\n%+v, undisturbed\n%+v", f.Ticket, f.Decoded, want[f.Ticket])
			default:
				same++
			}
		}
		d.Limit(0)
	}
	t.Logf("%d steps failed, %d windows alone, %d did not", failed, alone, same)
	if failed < 2 || alone == 0 || same == 0 {
		t.Errorf("%d steps and %d windows failed, and %d windows went on", failed, alone, same)
	}
}

// TestDeviceFault checks that a device's fault comes out of whatever reads.
func TestDeviceFault(t *testing.T) {
	lost := errors.New("lost")
	for name, c := range devices(t) {
		t.Run(name, func(t *testing.T) {
			s := deviceBed(t, c.device)
			b := s.model.NewBatch(s.ops, nil)
			if _, err := b.Add(whisper.Utterance{Cross: s.cross[0], Options: whisper.DecodeOptions{Language: "en"}}); err != nil {
				t.Fatal(err)
			}
			c.device.Break(lost)
			_, stepped := b.Step()
			_, encoded := s.model.Encode(s.ops, nil, []audio.Mel{goldentest.RandomMel(rand.New(rand.NewPCG(1, 1)), 20)}, nil)
			_, detected := s.model.DetectLanguage(s.ops, nil, s.cross, nil, nil)
			_, aligned := s.model.AlignWords(s.ops, nil, []whisper.Alignment{{Cross: s.cross[0], Language: "en", Tokens: []int32{5, 6}, Frames: 20}})
			for i, err := range []error{stepped, encoded, detected, aligned} {
				if !errors.Is(err, tensor.ErrDevice) || !errors.Is(err, lost) {
					t.Errorf("call %d: %v", i, err)
				}
			}
		})
	}
}

// TestModelWithoutMemory checks that a model that a device has no room for is refused.
func TestModelWithoutMemory(t *testing.T) {
	m := goldentest.Tiny(t, ref.New(), 1)
	for _, bytes := range []int64{1000, 100_000, 300_000} {
		d := tensortest.Simulate(ref.New(), tensortest.DeviceOptions{Memory: bytes})
		if err := m.Pack(d, tensor.F32); !errors.Is(err, tensor.ErrMemory) {
			t.Errorf("%d bytes: %v, want ErrMemory", bytes, err)
		}
		m.Unpack()
		if used := d.Stats().Used; used != 0 {
			t.Errorf("%d bytes are left in use", used)
		}
	}
}
