package main

import (
	"context"
	"log/slog"
	"net/http"
)

// service is what answers requests.
type service struct {
	handler http.Handler
	keyed   bool                            // a key is asked for
	drain   func(ctx context.Context) error // refuses new work, and returns when none is under way
	close   func()
}

// open opens the engine and what serves it.
func (s *serverFlags) open(ctx context.Context, log *slog.Logger) (*service, error) {
	return &service{handler: http.NotFoundHandler(), drain: func(context.Context) error { return nil }, close: func() {}}, nil
}
