package whisper

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
)

// Vocabulary is a byte-level BPE vocabulary (Sennrich et al. 2016; Radford et al. 2019, section 2.2): the bytes that each token
// stands for, by id, and the merges in the order in which they were learnt, earliest first.
type Vocabulary struct {
	Tokens [][]byte
	Merges [][2]int32 // ids of left and right; their concatenation is a token
}

// nBytes is the number of base tokens of a byte-level vocabulary.
const nBytes = 256

// merge is what becomes of a pair of tokens, and how early it was learnt.
type merge struct{ rank, id int32 }

// bpe encodes with a vocabulary.
type bpe struct {
	byteID [nBytes]int32
	merges map[[2]int32]merge
}

// newBPE checks that every byte has a token and every merge a result. The error is ErrVocabulary.
func newBPE(v *Vocabulary) (*bpe, error) {
	ids := make(map[string]int32, len(v.Tokens))
	for id, token := range v.Tokens {
		if _, ok := ids[string(token)]; !ok {
			ids[string(token)] = int32(id)
		}
	}
	b := &bpe{merges: make(map[[2]int32]merge, len(v.Merges))}
	for i := range nBytes {
		id, ok := ids[string([]byte{byte(i)})]
		if !ok {
			return nil, fmt.Errorf("%w: byte %#02x has no token", ErrVocabulary, i)
		}
		b.byteID[i] = id
	}
	for rank, pair := range v.Merges {
		for _, id := range pair {
			if id < 0 || int(id) >= len(v.Tokens) {
				return nil, fmt.Errorf("%w: merge %d: token %d of %d", ErrVocabulary, rank, id, len(v.Tokens))
			}
		}
		left, right := v.Tokens[pair[0]], v.Tokens[pair[1]]
		id, ok := ids[string(left)+string(right)]
		if !ok {
			return nil, fmt.Errorf("%w: merge %d: %q and %q make no token", ErrVocabulary, rank, left, right)
		}
		if _, ok := b.merges[pair]; !ok {
			b.merges[pair] = merge{int32(rank), id}
		}
	}
	return b, nil
}

// encode appends the tokens of text to dst: each piece of the pre-tokenisation starts as its bytes, and the earliest-learnt merge
// is applied, leftmost first, until none applies. With dropout p > 0 each merge that could apply is passed over with probability
// p at every step (Provilkov et al. 2020, algorithm 1); rng is not used otherwise.
func (b *bpe) encode(dst []int32, text string, p float64, rng *rand.Rand) []int32 {
	for piece := range pieces(text) {
		w := b.word(piece)
		w.mergeAll(b, p, rng)
		for i := int32(0); i >= 0; i = w.next[i] {
			dst = append(dst, w.symbols[i])
		}
	}
	return dst
}

// word is a piece of text while it is merged: a doubly linked list of tokens in arrays, -1 at the ends.
type word struct {
	symbols, next, previous []int32
	queue                   candidates
}

// word is the list of the tokens of the piece's bytes; a piece has at least one.
func (b *bpe) word(piece string) *word {
	n := len(piece)
	all := make([]int32, 3*n)
	w := &word{symbols: all[:n], next: all[n : 2*n], previous: all[2*n:]}
	for i := range n {
		w.symbols[i] = b.byteID[piece[i]]
		w.next[i], w.previous[i] = int32(i+1), int32(i-1)
	}
	w.next[n-1] = -1
	return w
}

// mergeAll merges until nothing applies. A candidate is stale when a neighbour was merged since it was queued.
func (w *word) mergeAll(b *bpe, p float64, rng *rand.Rand) {
	for i := range w.symbols {
		w.consider(b, int32(i))
	}
	var passedOver candidates
	for len(w.queue) > 0 {
		c := heap.Pop(&w.queue).(candidate)
		right := w.next[c.at]
		if w.symbols[c.at] != c.left || right < 0 || w.symbols[right] != c.right {
			continue
		}
		if p > 0 && rng.Float64() < p {
			passedOver = append(passedOver, c)
			continue
		}
		w.symbols[c.at], w.symbols[right] = c.id, -1
		w.next[c.at] = w.next[right]
		if after := w.next[right]; after >= 0 {
			w.previous[after] = c.at
		}
		w.consider(b, c.at)
		if before := w.previous[c.at]; before >= 0 {
			w.consider(b, before)
		}
		for _, c := range passedOver {
			heap.Push(&w.queue, c)
		}
		passedOver = passedOver[:0]
	}
}

// consider queues the merge of the token at i with its right neighbour, if there is one.
func (w *word) consider(b *bpe, i int32) {
	right := w.next[i]
	if right < 0 {
		return
	}
	pair := [2]int32{w.symbols[i], w.symbols[right]}
	if m, ok := b.merges[pair]; ok {
		heap.Push(&w.queue, candidate{m, i, pair[0], pair[1]})
	}
}

// candidate is a merge that may apply to the tokens left and right, the first of which is at position at.
type candidate struct {
	merge
	at, left, right int32
}

// candidates is a heap: the earliest-learnt merge first, the leftmost of equals.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}
