package asr

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"glossa/flora"
	"glossa/whisper/safetensors"
)

// TestBrokenOffAgainAndAgain checks that a request which is cancelled behind a few windows, and goes on, until nothing is left, has the
// result of one that was not, and tells each segment once.
func TestBrokenOffAgainAndAgain(t *testing.T) {
	e := newEngine(t, true, sized(3, 0))
	rng := rand.New(rand.NewPCG(1, 2))
	for name, q := range checkpointed(dimsOf(e)) {
		want, err := e.Transcribe(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var behind []Checkpoint
		var told []Segment
		for range 20 {
			k := keepOf(t, e, q, behind, rng.IntN(2))
			behind, told = append(behind, throughJSON(t, k.checkpoints)...), append(told, k.segments...)
			if k.err == nil {
				if !reflect.DeepEqual(k.result, want) {
					t.Errorf("%s:\n%+v, want\n%+v", name, k.result, want)
				}
				break
			}
			if !errors.Is(k.err, ErrCancelled) {
				t.Fatalf("%s: %v", name, k.err)
			}
		}
		if last := keepOf(t, e, q, behind, -1); !reflect.DeepEqual(last.result, want) || len(last.checkpoints)+len(last.segments) > 0 {
			t.Errorf("%s, behind all:\n%+v, want\n%+v, told %+v", name, last.result, want, last.segments)
		}
		if !reflect.DeepEqual(told, want.Segments) {
			t.Errorf("%s: told\n%+v, want\n%+v", name, told, want.Segments)
		}
	}
}

// TestWindowsSideBySideEndInAnyOrder checks that a recording goes on whichever of its windows side by side were done.
func TestWindowsSideBySideEndInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, unpadded := range []bool{false, true} {
		e := newEngine(t, unpadded, Options{})
		for name, q := range checkpointed(dimsOf(e)) {
			if q.Speech == nil {
				continue
			}
			whole := keepOf(t, e, q, nil, -1)
			parts := make(map[int][]Checkpoint)
			var all []Checkpoint
			for _, part := range rng.Perm(10) { // any order of the parts, and sums that belong to it
				for _, c := range whole.checkpoints {
					if stateOf(t, c).Part == part {
						parts[part], all = append(parts[part], c), append(all, c)
					}
				}
			}
			for range 8 {
				left := maps.Clone(parts)
				var behind []Checkpoint
				for len(behind) < 1+rng.IntN(len(all)) {
					part := slices.Sorted(maps.Keys(left))[rng.IntN(len(left))]
					behind, left[part] = append(behind, left[part][0]), left[part][1:]
					if len(left[part]) == 0 {
						delete(left, part)
					}
				}
				k := keepOf(t, e, q, throughJSON(t, behind), -1)
				if !reflect.DeepEqual(k.result, whole.result) {
					t.Errorf("%s, unpadded %v, behind %d:\n%+v, want\n%+v", name, unpadded, len(behind), k.result, whole.result)
				}
				if n := toldBefore(t, behind, true); !reflect.DeepEqual(append(whole.result.Segments[:n:n], k.segments...), whole.result.Segments) {
					t.Errorf("%s, unpadded %v: told behind %d segments\n%+v, all are\n%+v", name, unpadded, n, k.segments, whole.result.Segments)
				}
				if c := k.checkpoints; len(c)+len(behind) != len(all) || len(c) > 0 && c[len(c)-1].Done != whole.result.Duration {
					t.Errorf("%s, unpadded %v: %d checkpoints behind %d of %d", name, unpadded, len(c), len(behind), len(all))
				}
			}
		}
	}
}

