package asr

import "context"

// clientKey is the key of a client's name in a context.
type clientKey struct{}

// WithClient returns a context that carries the name of the client whom a transport has authenticated, for
// Request.Client.
func WithClient(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, clientKey{}, name)
}

// ClientOf returns the name of the client that a context carries, "" where it is nobody in particular.
func ClientOf(ctx context.Context) string {
	name, _ := ctx.Value(clientKey{}).(string)
	return name
}
