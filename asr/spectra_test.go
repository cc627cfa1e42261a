package asr

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"glossa/audio"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// ear is a device that computes log-mels and may fail at it.
type ear struct {
	tensor.Backend
	mu     sync.Mutex
	frames int
	asked  int
	fail   error
	during func()
}

func (d *ear) LogMel(y, highest, pcm []float32, s *tensor.Spectrogram) error {
	d.mu.Lock()
	d.asked++
	d.frames += s.Frames(len(pcm))
	fail, during := d.fail, d.during
	d.mu.Unlock()
	if during != nil {
		during()
	}
	if fail != nil {
		return fail
	}
	ref.LogMel(y, highest, pcm, s)
	return nil
}

// listening returns spectra of the test model's with these devices, and what they are told of them.
func listening(t *testing.T, ears ...*ear) (s *spectra, told *[]string) {
	t.Helper()
	told = new([]string)
	s, err := newSpectra(newModel(t, ref.New(), false), func(device string, err error) { *told = append(*told, fmt.Sprint(device, " ", err)) })
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range ears {
		s.add(i, Device{Name: fmt.Sprint("ear", i), Backend: d})
	}
	return s, told
}

// sameMel reports what differs between two log-mels by more than the rounding of their logarithms to float32.
func sameMel(got, want audio.Mel) error {
	if got.NMels != want.NMels || got.Frames != want.Frames || got.Padding != want.Padding {
		return fmt.Errorf("%d frames, %d padding, want %d and %d", got.Frames, got.Padding, want.Frames, want.Padding)
	}
	for i, v := range want.Data {
		if d := math.Abs(float64(got.Data[i]) - float64(v)); !(d <= 1e-6) {
			return fmt.Errorf("number %d is %v, want %v", i, got.Data[i], v)
		}
	}
	return nil
}

// TestSpectraAreTheHosts holds log-mels of a device to the host's on the test set's voices, and checks that the device had all frames of a
// long recording but those at its ends, and none of a short one.
func TestSpectraAreTheHosts(t *testing.T) {
	d := new(ear)
	s, told := listening(t, d)
	second := audio.SampleRate
	for i, c := range clips(t, 60) {
		for _, padding := range []int{0, s.window} {
			for _, n := range []int{second / 2, s.window, s.window + 1, len(c.pcm)} {
				pcm := c.pcm[:min(n, len(c.pcm))]
				before := d.frames
				got, err := s.logMel(pcm, padding, len(pcm))
				if err != nil {
					t.Fatal(err)
				}
				want, err := audio.LogMelPadded(pcm, got.NMels, padding)
				if err != nil {
					t.Fatal(err)
				}
				if err := sameMel(got, want); err != nil {
					t.Errorf("clip %d, %d samples: %v", i, len(pcm), err)
				}
				frames := d.frames - before
				if all := want.Content(); len(pcm) > s.window && frames < all-4 || len(pcm) <= s.window && frames > 0 {
					t.Errorf("%d samples: %d of %d frames on the device", len(pcm), frames, all)
				}
			}
		}
	}
	// Windows of a long recording, one of which is short.
	for _, n := range []int{second, second - 1} {
		asked := d.asked
		if _, err := s.logMel(make([]float32, n), 0, 10*s.window); err != nil || (d.asked > asked) != (n == second) {
			t.Errorf("%d samples of a long recording: asked %d times, %v", n, d.asked-asked, err)
		}
	}
	if len(*told) > 0 {
		t.Errorf("told of %v", *told)
	}
}

// TestSpectraWithoutDevice lets a device fail: the log-mel is the host's to the bit, the fault is told once, and a device that had too little
// memory is asked again.
func TestSpectraWithoutDevice(t *testing.T) {
	pcm, _ := chirp(300, 3, Request{}).Audio()
	for _, c := range []struct {
		fail  error
		asked int // in 3 tries
	}{
		{fmt.Errorf("%w: a little", tensor.ErrMemory), 3}, {errLost, 1}, {tensor.ErrSpectrum, 1},
	} {
		d := &ear{fail: c.fail}
		s, told := listening(t, d)
		want, err := audio.LogMelPadded(pcm, 80, 100)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			got, err := s.logMel(pcm, 100, len(pcm))
			if err != nil || !slices.Equal(got.Data, want.Data) {
				t.Errorf("%v: %v, or not the host's", c.fail, err)
			}
		}
		if d.asked != c.asked || len(*told) != 1 {
			t.Errorf("%v: asked %d times, told of %v", c.fail, d.asked, *told)
		}
	}
	bad := slices.Clone(pcm)
	bad[20000] = float32(math.NaN())
	d := new(ear)
	s, told := listening(t, d)
	if _, err := s.logMel(bad, 0, len(bad)); !errors.Is(err, audio.ErrNotFinite) || d.asked != 1 || len(*told) > 0 {
		t.Errorf("a sample that is no number: %v, asked %d times, told of %v", err, d.asked, *told)
	}
	// One that is lost while it computes is known to be.
	d.fail = errLost
	d.during = func() { s.remove(0) }
	if _, err := s.logMel(pcm, 0, len(pcm)); err != nil || len(*told) > 0 {
		t.Errorf("lost meanwhile: %v, told of %v", err, *told)
	}
}

