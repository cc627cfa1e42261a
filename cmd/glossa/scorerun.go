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

// scored is a batch of outcomes, and the error that comes behind them.
type scored struct {
	outcomes []eval.Outcome
	err      error
}

// scoreAll yields the outcomes of pairs, in their order. Pairs are read on one goroutine, scored on as many as there are processors, and a bounded
// number of them is under way. It ends at the first error.
func scoreAll(ctx context.Context, s eval.Scorer, pairs iter.Seq2[eval.Pair, error]) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		workers := runtime.GOMAXPROCS(0)
		queue := make(chan chan scored, workers*scoreAhead)
		free := make(chan struct{}, workers)
		read := make(chan struct{})
		go func() {
			defer close(read)
			defer close(queue)
			batches(ctx, pairs, func(batch []eval.Pair, err error) bool {
				done := make(chan scored, 1)
				select {
				case queue <- done:
				case <-ctx.Done():
					return false
				}
				free <- struct{}{}
				go func() {
					done <- scoreSome(s, batch, err)
					<-free
				}()
				return true
			})
		}()
		// The reader's files are closed when it has ended.
		defer func() {
			cancel()
			<-read
		}()
		for done := range queue {
			b := <-done
			for i := range b.outcomes {
				if !yield(b.outcomes[i], nil) {
					return
				}
			}
			if b.err != nil {
				yield(eval.Outcome{}, b.err)
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(eval.Outcome{}, err)
		}
	}
}

// batches passes on pairs by the batch until pass returns false, with the error that ended them.
func batches(ctx context.Context, pairs iter.Seq2[eval.Pair, error], pass func([]eval.Pair, error) bool) {
	batch := make([]eval.Pair, 0, scoreBatch)
	for p, err := range pairs {
		if err != nil {
			pass(batch, err)
			return
		}
		if batch = append(batch, p); len(batch) < scoreBatch {
			continue
		}
		if ctx.Err() != nil || !pass(batch, nil) {
			return
		}
		batch = make([]eval.Pair, 0, scoreBatch)
	}
	if len(batch) > 0 {
		pass(batch, nil)
	}
}

// scoreSome scores a batch, in front of the error that ended the reading of it.
func scoreSome(s eval.Scorer, batch []eval.Pair, ended error) scored {
	b := scored{outcomes: make([]eval.Outcome, 0, len(batch)), err: ended}
	for _, p := range batch {
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