// resealed returns a checkpoint with a state that was changed, whose sum is right.
func resealed(tb testing.TB, c Checkpoint, change func(*state), before string) Checkpoint {
	tb.Helper()
	s := stateOf(tb, c)
	change(&s)
	var err error
	if s.Sum, err = c.sum(s, before); err == nil {
		c.State, err = json.Marshal(s)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// TestResumeRefusesWhatIsNotItsOwn checks that checkpoints which are not of the request, or not all that there were, or damaged, are
// refused by a reason, and nothing is told.
func TestResumeRefusesWhatIsNotItsOwn(t *testing.T) {
	e := newEngine(t, true, Options{})
	q := chirp(400, 7, Request{Language: "cs", Timestamps: true})
	speech := speechAt(chirp(300, 8, Request{Language: "cs"}), [2]float64{0.1, 1.5}, [2]float64{2, 4}, [2]float64{4.1, 5.9})
	own, side := keepOf(t, e, q, nil, -1).checkpoints, keepOf(t, e, speech, nil, -1).checkpoints
	if len(own) < 3 || len(side) < 3 || len(own[0].Segments) == 0 {
		t.Fatalf("%d and %d checkpoints", len(own), len(side))
	}
	with := func(q Request, change func(*Request)) Request { change(&q); return q }
	changed := func(i int, change func(*Checkpoint)) []Checkpoint {
		cs := throughJSON(t, own)
		change(&cs[i])
		return cs
	}
	sealed := func(change func(*state)) []Checkpoint { return []Checkpoint{resealed(t, own[0], change, "")} }
	text := func(change func(*Segment)) []Checkpoint {
		c := throughJSON(t, own[:1])[0]
		change(&c.Segments[0])
		return []Checkpoint{resealed(t, c, func(*state) {}, "")}
	}
	louder := chirp(400, 7, q)
	pcm, _ := louder.Audio()
	pcm[len(pcm)-1] += 1e-3
	for name, c := range map[string]struct {
		q      Request
		behind []Checkpoint
		why    string
	}{
		"other sound":           {louder, own[:2], "of other sound"},
		"longer sound":          {chirp(400, 7.5, q), own[:2], "of other sound"},
		"other speech":          {speechAt(speech, [2]float64{0.1, 1.5}, [2]float64{2, 4}, [2]float64{4.2, 5.9}), side[:1], "of other sound"},
		"no speech":             {speechAt(speech), side[:1], "of other sound"},
		"sound of two":          {q, slices.Concat(own[:1], []Checkpoint{resealed(t, own[1], func(s *state) { s.Sound = "x" }, stateOf(t, own[0]).Sum)}), "than those before"},
		"language":              {with(q, func(q *Request) { q.Language = "de" }), own[:1], "of other options"},
		"detected":              {with(q, func(q *Request) { q.Language = "" }), own[:1], "of other options"},
		"timestamps":            {with(q, func(q *Request) { q.Timestamps = false }), own[:1], "of other options"},
		"words":                 {with(q, func(q *Request) { q.Words = &usual }), own[:1], "of other options"},
		"adapter":               {with(q, func(q *Request) { q.Adapter = None }), own[:1], "of other options"},
		"client":                {with(q, func(q *Request) { q.Client = "x" }), own[:1], "of other options"},
		"task":                  {with(q, func(q *Request) { q.Task = "translate" }), own[:1], "of other options"},
		"clips":                 {with(q, func(q *Request) { q.Clips = []float64{0, 7} }), own[:1], "of other options"},
		"seed":                  {with(q, func(q *Request) { q.Decoding.Seed = 1 }), own[:1], "of other options"},
		"threshold":             {with(q, func(q *Request) { q.Decoding.LogProbThreshold = Off() }), own[:1], "of other options"},
		"with speech":           {speech, own[:1], "of other options"},
		"without speech":        {q, side, "of other options"},
		"out of order":          {q, []Checkpoint{own[1], own[0]}, "window 1, where 0 comes next"},
		"without the first":     {q, own[1:], "window 1, where 0 comes next"},
		"with a gap":            {q, []Checkpoint{own[0], own[2]}, "window 2, where 1 comes next"},
		"twice":                 {q, []Checkpoint{own[0], own[0]}, "window 0, where 1 comes next"},
		"of two runs":           {q, []Checkpoint{own[0], resealed(t, own[1], func(*state) {}, "other")}, "does not belong behind"},
		"no state":              {q, changed(0, func(c *Checkpoint) { c.State = nil }), "not understood"},
		"half a state":          {q, changed(1, func(c *Checkpoint) { c.State = c.State[:len(c.State)/2] }), "not understood"},
		"other text":            {q, changed(0, func(c *Checkpoint) { c.Segments[0].Text = " x" }), "damaged"},
		"other time":            {q, changed(0, func(c *Checkpoint) { c.Segments[0].End += 0.01 }), "damaged"},
		"no text":               {q, changed(0, func(c *Checkpoint) { c.Segments = nil }), "damaged"},
		"other progress":        {q, changed(0, func(c *Checkpoint) { c.Done++ }), "damaged"},
		"another version":       {q, sealed(func(s *state) { s.Version++ }), "version 2, not 1"},
		"another part":          {q, sealed(func(s *state) { s.Part = 1 }), "no part 1"},
		"a part before all":     {q, sealed(func(s *state) { s.Part = -1 }), "no part -1"},
		"a seek before":         {q, sealed(func(s *state) { s.Seek = -1 }), "frame -1 of clip 0"},
		"a seek behind":         {q, sealed(func(s *state) { s.Seek = 700 }), "frame 700 of clip 0"},
		"a clip behind":         {q, sealed(func(s *state) { s.Clip = 2 }), "of clip 2"},
		"a clip before":         {q, sealed(func(s *state) { s.Clip = -1 }), "of clip -1"},
		"a prompt behind":       {q, sealed(func(s *state) { s.Since = 1 << 20 }), "no recording comes"},
		"a prompt before":       {q, sealed(func(s *state) { s.Since = -1 }), "no recording comes"},
		"speech before":         {q, sealed(func(s *state) { s.LastSpeech = -1 }), "no recording comes"},
		"encodes":               {q, sealed(func(s *state) { s.Encodes = -1 }), "no recording comes"},
		"no language":           {q, sealed(func(s *state) { s.First = nil }), "no recording comes"},
		"a language":            {q, sealed(func(s *state) { s.First.Language = "klingon" }), "its language is"},
		"another language":      {q, sealed(func(s *state) { s.First.Language = "de" }), "its language is"},
		"a route of a language": {q, sealed(func(s *state) { s.Route.Language = "klingon" }), "of the adapter of language"},
		"another adapter":       {q, sealed(func(s *state) { s.Route.Adapter = "hi" }), "not there any more"},
		"another version of it": {q, sealed(func(s *state) { s.Route.Hash = strings.Repeat("0", 64) }), "not there any more"},
		"half a hash":           {q, sealed(func(s *state) { s.Route.Hash = s.Route.Hash[:8] }), "unknown adapter"},
		"a segment's number":    {q, text(func(s *Segment) { s.ID = 1 }), "segment 1 is where 0 comes next"},
		"a token":               {q, text(func(s *Segment) { s.Tokens = []int32{1 << 20} }), "does not know"},
		"a token before":        {q, text(func(s *Segment) { s.Tokens = []int32{-1} }), "does not know"},
		"a window side by side": {speech, []Checkpoint{resealed(t, side[0], func(s *state) { s.Part = 3 }, "")}, "of window 3 of 3"},
		"a place in it":         {speech, []Checkpoint{resealed(t, side[0], func(s *state) { s.Clip, s.Seek = 0, 500 }, "")}, "frame 500 of clip 0"},
	} {
		c.q.Resume = c.behind
		c.q.Segment = func(s Segment) { t.Errorf("%s: told %+v", name, s) }
		r, err := e.Transcribe(t.Context(), c.q)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.why) || errors.Is(err, ErrNotFound) || r != nil && (r.Text != "" || len(r.Segments) > 0) {
			t.Errorf("%s: %+v, %v, want ErrInvalid: %s", name, r, err, c.why)
		}
	}
	other, err := New(newModel(t, ops(e).Backend(), false), ops(e).Backend(), nil, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	other.model.Encoder.Blocks[0].Attn.Query.Weight.Data[0]++
	q.Adapter = None
	own = keepOf(t, e, q, nil, -1).checkpoints
	if q.Resume = own[:1]; !errors.Is(other.Check(q), ErrInvalid) {
		t.Errorf("another model: %v", other.Check(q))
	}
	if err := e.Check(q); err != nil {
		t.Errorf("its own: %v", err)
	}
	rest(e)
	if len(e.tasks) > 0 {
		t.Errorf("%d recordings are left", len(e.tasks))
	}
}

// TestResumedKeepsItsAdapter checks that a recording goes on under the versions of adapters that it began with, and is refused where
// those have gone.
func TestResumedKeepsItsAdapter(t *testing.T) {
	e, decoding := newChurned(t, Options{Routes: Routes{ByName: true}})
	first, second := seeded(t, e.model, "fr", flora.FLoRA, flora.All, 1), seeded(t, e.model, "fr", flora.FLoRA, flora.All, 2)
	named := chirp(300, 5, Request{Language: "en", Adapter: "fr", Decoding: decoding})
	routed := chirp(300, 5, Request{Language: "fr", Decoding: decoding})
	side := speechAt(chirp(300, 5, Request{Language: "fr", Decoding: decoding}), [2]float64{0, 1}, [2]float64{1.5, 3}, [2]float64{3.2, 5})
	load := func(a *flora.Adapter) {
		t.Helper()
		if _, err := e.LoadAdapter("fr", a); err != nil {
			t.Fatal(err)
		}
	}
	for name, q := range map[string]Request{"named": named, "routed": routed, "side by side": side} {
		load(first)
		whole := keepOf(t, e, q, nil, -1)
		behind := throughJSON(t, whole.checkpoints[:2])
		refused := func(when string) {
			t.Helper()
			q := q
			q.Resume = behind
			if _, err := e.Transcribe(t.Context(), q); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "of an adapter that is not there any more") {
				t.Errorf("%s, %s: %v", name, when, err)
			}
			rest(e)
		}
		load(second)
		refused("another version")
		if err := e.UnloadAdapter("fr"); err != nil {
			t.Fatal(err)
		}
		refused("none")
		for i, a := range []*flora.Adapter{second, first} {
			dir := filepath.Join(t.TempDir(), fmt.Sprint(i), "fr")
			if err := a.Write(dir, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			if err := e.RegisterAdapter("fr", dir); err != nil {
				t.Fatal(err)
			}
			if a == second {
				refused("another version that is not opened yet")
				continue
			}
			if k := keepOf(t, e, q, behind, -1); !reflect.DeepEqual(k.result, whole.result) || k.result.AdapterHash == "" {
				t.Errorf("%s: behind %d\n%+v, want\n%+v", name, len(behind), k.result, whole.result)
			}
		}
	}
}

// TestRoutesOfARecordingStay checks that a recording whose language has no adapter goes on without one that comes later, broken off or not,
// and one whose adapter is unloaded with that.
func TestRoutesOfARecordingStay(t *testing.T) {
	e, decoding := newChurned(t, Options{Routes: Routes{ByName: true}})
	a := seeded(t, e.model, "fr", flora.FLoRA, flora.All, 1)
	q := chirp(300, 5, Request{Language: "fr", Decoding: decoding})
	bare, err := e.Transcribe(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	during := func(q Request, change func()) *kept {
		k := new(kept)
		q.Checkpoint = func(c Checkpoint) {
			if k.checkpoints = append(k.checkpoints, c); len(k.checkpoints) == 1 {
				change()
			}
		}
		k.result, k.err = e.Transcribe(t.Context(), q)
		rest(e)
		return k
	}
	begun := during(q, func() {
		if _, err := e.LoadAdapter("fr", a); err != nil {
			t.Error(err)
		}
	})
	if begun.err != nil || !reflect.DeepEqual(begun.result, bare) {
		t.Errorf("an adapter that came:\n%+v, want\n%+v, %v", begun.result, bare, begun.err)
	}
	if k := keepOf(t, e, q, begun.checkpoints[:1], -1); !reflect.DeepEqual(k.result, bare) {
		t.Errorf("an adapter that came meanwhile:\n%+v, want\n%+v", k.result, bare)
	}
	adapted, err := e.Transcribe(t.Context(), q)
	if err != nil || adapted.Adapter != "fr" || reflect.DeepEqual(adapted.Segments, bare.Segments) {
		t.Fatalf("%+v, %v", adapted, err)
	}
	gone := during(q, func() {
		if err := e.UnloadAdapter("fr"); err != nil {
			t.Error(err)
		}
	})
	if gone.err != nil || !reflect.DeepEqual(gone.result, adapted) {
		t.Errorf("an adapter that went:\n%+v, want\n%+v, %v", gone.result, adapted, gone.err)
	}
}
