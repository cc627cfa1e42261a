package eval

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// CompareOptions say how Compare names and draws. The zero value is ready to use.
type CompareOptions struct {
	Bootstrap    Bootstrap
	Base, System string // names in the comparisons; the default values are "base" and "system"
}

// Compare compares the outcomes of a system with those of a base by language and, where there are several comparisons, in total, which is
// the last of them and has no Lang. Utterances may come in any order: those of equal language, ID and adapter are paired, and those left over
// of equal language and ID, where each side has one. An utterance without an ID goes by its number. Failed ones have no outcome.
//
// Of an utterance that has come from one side alone a record of some 100 bytes is kept, so that outcomes in the same order take no memory.
// The total counts each language once, by the last of its comparisons; their p-values are adjusted for their number (Comparison.Holm).
//
// It fails with the first error of either side, and with ErrUnpaired where no utterance is common.
func Compare(base, system iter.Seq2[Outcome, error], o CompareOptions) ([]Comparison, error) {
	o.Bootstrap = o.Bootstrap.withDefaults()
	m := matcher{rows: make(map[matchKey]*paired), langs: make(map[string]int), left: make(map[string]int)}
	var next [2]func() (Outcome, error, bool)
	for i, outcomes := range []iter.Seq2[Outcome, error]{base, system} {
		pull, stop := iter.Pull2(outcomes)
		defer stop()
		next[i] = pull
		m.waiting[i] = make(map[uint64]unmatched)
	}
	for more := true; more; {
		more = false
		for i := range next {
			outcome, err, ok := next[i]()
			if err != nil {
				return nil, err
			}
			if ok {
				more = true
				m.add(i, outcome)
			}
		}
	}
	m.matchLeft()
	if len(m.rows) == 0 {
		return nil, fmt.Errorf("%w: no utterance of the one has the language and ID of an utterance of the other", ErrUnpaired)
	}
	return m.comparisons(o), nil
}

// matchKey is what a comparison is of.
type matchKey struct {
	lang            string
	adapter, system string // of the base and of the system
}

// unmatched is an outcome that has none of the other side yet.
type unmatched struct {
	lang, adapter string
	id, group     uint64
	record        record
}

// matcher brings the outcomes of two sides together.
type matcher struct {
	rows    map[matchKey]*paired
	waiting [2]map[uint64]unmatched // by language, ID and adapter
	numbers [2]int                  // outcomes that came
	langs   map[string]int          // in the order of their coming
	left    map[string]int          // outcomes of a language that stayed alone
}

// add adds an outcome of one side.
func (m *matcher) add(side int, o Outcome) {
	m.numbers[side]++
	if _, known := m.langs[o.Lang]; !known {
		m.langs[o.Lang] = len(m.langs)
	}
	if o.Err != "" {
		return
	}
	name := o.ID
	if name == "" {
		name = fmt.Sprint("number ", m.numbers[side])
	}
	group, _ := groupOf(o.Pair, m.numbers[side])
	u := unmatched{o.Lang, o.Adapter, hash(o.Lang, name), group, recordOf(o)}
	key := hash(o.Lang, name, o.Adapter)
	other := m.waiting[1-side]
	partner, ok := other[key]
	if !ok {
		if _, twice := m.waiting[side][key]; twice {
			m.left[o.Lang]++
		}
		m.waiting[side][key] = u
		return
	}
	delete(other, key)
	if side == 0 {
		m.match(u, partner)
	} else {
		m.match(partner, u)
	}
}

// match adds a pair.
func (m *matcher) match(base, system unmatched) {
	key := matchKey{base.lang, base.adapter, system.adapter}
	row := m.rows[key]
	if row == nil {
		row = new(paired)
		m.rows[key] = row
	}
	row.add(base.group, base.record, system.record)
}

// matchLeft pairs outcomes of different adapters, where each side has one left of the utterance.
func (m *matcher) matchLeft() {
	var byID [2]map[uint64][]unmatched
	for i, waiting := range m.waiting {
		byID[i] = make(map[uint64][]unmatched)
		for _, u := range waiting {
			byID[i][u.id] = append(byID[i][u.id], u)
		}
	}
	for id, base := range byID[0] {
		system := byID[1][id]
		if len(base) == 1 && len(system) == 1 {
			m.match(base[0], system[0])
			delete(byID[0], id)
			delete(byID[1], id)
		}
	}
	for _, left := range byID {
		for _, list := range left {
			m.left[list[0].lang] += len(list)
		}
	}
}

// comparisons returns what the pairs come to.
func (m *matcher) comparisons(o CompareOptions) []Comparison {
	keys := make([]matchKey, 0, len(m.rows))
	for key := range m.rows {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b matchKey) int {
		return cmp.Or(cmp.Compare(m.langs[a.lang], m.langs[b.lang]), cmp.Compare(a.system, b.system), cmp.Compare(a.adapter, b.adapter))
	})
	list := make([]Comparison, 0, len(keys)+1)
	var sum compared
	for i, key := range keys {
		row := m.rows[key]
		last := i+1 == len(keys) || keys[i+1].lang != key.lang
		if last {
			row.unpaired += m.left[key.lang]
			delete(m.left, key.lang)
		}
		c := row.compare(o.Bootstrap, hash("compare", key.lang, key.adapter, key.system))
		c.Lang, c.Base, c.System, c.Adapter = key.lang, cmp.Or(o.Base, "base"), cmp.Or(o.System, "system"), key.system
		list = append(list, c.Comparison)
		if last {
			sum.plus(c)
		}
	}
	family := make([]*Comparison, len(list))
	for i := range list {
		family[i] = &list[i]
	}
	holm(family)
	if len(list) == 1 {
		return list
	}
	for _, n := range m.left { // of languages that nothing was paired of
		sum.unpaired += n
	}
	sum.fill(o.Bootstrap)
	sum.Base, sum.System = list[0].Base, list[0].System
	return append(list, sum.Comparison)
}
