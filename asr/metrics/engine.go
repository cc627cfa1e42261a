package metrics

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"glossa/asr"
)

// Observer returns the observer through which an engine tells what it does.
func (m *Metrics) Observer() *asr.Observer {
	return &asr.Observer{
		Waited: func(p asr.Priority, wait time.Duration) {
			m.queueWait.WithLabelValues(p.String()).Observe(wait.Seconds())
		},
		Encoded: func(e asr.Encoded) { m.encodeSeconds.Observe(e.Duration.Seconds()) },
		Stepped: func(s asr.Stepped) {
			m.batchRows.Observe(float64(s.Rows))
			m.batchAdapters.Observe(float64(s.Adapters))
			m.decodeSeconds.Observe(s.Duration.Seconds())
		},
		FellBack: func(f asr.Fallback) { m.fallback.WithLabelValues(string(f)).Inc() },
		Silent:   m.noSpeech.Inc,
		Device:   func(d asr.DeviceEvent) { m.deviceEvents.WithLabelValues(string(d.Kind)).Inc() },
		Finished: m.finished,
	}
}

func (m *Metrics) finished(f asr.Finished) {
	m.engineRequests.WithLabelValues(f.Priority.String(), outcome(f.Err)).Inc()
	if f.Err != nil {
		return
	}
	if f.Priority == asr.Live {
		m.liveHeard.Add(f.Audio) // again and again, until it is final: the session tells of it then
		return
	}
	m.Transcribed(f.Language, f.Adapter, f.Audio)
}

// Transcribed counts sound that has become text, in seconds. Of recordings the engine tells; of live sessions, whoever has their final
// segments.
func (m *Metrics) Transcribed(language, adapter string, seconds float64) {
	if language == "" {
		language = asr.None // no speech was found
	}
	if adapter == "" {
		adapter = asr.None
	}
	m.audioSeconds.WithLabelValues(m.languages.value(language), m.adapters.value(adapter)).Add(max(seconds, 0))
}

// outcome returns the label of how a request ended.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, asr.ErrBusy):
		return "busy"
	case errors.Is(err, asr.ErrCancelled):
		return "cancelled"
	case errors.Is(err, asr.ErrNotFound):
		return "not_found"
	case errors.Is(err, asr.ErrInternal):
		return "internal"
	}
	return "invalid" // among them what is wrong with the sound
}

// WatchLoad makes gauges of what load, the engine's Load, returns whenever metrics are asked for. It must be called once
// at most.
func (m *Metrics) WatchLoad(load func() asr.Load) { m.registry.MustRegister(&loadCollector{load}) }

// loadCollector collects the gauges of an engine's load from one snapshot of it.
type loadCollector struct{ load func() asr.Load }

var (
	queueDepth = prometheus.NewDesc("asr_queue_depth", "Requests of which nothing was encoded yet.", nil, nil)
	queueAudio = prometheus.NewDesc("asr_queue_audio_seconds", "Sound of the requests in the queue, of those whose sound was read.", nil, nil)
	windows    = prometheus.NewDesc("asr_batch_windows", "Windows in the decoding batch, by priority.", []string{"priority"}, nil)
	memory     = prometheus.NewDesc("asr_windows_memory_bytes", "Memory of all windows that have a place.", nil, nil)

	deviceUp      = prometheus.NewDesc("asr_device_up", "Whether a device is in service.", []string{"device"}, nil)
	deviceWindows = prometheus.NewDesc("asr_device_windows", "Windows that have their places on a device.", []string{"device"}, nil)
	deviceMemory  = prometheus.NewDesc("asr_device_windows_memory_bytes", "Memory of these windows.", []string{"device"}, nil)
	deviceRoom    = prometheus.NewDesc("asr_device_windows_memory_limit_bytes", "The most memory that windows may have on a device, as far as is known.", []string{"device"}, nil)
)

// Describe implements prometheus.Collector.
func (c *loadCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueDepth, queueAudio, windows, memory, deviceUp, deviceWindows, deviceMemory, deviceRoom} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *loadCollector) Collect(out chan<- prometheus.Metric) {
	l := c.load()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(queueDepth, float64(l.Queued))
	gauge(queueAudio, l.QueuedAudio)
	gauge(memory, float64(l.Memory))
	for _, d := range l.Devices {
		up := 1.0
		if d.Fault != "" {
			up = 0
		}
		gauge(deviceUp, up, d.Name)
		gauge(deviceWindows, float64(d.Windows), d.Name)
		gauge(deviceMemory, float64(d.Memory), d.Name)
		gauge(deviceRoom, float64(d.MaxMemory), d.Name)
	}
	byPriority := make(map[string]int)
	for _, p := range []asr.Priority{asr.Live, asr.Normal, asr.Bulk} {
		byPriority[p.String()] = 0
	}
	for _, w := range l.Windows {
		byPriority[w.Priority]++
	}
	for p, n := range byPriority {
		gauge(windows, float64(n), p)
	}
}
