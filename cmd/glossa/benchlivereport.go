package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"glossa/eval"
)

// liveReport is the outcome of bench live.
type liveReport struct {
	Server  string       `json:"server,omitempty"` // where it is another process
	Model   string       `json:"model,omitempty"`
	Policy  string       `json:"policy"`
	TargetS float64      `json:"target_s"`
	Largest int          `json:"largest_in_time,omitempty"` // of --search
	Live    []liveResult `json:"live"`
}

// liveResult are the figures of one number of clients. Latencies are seconds.
type liveResult struct {
	Streams  int       `json:"streams"`
	Bulk     bool      `json:"bulk"`
	Words    int       `json:"words"`
	Commit   quantiles `json:"commit"`
	Partial  quantiles `json:"partial"`
	Final    quantiles `json:"final"`
	First    quantiles `json:"first"`
	LagS     float64   `json:"lag_s"`
	Dropped  *float64  `json:"dropped_partials,omitempty"`  // where the server tells
	CPU      *float64  `json:"cpu,omitempty"`               // processors, where the server tells
	BulkRTFx float64   `json:"bulk_rtfx,omitempty"`         // seconds of sound that the bulk load had transcribed each second
	Growth   *float64  `json:"commit_p95_growth,omitempty"` // beside bulk, to that without
}

// quantiles are of some latencies, in seconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

func quantilesOf(times []time.Duration) quantiles {
	return quantiles{percentile(times, 0.5).Seconds(), percentile(times, 0.95).Seconds(), percentile(times, 0.99).Seconds()}
}

// newLiveResult derives the figures of a number of clients.
func newLiveResult(n int, bulk bool, s liveSum) liveResult {
	return liveResult{
		Streams: n, Bulk: bulk, Words: s.words, LagS: s.lag.Seconds(),
		Commit: quantilesOf(s.commit), Partial: quantilesOf(s.partial), Final: quantilesOf(s.final), First: quantilesOf(s.first),
	}
}

// print prints the report.
func (b *benchLiveCommand) print(c *console, r *liveReport) error {
	if b.JSON {
		return c.printJSON(r)
	}
	table := liveTable(r)
	text := table.Text()
	if b.Markdown {
		text = table.Markdown()
	}
	if b.Search {
		text += fmt.Sprintf("\n%d clients at a time have their words committed within %v, 95 of 100.\n", r.Largest, b.Target)
	}
	return c.print(text)
}

// liveTable returns the results as a table.
func liveTable(r *liveReport) eval.Table {
	header := "streams,beside,words,commit p50,p95,p99,partial p50,p95,final p50,p95,first p50,lag,dropped,CPU,bulk RTFx,p95 grows"
	t := eval.Table{Names: 2, Cells: [][]string{strings.Split(header, ",")}}
	seconds := func(s float64) string { return fmt.Sprintf("%.2f", s) }
	known := func(v *float64, format string) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf(format, *v)
	}
	for _, l := range r.Live {
		beside, rtfx := "-", "-"
		if l.Bulk {
			beside, rtfx = "bulk", fmt.Sprintf("%.1f", l.BulkRTFx)
		}
		t.Cells = append(t.Cells, []string{
			strconv.Itoa(l.Streams), beside, strconv.Itoa(l.Words),
			seconds(l.Commit.P50), seconds(l.Commit.P95), seconds(l.Commit.P99),
			seconds(l.Partial.P50), seconds(l.Partial.P95), seconds(l.Final.P50), seconds(l.Final.P95), seconds(l.First.P50),
			seconds(l.LagS), known(l.Dropped, "%.0f"), known(l.CPU, "%.2f"), rtfx, known(l.Growth, "%+.0f%%"),
		})
	}
	return t
}
