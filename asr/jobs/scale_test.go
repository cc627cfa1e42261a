package jobs

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"glossa/asr"
)

// BenchmarkList lists pages of 100 of 100,000 jobs, and tells what the index takes: time until all records have been seen, and memory.
func BenchmarkList(b *testing.B) {
	const jobs = 100_000
	server := startBroker(b)
	writer := openStore(b, server, Options{})
	states := []asr.JobState{asr.JobQueued, asr.JobRunning, asr.JobDone, asr.JobFailed, asr.JobCancelled}
	begin := time.Now().Add(-time.Hour)
	for i := range jobs {
		r := record{Sequence: uint64(i), Job: asr.Job{ID: fmt.Sprintf("%032x", i*7919), Client: fmt.Sprint("client-", i%100), Name: "recording.wav", Model: "m",
			Params: asr.Params{"language": {"cs"}, "response_format": {"verbose_json"}}, State: states[i%len(states)], Audio: 60, Created: begin.Add(time.Duration(i) * time.Millisecond)}}
		body, err := json.Marshal(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := writer.js.PublishAsync("$KV."+bucketJobs+"."+r.ID, body); err != nil {
			b.Fatal(err)
		}
	}
	<-writer.js.PublishAsyncComplete()

	s := openStore(b, server, Options{})
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	from := time.Now()
	if err := s.index.ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	loaded := time.Since(from)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := len(s.index.byID); n != jobs {
		b.Fatalf("%d jobs", n)
	}
	for _, of := range []struct {
		name   string
		client string
		q      asr.JobQuery
	}{{"newest", AnyClient, asr.JobQuery{}}, {"client", "client-7", asr.JobQuery{}}, {"none", "nobody", asr.JobQuery{}}} {
		b.Run(of.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Jobs(b.Context(), of.client, of.q); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/jobs, "B/job")
			b.ReportMetric(loaded.Seconds(), "s/load")
		})
	}
	b.Run("backlog", func(b *testing.B) {
		for b.Loop() {
			s.Backlog()
		}
	})
}
