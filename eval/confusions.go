package eval

import (
	"cmp"
	"slices"
	"strings"
)

// maxConfusions bounds the distinct pairs of words that are counted, in all rows together: some 15 MB.
const maxConfusions = 1 << 17

// confusion is a pair of words: that of the reference, "" where one was put in, and that of the hypothesis, "" where one was left out.
type confusion struct{ ref, hyp string }

// confusionCounts counts pairs of words. Counts are exact until pairs are dropped for want of room; then they are lower bounds, short by
// short at most (Misra and Gries 1982, in batches: Agarwal et al. 2012, "Mergeable Summaries").
type confusionCounts struct {
	counts map[confusion]int
	short  int
}

// addErrors counts the errors of an outcome and returns how many pairs are new.
func (c *confusionCounts) addErrors(o Outcome) (added int) {
	before := len(c.counts)
	if c.counts == nil {
		c.counts = make(map[confusion]int)
	}
	i, j := 0, 0
	for _, op := range o.Ops {
		var pair confusion
		if op != Insertion && i < len(o.Ref) {
			pair.ref = o.Ref[i]
			i++
		}
		if op != Deletion && j < len(o.Hyp) {
			pair.hyp = o.Hyp[j]
			j++
		}
		if op == Hit {
			continue
		}
		if _, known := c.counts[pair]; !known {
			// The words are parts of longer texts, which they would keep in memory.
			pair = confusion{strings.Clone(pair.ref), strings.Clone(pair.hyp)}
		}
		c.counts[pair]++
	}
	return len(c.counts) - before
}

// halve drops the rarer half of the pairs and takes the count of the most frequent of them from all others. It returns how many it dropped.
func (c *confusionCounts) halve() int {
	before := len(c.counts)
	counts := make([]int, 0, before)
	for _, n := range c.counts {
		counts = append(counts, n)
	}
	slices.Sort(counts)
	least := counts[before/2]
	kept := make(map[confusion]int)
	for pair, n := range c.counts {
		if n > least {
			kept[pair] = n - least
		}
	}
	c.counts = kept
	c.short += least
	return before - len(kept)
}

// top returns the k most frequent pairs, ties by their words.
func (c *confusionCounts) top(k int, lang string) []Confusion {
	all := make([]Confusion, 0, len(c.counts))
	for pair, n := range c.counts {
		all = append(all, Confusion{Lang: lang, Ref: pair.ref, Hyp: pair.hyp, Count: n})
	}
	slices.SortFunc(all, func(a, b Confusion) int {
		return cmp.Or(-cmp.Compare(a.Count, b.Count), strings.Compare(a.Ref, b.Ref), strings.Compare(a.Hyp, b.Hyp))
	})
	return slices.Clone(all[:max(0, min(k, len(all)))])
}
