package asr

import (
	"slices"

	"glossa/flora"
	"glossa/whisper"
)

// detection are the windows of an encoder batch whose languages are unknown.
type detection struct {
	at       []int  // indices in the batch
	ofWindow []bool // what was encoded is the window itself
	keep     []int  // indices in the batch whose states are kept
	kept     []int  // of each of at the index among keep, -1 where they are not
}

// add adds a window of the batch.
func (d *detection) add(i int, ofWindow, keep bool) {
	d.at, d.ofWindow, d.kept = append(d.at, i), append(d.ofWindow, ofWindow), append(d.kept, -1)
	if keep {
		d.kept[len(d.kept)-1] = len(d.keep)
		d.keep = append(d.keep, i)
	}
}

// keepsStates reports whether the encoder's states are kept while languages are detected: where there are
// adapters that begin at the keys and values. To copy them takes a thousandth of what it takes to
// compute them, but is in vain where no adapter can use them.
func (e *Engine) keepsStates() bool { return e.bank.Reaches(flora.ReachCross) }

// allowed returns the codes of the languages that a window may be in, nil for all.
func (e *Engine) allowed(r *recording) []string {
	if len(r.request.Languages) > 0 {
		return r.request.Languages
	}
	return e.languages(r.request.Client)
}

// detected notes the languages of windows that were encoded by the base model, and keeps of what was encoded what is
// the same under the window's adapter; the window is encoded again where that is nothing, or the adapter is not in
// memory yet. It returns the windows whose keys and values come from kept states, and which those are. Windows of one
// recording have the language of its first.
func (e *Engine) detected(s *station, rs []*recording, d *detection, probs []whisper.LanguageProbs) (again []*recording, states []int) {
	for j, i := range d.at {
		r := rs[i]
		e.heard(r, probs[j])
		reach, ok := e.reach(r)
		if ok && d.ofWindow[j] && reach == flora.ReachDecoder {
			continue
		}
		s.freeOf(r)
		if ok && d.kept[j] >= 0 && reach == flora.ReachCross {
			again, states = append(again, r), append(states, d.kept[j])
		}
	}
	return again, states
}

// Languages returns the codes that detection chooses from where a request of no client says nothing, in the order of the model's tokens.
func (e *Engine) Languages() []string {
	codes := e.model.Tokenizer.LanguageCodes()
	if !e.model.Tokenizer.Multilingual() {
		return []string{"en"}
	}
	if among := e.languages(""); among != nil {
		codes = slices.DeleteFunc(codes, func(code string) bool { return !slices.Contains(among, code) })
	}
	return codes
}

// languages returns the codes that detection chooses from for a client, nil for all.
func (e *Engine) languages(client string) []string {
	if e.options.Languages != nil || e.options.Written == nil {
		return e.options.Languages
	}
	codes := slices.Clone(e.options.Written)
	for _, code := range e.model.Tokenizer.LanguageCodes() {
		if !slices.Contains(codes, code) && e.routes.own(client, code, e.bank.Has) {
			codes = append(codes, code)
		}
	}
	return codes
}

// heard notes the language of a window. With that of a recording's first, the others of its windows can
// begin.
func (e *Engine) heard(r *recording, probs whisper.LanguageProbs) {
	language, prob := probs.Best()
	if p := r.whole; p != nil && p.language != "" {
		language, prob = p.language, p.languageProb
	}
	r.window.language = language
	if r.result.Language == "" {
		r.result.Language, r.result.LanguageProb = language, prob
		if r.whole != nil && r.part == 0 && !r.request.SwitchLanguage {
			e.addRest(r.whole)
		}
	}
}

// reach returns the reach of a window's adapter, ReachDecoder of the base model. !ok where the adapter
// is not in memory, or there is none.
func (e *Engine) reach(r *recording) (reach flora.Reach, ok bool) {
	if !e.route(r) {
		return reach, false
	}
	if ok, _ = r.seat(); ok && r.window.pin != nil { // an error comes again when it is encoded again
		reach = r.window.pin.Reach()
	}
	return reach, ok
}
