package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// liveBench measures live sessions of one server.
type liveBench struct {
	flags   *benchLiveCommand
	console *console
	clips   []clip
	server  string // its address
	remote  *remoteClient
	report  liveReport
	close   func()
}

// open returns a bench of the server that the flags name, or of one in this process.
func (b *benchLiveCommand) open(ctx context.Context, c *console, clips []clip) (*liveBench, error) {
	bench := &liveBench{flags: b, console: c, clips: clips, server: b.Server, close: func() {}}
	bench.report = liveReport{Server: b.Server, Policy: b.Policy, TargetS: b.Target.Seconds()}
	if b.Server == "" {
		var err error
		if bench.server, bench.close, err = b.serve(ctx); err != nil {
			return nil, err
		}
		bench.report.Model = b.Model
	}
	bench.remote = newRemoteClient(bench.server, b.serverKey)
	// The first requests bring things in that the later ones find there.
	for _, c := range clips[:min(len(clips), b.Batch)] {
		if _, err := bench.remote.transcribe(ctx, bulkRequest(&c)); err != nil {
			bench.close()
			return nil, err
		}
	}
	return bench, nil
}

// serve serves the model that the flags name at a port of this machine.
func (b *benchLiveCommand) serve(ctx context.Context) (address string, end func(), err error) {
	dir, err := os.MkdirTemp("", "glossa-bench-")
	if err != nil {
		return "", nil, err
	}
	flags := serverFlags{modelFlags: b.modelFlags, Workers: 1, VAD: vadBuiltin, Data: filepath.Join(dir, "data"), LogLevel: slog.LevelError}
	flags.Speakers = 1 << 16 // how many are heard in time is what is measured
	log := slog.New(slog.DiscardHandler)
	service, err := flags.open(ctx, log)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		service.close()
		os.RemoveAll(dir)
		return "", nil, err
	}
	server := &http.Server{Handler: service.handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // until it is closed
	}()
	return "http://" + l.Addr().String(), func() {
		_ = server.Close() // nothing is under way
		<-ended
		service.close()
		os.RemoveAll(dir)
	}, nil
}

// measure measures a number of clients, and again with a bulk load beside them where that is asked for.
func (b *liveBench) measure(ctx context.Context, n int) error {
	alone, err := b.run(ctx, n, false)
	if err != nil || !b.flags.Bulk {
		return err
	}
	beside, err := b.run(ctx, n, true)
	if err != nil {
		return err
	}
	if alone.Commit.P95 > 0 {
		growth := 100 * (beside.Commit.P95/alone.Commit.P95 - 1)
		beside.Growth = &growth
	}
	return nil
}

// run measures a number of clients and adds the result to the report.
func (b *liveBench) run(ctx context.Context, n int, bulk bool) (*liveResult, error) {
	b.console.advance(0, "%d clients", n)
	before, err := b.remote.metrics(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var load *bulkLoad
	if bulk {
		load = b.startBulk(ctx)
	}
	sum, err := b.speakers(ctx, n)
	wall := time.Since(begin)
	transcribed, bulkErr := load.stop()
	switch {
	case err != nil:
		return nil, err
	case bulkErr != nil:
		return nil, fmt.Errorf("bulk: %w", bulkErr)
	}
	after, err := b.remote.metrics(ctx)
	if err != nil {
		return nil, err
	}
	r := newLiveResult(n, bulk, sum)
	r.BulkRTFx = transcribed / wall.Seconds()
	r.Dropped = after.since(before, "asr_ws_dropped_partials_total", 1)
	r.CPU = after.since(before, "process_cpu_seconds_total", 1/wall.Seconds())
	b.report.Live = append(b.report.Live, r)
	return &b.report.Live[len(b.report.Live)-1], nil
}

// search looks for the greatest number of clients whose words are committed in time: it doubles the number until
// they are not, and then halves the interval. What it found it measures beside bulk, where that is asked for.
func (b *liveBench) search(ctx context.Context, n int) error {
	good, bad := 0, 0
	for bad == 0 || bad-good > max(1, good/16) {
		r, err := b.run(ctx, n, false)
		if err != nil {
			return err
		}
		if r.Words > 0 && r.Commit.P95 <= b.flags.Target.Seconds() {
			good, n = n, 2*n
		} else {
			bad = n
		}
		if bad > 0 {
			n = (good + bad) / 2
		}
		if n == 0 {
			break
		}
	}
	b.report.Largest = good
	if good > 0 && b.flags.Bulk {
		return b.measure(ctx, good)
	}
	return nil
}
