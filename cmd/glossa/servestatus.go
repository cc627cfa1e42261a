package main

import (
	"sync/atomic"
	"time"

	"glossa/asr"
	"glossa/asr/metrics"
	"glossa/asr/web"
	"glossa/asr/ws"
)

// now is what the server does now, for the status page. It counts beside the metrics.
type now struct {
	*metrics.Metrics
	started time.Time
	waits   web.Latencies // of requests, until they were first computed
	commits web.Latencies // of words of live sessions
	sound   atomic.Int64  // microseconds that were turned into text
	busy    atomic.Int64  // nanoseconds that devices computed
	failed  atomic.Int64  // jobs
	engine  *asr.Engine
	devices int // at the beginning
	live    *ws.Server
	backlog func() []asr.JobBacklog // nil where there are no jobs
}

func newNow(m *metrics.Metrics) *now { return &now{Metrics: m, started: time.Now()} }

// watch says whom to ask.
func (n *now) watch(e *asr.Engine, live *ws.Server) {
	n.engine, n.live, n.devices = e, live, len(e.Load().Devices)
}

// observer tells both the metrics and n what the engine does.
func (n *now) observer() *asr.Observer {
	o := *n.Metrics.Observer()
	counted := o
	o.Waited = func(p asr.Priority, wait time.Duration) {
		counted.Waited(p, wait)
		n.waits.Observe(wait)
	}
	o.Encoded = func(e asr.Encoded) {
		counted.Encoded(e)
		n.busy.Add(int64(e.Duration))
	}
	o.Stepped = func(s asr.Stepped) {
		counted.Stepped(s)
		n.busy.Add(int64(s.Duration))
	}
	o.Finished = func(f asr.Finished) {
		counted.Finished(f)
		if f.Err == nil {
			n.sound.Add(int64(f.Audio * 1e6))
		}
	}
	return &o
}

// Committed is a part of ws.Metrics.
func (n *now) Committed(latency time.Duration) {
	n.Metrics.Committed(latency)
	n.commits.Observe(latency)
}

// JobFinished is a part of jobs.Metrics.
func (n *now) JobFinished(j asr.Job) {
	n.Metrics.JobFinished(j)
	if j.State == asr.JobFailed {
		n.failed.Add(1)
	}
}

// jobs is what the server knows of jobs, nil where there are none.
func (n *now) jobs() *web.Jobs {
	if n.backlog == nil {
		return nil
	}
	j := &web.Jobs{Failed: int(n.failed.Load())}
	for _, b := range n.backlog() {
		j.BacklogSeconds += b.Audio
		if b.State == asr.JobQueued {
			j.Queued += b.Jobs
		} else {
			j.Running += b.Jobs
		}
	}
	return j
}

// Status is a part of web.Source.
func (n *now) Status() web.Status {
	s := web.Status{
		Started: n.started, QueueWait: n.waits.Quantiles(), CommitLatency: n.commits.Quantiles(),
		AudioSeconds: float64(n.sound.Load()) / 1e6, BusySeconds: time.Duration(n.busy.Load()).Seconds() / float64(max(1, n.devices)),
		MemoryBytes: uint64(max(0, procField("/proc/self/status", "VmRSS:"))), Jobs: n.jobs(),
	}
	if n.engine == nil {
		return s
	}
	load := n.engine.Load()
	s.QueueDepth, s.QueueSeconds, s.Requests, s.MaxWindows = load.Queued, load.QueuedAudio, load.Requests, load.MaxWindows
	s.Sessions, s.Speaking = n.live.Sessions(), n.engine.Speaking()
	for _, w := range load.Windows {
		s.Batch = append(s.Batch, web.Batch{Language: w.Language, Adapter: w.Adapter, Priority: w.Priority, Windows: 1})
	}
	for _, d := range load.Devices {
		s.Devices = append(s.Devices, web.Device{Name: d.Name, Lost: d.Fault != "", Windows: d.Windows, MemoryBytes: d.Memory, MaxMemoryBytes: d.MaxMemory})
	}
	for _, a := range n.engine.Adapters() {
		s.Adapters = append(s.Adapters, web.Adapter{
			Name: a.Name, Kind: string(a.Kind), Rank: a.Rank, Tier: string(a.Tier), Bytes: a.Bytes, Pins: a.Pins, Requests: a.Requests,
		})
	}
	return s
}