// TestSpectraAreSpread checks that a device with less to do is taken.
func TestSpectraAreSpread(t *testing.T) {
	pcm, _ := chirp(300, 3, Request{}).Audio()
	var at sync.WaitGroup
	at.Add(2)
	meet := func() { at.Done(); at.Wait() } // both devices are at it
	a, b := &ear{during: meet}, &ear{during: meet}
	s, _ := listening(t, a, b)
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if _, err := s.logMel(pcm, 0, len(pcm)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if a.asked != 1 || b.asked != 1 {
		t.Errorf("asked %d and %d times", a.asked, b.asked)
	}
}

// TestDeviceHears has the embedded model transcribe voices of the test set, one after the other in a recording, with and without a device's
// log-mels: the texts and times are the same, of windows one by one and side by side.
func TestDeviceHears(t *testing.T) {
	e := openNano(t)
	pcm, _ := joined(clips(t, 30), 0.5)
	speech := func(pcm []float32) ([]audio.Span, error) {
		return audio.FindSpeechContext(context.Background(), audio.NewLongTermDetector(), pcm, audio.DefaultSpeechOptions())
	}
	d := new(ear)
	for name, q := range map[string]Request{"one by one": {Timestamps: true}, "side by side": {Speech: speech, SwitchLanguage: true}} {
		q.Audio = func() ([]float32, error) { return pcm, nil }
		want, err := e.Transcribe(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		const number = -1 // of no station
		before := d.frames
		e.spectra.add(number, Device{Name: "ear", Backend: d})
		got, err := e.Transcribe(t.Context(), q)
		e.spectra.remove(number)
		if err != nil {
			t.Fatal(err)
		}
		if seconds := float64(d.frames-before) / framesPerSecond; seconds < 0.5*want.Duration {
			t.Errorf("%s: the device heard %v s of %v s", name, seconds, want.Duration)
		}
		if got.Text != want.Text || want.Text == "" || got.Language != want.Language || len(got.Segments) != len(want.Segments) {
			t.Errorf("%s: %q in %s, without the device %q in %s", name, got.Text, got.Language, want.Text, want.Language)
			continue
		}
		for i, s := range want.Segments {
			if g := got.Segments[i]; g.Start != s.Start || g.End != s.End || g.Text != s.Text || g.Language != s.Language {
				t.Errorf("%s: segment %+v, without the device %+v", name, g, s)
			}
		}
	}
}

// TestEngineLetsDevicesHear checks that the devices of an engine compute log-mels while they serve, that one which has no room for them is told
// of, and that neither one that was lost nor a live session has them.
func TestEngineLetsDevicesHear(t *testing.T) {
	sim := tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{})
	var mu sync.Mutex
	var events []DeviceEvent
	o := sized(3, 0)
	o.Observer = &Observer{Device: func(d DeviceEvent) { mu.Lock(); events = append(events, d); mu.Unlock() }}
	m := newModel(t, sim, true)
	e, err := New(m, sim, nil, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	run := func(seconds float64) string {
		r := transcribe(t, e, chirp(400, seconds, Request{Language: "en"}))[0]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		return r.Text
	}
	run(1.5)
	if n := sim.Stats().LogMelFrames; n > 0 {
		t.Errorf("%d frames of a short clip on the device", n)
	}
	want := run(4.5)
	if n := sim.Stats().LogMelFrames; n < 440 || n > 450 {
		t.Errorf("%d of 450 frames on the device", n)
	}
	sim.Limit(sim.Stats().Used + 3<<20) // enough for all else
	for range 2 {
		if got := run(4.5); got != want {
			t.Errorf("%q without room for log-mels, %q with it", got, want)
		}
	}
	sim.Limit(0)
	mu.Lock()
	if len(events) != 1 || events[0].Kind != DeviceLogMel || !errors.Is(events[0].Err, tensor.ErrMemory) {
		t.Errorf("told of %v", events)
	}
	mu.Unlock()
	if e.spectra.take() == nil {
		t.Error("a device that had no room is given up")
	}
}
