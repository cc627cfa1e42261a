package asr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glossa/whisper"
)

var errFake = errors.New("the device is on fire")

// TestRequestsShareBatches checks that requests of many goroutines are decoded together, and that all
// memory comes back. That no goroutine of the engine is left, synctest sees to.
func TestRequestsShareBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, sized(8, 0))
		begin := time.Now()
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				r, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "de"}))
				if err != nil || r.Text != "red" || r.Language != "de" || r.Duration != 1 {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
		wait.Wait()
		synctest.Wait()
		if alone := 8 * (fakeEncode + 40*fakeStep); time.Since(begin) > alone/3 || d.most < 7 {
			t.Errorf("%d windows together, in %v", d.most, time.Since(begin))
		}
		if d.encoded != 0 || e.scheduler.Len() != 0 || len(e.tasks) != 0 || len(e.stations[0].tickets) != 0 {
			t.Errorf("%d windows are not freed, %d tasks are left", d.encoded, e.scheduler.Len())
		}
	})
}

// TestCancelledRequestLeavesAtTheNextStep checks that a context ends its request alone, at once, and
// that its window leaves the batch before the next step.
func TestCancelledRequestLeavesAtTheNextStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, Options{})
		var wait sync.WaitGroup
		wait.Go(func() {
			if r, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "de"})); err != nil || r.Text != "red" {
				t.Errorf("the other request: %+v, %v", r, err)
			}
		})
		wait.Go(func() {
			why := errors.New("the caller hung up")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(205*time.Millisecond, func() { cancel(why) })
			begin := time.Now()
			_, err := e.Transcribe(ctx, chirp(300, 1, Request{Language: "fr"}))
			if took := time.Since(begin); !errors.Is(err, ErrCancelled) || !errors.Is(err, why) || took != 205*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
			time.Sleep(fakeStep)
			synctest.Wait()
			if len(d.removed) != 1 || d.removed[0].Sub(begin) > 205*time.Millisecond+fakeStep {
				t.Errorf("its window has left %d times", len(d.removed))
			}
		})
		wait.Wait()
		// One that waits to be loaded, one while it is.
		for _, delay := range []time.Duration{0, time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), delay)
			slow := chirp(300, 1, Request{Language: "en"})
			read := slow.Audio
			slow.Audio = func() ([]float32, error) { time.Sleep(2 * time.Second); return read() }
			if _, err := e.Transcribe(ctx, slow); !errors.Is(err, ErrCancelled) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("cancelled after %v: %v", delay, err)
			}
			cancel()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if d.encoded != 0 || e.scheduler.Len() != 0 || len(e.tasks) != 0 {
			t.Errorf("%d windows are not freed, %d tasks are left", d.encoded, e.scheduler.Len())
		}
	})
}

// TestFaultStopsTheEngine checks that a fault of the device ends all requests, and those that come.
func TestFaultStopsTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, sized(2, 0))
		d.faultAt = 5
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() {
				if _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "de"})); !errors.Is(err, ErrInternal) || !errors.Is(err, errFake) {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		wait.Go(func() {
			requests := []Request{chirp(300, 1, Request{}), chirp(300, 1, Request{})}
			if err := e.TranscribeAll(t.Context(), requests, func(i int, r *Result) { t.Errorf("request %d is done: %v", i, r.Err) }); !errors.Is(err, errFake) {
				t.Errorf("many requests: %v", err)
			}
		})
		wait.Wait()
		if _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{})); !errors.Is(err, ErrInternal) {
			t.Errorf("behind the fault: %v", err)
		}
		e.Close()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFakeEngine(t, sized(2, 0))
		var wait sync.WaitGroup
		for i := range 5 {
			wait.Go(func() {
				if _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "fr"})); !errors.Is(err, ErrCancelled) {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		time.Sleep(time.Second)
		e.Close()
		wait.Wait()
		e.Close()
		if err := e.TranscribeAll(t.Context(), []Request{chirp(300, 1, Request{})}, func(int, *Result) { t.Error("done") }); !errors.Is(err, ErrCancelled) {
			t.Errorf("behind the end: %v", err)
		}
	})
}

// TestLiveKeepsItsLatency checks that live requests are served in time while bulk work waits, that
// they are few steps apart from what they take alone, and that the bulk work goes on.
func TestLiveKeepsItsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFakeEngine(t, sized(8, 0))
		var wait sync.WaitGroup
		var nBulk atomic.Int32
		wait.Go(func() {
			var bulk []Request
			for range 100 {
				bulk = append(bulk, chirp(300, 1, Request{Language: "de", Priority: Bulk}))
			}
			if err := e.TranscribeAll(t.Context(), bulk, func(int, *Result) { nBulk.Add(1) }); err != nil {
				t.Error(err)
			}
		})
		var mu sync.Mutex
		var worst time.Duration
		for range 3 { // as many who speak, almost without pause
			wait.Go(func() {
				for range 20 {
					begin := time.Now()
					if _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "en", Priority: Live})); err != nil {
						t.Error(err)
					}
					mu.Lock()
					worst = max(worst, time.Since(begin))
					mu.Unlock()
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if nBulk.Load() == 0 {
			t.Error("bulk work starves")
		}
		t.Logf("%d of 100 bulk requests beside 3 live ones in 5 s", nBulk.Load())
		wait.Wait()
		t.Logf("the slowest live request took %v", worst)
		if limit := 700 * time.Millisecond; worst > limit {
			t.Errorf("a live request took %v, more than %v", worst, limit)
		}
		if n := nBulk.Load(); n != 100 {
			t.Errorf("%d bulk results", n)
		}
	})
}

