package main

import (
	"cmp"
	"context"

	"glossa/asr"
	"glossa/asr/jobs"
	"glossa/asr/jobs/outbound"
)

// workerSetup says how a worker of this process does jobs.
type workerSetup struct {
	name     string // "" for one of its own
	models   []string
	slots    int  // 0: twice the windows that the engine decodes at a time
	urls     bool // sound may be got from addresses,
	internal bool // internal ones too
}

// jobWorker returns a worker that does a store's jobs on an engine.
func jobWorker(store *jobs.Store, e *servedEngine, w workerSetup) *jobs.Worker {
	reader := e.reader()
	o := jobs.WorkerOptions{
		Engine: e, Models: w.models, Name: w.name, Slots: cmp.Or(w.slots, 2*e.Windows()),
		Request: func(ctx context.Context, client string, p asr.Params) (asr.Request, error) {
			q, err := reader.Request(ctx, p)
			q.Client = client
			return q, err
		},
	}
	if w.urls {
		o.Fetch = outbound.Guard{Internal: w.internal, HTTP: w.internal}.Get
	}
	return jobs.NewWorker(store, o)
}
