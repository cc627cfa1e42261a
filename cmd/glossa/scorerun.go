package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"glossa/eval"
)

const (
	scoreBatch = 256 // pairs that one worker scores in one go
	scoreAhead = 4   // batches of each worker that are read ahead
)

// errScoredEnough ends scoring whose consumer has enough.
var errScoredEnough = errors.New("enough")

// scoreAll yields the outcomes of pairs, in their order. Pairs are read on one goroutine, scored on as many as there are processors, and a bounded
// number of them is under way. It ends at the first error.
func scoreAll(ctx context.Context, s eval.Scorer, pairs iter.Seq2[eval.Pair, error]) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		workers := runtime.GOMAXPROCS(0)
		score := func(_ context.Context, b pairBatch) (scored, error) { return scoreSome(s, b), nil }
		err := inOrder(ctx, workers, workers*scoreAhead, batches(pairs), score, func(b scored) error {
			for i := range b.outcomes {
				if !yield(b.outcomes[i], nil) {
					return errScoredEnough
				}
			}
			return b.err
		})
		if err != nil && err != errScoredEnough {
			yield(eval.Outcome{}, err)
		}
	}
}

// pairBatch is some pairs, and the error that ended the reading behind them.
type pairBatch struct {
	pairs []eval.Pair
	err   error
}

// batches yields pairs by the batch, up to the first error.
func batches(pairs iter.Seq2[eval.Pair, error]) iter.Seq[pairBatch] {
	return func(yield func(pairBatch) bool) {
		var b pairBatch
		for p, err := range pairs {
			if b.err = err; err != nil {
				break
			}
			if b.pairs = append(b.pairs, p); len(b.pairs) < scoreBatch {
				continue
			}
			if !yield(b) {
				return
			}
			b.pairs = make([]eval.Pair, 0, scoreBatch)
		}
		if len(b.pairs) > 0 || b.err != nil {
			yield(b)
		}
	}
}

// scored is the outcomes of a batch, and the error that comes behind them.
type scored struct {
	outcomes []eval.Outcome
	err      error
}

// scoreSome scores a batch.
func scoreSome(s eval.Scorer, batch pairBatch) scored {
	b := scored{outcomes: make([]eval.Outcome, 0, len(batch.pairs)), err: batch.err}
	for _, p := range batch.pairs {
		o, err := s.Score(p)
		if err != nil {
			b.err = fmt.Errorf("utterance %s: %w%s", p.ID, err, asTheyAre(err))
			break
		}
		b.outcomes = append(b.outcomes, o)
	}
	return b
}

// asTheyAre tells a way out of an error about alternatives.
func asTheyAre(err error) string {
	if errors.Is(err, eval.ErrAlternatives) {
		return "; --no-alternatives takes braces as they are"
	}
	return ""
}
