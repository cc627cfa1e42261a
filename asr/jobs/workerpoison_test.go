//go:build unix

package jobs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"glossa/asr"
	"glossa/asr/jobs/broker"
)

// TestAPoisonJobTakesNoOthersAlong has a job that kills its worker, whoever that is, beside long ones, which end.
func TestAPoisonJobTakesNoOthersAlong(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: workers die, and are begun again")
	}
	t.Parallel() // most of its time is leases that end
	b := &process{t: t, role: "broker", dir: t.TempDir(), addr: freeAddr(t)}
	if err := b.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.end() })
	nc, err := broker.Dial(t.Context(), broker.DialOptions{URL: "nats://" + b.addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	store, err := Open(t.Context(), nc, Options{Model: "nano", Logger: testLog(), ackWait: killLease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	go store.Run(t.Context())
	s := &site{Store: store, t: t}

	poison := s.submit(fakeSound(1, 5), killPrompt, nil)
	var neighbours []asr.Job
	sound := func(i int) []byte { return fakeSound(uint64(2+i), int(4*killLease/slowWindow)) } // more than three lives of a worker let pass
	prompt := func(i int) string { return fmt.Sprint(slowPrompt, i) }
	for i := range killSlots - 1 {
		neighbours = append(neighbours, s.submit(sound(i), prompt(i), nil))
	}
	living, end := context.WithCancel(t.Context())
	w := &process{t: t, role: "worker", addr: b.addr}
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	var died int
	var logs strings.Builder
	var all sync.WaitGroup
	all.Go(func() {
		w.keep(living, func(log string) {
			died++
			logs.WriteString(log)
		})
	})
	t.Cleanup(func() {
		end()
		w.end()
		all.Wait() // it has all logs by then
		if t.Failed() {
			t.Log(logs.String())
		}
		if died < maxDeliver {
			t.Errorf("%d workers died, want %d", died, maxDeliver)
		}
	})
	got := s.failed(poison, "worker")
	if got.Attempts != maxDeliver {
		t.Errorf("the poison had %d attempts, want %d", got.Attempts, maxDeliver)
	}
	for i, j := range neighbours {
		got := s.done(j, sound(i), prompt(i))
		if got.Attempts > suspectAfter+1 {
			t.Errorf("neighbour %d has had %d attempts: it was lost with the poison more than %d times", i, got.Attempts, suspectAfter)
		}
	}
}
