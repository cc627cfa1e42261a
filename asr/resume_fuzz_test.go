package asr

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper/tensor/cpu"
)

// FuzzResume goes on behind checkpoints, one of which is what the fuzzer makes of it: they are refused with ErrInvalid, or are those that
// there were and have the result that there was. With sealed, that one's sum is made right, so that what it says is looked at; then
// nothing worse may happen than that its text is told.
func FuzzResume(f *testing.F) {
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		f.Fatal(err)
	}
	m := newModel(f, b, true)
	e, err := New(m, b, []*flora.Adapter{newAdapter(f, m, "de", flora.LoRA)}, nil, Options{Routes: Routes{ByName: true}, Languages: []string{"de", "cs"}})
	if err != nil {
		f.Fatal(err)
	}
	loud := Decoding{NoSpeechThreshold: Off(), Temperatures: []float64{0}, SampleLen: 4}
	requests := []Request{
		chirp(400, 7, Request{Language: "cs", Decoding: loud}), chirp(300, 5, Request{Words: &WordOptions{SilenceThreshold: 0.3}, Timestamps: true, Decoding: loud}),
		chirp(300, 7, Request{SwitchLanguage: true, Clips: []float64{0, 3, 4}, Decoding: loud}),
		speechAt(chirp(300, 7, Request{Decoding: loud}), [2]float64{0.1, 1.5}, [2]float64{2, 4}, [2]float64{4.1, 5.9}),
	}
	var whole []*kept
	for i, q := range requests {
		whole = append(whole, keepOf(f, e, q, nil, -1))
		for n, c := range whole[i].checkpoints {
			segments, err := json.Marshal(c.Segments)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(c.State), string(segments), byte(n), byte(i), n%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, state, segments string, n, request byte, sealed bool) {
		which := int(request) % len(requests)
		there := whole[which].checkpoints
		behind := slices.Clone(there[:int(n)%(len(there)+1)])
		c := Checkpoint{State: []byte(state)}
		if len(behind) < len(there) {
			c.Done = there[len(behind)].Done
		}
		if json.Unmarshal([]byte(segments), &c.Segments) != nil {
			return
		}
		if sealed {
			c = seal(t, behind, c, there[0])
		}
		q := requests[which]
		q.Resume = append(behind, c)
		r, err := e.Transcribe(t.Context(), q)
		switch {
		case err != nil && !errors.Is(err, ErrInvalid):
			t.Errorf("%s %s: %v", state, segments, err)
		case err != nil && r != nil && (r.Text != "" || len(r.Segments) > 0):
			t.Errorf("%s %s: refused with %+v", state, segments, r)
		case err == nil && !sealed && !reflect.DeepEqual(r, whole[which].result):
			t.Errorf("%s %s: %+v, want %+v", state, segments, r, whole[which].result)
		}
	})
}

// seal makes all of a checkpoint right that is no matter of what it says, behind others and for the request of one.
func seal(t *testing.T, behind []Checkpoint, c, of Checkpoint) Checkpoint {
	var s state
	if json.Unmarshal(c.State, &s) != nil {
		return c
	}
	right, before := stateOf(t, of), ""
	for _, c := range behind {
		if last := stateOf(t, c); last.Part == s.Part {
			before = last.Sum
			s.Window = last.Window + 1
		}
	}
	s.Version, s.Request, s.Sound = right.Version, right.Request, right.Sound
	var err error
	if s.Sum, err = c.sum(s, before); err == nil {
		c.State, _ = json.Marshal(s)
	}
	return c
}
