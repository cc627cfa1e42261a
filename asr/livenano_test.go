package asr

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/audio"
	"glossa/eval"
	"glossa/whisper"
	"glossa/whisper/nano"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// multilingual is the test set.
const multilingual = "../testdata/multilingual/manifest.jsonl"

// nanoEngine returns an engine with the embedded model, one for all tests.
var nanoEngine = sync.OnceValues(func() (*Engine, error) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		return nil, err
	}
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		return nil, err
	}
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		return nil, err
	}
	languages, err := nano.Languages()
	if err != nil {
		return nil, err
	}
	return New(m, b, adapters, byLanguage, Options{Written: languages})
})

// openNano returns the engine with the embedded model.
func openNano(tb testing.TB) *Engine {
	tb.Helper()
	e, err := nanoEngine()
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// clip is an utterance of the test set and its sound.
type clip struct {
	eval.Utterance
	pcm []float32
}

// clips returns every so many-th utterance of the test set.
func clips(tb testing.TB, every int) []clip {
	tb.Helper()
	us, err := eval.ReadManifest(multilingual)
	if err != nil {
		tb.Fatal(err)
	}
	var out []clip
	for i := 0; i < len(us); i += every {
		pcm, err := audio.DecodeFile(us[i].AudioFilepath)
		if err != nil {
			tb.Fatal(filepath.Base(us[i].AudioFilepath), err)
		}
		out = append(out, clip{us[i], pcm.Samples})
	}
	return out
}

// timedEvent is an event, and how much sound had come then.
type timedEvent struct {
	Event
	at float64 // seconds
}

// paced streams sound into a session in chunks of so many samples, each after all hypotheses before it were heard: as fast an engine as
// there can be, in simulated time.
func paced(tb testing.TB, e *Engine, o ListenOptions, pcm []float32, chunk int) []timedEvent {
	tb.Helper()
	s, err := e.Listen(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	var events []timedEvent
	written := 0
	drain := func() (idle bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for {
			e, ok := s.outbox.take()
			if !ok {
				return s.ended != nil || !s.working && s.cancel == nil && s.inbox.answer == nil
			}
			events = append(events, timedEvent{e, durationOf(written).Seconds()})
		}
	}
	for chunk := range slices.Chunk(pcm, chunk) {
		if err := s.Write(chunk); err != nil {
			tb.Fatal(err)
		}
		for written += len(chunk); !drain(); {
			time.Sleep(50 * time.Microsecond)
		}
	}
	if err := s.CloseWrite(); err != nil {
		tb.Fatal(err)
	}
	for {
		e, err := s.Next(tb.Context())
		if err != nil {
			if err := checkLaws(untimed(events), err); err != nil {
				tb.Error(err)
			}
			return events
		}
		events = append(events, timedEvent{e, durationOf(written).Seconds()})
	}
}

// untimed returns the events alone.
func untimed(events []timedEvent) (all []Event) {
	for _, e := range events {
		all = append(all, e.Event)
	}
	return all
}

// commitDelays returns how long after its end the newest word of each commitment was committed, in seconds of sound.
func commitDelays(events []timedEvent) (delays []float64) {
	for _, e := range events {
		if e.sounded > 0 {
			delays = append(delays, e.at-frameTime(e.sounded))
		}
	}
	return delays
}

// TestLiveIsNearOffline: the text of clips that are streamed is nearly as good as that of whole recordings.
func TestLiveIsNearOffline(t *testing.T) {
	e := openNano(t)
	every := 12
	switch {
	case os.Getenv("GLOSSA_LIVE_ALL") != "":
		every = 1
	case raceDetector:
		every = 80
	}
	var offline eval.Score
	live := map[Policy]*eval.Score{LocalAgreement: {}, AlignAtt: {}}
	delays := map[Policy][]float64{}
	for _, c := range clips(t, every) {
		r, err := e.Transcribe(t.Context(), Request{Audio: func() ([]float32, error) { return c.pcm, nil }})
		if err != nil {
			t.Fatal(err)
		}
		offline.Add(eval.ScoreUtterance(c.Text, r.Text, c.Lang))
		for policy, score := range live {
			events := paced(t, e, ListenOptions{Policy: policy}, slices.Concat(c.pcm, make([]float32, audio.SampleRate)), audio.SampleRate/10)
			text := textOf(untimed(events))
			if score.Add(eval.ScoreUtterance(c.Text, text, c.Lang)); text != r.Text {
				t.Logf("%s %s: %q, offline %q, spoken %q", policy, c.AudioFilepath, text, r.Text, c.Text)
			}
			delays[policy] = append(delays[policy], commitDelays(events)...)
		}
	}
	for policy, score := range live {
		d := delays[policy]
		slices.Sort(d)
		t.Logf("%s: WER %.1f%%, offline %.1f%%; committed %.2f s (median), %.2f s (90%%) after a word's end", policy, 100*score.WER(), 100*offline.WER(), d[len(d)/2], d[len(d)*9/10])
		if !raceDetector && score.WER() > offline.WER()+0.05 {
			t.Errorf("%s: WER %.1f%%, offline %.1f%%", policy, 100*score.WER(), 100*offline.WER())
		}
	}
}

// TestLiveNoiseHasNoText: a minute of what is no speech has no text.
func TestLiveNoiseHasNoText(t *testing.T) {
	e := openNano(t)
	const n = 60 * audio.SampleRate
	rng := rand.New(rand.NewPCG(1, 1))
	var brown, pink [n]float32
	var sum, low float32
	for i := range n {
		white := float32(rng.NormFloat64())
		sum = 0.99*sum + 0.05*white
		low = 0.9*low + 0.1*white
		brown[i], pink[i] = 0.1*sum, 0.05*(low+sum)
	}
	for name, sample := range map[string]func(i int) float32{
		"silence":     func(int) float32 { return 0 },
		"white noise": func(int) float32 { return 0.05 * float32(rng.NormFloat64()) },
		"faint noise": func(int) float32 { return 1e-4 * float32(rng.NormFloat64()) },
		"brown noise": func(i int) float32 { return brown[i] },
		"pink noise":  func(i int) float32 { return pink[i] },
		"hum": func(i int) float32 {
			x := 2 * math.Pi * 50 * float64(i) / audio.SampleRate
			return float32(0.1*math.Sin(x) + 0.05*math.Sin(2*x) + 0.03*math.Sin(3*x))
		},
		"a tone": func(i int) float32 { return 0.2 * float32(math.Sin(2*math.Pi*440*float64(i)/audio.SampleRate)) },
	} {
		pcm := make([]float32, n)
		for i := range pcm {
			pcm[i] = sample(i)
		}
		for _, ev := range paced(t, e, ListenOptions{}, pcm, audio.SampleRate) {
			if ev.Text+ev.Committed+ev.Tentative != "" {
				t.Errorf("%s: %v at %.2f: %q %q %q", name, ev.Kind, ev.Start, ev.Text, ev.Committed, ev.Tentative)
			}
		}
	}
}

// joined returns the sound of clips with so many seconds of faint noise between and behind them, and their texts.
func joined(cs []clip, gap float64) (pcm []float32, texts []string) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, c := range cs {
		pcm = append(pcm, c.pcm...)
		for range int(gap * audio.SampleRate) {
			pcm = append(pcm, 1e-4*float32(rng.NormFloat64()))
		}
		texts = append(texts, c.Text)
	}
	return pcm, texts
}

// pick returns the clips of the test set that have these paths.
func pick(t *testing.T, paths ...string) (out []clip) {
	t.Helper()
	all := clips(t, 1)
	for _, path := range paths {
		i := slices.IndexFunc(all, func(c clip) bool { return strings.HasSuffix(c.AudioFilepath, path) })
		if i < 0 {
			t.Fatalf("there is no %s", path)
		}
		out = append(out, all[i])
	}
	return out
}

// TestLiveSegmentsAndLanguages: clips with pauses between them are segments, each in its language and under its adapter.
func TestLiveSegmentsAndLanguages(t *testing.T) {
	e := openNano(t)
	cs := pick(t, "en/08.flac", "de/08.flac", "cs/00.flac", "en/04.flac")
	pcm, texts := joined(cs, 1)
	for _, policy := range []Policy{LocalAgreement, AlignAtt} {
		var finals []Event
		for _, ev := range paced(t, e, ListenOptions{Policy: policy, Words: true}, pcm, audio.SampleRate/10) {
			if ev.Kind == Final {
				finals = append(finals, ev.Event)
			}
		}
		if len(finals) != len(cs) {
			t.Errorf("%s: %d finals of %d clips", policy, len(finals), len(cs))
			continue
		}
		var score eval.Score
		for i, f := range finals {
			score.Add(eval.ScoreUtterance(texts[i], f.Text, cs[i].Lang))
			if f.Language != cs[i].Lang || f.Adapter != e.AdapterOf(cs[i].Lang) || !f.SpeechFinal || len(f.Words) == 0 {
				t.Errorf("%s: %q (%s, %s), want %q (%s)", policy, f.Text, f.Language, f.Adapter, texts[i], cs[i].Lang)
			}
			for j, w := range f.Words {
				if w.Start > w.End || j > 0 && w.Start < f.Words[j-1].Start || w.Start < f.Start-1 || w.End > f.Heard {
					t.Errorf("%s: word %+v of %.2f-%.2f", policy, w, f.Start, f.End)
				}
			}
		}
		if score.WER() > 0.15 {
			t.Errorf("%s: WER %.1f%%: %q", policy, 100*score.WER(), textOf(finals))
		}
	}
}

// TestLiveLongSpeech: speech without much of a pause is final no later at its end than at its beginning.
func TestLiveLongSpeech(t *testing.T) {
	e := openNano(t)
	seconds := 40
	switch {
	case os.Getenv("GLOSSA_LIVE_ALL") != "":
		seconds = 600
	case raceDetector:
		seconds = 12
	}
	pcm, _ := joined(clips(t, 8), 0.15)
	for len(pcm) < seconds*audio.SampleRate {
		pcm = append(pcm, pcm...)
	}
	pcm = pcm[:seconds*audio.SampleRate]
	events := paced(t, e, ListenOptions{}, pcm, audio.SampleRate/2)
	worst := [2]float64{}
	for _, ev := range events {
		if ev.Kind == Partial || ev.Kind == Final {
			half := int(2 * ev.at / (float64(seconds) + 0.001))
			worst[half] = max(worst[half], ev.at-ev.Acked)
		}
	}
	t.Logf("sound that is not final: at most %.2f s in the first half, %.2f s in the second", worst[0], worst[1])
	if limit := 11.0; max(worst[0], worst[1]) > limit {
		t.Errorf("%.2f s of sound wait for their final", max(worst[0], worst[1]))
	}
}
