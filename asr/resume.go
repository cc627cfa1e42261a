package asr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"glossa/flora"
)

// past is a checkpoint that a recording goes on behind, or one of its windows side by side.
type past struct {
	state    state
	segments []Segment
	ids      int // segments up to here
	tokens   int // of the prompt up to here
}

// keep lets the checkpoints of a job be told, and takes those that it goes on behind. The error is ErrInvalid.
func (e *Engine) keep(j *job, r *recording) error {
	if r.request.Checkpoint == nil && len(r.request.Resume) == 0 {
		return nil
	}
	j.keep = &keeping{request: r.fingerprint(e.fingerprint()), told: make(map[string]bool), past: make(map[int][]past)}
	for i, c := range r.request.Resume {
		p, err := j.keep.take(r, c)
		if err == nil && p.state.Route != nil {
			err = e.takeRoute(j, r, *p.state.Route)
		}
		if err != nil {
			return fmt.Errorf("%w: checkpoint %d: %w", ErrInvalid, i, err)
		}
	}
	r.request.Resume = nil // of no use any more
	return nil
}

// take takes a checkpoint of a recording. What its place in the sound is, place looks at.
func (k *keeping) take(r *recording, c Checkpoint) (*past, error) {
	p := &past{segments: c.Segments, tokens: r.prompt.initial}
	s := &p.state
	if err := json.Unmarshal(c.State, s); err != nil {
		return nil, fmt.Errorf("its state is not understood: %w", err)
	}
	before, sum := k.past[s.Part], ""
	if n := len(before); n > 0 {
		p.ids, p.tokens, sum = before[n-1].ids, before[n-1].tokens, before[n-1].state.Sum
	}
	sum, err := c.sum(*s, sum)
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("its state is of version %d, not %d", s.Version, stateVersion)
	case s.Request != k.request:
		return nil, errors.New("it is of another model, or of other options")
	case k.before() && s.Sound != k.sound:
		return nil, errors.New("it is of other sound than those before")
	case s.Part < 0 || s.Part > 0 && r.request.Speech == nil:
		return nil, fmt.Errorf("there is no part %d", s.Part)
	case s.Window != len(before):
		return nil, fmt.Errorf("it is of window %d, where %d comes next", s.Window, len(before))
	case err != nil || sum != s.Sum:
		return nil, errors.New("it is damaged, or does not belong behind those before")
	}
	if err := p.take(r); err != nil {
		return nil, err
	}
	k.sound = s.Sound
	k.past[s.Part] = append(before, *p)
	return p, nil
}

// before reports whether there are checkpoints to go on behind.
func (k *keeping) before() bool { return k != nil && len(k.past) > 0 }

// take counts what a checkpoint adds, and reports what no recording comes to.
func (p *past) take(r *recording) error {
	for _, s := range p.segments {
		if s.ID != p.ids {
			return fmt.Errorf("segment %d is where %d comes next", s.ID, p.ids)
		}
		if slices.ContainsFunc(s.Tokens, func(id int32) bool { return id < 0 || int(id) >= r.model.Dims.NVocab }) {
			return fmt.Errorf("segment %d has tokens that the model does not know", s.ID)
		}
		p.ids++
		p.tokens += len(s.Tokens)
	}
	s := &p.state
	if s.Since < 0 || s.Since > p.tokens || s.Encodes < 0 || s.Encodes > math.MaxInt32 || !(s.LastSpeech >= 0) || (s.First != nil) != (s.Window == 0) {
		return errors.New("no recording comes to its state")
	}
	if s.First == nil {
		return nil
	}
	language := s.First.Language
	if !r.model.Tokenizer.Knows(language) || r.result.Language != "" && r.result.Language != language {
		return fmt.Errorf("its language is %q", language)
	}
	return nil
}

// takeRoute lets the windows of a job have an adapter in the version that they had.
func (e *Engine) takeRoute(j *job, r *recording, kept keptRoute) error {
	if _, ok := j.routes[kept.Language]; ok || !r.model.Tokenizer.Knows(kept.Language) {
		return fmt.Errorf("it tells of the adapter of language %q", kept.Language)
	}
	j.choose(kept.Language, kept.Adapter)
	j.keep.told[kept.Language] = true
	if kept.Adapter == "" {
		return nil
	}
	if name, _, _ := strings.Cut(kept.Adapter, "@"); !e.routes.mayName(r.request.Client, name) || len(kept.Hash) != hex.EncodedLen(sha256.Size) {
		return fmt.Errorf("%w: %q, version %q", flora.ErrUnknown, kept.Adapter, kept.Hash)
	}
	if j.versions == nil {
		j.versions = make(map[string]string)
	}
	j.versions[kept.Adapter] = kept.Hash
	return nil
}

// hear takes the fingerprint of a recording's sound, which that of the checkpoints must be equal to. The error is ErrInvalid.
func (k *keeping) hear(sound string) error {
	if k.before() && k.sound != sound {
		return fmt.Errorf("%w: the checkpoints are of other sound, or of other speech in it", ErrInvalid)
	}
	k.sound = sound
	return nil
}

// goOn recalls what checkpoints say of a recording of which samples or a log-mel were read. The error is ErrInvalid.
func (r *recording) goOn(numbers []float32) error {
	k := r.job.keep
	if k == nil {
		return nil
	}
	if err := k.hear(soundFingerprint(numbers, nil)); err != nil {
		return err
	}
	r.recall(k.past[0])
	return nil
}

// recall takes what checkpoints say of a recording, or of one of its windows side by side: all but its place in the sound.
func (r *recording) recall(list []past) {
	if len(list) == 0 {
		return
	}
	for _, p := range list {
		for _, s := range p.segments {
			r.result.Segments = append(r.result.Segments, s)
			r.prompt.tokens = append(r.prompt.tokens, s.Tokens...)
		}
	}
	first, last := list[0].state.First, &list[len(list)-1].state
	r.result.Language, r.result.LanguageProb = first.Language, first.LanguageProb
	r.result.Adapter, r.result.AdapterHash = first.Adapter, first.AdapterHash
	r.result.Encodes = last.Encodes
	r.prompt.since, r.lastSpeech = last.Since, last.LastSpeech
	if len(r.request.Decoding.PrefixTokens) > 0 {
		r.prefix = nil // which is that of the first window
	}
	r.windows, r.kept, r.sum, r.behind = len(list), len(r.result.Segments), last.Sum, last
}

// place moves to the window behind the checkpoints that the recording goes on behind. The error is ErrInvalid.
func (r *recording) place() error {
	if r.behind == nil {
		return nil
	}
	clip, seek := r.behind.Clip, r.behind.Seek
	inside := clip >= 0 && clip < len(r.clips) && seek >= r.clips[clip][0] && seek < r.clips[clip][1]
	if !inside && (clip != len(r.clips) || seek != 0) {
		r.result, r.prompt.tokens = Result{Duration: r.result.Duration}, r.prompt.tokens[:r.prompt.initial]
		return fmt.Errorf("%w: the checkpoints end at frame %d of clip %d, where there is none", ErrInvalid, seek, clip)
	}
	r.clip, r.seek = clip, seek
	return nil
}
