package main

import (
	"iter"
	"slices"

	"glossa/eval"
)

// adaptersByLang are the adapters of results, by language in the order of their coming. The last is what a user would have.
type adaptersByLang map[string][]string

// add adds that of a pair.
func (a adaptersByLang) add(p *eval.Pair) {
	if !slices.Contains(a[p.Lang], p.Adapter) {
		a[p.Lang] = append(a[p.Lang], p.Adapter)
	}
}

// last returns that which a user would have of a language.
func (a adaptersByLang) last(lang string) string { return a[lang][len(a[lang])-1] }

// deployedOf returns the languages of which what a user would have is to be compared by itself, because one side has it among others and the
// other has something else instead: else an adapter that is not there any more would have nothing to be compared with.
func deployedOf(base, system adaptersByLang) map[string]bool {
	langs := make(map[string]bool)
	for lang := range base {
		if len(system[lang]) == 0 {
			continue
		}
		was, is := base.last(lang), system.last(lang)
		if was != is && (slices.Contains(base[lang], is) || slices.Contains(system[lang], was)) {
			langs[lang] = true
		}
	}
	return langs
}

// deployedAlone leaves out, of some languages, all but what a user would have.
func deployedAlone(outcomes iter.Seq2[eval.Outcome, error], langs map[string]bool, of adaptersByLang) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		for o, err := range outcomes {
			if err == nil && langs[o.Lang] && o.Adapter != of.last(o.Lang) {
				continue
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// adaptersOf reads the adapters of results.
func adaptersOf(pairs iter.Seq2[eval.Pair, error]) (adaptersByLang, error) {
	a := make(adaptersByLang)
	for p, err := range pairs {
		if err != nil {
			return nil, err
		}
		a.add(&p)
	}
	return a, nil
}
