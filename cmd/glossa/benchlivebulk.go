package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
	"sync/atomic"

	"glossa/asr"
)

// bulkLoad sends files to a server all the time.
type bulkLoad struct {
	cancel  context.CancelCauseFunc
	ctx     context.Context
	workers sync.WaitGroup
	done    atomic.Int64 // milliseconds of sound
}

// bulkRequests is how many files are on their way at a time.
const bulkRequests = 16

// errEnough ends a load.
var errEnough = errors.New("enough")

// startBulk begins to send clips.
func (b *liveBench) startBulk(ctx context.Context) *bulkLoad {
	l := &bulkLoad{}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	var next atomic.Int64
	for range bulkRequests {
		l.workers.Go(func() {
			for l.ctx.Err() == nil {
				c := &b.clips[int(next.Add(1)-1)%len(b.clips)]
				if _, err := b.remote.transcribe(l.ctx, bulkRequest(c)); err != nil {
					l.cancel(err)
					return
				}
				l.done.Add(int64(1000 * c.seconds()))
			}
		})
	}
	return l
}

// stop ends the load, and returns how many seconds of sound it had transcribed.
func (l *bulkLoad) stop() (float64, error) {
	if l == nil {
		return 0, nil
	}
	l.cancel(errEnough)
	l.workers.Wait()
	if err := context.Cause(l.ctx); !errors.Is(err, errEnough) {
		return 0, err
	}
	return seconds(l.done.Load()), nil
}

// bulkRequest asks for the text of a clip.
func bulkRequest(c *clip) remoteRequest {
	return remoteRequest{name: c.name, plain: true, fields: url.Values{"priority": {asr.Bulk.String()}}, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.file)), nil }}
}
