package jobs

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestSignature holds a signature against the example that the libraries of Standard Webhooks have in their tests.
func TestSignature(t *testing.T) {
	secrets, err := parseSecrets(secretOne)
	if err != nil {
		t.Fatal(err)
	}
	h := make(http.Header)
	sign(h, secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("%v", h)
	}
}

// TestDelays goes through the attempts at a receiver that always fails: the delays double, and the last attempt is a day after the first.
func TestDelays(t *testing.T) {
	h := &hooks{o: HookOptions{GiveUp: 24 * time.Hour}, first: firstDelay}
	for range 100 {
		var age time.Duration
		attempts := 0
		for {
			attempts++
			v := h.again(age, 0, "it fails")
			if v.outcome == hookExpired {
				break
			}
			if v.outcome != hookFailed || v.delay < firstDelay*9/10 || v.delay > longestDelay*11/10 || age > time.Minute && v.delay < age*9/10 && v.delay < longestDelay*9/10 && age+v.delay < h.o.GiveUp {
				t.Fatalf("at %v: %+v", age, v)
			}
			age += v.delay
		}
		if attempts < 14 || attempts > 22 || age < h.o.GiveUp || age > h.o.GiveUp+longestDelay {
			t.Errorf("%d attempts in %v", attempts, age)
		}
	}
	if v := h.again(time.Minute, time.Hour, "busy"); v.delay != time.Hour {
		t.Errorf("the receiver wants an hour: %+v", v)
	}
}

// TestTurns checks that those who wait for a receiver come one after the other, as fast as it answers.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newHookTurns(2)
		for range 2 {
			if _, ok := turns.begin("a", time.Now()); !ok {
				t.Fatal("there is room")
			}
		}
		time.Sleep(10 * time.Second)
		last := time.Duration(0)
		for i := range 10 {
			wait, ok := turns.begin("a", time.Now())
			if ok || wait <= last || wait != time.Duration(i+1)*5*time.Second {
				t.Errorf("the one behind waits %v, the one before %v", wait, last)
			}
			last = wait
		}
		if _, ok := turns.begin("b", time.Now()); !ok {
			t.Error("another receiver waits")
		}
		turns.end("a", 10*time.Second)
		if _, ok := turns.begin("a", time.Now()); !ok {
			t.Error("there is room again")
		}
		for range 10_000 {
			if wait, _ := turns.begin("a", time.Now()); wait > longestTurn {
				t.Fatal(wait)
			}
		}
		time.Sleep(24 * time.Hour)
		for i := range 2 * maxTurns {
			receiver := string(rune('A' + i))
			turns.begin(receiver, time.Now())
			turns.end(receiver, time.Second)
		}
		if n := len(turns.of); n > maxTurns+1 {
			t.Errorf("%d receivers are remembered", n)
		}
	})
}
