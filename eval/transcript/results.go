package transcript

import (
	"fmt"
	"hash/maphash"
	"iter"

	"glossa/eval"
)

// ResultPairs yields the pairs of a file of results, which has references and hypotheses, in their order; of one adapter where the source asks for one. It
// fails with ErrUnpaired where an utterance comes twice under one adapter and language. An error is the last that it yields.
func ResultPairs(s Source) iter.Seq2[eval.Pair, error] {
	s.Role = Results
	return func(yield func(eval.Pair, error) bool) {
		seen, seed := make(map[uint64]struct{}), maphash.MakeSeed()
		for r, err := range s.Records() {
			if err != nil {
				yield(eval.Pair{}, err)
				return
			}
			if name := r.ID + "\x00" + r.Audio + pieceOf(r); r.ID != "" || r.Audio != "" {
				key := maphash.String(seed, name+"\x00"+r.Lang+"\x00"+r.Adapter)
				if _, ok := seen[key]; ok {
					yield(eval.Pair{}, r.Place.wrap(fmt.Errorf("%w: %s comes twice", ErrUnpaired, nameOf(r))))
					return
				}
				seen[key] = struct{}{}
			}
			if !yield(r.Pair, nil) {
				return
			}
		}
	}
}
