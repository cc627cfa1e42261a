package asr

import (
	"sync/atomic"
	"testing"
	"time"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor/ref"
)

// fakeDevice is a device of known costs, under a clock that a test keeps. A window's language tells
// for how many steps it is decoded: see fakeSteps.
type fakeDevice struct {
	t       testing.TB
	model   *whisper.Model
	windows map[int]*fakeWindow
	next    int

	faultAt int // step at which it fails, 0 for none
	steps   int
	most    int // windows together
	encoded int // windows that are not freed
	removed []time.Time
	working time.Duration

	inUse atomic.Bool
}

type fakeWindow struct {
	utterance whisper.Utterance
	left      int
}

const (
	fakeEncode = 50 * time.Millisecond // of a window
	fakeStep   = 10 * time.Millisecond
)

// fakeSteps are the steps that windows in a language take.
var fakeSteps = map[string]int{"en": 10, "de": 40, "fr": 400}

// newFakeEngine returns an engine on a fake device.
func newFakeEngine(t testing.TB, o Options) (*Engine, *fakeDevice) {
	t.Helper()
	m := newModel(t, ref.New(), true)
	e, err := newEngineOn(m, ref.New(), o)
	if err != nil {
		t.Fatal(err)
	}
	d := &fakeDevice{t: t, model: m, windows: make(map[int]*fakeWindow)}
	e.stations = []*station{{device: d, name: "fake", tickets: make(map[int]*recording)}}
	return e, d
}

// work takes a time, in which nobody else may use the device.
func (d *fakeDevice) work(cost time.Duration) {
	if !d.inUse.CompareAndSwap(false, true) {
		d.t.Error("two goroutines use the device")
	}
	time.Sleep(cost)
	d.working += cost
	d.inUse.Store(false)
}

func (d *fakeDevice) encode(mels []audio.Mel, _ []int32, _ []int) ([]*whisper.CrossKV, error) {
	d.work(time.Duration(len(mels)) * fakeEncode)
	cross := make([]*whisper.CrossKV, len(mels))
	for i := range cross {
		cross[i] = new(whisper.CrossKV)
	}
	d.encoded += len(mels)
	return cross, nil
}

func (d *fakeDevice) project(kept []int, _ []int32) ([]*whisper.CrossKV, error) {
	cross := make([]*whisper.CrossKV, len(kept))
	for i := range cross {
		cross[i] = new(whisper.CrossKV)
	}
	d.encoded += len(kept)
	return cross, nil
}

func (d *fakeDevice) free(c *whisper.CrossKV) {
	if c == nil {
		d.t.Error("nothing is freed")
	}
	d.encoded--
}

func (d *fakeDevice) detect(cross []*whisper.CrossKV, _ [][]string) ([]whisper.LanguageProbs, error) {
	probs := make([]whisper.LanguageProbs, len(cross))
	for i := range probs {
		probs[i] = whisper.LanguageProbs{"en": 1}
	}
	return probs, nil
}

func (d *fakeDevice) add(u whisper.Utterance) (int, error) {
	d.next++
	d.windows[d.next] = &fakeWindow{u, fakeSteps[u.Options.Language]}
	d.most = max(d.most, len(d.windows))
	return d.next, nil
}

func (d *fakeDevice) remove(ticket int) {
	delete(d.windows, ticket)
	d.removed = append(d.removed, time.Now())
}

func (d *fakeDevice) step() (finished []whisper.Finished, err error) {
	d.work(fakeStep)
	if d.steps++; d.steps == d.faultAt {
		return nil, errFake
	}
	for ticket, w := range d.windows {
		if w.left--; w.left > 0 {
			continue
		}
		delete(d.windows, ticket)
		decoded := whisper.Decoded{Language: w.utterance.Options.Language, Tokens: d.model.Tokenizer.Encode(" red"), AvgLogProb: -0.1}
		finished = append(finished, whisper.Finished{Ticket: ticket, Decoded: decoded})
	}
	return finished, nil
}

func (d *fakeDevice) rows() int { return len(d.windows) }

func (d *fakeDevice) trim() {}

func (d *fakeDevice) align(items []whisper.Alignment) ([]whisper.Aligned, error) {
	aligned := make([]whisper.Aligned, len(items))
	for i, item := range items {
		if !item.Attended {
			continue
		}
		words := d.model.Tokenizer.SplitWords(item.Language, item.Tokens)
		for j, w := range words {
			each := float64(item.Frames) / framesPerSecond / float64(len(words))
			aligned[i].Words = append(aligned[i].Words, whisper.WordTiming{Word: w, Start: float64(j) * each, End: float64(j+1) * each})
		}
		aligned[i].Attended = make([]int, len(item.Tokens))
	}
	return aligned, nil
}