// TestBusy checks that requests beyond the queue are refused, and that many at once are not.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sized(1, 0)
		o.MaxQueue, o.Ahead = 2, 1
		e, _ := newFakeEngine(t, o)
		var wait sync.WaitGroup
		var served, busy atomic.Int32
		for range 6 {
			time.Sleep(2 * fakeEncode)
			wait.Go(func() {
				switch _, err := e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "fr"})); {
				case err == nil:
					served.Add(1)
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		if err := e.TranscribeAll(t.Context(), []Request{chirp(300, 1, Request{}), chirp(300, 1, Request{})}, func(i int, r *Result) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}); err != nil {
			t.Error(err)
		}
		wait.Wait()
		if served.Load() != 4 || busy.Load() != 2 {
			t.Errorf("%d requests served, %d refused", served.Load(), busy.Load())
		}
	})
}

// TestRecordingsAreReadAhead checks that recordings are read while the device works, so that it does
// not wait, few of them at a time, and in their order.
func TestRecordingsAreReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sized(2, 0)
		o.Ahead = 3
		e, d := newFakeEngine(t, o)
		var mu sync.Mutex
		var order []int
		reading, most, finished := 0, 0, 0
		var requests []Request
		for i := range 20 {
			q := chirp(300, 1, Request{Language: "en"})
			read := q.Audio
			q.Audio = func() ([]float32, error) {
				mu.Lock()
				order = append(order, i)
				reading++
				most = max(most, len(order)-finished)
				mu.Unlock()
				time.Sleep(60 * time.Millisecond)
				return read()
			}
			requests = append(requests, q)
		}
		begin := time.Now()
		if err := e.TranscribeAll(t.Context(), requests, func(int, *Result) { mu.Lock(); finished++; mu.Unlock() }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if idle := time.Since(begin) - d.working; idle > 60*time.Millisecond {
			t.Errorf("the device waits for %v of %v", idle, time.Since(begin))
		}
		for i, got := range order { // a few begin at the same time
			if few := o.Ahead + o.MaxWindows; got < i-few || got > i+few {
				t.Errorf("read in the order %v", order)
				break
			}
		}
		if limit := o.Ahead + 2 + 2; most > limit { // 2 windows decoded, and done at the same time
			t.Errorf("%d recordings are held, more than %d", most, limit)
		}
	})
}

// TestPartsOfOneFailTogether checks that a window that fails takes along the others of its recording,
// and nobody else's.
func TestPartsOfOneFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, sized(3, 0))
		bad := errors.New("a bad window")
		failing := &failingDevice{fakeDevice: d, err: bad}
		e.stations[0].device = failing
		var spans [][2]float64
		for i := range 10 {
			spans = append(spans, [2]float64{2 * float64(i), 2*float64(i) + 1.9})
		}
		results := map[int]*Result{}
		requests := []Request{
			speechAt(chirp(300, 20, Request{Language: "de"}), spans...), speechAt(chirp(300, 20, Request{Language: "en"}), spans...), chirp(300, 1, Request{}),
		}
		if err := e.TranscribeAll(t.Context(), requests, func(i int, r *Result) { results[i] = r }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := results[0].Err; !errors.Is(err, bad) || !errors.Is(err, ErrInternal) {
			t.Errorf("the recording with a bad window: %v", err)
		}
		if r := results[1]; r.Err != nil || len(r.Segments) != len(spans) {
			t.Errorf("the other: %+v", r)
		}
		if results[2].Err != nil || d.encoded != 0 || e.scheduler.Len() != 0 {
			t.Errorf("%v; %d windows are not freed", results[2].Err, d.encoded)
		}
	})
}

// failingDevice fails the second window in German.
type failingDevice struct {
	*fakeDevice
	err    error
	german int
}

func (d *failingDevice) step() ([]whisper.Finished, error) {
	finished, err := d.fakeDevice.step()
	for i := range finished {
		if finished[i].Language == "de" {
			if d.german++; d.german == 2 {
				finished[i].Decoded.Err = fmt.Errorf("window %d: %w", finished[i].Ticket, d.err)
			}
		}
	}
	return finished, err
}
