package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheQuarantine lets suspects run alone, behind what is none, and those first that have lost the fewest workers.
func TestTheQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q quarantine
		var mu sync.Mutex
		var order []string
		inside, most := 0, map[string]int{}
		job := func(name string, lost int, lasts time.Duration) {
			leave, err := q.enter(t.Context(), lost)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			order = append(order, name)
			mu.Unlock()
			time.Sleep(lasts)
			mu.Lock()
			most[name] = inside
			inside--
			mu.Unlock()
			leave()
		}
		for i, c := range []struct {
			name string
			lost int
		}{{"first", 0}, {"second", 1}, {"killer", 3}, {"innocent", 2}, {"late", 0}, {"other", 2}} {
			go job(c.name, c.lost, time.Second)
			synctest.Wait()
			if held := q.hold() != nil; held != (i >= 2) {
				t.Errorf("%s: messages are held back: %v", c.name, held)
			}
		}
		time.Sleep(1500 * time.Millisecond) // one suspect runs
		go job("later", 0, time.Second)
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"first", "second", "late", "innocent", "later", "other", "killer"}; !slices.Equal(order, want) {
			t.Errorf("they ran in the order %v, want %v", order, want)
		}
		for _, name := range []string{"killer", "innocent", "other"} {
			if most[name] != 1 {
				t.Errorf("%s ran beside others", name)
			}
		}
		if q.hold() != nil || q.running != 0 || q.alone || len(q.waiting) > 0 {
			t.Errorf("the quarantine is left as %+v", &q)
		}
	})
}

// TestLeavingTheQuarantine is a worker that is shut down while jobs wait.
func TestLeavingTheQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q quarantine
		leave, err := q.enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := q.enter(ctx, suspectAfter)
			ended <- err
		}()
		synctest.Wait()
		cancel(errDraining)
		if err := <-ended; !errors.Is(err, errDraining) {
			t.Error(err)
		}
		if q.hold() != nil {
			t.Error("messages are held back for nobody")
		}
		leave()
		if q.running != 0 {
			t.Error(fmt.Sprint(q.running, " run"))
		}
	})
}
