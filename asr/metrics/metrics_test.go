package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/metrics"
)

// scrape returns the metrics as a scraper has them.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// TestAllMetrics checks that each metric is there, with what was told of it.
func TestAllMetrics(t *testing.T) {
	m := metrics.New()
	m.WatchLoad(func() asr.Load {
		return asr.Load{Queued: 3, QueuedAudio: 12.5, Memory: 4096, Windows: []asr.WindowLoad{{Priority: "live"}, {Priority: "live"}, {Priority: "bulk"}}, Devices: []asr.DeviceLoad{
			{Name: "cuda:0", Windows: 3, Memory: 4096, MaxMemory: 8192}, {Name: "cuda:1", Fault: "off the bus"},
		}}
	})
	m.Request("/v1/models", 200, 20*time.Millisecond)
	m.Request("/v1/stream", 101, time.Hour)
	m.Request("/v1/models", 99999, time.Millisecond)
	m.SessionOpened("/v1/stream")
	m.SessionOpened("/v1/stream")
	m.SessionClosed("/v1/stream")
	m.Committed(700 * time.Millisecond)
	m.DroppedPartials(5)
	m.DroppedPartials(-1)
	o := m.Observer()
	o.Waited(asr.Live, 30*time.Millisecond)
	o.Encoded(asr.Encoded{Windows: 2, Duration: 100 * time.Millisecond})
	o.Stepped(asr.Stepped{Rows: 7, Windows: 3, Adapters: 2, Duration: 3 * time.Millisecond})
	o.FellBack(asr.FallbackLogProb)
	o.Silent()
	o.Device(asr.DeviceEvent{Kind: asr.DeviceLost, Device: "cuda:1"})
	o.Finished(asr.Finished{Language: "cs", Adapter: "cs", Audio: 2.5})
	o.Finished(asr.Finished{Audio: 1})
	o.Finished(asr.Finished{Language: "de", Audio: 3, Priority: asr.Live})
	o.Finished(asr.Finished{Language: "de", Audio: 4, Priority: asr.Live})
	m.Transcribed("de", "", 4)
	o.Finished(asr.Finished{Audio: 1, Priority: asr.Bulk, Err: fmt.Errorf("%w: hung up", asr.ErrCancelled)})
	got := scrape(t, m)
	for _, want := range []string{
		`asr_requests_total{code="200",route="/v1/models"} 1`,
		`asr_requests_total{code="101",route="/v1/stream"} 1`,
		`asr_requests_total{code="0",route="/v1/models"} 1`,
		`asr_request_seconds_count{route="/v1/models"} 2`,
		`asr_queue_depth 3`,
		`asr_queue_audio_seconds 12.5`,
		`asr_windows_memory_bytes 4096`,
		`asr_batch_windows{priority="live"} 2`,
		`asr_device_up{device="cuda:0"} 1`,
		`asr_device_up{device="cuda:1"} 0`,
		`asr_device_windows{device="cuda:0"} 3`,
		`asr_device_windows_memory_bytes{device="cuda:0"} 4096`,
		`asr_device_windows_memory_limit_bytes{device="cuda:0"} 8192`,
		`asr_device_events_total{event="lost"} 1`,
		`asr_device_events_total{event="short"} 0`,
		`asr_batch_windows{priority="normal"} 0`,
		`asr_queue_wait_seconds_bucket{priority="live",le="0.05"} 1`,
		`asr_batch_rows_sum 7`,
		`asr_batch_adapters_sum 2`,
		`asr_encode_seconds_sum 0.1`,
		`asr_decode_seconds_sum 0.003`,
		`asr_audio_seconds_total{adapter="cs",language="cs"} 2.5`,
		`asr_audio_seconds_total{adapter="none",language="none"} 1`,
		`asr_audio_seconds_total{adapter="none",language="de"} 4`,
		`asr_live_heard_seconds_total 7`,
		`asr_engine_requests_total{outcome="ok",priority="normal"} 2`,
		`asr_engine_requests_total{outcome="cancelled",priority="bulk"} 1`,
		`asr_fallback_total{reason="log_prob"} 1`,
		`asr_fallback_total{reason="compression_ratio"} 0`,
		`asr_no_speech_total 1`,
		`asr_ws_sessions{route="/v1/stream"} 1`,
		`asr_ws_commit_latency_seconds_sum 0.7`,
		`asr_ws_dropped_partials_total 5`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no line %s", want)
		}
	}
	if strings.Contains(got, `asr_request_seconds_count{route="/v1/stream"}`) {
		t.Error("a websocket's duration is among those of requests")
	}
}

// TestLabelsAreBounded checks that names without end do not make series without end, from many goroutines.
func TestLabelsAreBounded(t *testing.T) {
	m := metrics.New()
	o := m.Observer()
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 2000 {
				name := fmt.Sprintf("x%d-%d", g, i)
				m.Request("/"+name, i, time.Millisecond)
				m.SessionOpened("/" + name)
				o.Finished(asr.Finished{Language: name, Adapter: name, Audio: 1})
			}
		})
	}
	wait.Wait()
	got := scrape(t, m)
	// 64 routes, each with 500 codes at most; of adapters 256 and other, beside 128 languages and other.
	for name, most := range map[string]int{"asr_ws_sessions{": 65, "asr_audio_seconds_total{": 257 + 129, "asr_request_seconds_count{": 65} {
		if n := strings.Count(got, "\n"+name); n > most || n < 65 {
			t.Errorf("%d series of %s", n, name)
		}
	}
	if !strings.Contains(got, `asr_audio_seconds_total{adapter="other",language="other"}`) {
		t.Error("what is beyond is not counted")
	}
}
