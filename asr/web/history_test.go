package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"glossa/asr/web"
)

// counting is a source that computes 0.5 s a second, 10 s of sound in it.
type counting struct {
	began time.Time
	n     int
}

func (s *counting) Status() web.Status {
	s.n++
	passed := time.Since(s.began).Seconds()
	return web.Status{
		Started: s.began, QueueDepth: s.n, AudioSeconds: 10 * passed, BusySeconds: passed / 2,
		Batch: []web.Batch{
			{Language: "hi", Adapter: "hi", Priority: "live", Windows: 1}, {Language: "en", Priority: "bulk", Windows: 1},
			{Language: "hi", Adapter: "hi", Priority: "live", Windows: 2}, {Language: "hi", Priority: "live", Windows: 1},
		},
	}
}

// answer is what /status.json answers.
type answer struct {
	Model   string      `json:"model"`
	Status  web.Status  `json:"status"`
	History web.Columns `json:"history"`
}

func ask(t *testing.T, h http.Handler, query string) answer {
	t.Helper()
	w := get(h, "GET", "/status.json"+query)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != 200 {
		t.Fatalf("status %d: %v", w.Code, err)
	}
	return a
}

func TestHistoryIsTheLastTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		history := web.NewHistory(&counting{began: time.Now()})
		h := web.Handler(web.Options{About: fakeAbout, History: history})
		ended := make(chan struct{})
		go func() { history.Run(ctx); close(ended) }()

		time.Sleep(5*time.Second + time.Millisecond)
		a := ask(t, h, "")
		if n := len(a.History.Time); n != 6 || a.Status.QueueDepth != 6 || a.Model != "nano" {
			t.Fatalf("after 5 s: %d samples, status %+v", n, a.Status)
		}
		newer := ask(t, h, fmt.Sprintf("?since=%d", a.History.Time[3]))
		if n := len(newer.History.Time); n != 2 || newer.History.QueueDepth[0] != 5 {
			t.Errorf("newer than the fourth: %+v", newer.History)
		}

		time.Sleep(20 * time.Minute)
		a = ask(t, h, "")
		if n := len(a.History.Time); n != 600 || a.History.QueueDepth[599] != a.Status.QueueDepth {
			t.Fatalf("after 20 minutes: %d samples", n)
		}
		if span := a.History.Time[599] - a.History.Time[0]; span != 599_000 {
			t.Errorf("they span %d ms", span)
		}
		if rtfx, load := a.History.RTFx[300], a.History.Load[300]; rtfx < 19.99 || rtfx > 20.01 || load < 0.499 || load > 0.501 {
			t.Errorf("RTFx %v, load %v", rtfx, load)
		}
		cancel()
		<-ended
	})
}

func TestBatchIsCounted(t *testing.T) {
	h := web.Handler(web.Options{History: web.NewHistory(&counting{began: time.Now()})})
	got := ask(t, h, "").Status.Batch
	want := []web.Batch{
		{Language: "en", Priority: "bulk", Windows: 1}, {Language: "hi", Priority: "live", Windows: 1},
		{Language: "hi", Adapter: "hi", Priority: "live", Windows: 3},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("batch %v, want %v", got, want)
	}
}

func TestJobsAreToldWhereThereAre(t *testing.T) {
	with, without := get(handler(), "GET", "/status.json").Body.String(), get(web.Handler(web.Options{History: web.NewHistory(&counting{})}), "GET", "/status.json").Body.String()
	if !strings.Contains(with, `"jobs":{"queued":`) || !strings.Contains(with, `"failed":2,"backlog_seconds":`) {
		t.Errorf("%s", with)
	}
	if strings.Contains(without, `"jobs"`) {
		t.Errorf("%s", without)
	}
}

func TestStatusRefusesWhatIsNoTime(t *testing.T) {
	if w := get(handler(), "GET", "/status.json?since=yesterday"); w.Code != http.StatusBadRequest {
		t.Errorf("status %d", w.Code)
	}
}

func TestLatenciesAreThoseOfTheLatestSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l web.Latencies
		if q := l.Quantiles(); q != (web.Quantiles{}) {
			t.Errorf("of none: %+v", q)
		}
		for i := 1; i <= 100; i++ {
			l.Observe(time.Duration(i) * time.Millisecond)
		}
		if q := l.Quantiles(); q != (web.Quantiles{Count: 100, P50: 0.050, P95: 0.095, P99: 0.099}) {
			t.Errorf("of 1 to 100 ms: %+v", q)
		}
		time.Sleep(10 * time.Second)
		l.Observe(2 * time.Second)
		time.Sleep(6 * time.Second)
		if q := l.Quantiles(); q != (web.Quantiles{Count: 1, P50: 2, P95: 2, P99: 2}) {
			t.Errorf("after 16 s: %+v", q)
		}
		for range 10_000 {
			l.Observe(time.Millisecond)
		}
		if q := l.Quantiles(); q.Count != 4096 || q.P99 != 0.001 {
			t.Errorf("of very many: %+v", q)
		}
	})
}
