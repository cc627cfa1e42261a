package asr

import (
	"cmp"
	"context"
	"errors"
	"io"
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
	return New(m, b, adapters, byLanguage, Options{Languages: []string{"ca", "cs", "de", "en", "es", "fi", "fr", "hi", "mr", "pl"}})
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

// paced streams sound into a session in chunks of 100 ms, each after all hypotheses before it were heard: as fast an engine as there
// can be, in simulated time. It returns all events.
func paced(tb testing.TB, e *Engine, o ListenOptions, pcm []float32) []Event {
	tb.Helper()
	s, err := e.Listen(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	var events []Event
	drain := func() {
		for {
			s.mu.Lock()
			e, ok := s.outbox.take()
			idle := !s.working && s.cancel == nil && s.core.asked == nil && s.inbox.answer == nil
			ended := s.ended
			s.mu.Unlock()
			switch {
			case ok:
				events = append(events, e)
			case idle || ended != nil:
				return
			default:
				time.Sleep(100 * time.Microsecond)
			}
		}
	}
	for chunk := range slices.Chunk(pcm, audio.SampleRate/10) {
		if err := s.Write(chunk); err != nil {
			tb.Fatal(err)
		}
		drain()
	}
	if err := s.CloseWrite(); err != nil {
		tb.Fatal(err)
	}
	for {
		ev, err := s.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			tb.Fatal(err)
		}
		events = append(events, ev)
	}
}

// textOf joins the text of Finals.
func textOf(events []Event) string {
	var b strings.Builder
	segment := -1
	for _, e := range events {
		if e.Kind == Final {
			if e.Segment != segment && e.Text != "" {
				b.WriteString(" ")
			}
			segment = e.Segment
			b.WriteString(e.Text)
		}
	}
	return strings.TrimSpace(b.String())
}

func TestExperiment(t *testing.T) {
	e := openNano(t)
	for _, p := range []Policy{LocalAgreement, AlignAtt} {
		scores := map[string]*[2]eval.Score{}
		total := [2]eval.Score{}
		for _, c := range clips(t, 4) {
			offline, err := e.Transcribe(t.Context(), Request{Audio: func() ([]float32, error) { return c.pcm, nil }})
			if err != nil {
				t.Fatal(err)
			}
			events := paced(t, e, ListenOptions{Policy: p, Words: true}, c.pcm)
			live := textOf(events)
			if live != offline.Text {
				t.Logf("%s %s\n  want %q\n  off  %q (%s)\n  live %q (%s) %d", p, c.AudioFilepath[len(c.AudioFilepath)-10:], c.Text, offline.Text, offline.Language, live, events[max(0, len(events)-2)].Language, len(events))
			}
			s := scores[c.Lang]
			if s == nil {
				s = new([2]eval.Score)
				scores[c.Lang] = s
			}
			for i, text := range []string{offline.Text, live} {
				sc := eval.ScoreUtterance(c.Text, text, c.Lang)
				s[i].Add(sc)
				total[i].Add(sc)
			}
		}
		var langs []string
		for l := range scores {
			langs = append(langs, l)
		}
		slices.SortFunc(langs, cmp.Compare[string])
		for _, l := range langs {
			t.Logf("%s %s offline %.1f%% live %.1f%%", p, l, 100*scores[l][0].WER(), 100*scores[l][1].WER())
		}
		t.Logf("%s total offline %.1f%% live %.1f%%", p, 100*total[0].WER(), 100*total[1].WER())
	}
}
