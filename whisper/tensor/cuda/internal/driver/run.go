//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Run hands the list to the device, and empties it. It returns when the work is queued, not when it is done; what goes wrong in
// the work itself comes out of Wait or CopyOut. What was staged is copied first.
//
// The first time a list is run plainly. If one with equal operations comes again, it is captured as a graph; from then on such lists
// are replayed. A list that cannot be captured is run plainly each time, and counted in Stats.Uncaptured.
func (d *Device) Run(l *List) error { return d.finish(l, d.hand(call{list: l})) }

// finish empties a list after it was handed over.
func (d *Device) finish(l *List, err error) error {
	l.Reset()
	return err
}

// run is Run on the device's thread.
func (d *Device) run(l *List) error {
	if l.err != nil {
		return l.err
	}
	staged := l.stage.bytes()
	if err := l.stage.copy(d); err != nil {
		return err
	}
	d.count(func(s *Stats) { s.Lists++; s.StagedBytes += int64(staged) })
	if len(l.words) == 0 {
		return nil
	}
	if d.profile != nil {
		return d.profile.run(d, l)
	}
	err := d.runGraph(l)
	if err == nil && d.pool.checked {
		err = d.trimAfter(l)
	}
	return err
}

// runPlainly makes one call of the driver for each operation.
func (d *Device) runPlainly(l *List) error {
	d.countPlain(l.words)
	f := C.run_words((*C.uint64_t)(&l.words[0]), C.size_t(len(l.words)), d.cStream(), &d.blas)
	return d.failure(f, l.words)
}

// failure makes an error of what walking a list returned.
func (d *Device) failure(f C.failure_t, words []uint64) error {
	if f.cuda == 0 && f.blas == 0 {
		return nil
	}
	what := d.describeOperation(words[f.at:])
	if f.blas != 0 {
		return blasResult(what, int(f.blas))
	}
	return result(what, int(f.cuda))
}

// describeOperation names an operation for an error.
func (d *Device) describeOperation(w []uint64) string {
	switch w[0] & 255 {
	case opLaunch:
		return fmt.Sprintf("launch %s, grid %d x %d x %d", d.names[w[1]], uint32(w[2]), w[2]>>32, uint32(w[3]))
	case opGemm:
		return fmt.Sprintf("product (%d, %d) (%d, %d), %d times", uint32(w[1]), uint32(w[2]), uint32(w[2]), w[1]>>32, w[2]>>32)
	case opBiased:
		return fmt.Sprintf("product (%d, %d) (%d, %d) with a bias", uint32(w[1]), uint32(w[2]), uint32(w[2]), w[1]>>32)
	case opCopy:
		return fmt.Sprintf("copy %d bytes on the device", w[3])
	default:
		return fmt.Sprintf("set %d bytes", w[2])
	}
}

// length returns how many words the operation at the start of w has.
func length(w []uint64) int {
	switch w[0] & 255 {
	case opLaunch:
		return 6 + int(w[0]>>8)
	case opGemm:
		return 13
	case opBiased:
		return 8
	case opCopy:
		return 4
	default:
		return 3
	}
}

// countPlain counts what is run one by one.
func (d *Device) countPlain(words []uint64) {
	var launches, products int64
	for w := words; len(w) > 0; w = w[length(w):] {
		switch w[0] & 255 {
		case opLaunch:
			launches++
		case opGemm, opBiased:
			products++
		}
	}
	d.count(func(s *Stats) { s.Launches += launches; s.Products += products })
}

// trimAfter gives back the blocks that were freed, now that the list cannot name them. For pool.checked.
func (d *Device) trimAfter(l *List) error {
	l.clear()
	return d.trim()
}

// bytesOf returns the words as bytes.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}
