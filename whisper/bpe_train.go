package whisper

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// minPairCount is how often a pair must occur to be worth a token.
const minPairCount = 2

// TrainBPE learns a byte-level vocabulary of at most 256 + nMerges tokens (Sennrich et al. 2016, algorithm 1): the most frequent
// pair of neighbouring tokens within a piece of the pre-tokenisation becomes a token, nMerges times or until no pair occurs twice.
// Equal counts go to the pair of smallest ids, so that the result depends only on the texts, not on their order. The base tokens
// have GPT-2's order.
func TrainBPE(texts iter.Seq[string], nMerges int) *Vocabulary {
	counts := map[string]int{}
	for text := range texts {
		for piece := range pieces(text) {
			counts[piece]++
		}
	}
	t := newTrainer(counts)
	for range nMerges {
		pair, ok := t.best()
		if !ok {
			break
		}
		t.merge(pair)
	}
	return t.vocabulary
}

// trainer holds the distinct pieces, the count of every pair and where it occurs.
type trainer struct {
	vocabulary *Vocabulary
	words      [][]int32
	counts     []int // of words
	pairs      map[[2]int32]*occurrence
}

// occurrence is how often a pair occurs, and in which words; a word may have lost the pair since.
type occurrence struct {
	count int
	words map[int]struct{}
}

func newTrainer(counts map[string]int) *trainer {
	t := &trainer{vocabulary: &Vocabulary{}, pairs: map[[2]int32]*occurrence{}}
	var byteID [nBytes]int32
	for id, b := range byteOrder {
		byteID[b] = int32(id)
		t.vocabulary.Tokens = append(t.vocabulary.Tokens, []byte{b})
	}
	for _, piece := range slices.Sorted(maps.Keys(counts)) {
		ids := make([]int32, len(piece))
		for i := range ids {
			ids[i] = byteID[piece[i]]
		}
		t.words = append(t.words, ids)
		t.counts = append(t.counts, counts[piece])
		t.add(len(t.words)-1, 1)
	}
	return t
}

// add counts the pairs of word w, sign times.
func (t *trainer) add(w, sign int) {
	ids := t.words[w]
	for i := 1; i < len(ids); i++ {
		pair := [2]int32{ids[i-1], ids[i]}
		o := t.pairs[pair]
		if o == nil {
			o = &occurrence{words: map[int]struct{}{}}
			t.pairs[pair] = o
		}
		o.count += sign * t.counts[w]
		if sign > 0 {
			o.words[w] = struct{}{}
		}
	}
}

// best is the most frequent pair.
func (t *trainer) best() (best [2]int32, ok bool) {
	count := minPairCount - 1
	for pair, o := range t.pairs {
		if o.count > count || ok && o.count == count && slices.Compare(pair[:], best[:]) < 0 {
			best, count, ok = pair, o.count, true
		}
	}
	return best, ok
}

// merge makes a token of pair and replaces its occurrences from the left.
func (t *trainer) merge(pair [2]int32) {
	v := t.vocabulary
	id := int32(len(v.Tokens))
	v.Tokens = append(v.Tokens, slices.Concat(v.Tokens[pair[0]], v.Tokens[pair[1]]))
	v.Merges = append(v.Merges, pair)
	for _, w := range slices.SortedFunc(maps.Keys(t.pairs[pair].words), cmp.Compare[int]) {
		t.add(w, -1)
		t.words[w] = replacePair(t.words[w], pair, id)
		t.add(w, 1)
	}
	delete(t.pairs, pair)
}

// replacePair replaces, in place and from the left, the occurrences of pair in ids by id.
func replacePair(ids []int32, pair [2]int32, id int32) []int32 {
	out := ids[:0]
	for i := 0; i < len(ids); i++ {
		if i+1 < len(ids) && ids[i] == pair[0] && ids[i+1] == pair[1] {
			out = append(out, id)
			i++
		} else {
			out = append(out, ids[i])
		}
	}
	return out
}
