package main

import (
	"context"
	"iter"
	"sync"
)

// inOrder calls do with the items, so many at a time, and pass with what it returns in the order of the items. Of results that wait for those
// before them there are at most ahead. The first error of do or pass ends it, as the end of ctx does; what was done until then is passed
// all the same, unless passing is what failed.
func inOrder[T, R any](ctx context.Context, atOnce, ahead int, items iter.Seq[T], do func(context.Context, T) (R, error), pass func(R) error) error {
	type task struct {
		item T
		done chan R
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue, tasks := make(chan chan R, ahead), make(chan task)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for t := range tasks {
				if r, err := do(ctx, t.item); err != nil {
					cancel(err)
				} else {
					t.done <- r
				}
			}
		})
	}
	workers.Go(func() {
		defer close(queue)
		defer close(tasks)
		for item := range items {
			t := task{item, make(chan R, 1)}
			select {
			case queue <- t.done:
			case <-ctx.Done():
				return
			}
			select {
			case tasks <- t:
			case <-ctx.Done():
				return
			}
		}
	})
	var failed error
	for done := range queue {
		select {
		case r := <-done:
			failed = pass(r)
		case <-ctx.Done():
			workers.Wait()
			select {
			case r := <-done:
				failed = pass(r)
			default:
			}
		}
		if failed != nil {
			cancel(failed)
			break
		}
	}
	workers.Wait()
	return context.Cause(ctx)
}
