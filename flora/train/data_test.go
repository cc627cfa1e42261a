package train

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func anyLanguage(string) bool { return true }

func TestDrawsAreAnEpochWithoutReplacement(t *testing.T) {
	d, err := openDataset(drawing(1, 1, Source{Path: writeTones(t, 9, "en")}), anyLanguage)
	if err != nil {
		t.Fatal(err)
	}
	at := d.start()
	var epochs [2][]string
	for i := range epochs {
		for range 9 {
			e, _ := d.draw(&at)
			epochs[i] = append(epochs[i], e.path)
		}
	}
	if slices.Equal(epochs[0], epochs[1]) {
		t.Error("two epochs have the same order")
	}
	for _, e := range epochs {
		slices.Sort(e)
		if len(slices.Compact(e)) != 9 {
			t.Errorf("an epoch of 9 entries drew %d of them", len(slices.Compact(e)))
		}
	}
}

func TestDrawsGoOnFromAPosition(t *testing.T) {
	sources := []Source{{Path: writeTones(t, 9, "en")}, {Path: writeTones(t, 4, "zh"), Weight: 2}}
	open := func() *dataset {
		d, err := openDataset(drawing(3, 5, sources...), anyLanguage)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	whole, resumed := open(), open()
	at := whole.start()
	for range 17 {
		whole.draw(&at)
	}
	from := at.clone()
	for i := range 40 {
		e, n := whole.draw(&at)
		f, m := resumed.draw(&from)
		if e != f || n != m {
			t.Fatalf("draw %d after the position is %v, %d; want %v, %d", i, f, m, e, n)
		}
	}
}

func TestTemperatureBalancesLanguages(t *testing.T) {
	sources := []Source{{Path: writeTones(t, 16, "en")}, {Path: writeTones(t, 4, "zh")}}
	for _, c := range []struct{ temperature, want float64 }{{1, 4}, {2, 2}, {1e9, 1}} {
		d, err := openDataset(drawing(c.temperature, 1, sources...), anyLanguage)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.pools[0].weight / d.pools[1].weight; math.Abs(got-c.want) > 1e-6 {
			t.Errorf("at temperature %v, 16 and 4 examples are drawn as %v to 1, want %v", c.temperature, got, c.want)
		}
	}
}

func TestUnknownLanguageIsRefused(t *testing.T) {
	known := func(lang string) bool { return lang != "zh" }
	if _, err := openDataset(drawing(1, 1, Source{Path: writeTones(t, 2, "zh")}), known); !errors.Is(err, ErrData) {
		t.Errorf("error %v, want ErrData", err)
	}
}

func TestExamplesDependOnTheirNumberAlone(t *testing.T) {
	m := newModel(t, 80, 16, 1)
	d, err := openDataset(drawing(1, 1, Source{Path: writeTones(t, 6, "en")}), anyLanguage)
	if err != nil {
		t.Fatal(err)
	}
	at := d.start()
	e, _ := d.draw(&at)
	newMaker := func(cache int64, seed uint64) *maker {
		return &maker{dims: m.Dims, data: d, clips: newClips(cache), augment: DefaultAugment(), seed: seed,
			target: targeter{tokenizer: m.Tokenizer, timestamps: 0.5, dropout: 0.1}}
	}
	make := func(k *maker, n uint64) *example {
		x, err := k.make(e, n)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	k := newMaker(1<<20, 1)
	first := make(k, 3)
	make(k, 4)
	for name, again := range map[string]*example{"again": make(k, 3), "without a cache": make(newMaker(0, 1), 3)} {
		if !slices.Equal(first.mel.Data, again.mel.Data) || !slices.Equal(first.input, again.input) {
			t.Errorf("example 3, %s, is another", name)
		}
	}
	if slices.Equal(first.mel.Data, make(k, 4).mel.Data) || slices.Equal(first.mel.Data, make(newMaker(0, 2), 3).mel.Data) {
		t.Error("another number or another seed gives the same example")
	}
	k.dims.Unpadded = false
	if padded := make(k, 3); padded.mel.Frames != m.Dims.WindowFrames() {
		t.Errorf("%d frames of a model that is served padded windows, want %d", padded.mel.Frames, m.Dims.WindowFrames())
	}
	if first.mel.Frames%2 != 0 {
		t.Errorf("%d frames, want an even number", first.mel.Frames)
	}
}

// TestJoinedUtterancesFillTheWindow checks that utterances follow each other in time, up to the window and the text that a model has.
func TestJoinedUtterancesFillTheWindow(t *testing.T) {
	m := newModel(t, 80, 16, 1)
	d, err := openDataset(drawing(1, 1, Source{Path: writeTones(t, 6, "en")}, Source{Path: writeTones(t, 6, "zh")}), anyLanguage)
	if err != nil {
		t.Fatal(err)
	}
	k := &maker{dims: m.Dims, data: d, clips: newClips(1 << 20), join: 0.9, seed: 1, target: targeter{tokenizer: m.Tokenizer, timestamps: 1}}
	most := 0
	at := d.start()
	for n := range uint64(20) {
		e, _ := d.draw(&at)
		x, err := k.make(e, n)
		if err != nil {
			t.Fatal(err)
		}
		var stamps []int32
		for _, id := range x.output {
			if id >= m.Tokenizer.TimestampBegin() {
				stamps = append(stamps, id)
			}
		}
		if !slices.IsSorted(stamps) || len(stamps)%2 != 0 {
			t.Errorf("example %d has timestamps %v, which run back or have no pairs", n, stamps)
		}
		if end := float64(stamps[len(stamps)-1]-m.Tokenizer.TimestampBegin()) * timestampStep; end > x.seconds+timestampStep {
			t.Errorf("example %d of %.2f s ends at %.2f", n, x.seconds, end)
		}
		most = max(most, len(stamps)/2)
	}
	if most < 2 {
		t.Errorf("at most %d utterances in a window", most)
	}
}

func TestTargets(t *testing.T) {
	k := newTokenizer(t)
	special := func(name string) int32 {
		id, ok := k.Special(name)
		if !ok {
			t.Fatalf("no token %s", name)
		}
		return id
	}
	sot, en, transcribe := special("<|startoftranscript|>"), special("<|en|>"), special("<|transcribe|>")
	eot, no := special("<|endoftext|>"), special("<|notimestamps|>")
	words := k.Encode(" do re")
	ones := func(n int) []float32 { return slices.Repeat([]float32{1}, n) }
	stamp := func(hundredths int32) int32 { return k.TimestampBegin() + hundredths/2 }

	plain := (&targeter{tokenizer: k}).transcript([]spoken{{"do re", 0.1, 0.5}}, "en", newRand(1, 1, 1))
	wantTarget(t, "without timestamps", plain, target{
		input:  slices.Concat([]int32{sot, en, transcribe, no}, words),
		output: slices.Concat([]int32{en, transcribe, no}, words, []int32{eot}),
		weight: slices.Concat([]float32{1, 0, 0}, ones(len(words)+1)),
	})
	timed := (&targeter{tokenizer: k, timestamps: 1}).transcript([]spoken{{" do re ", 0.104, 0.5}}, "en", newRand(1, 1, 1))
	wantTarget(t, "with timestamps", timed, target{
		input:  slices.Concat([]int32{sot, en, transcribe, stamp(10)}, words, []int32{stamp(50)}),
		output: slices.Concat([]int32{en, transcribe, stamp(10)}, words, []int32{stamp(50), eot}),
		weight: slices.Concat([]float32{1, 0}, ones(len(words)+3)),
	})
	both := (&targeter{tokenizer: k, timestamps: 1}).transcript([]spoken{{"do re", 0.1, 0.5}, {"", 0.6, 0.7}, {"do re", 1, 1.5}}, "en", newRand(1, 1, 1))
	between := []int32{stamp(50), stamp(60), stamp(70), stamp(100)}
	wantTarget(t, "one behind another", both, target{
		input:  slices.Concat([]int32{sot, en, transcribe, stamp(10)}, words, between, words, []int32{stamp(150)}),
		output: slices.Concat([]int32{en, transcribe, stamp(10)}, words, between, words, []int32{stamp(150), eot}),
		weight: slices.Concat([]float32{1, 0}, ones(2*len(words)+7)),
	})
	late := (&targeter{tokenizer: k, timestamps: 1}).transcript([]spoken{{"do re", 0.1, 60}}, "en", newRand(1, 1, 1))
	wantTarget(t, "later than the last timestamp", late, plain)
	language := (&targeter{tokenizer: k}).language("en")
	wantTarget(t, "language alone", language, target{input: []int32{sot}, output: []int32{en}, weight: ones(1)})
	noSpeech := (&targeter{tokenizer: k}).noSpeech()
	wantTarget(t, "no speech", noSpeech, target{input: []int32{sot}, output: []int32{special("<|nospeech|>")}, weight: ones(1)})
}

func wantTarget(t *testing.T, name string, got, want target) {
	t.Helper()
	if !slices.Equal(got.input, want.input) || !slices.Equal(got.output, want.output) || !slices.Equal(got.weight, want.weight) {
		t.Errorf("%s: target\n%v\nwant\n%v", name, got, want)
	}
}

// drawing returns options of which data is drawn.
func drawing(temperature float64, seed uint64, sources ...Source) *Options {
	return &Options{Data: sources, Temperature: temperature, Seed: seed}
}
