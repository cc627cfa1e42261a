//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

const (
	slotBytes = 512 << 10
	maxSlots  = 32 // 16 MiB: what is copied may wait behind work, and the host goes on
)

// slots are page-locked memory through which data goes to the device and comes from it, in pieces. They are made as they are needed, and
// used by turns. All of it happens on the device's thread.
type slots struct {
	all    []*slot
	oldest int // of those whose copy may not have happened
	flying int // how many of those there are
}

// slot is one piece of it.
type slot struct {
	host   []byte
	copied cu.Event
}

// take returns a slot that nothing is copied from or to: it waits for one where there are as many as may be.
func (s *slots) take() (*slot, error) {
	if s.flying == len(s.all) && s.flying < maxSlots { // oldest is 0: it moves only where there are all
		p, err := newSlot()
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, p)
	}
	if s.flying == len(s.all) {
		if err := wrap("cuEventSynchronize", s.all[s.oldest].copied.Synchronize()); err != nil {
			return nil, err
		}
		s.oldest, s.flying = (s.oldest+1)%len(s.all), s.flying-1
	}
	p := s.all[(s.oldest+s.flying)%len(s.all)]
	s.flying++
	return p, nil
}

// landed says that all copies have happened.
func (s *slots) landed() { s.oldest, s.flying = 0, 0 }

func newSlot() (*slot, error) {
	host, err := allocPinned(slotBytes)
	if err != nil {
		return nil, err
	}
	p := &slot{host: host}
	if p.copied, err = cu.MakeEvent(cu.DisableTiming); err != nil {
		freePinned(host)
		return nil, wrap("cuEventCreate", err)
	}
	return p, nil
}

// free gives the memory back.
func (s *slots) free() {
	for _, p := range s.all {
		freePinned(p.host)
		cu.DestroyEvent(&p.copied)
	}
	*s = slots{}
}

// allocPinned allocates page-locked memory of the host, which the device reads and writes without a copy between.
func allocPinned(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := result("cuMemHostAlloc", int(C.cuMemHostAlloc(&p, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

func freePinned(b []byte) {
	if b != nil {
		C.cuMemFreeHost(unsafe.Pointer(&b[0]))
	}
}
