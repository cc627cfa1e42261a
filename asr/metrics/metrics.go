package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"glossa/asr"
)

// The greatest numbers of values of labels. The model knows a hundred languages.
const (
	maxRoutes    = 64
	maxLanguages = 128
	maxAdapters  = 256
	maxModels    = 64
)

// Metrics are the metrics of a server. They are safe for concurrent use.
type Metrics struct {
	registry                     *prometheus.Registry
	routes, languages, adapters  *label
	jobs                         jobMetrics
	requests                     *prometheus.CounterVec
	requestSeconds               *prometheus.HistogramVec
	queueWait                    *prometheus.HistogramVec
	batchRows, batchAdapters     prometheus.Histogram
	encodeSeconds, decodeSeconds prometheus.Histogram
	engineRequests               *prometheus.CounterVec
	audioSeconds                 *prometheus.CounterVec
	fallback                     *prometheus.CounterVec
	noSpeech                     prometheus.Counter
	deviceEvents                 *prometheus.CounterVec
	liveHeard                    prometheus.Counter
	sessions                     *prometheus.GaugeVec
	commitLatency                prometheus.Histogram
	droppedPartials              prometheus.Counter
}

// Buckets of histograms: seconds of a step or an encoder batch, and those that people wait.
var (
	computeSeconds = prometheus.ExponentialBuckets(0.001, 2, 14) // to 8 s
	waitSeconds    = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300}
	counts         = []float64{1, 2, 4, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128}
)

// New returns the metrics of a server, each at zero.
func New() *Metrics {
	r := prometheus.NewRegistry()
	m := &Metrics{registry: r, routes: newLabel(maxRoutes), languages: newLabel(maxLanguages), adapters: newLabel(maxAdapters)}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		r.MustRegister(h)
		return h
	}
	plain := func(h *prometheus.HistogramVec) prometheus.Histogram {
		return h.WithLabelValues().(prometheus.Histogram)
	}

	m.requests = counter("asr_requests_total", "Requests of HTTP, by route and status.", "route", "code")
	m.requestSeconds = histogram("asr_request_seconds", "Durations of requests of HTTP, those of websockets left out.", waitSeconds, "route")
	m.queueWait = histogram("asr_queue_wait_seconds", "Time from a request's coming to when the engine first encodes sound of it.", waitSeconds, "priority")
	m.batchRows = plain(histogram("asr_batch_rows", "Hypotheses in a step of the decoding batch.", counts))
	m.batchAdapters = plain(histogram("asr_batch_adapters", "Distinct adapters in a step of the decoding batch.", append([]float64{0}, counts...)))
	m.encodeSeconds = plain(histogram("asr_encode_seconds", "Durations of encoder batches.", computeSeconds))
	m.decodeSeconds = plain(histogram("asr_decode_seconds", "Durations of steps of the decoding batch.", computeSeconds))
	m.engineRequests = counter("asr_engine_requests_total", "Recordings, and hypotheses of live sessions, that the engine is done with, by priority and outcome.", "priority", "outcome")
	m.audioSeconds = counter("asr_audio_seconds_total", "Sound that was transcribed, by language and adapter; the base model is none.", "language", "adapter")
	m.fallback = counter("asr_fallback_total", "Windows that were decoded again at a higher temperature, by reason.", "reason")
	m.noSpeech = counter("asr_no_speech_total", "Windows that were taken for silence.").WithLabelValues()

	m.deviceEvents = counter("asr_device_events_total", "What has befallen devices: they were lost, short of memory, could not compute a log-mel, or joined in the place of others.", "event")

	m.liveHeard = counter("asr_live_heard_seconds_total", "Sound that hypotheses of live sessions were made from, each time.").WithLabelValues()

	m.sessions = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "asr_ws_sessions", Help: "Live sessions, by route."}, []string{"route"})
	r.MustRegister(m.sessions)
	m.commitLatency = plain(histogram("asr_ws_commit_latency_seconds", "Time from the end of a word to when its text is committed.", waitSeconds))
	m.droppedPartials = counter("asr_ws_dropped_partials_total", "Partials whose place a newer one took before they were sent.").WithLabelValues()

	for _, reason := range []asr.Fallback{asr.FallbackCompressionRatio, asr.FallbackLogProb} {
		m.fallback.WithLabelValues(string(reason)) // a rate of what has not happened yet is 0
	}
	for _, kind := range []asr.DeviceEventKind{asr.DeviceLost, asr.DeviceShort, asr.DeviceJoined, asr.DeviceLogMel} {
		m.deviceEvents.WithLabelValues(string(kind))
	}
	m.jobs = newJobMetrics(counter, histogram)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers with all metrics, in the format that the scraper asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Request counts a request of HTTP that was answered.
func (m *Metrics) Request(route string, code int, d time.Duration) {
	if code < 100 || code > 599 {
		code = 0
	}
	route = m.routes.value(route)
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	if code != http.StatusSwitchingProtocols {
		m.requestSeconds.WithLabelValues(route).Observe(d.Seconds())
	}
}

// SessionOpened counts a live session that has begun, until SessionClosed of the same route.
func (m *Metrics) SessionOpened(route string) {
	m.sessions.WithLabelValues(m.routes.value(route)).Inc()
}

// SessionClosed counts a live session no more.
func (m *Metrics) SessionClosed(route string) {
	m.sessions.WithLabelValues(m.routes.value(route)).Dec()
}

// Committed tells how long after the end of a word its text was committed.
func (m *Metrics) Committed(latency time.Duration) { m.commitLatency.Observe(latency.Seconds()) }

// DroppedPartials counts partials whose place a newer one took. n is not negative.
func (m *Metrics) DroppedPartials(n int64) { m.droppedPartials.Add(float64(max(n, 0))) }
