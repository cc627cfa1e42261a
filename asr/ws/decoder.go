package ws

import (
	"sync/atomic"
	"time"
)

// wholeMilliseconds passes on raw sound up to the last whole millisecond, so that a position of milliseconds names a
// sample: that of millisecond m is frame ⌊m·rate/1000⌋. What is behind it waits for more, and is not taken yet.
type wholeMilliseconds struct {
	decoder
	rate, width int64        // sample frames a second, bytes a frame
	passed      atomic.Int64 // frames
	last        atomic.Int64 // the millisecond of that
	rest        []byte
	anyCut      bool // messages may end within a sample frame
}

func (w *wholeMilliseconds) Write(piece []byte) error {
	if int64(len(piece))%w.width != 0 && !w.anyCut {
		return w.decoder.Write(piece) // which says what is wrong
	}
	passed := w.passed.Load()
	frames := passed + int64(len(w.rest)+len(piece))/w.width
	// The last millisecond m with frame ⌊m·rate/1000⌋ <= frames.
	last := ((frames+1)*1000 - 1) / w.rate
	now := last * w.rate / 1000
	pass := (now - passed) * w.width
	if pass <= 0 {
		w.rest = append(w.rest, piece...)
		return nil
	}
	if len(w.rest) > 0 {
		piece = append(w.rest, piece...)
	}
	if err := w.decoder.Write(piece[:pass]); err != nil {
		return err
	}
	w.passed.Store(now)
	w.last.Store(last)
	w.rest = append([]byte(nil), piece[pass:]...)
	return nil
}

// forget drops what waits: the client sends it again.
func (w *wholeMilliseconds) forget() { w.rest = nil }

func (w *wholeMilliseconds) Close() error {
	if whole := len(w.rest) / int(w.width) * int(w.width); whole > 0 {
		if err := w.decoder.Write(w.rest[:whole]); err != nil {
			return err
		}
	}
	return w.decoder.Close()
}

// opusOrOgg is the encoding of sound that is packets of Opus or a file of them, as its first bytes tell.
const opusOrOgg = "opus or ogg"

// sniffing is the decoder of opusOrOgg.
type sniffing struct {
	decoder // nil before the first piece
	begin   func(first []byte) (decoder, error)
}

func (d *sniffing) Write(piece []byte) error {
	if d.decoder == nil {
		begun, err := d.begin(piece)
		if err != nil {
			return err
		}
		d.decoder = begun
	}
	return d.decoder.Write(piece)
}

func (d *sniffing) Close() error {
	if d.decoder == nil {
		return nil
	}
	return d.decoder.Close()
}

func (d *sniffing) Stop() {
	if d.decoder != nil {
		d.decoder.Stop()
	}
}

func (d *sniffing) Duration() time.Duration {
	if d.decoder == nil {
		return 0
	}
	return d.decoder.Duration()
}
