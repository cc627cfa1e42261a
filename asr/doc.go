// Package asr turns recordings into text: it is the domain that the command line and every
// transport speak to.
//
// An [Engine] holds one model and its adapters. [Engine.Transcribe] may be called from any number of
// goroutines, [Engine.TranscribeAll] takes many recordings at once: each is cut into windows, windows
// of all recordings share batches, and each is decoded under its own adapter, with the same result to
// the bit whoever is beside it. A recording that cannot be read fails alone.
//
// Adapters are loaded, replaced and unloaded by name while the engine serves, see [Engine.LoadAdapter] and
// [Engine.WatchAdapters]; a recording keeps the versions that it began with. Which it begins with, its
// request says, or the [Routes] of its client and language.
//
// [Engine.Listen] begins a [Session] of sound that comes while it is spoken. Each time there is enough that is new, what is
// not final yet is decoded as a live request; text that a [Policy] commits does not change any more. Of sound in which
// nobody speaks nothing is decoded.
//
// What is done next, a [Scheduler] decides: a pure core without goroutine, clock or device. Errors
// that transports tell apart are [ErrInvalid], [ErrNotFound], [ErrBusy], [ErrCancelled] and
// [ErrInternal]; what Audio and Speech of a [Request] return, the caller gets back.
package asr
