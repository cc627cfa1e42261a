package asr

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
)

// Checkpoint is what a recording came to with a window: a request with the same sound, options, model and adapters that has all
// checkpoints of another, in their order, as its Resume goes on behind them, and has to the bit the result that the other would have had.
// It survives JSON. A recording whose Speech is looked for has windows side by side, and their checkpoints come in any order: those of
// one stretch of speech alone, of which most are one window, are in theirs.
type Checkpoint struct {
	// Done is how much of the sound is accounted for with this checkpoint and those before, in seconds. It never falls, and is the
	// duration of the sound with the last. Sound that is not decoded counts with that which is: silence with speech, what no clip has with
	// the clips.
	Done float64 `json:"done"`

	// Segments are those that the window added. Where windows are side by side, their ID counts those of their stretch of speech.
	Segments []Segment `json:"segments,omitempty"`

	// State is what else it takes, in a form of the engine's own, of some hundred bytes.
	State []byte `json:"state,omitempty"`
}

// stateVersion is that of State. Another one is not gone on with.
const stateVersion = 1

// state is the State of a checkpoint: what a recording, or one of the windows side by side of one, takes from a window to the next beside
// its text.
type state struct {
	Version int    `json:"v"`
	Sum     string `json:"sum"`     // see Checkpoint.sum
	Request string `json:"request"` // fingerprint of the model and of what was asked for
	Sound   string `json:"sound"`   // fingerprint

	Part   int `json:"part,omitempty"` // of windows side by side
	Window int `json:"window"`         // number of windows before
	Clip   int `json:"clip"`           // of the next window, the number of clips where there is none
	Seek   int `json:"seek"`           // of the next window, 0 where there is none

	Since      int     `json:"since"` // see prompt
	LastSpeech float64 `json:"last_speech,omitempty"`
	Encodes    int     `json:"encodes"` // with those of the windows before

	First *firstWindow `json:"first,omitempty"` // where this is the first
	Route *keptRoute   `json:"route,omitempty"` // of the window's language, where no checkpoint before has it
}

// firstWindow is what the first window says of a recording.
type firstWindow struct {
	Language     string  `json:"language"`
	LanguageProb float64 `json:"probability,omitempty"`
	Adapter      string  `json:"adapter,omitempty"`
	AdapterHash  string  `json:"hash,omitempty"`
}

// keptRoute is the version of an adapter that the windows of a job have in a language.
type keptRoute struct {
	Language string `json:"language"`
	Adapter  string `json:"adapter,omitempty"` // as the request or the engine's routes call it, "" for the base model
	Hash     string `json:"hash,omitempty"`
}

// sum returns the checksum of a checkpoint with a state that has none, behind one that has a sum, "" behind none: it tells damage, a gap
// and another order.
func (c Checkpoint) sum(s state, before string) (string, error) {
	c.State, s.Sum = nil, before
	b, err := json.Marshal([]any{c, s})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(b)
	return short(h), nil
}

// keeping is what a job has whose checkpoints are told, or that goes on behind some.
type keeping struct {
	request string          // see state
	sound   string          // see state, "" until it was read
	told    map[string]bool // languages whose routes checkpoints have
	past    map[int][]past  // that it goes on behind, by part
}

// checkpoint tells what it takes to go on behind a window, which was in a language.
func (e *Engine) checkpoint(r *recording, language string) {
	if r.request.Checkpoint == nil {
		return
	}
	j := r.job
	k := j.keep
	c := Checkpoint{Done: r.doneSeconds(), Segments: slices.Clone(r.result.Segments[r.kept:])}
	s := state{
		Version: stateVersion, Request: k.request, Sound: k.sound, Part: r.part, Window: r.windows - 1, Clip: r.clip, Seek: r.seek,
		Since: r.prompt.since, LastSpeech: r.lastSpeech, Encodes: r.result.Encodes,
	}
	if s.Window == 0 {
		s.First = &firstWindow{r.result.Language, r.result.LanguageProb, r.result.Adapter, r.result.AdapterHash}
	}
	if !k.told[language] {
		k.told[language] = true
		s.Route = &keptRoute{Language: language, Adapter: j.routes[language]}
		if p := j.pins[s.Route.Adapter]; p != nil {
			s.Route.Hash = p.Hash()
		}
	}
	var err error
	if s.Sum, err = c.sum(s, r.sum); err == nil {
		c.State, err = json.Marshal(s)
	}
	if err != nil { // a number that is none
		r.result.Err = fmt.Errorf("%w: checkpoint: %w", ErrInternal, err)
		return
	}
	r.kept, r.sum = len(r.result.Segments), s.Sum
	r.request.Checkpoint(c)
}

// doneSeconds returns how much of the sound is accounted for, of all of a recording whose windows are side by side.
func (r *recording) doneSeconds() float64 {
	if p := r.whole; p != nil {
		p.note(r)
		return p.doneSeconds()
	}
	done, all := r.doneFrames()
	return float64(done) / float64(all) * r.result.Duration
}

// doneFrames returns how many of the frames that are to be decoded are done.
func (r *recording) doneFrames() (done, all int) {
	for i, c := range r.clips {
		n := c[1] - c[0]
		if all += n; i < r.clip {
			done += n
		} else if i == r.clip {
			done += r.seek - c[0]
		}
	}
	return done, all
}
