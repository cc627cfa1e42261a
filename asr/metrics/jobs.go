package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"glossa/asr"
)

// jobMetrics are those of jobs.
type jobMetrics struct {
	submitted, finished *prometheus.CounterVec
	redelivered, dead   prometheus.Counter
	seconds             *prometheus.HistogramVec
	hooks               *prometheus.CounterVec
}

// jobSeconds are the buckets of what may take hours.
var jobSeconds = []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400}

// newJobMetrics returns them, made by what makes counters and histograms.
func newJobMetrics(
	counter func(name, help string, labels ...string) *prometheus.CounterVec,
	histogram func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec,
) jobMetrics {
	return jobMetrics{
		submitted:   counter("asr_jobs_submitted_total", "Submissions of jobs, by priority, and whether the job was there before.", "priority", "duplicate"),
		finished:    counter("asr_jobs_finished_total", "Jobs that are done, failed or cancelled, by state and priority.", "state", "priority"),
		redelivered: counter("asr_jobs_redelivered_total", "Jobs that were delivered to a worker again.").WithLabelValues(),
		dead:        counter("asr_jobs_dead_total", "Jobs that became dead letters.").WithLabelValues(),
		seconds:     histogram("asr_jobs_seconds", "Time from a job's submission to its end, by state.", jobSeconds, "state"),
		hooks:       counter("asr_hooks_total", "Attempts to tell of a job's end, by outcome: delivered; failed, to be tried again; gone, refused or expired, given up.", "outcome"),
	}
}

// JobSubmitted counts a submission.
func (m *Metrics) JobSubmitted(p asr.Priority, duplicate bool) {
	m.jobs.submitted.WithLabelValues(p.String(), strconv.FormatBool(duplicate)).Inc()
}

// JobFinished counts a job whose state is final.
func (m *Metrics) JobFinished(j asr.Job) {
	m.jobs.finished.WithLabelValues(string(j.State), j.Priority.String()).Inc()
	if !j.Finished.IsZero() {
		m.jobs.seconds.WithLabelValues(string(j.State)).Observe(max(0, j.Finished.Sub(j.Created).Seconds()))
	}
}

// JobRedelivered counts a job that was delivered again.
func (m *Metrics) JobRedelivered() { m.jobs.redelivered.Inc() }

// JobDead counts a dead letter.
func (m *Metrics) JobDead() { m.jobs.dead.Inc() }

// HookCalled counts an attempt to tell of a job's end.
func (m *Metrics) HookCalled(outcome string) { m.jobs.hooks.WithLabelValues(outcome).Inc() }

// WatchBacklog makes gauges of what backlog returns whenever metrics are asked for: jobs that wait or run, on all workers together. It must be
// called once at most.
func (m *Metrics) WatchBacklog(backlog func() []asr.JobBacklog) {
	m.registry.MustRegister(&backlogCollector{backlog, newLabel(maxModels)})
}

// backlogCollector collects the gauges of a backlog from one snapshot of it.
type backlogCollector struct {
	backlog func() []asr.JobBacklog
	models  *label
}

var (
	backlogLabels = []string{"model", "priority", "state"}
	backlogJobs   = prometheus.NewDesc("asr_jobs_backlog", "Jobs that wait (queued) or run.", backlogLabels, nil)
	backlogAudio  = prometheus.NewDesc("asr_jobs_backlog_audio_seconds", "Sound of jobs that wait or run which has no text yet, as far as its duration is known.", backlogLabels, nil)
)

// Describe implements prometheus.Collector.
func (c *backlogCollector) Describe(out chan<- *prometheus.Desc) {
	out <- backlogJobs
	out <- backlogAudio
}

// Collect implements prometheus.Collector. Models beyond those that a label may have are together.
func (c *backlogCollector) Collect(out chan<- prometheus.Metric) {
	type of struct{ model, priority, state string }
	sums := make(map[of]asr.JobBacklog)
	for _, b := range c.backlog() {
		k := of{c.models.value(b.Model), b.Priority.String(), string(b.State)}
		sum := sums[k]
		sum.Jobs += b.Jobs
		sum.Audio += b.Audio
		sums[k] = sum
	}
	for k, sum := range sums {
		out <- prometheus.MustNewConstMetric(backlogJobs, prometheus.GaugeValue, float64(sum.Jobs), k.model, k.priority, k.state)
		out <- prometheus.MustNewConstMetric(backlogAudio, prometheus.GaugeValue, sum.Audio, k.model, k.priority, k.state)
	}
}
