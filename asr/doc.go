// Package asr turns recordings into text: it is the domain that the command line and every
// transport speak to.
//
// An [Engine] holds one model and its adapters. [Engine.Transcribe] takes many recordings of many
// languages at once: each is cut into windows, windows of all recordings share batches, and each
// is decoded under its own adapter. A recording that cannot be read fails alone.
package asr
