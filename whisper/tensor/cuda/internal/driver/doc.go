//go:build cuda && linux

// Package driver runs work on one GPU: it owns the device's context and its memory, and replays lists of work as graphs.
//
// A [Device] belongs to one goroutine on a thread of its own; the methods may be called from any goroutine and hand their
// work to it. Work is collected in a [List] of launches, products and copies, without any call of the driver, and handed over as a
// whole by [Device.Run]. A list that equals one seen before is captured as a CUDA graph and from then on replayed: what
// differs from step to step must be in the list's staging buffer, whose contents are no part of the comparison.
//
// All work is in the order in which it was run: there is one stream.
package driver
