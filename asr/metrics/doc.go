// Package metrics counts what a server does for Prometheus: the engine's work, as its [asr.Observer], and what transports
// tell it. The names of the metrics are those of the table in metrics.go; beside them are those of the Go runtime and the
// process.
//
// No client can make labels without end: a label that clients have a say in has a bounded number of values, beyond which
// it is "other".
package metrics
