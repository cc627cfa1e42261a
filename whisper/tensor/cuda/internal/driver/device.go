//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/cu"

	"glossa/whisper/tensor/cuda/internal/shim"
)

// Info describes a device.
type Info struct {
	Name            string
	Major, Minor    int   // compute capability
	Multiprocessors int   //
	TotalBytes      int64 // of memory
	SharedPerBlock  int   // bytes of shared memory that one block may use, with leave
	L2Bytes         int
	MemoryBandwidth float64 // bytes a second in theory, 0 where the driver does not say
	Driver          int     // the version of CUDA that the driver knows, 12040 for 12.4
	BLAS            int     // the version of cuBLAS
}

// Device is one GPU, open for work. Its methods may be called from several goroutines.
type Device struct {
	beside bool // see OpenBeside

	// handing over: one call at a time goes to the thread and back
	turn  sync.Mutex
	calls chan call
	done  chan error
	end   chan struct{} // closed when the thread has ended

	dead atomic.Bool // lost is set

	mu    sync.Mutex // guards what follows
	pool  pool
	lists map[*List]struct{}
	stats Stats
	plans map[shape]*C.lt_plan_t // nil where cuBLASLt has none

	// of the thread
	lost      error // ErrLost, wrapped, after a fault
	device    cu.Device
	context   cu.CUContext
	stream    cu.Stream
	blas      C.blas_t
	workspace cu.DevicePtr
	slots     slots
	modules   []C.CUmodule
	names     map[uint64]string // of kernels, by function
	graphs    graphs
	info      Info
	profile   *profiler
	retained  bool // the primary context
	oneStage  bool // a fault that a test plants: one staging buffer instead of two
}

// call is one piece of work for the thread: f, or else a list to be run, and then data to be read.
type call struct {
	f    func() error
	list *List
	data []byte
	from Address
	wait bool
}

// Count returns how many devices there are. Where there is none the error is ErrNoDriver or ErrNoDevice.
func Count() (int, error) {
	if err := shim.Load(); err != nil {
		return 0, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return 0, wrap("cuDeviceGetCount", err)
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: the driver sees no GPU", ErrNoDevice)
	}
	return n, nil
}

// Open makes device number ordinal ready for work.
func Open(ordinal int) (*Device, error) { return openDevice(ordinal, false) }

// OpenBeside makes a device, which may be open already, ready for small work beside: with a stream, a thread and memory of its own,
// and without products and graphs. A fault that its context does not survive is that of all who have the device open.
func OpenBeside(ordinal int) (*Device, error) { return openDevice(ordinal, true) }

func openDevice(ordinal int, beside bool) (*Device, error) {
	n, err := Count()
	if err != nil {
		return nil, err
	}
	if ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("%w: there is no device %d: they are numbered from 0 to %d", ErrNoDevice, ordinal, n-1)
	}
	if !beside {
		if err := loadBLAS(); err != nil {
			return nil, err
		}
	}
	d := &Device{
		beside: beside, calls: make(chan call), done: make(chan error), end: make(chan struct{}),
		lists: make(map[*List]struct{}), names: make(map[uint64]string),
	}
	d.pool.taken = make(map[Address]*block)
	d.plans = make(map[shape]*C.lt_plan_t)
	d.pool.checked = os.Getenv("GLOSSA_CUDA_CHECK") != ""
	d.graphs.init()
	d.graphs.off = d.graphs.off || beside
	go d.loop()
	if err := d.do(func() error { return d.setup(ordinal) }); err != nil {
		d.Close()
		return nil, fmt.Errorf("open device %d: %w", ordinal, err)
	}
	return d, nil
}

// Info describes the device.
func (d *Device) Info() Info { return d.info }

// loop is the device's goroutine: all calls of the driver are made here.
func (d *Device) loop() {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	defer close(d.end)
	for c := range d.calls {
		if d.lost != nil {
			d.done <- d.lost
			continue
		}
		err := d.perform(c)
		if errors.Is(err, ErrLost) {
			d.lost = err
			d.dead.Store(true)
		}
		d.done <- err
	}
	d.teardown()
}

func (d *Device) perform(c call) error {
	if c.f != nil {
		return c.f()
	}
	if c.list != nil {
		if err := d.run(c.list); err != nil {
			return err
		}
	}
	switch {
	case c.data != nil:
		return d.copyOut(c.data, c.from)
	case c.wait:
		return d.wait()
	}
	return nil
}

// hand gives a call to the thread and waits for its end.
func (d *Device) hand(c call) error {
	d.turn.Lock()
	defer d.turn.Unlock()
	if d.calls == nil {
		return ErrClosed
	}
	d.calls <- c
	return <-d.done
}

// do runs f on the device's thread.
func (d *Device) do(f func() error) error { return d.hand(call{f: f}) }

// setup opens the device. On the device's thread.
func (d *Device) setup(ordinal int) (err error) {
	if d.device, err = cu.GetDevice(ordinal); err != nil {
		return wrap("cuDeviceGet", err)
	}
	if d.context, err = d.device.RetainPrimaryCtx(); err != nil {
		return wrap("cuDevicePrimaryCtxRetain", err)
	}
	d.retained = true
	if err = cu.SetCurrentContext(d.context); err != nil {
		return wrap("cuCtxSetCurrent", err)
	}
	if err = d.describe(); err != nil {
		return err
	}
	if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return wrap("cuStreamCreate", err)
	}
	if _, err = d.slots.take(); err != nil { // what small results come through is there from the beginning
		return err
	}
	d.slots.landed()
	if d.beside {
		return nil
	}
	d.pool.first = min(slabFirst, d.info.TotalBytes/64)
	return d.setupBLAS()
}

// describe fills info. On the device's thread.
func (d *Device) describe() (err error) {
	i := &d.info
	if i.Name, err = d.device.Name(); err != nil {
		return wrap("cuDeviceGetName", err)
	}
	if i.TotalBytes, err = d.device.TotalMem(); err != nil {
		return wrap("cuDeviceTotalMem", err)
	}
	var clock, width int // kHz, bits
	for _, a := range []struct {
		attribute cu.DeviceAttribute
		value     *int
	}{
		{cu.ComputeCapabilityMajor, &i.Major}, {cu.ComputeCapabilityMinor, &i.Minor},
		{cu.MultiprocessorCount, &i.Multiprocessors}, {cu.L2CacheSize, &i.L2Bytes},
		{C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &i.SharedPerBlock},
		{cu.MemoryClockRate, &clock}, {cu.GlobalMemoryBusWidth, &width},
	} {
		if *a.value, err = d.device.Attribute(a.attribute); err != nil {
			return wrap("cuDeviceGetAttribute", err)
		}
	}
	i.MemoryBandwidth = 2 * float64(clock) * 1e3 * float64(width) / 8 // double data rate
	i.Driver = cu.Version()
	return nil
}

// teardown gives everything back. On the device's thread, as its last act. After a fault that the context did not survive
// most of the calls fail, which changes nothing.
func (d *Device) teardown() {
	if !d.retained {
		return
	}
	if d.stream != (cu.Stream{}) {
		d.stream.Synchronize()
	}
	d.graphs.clear()
	d.freePlans()
	d.closeBLAS()
	d.mu.Lock()
	for l := range d.lists {
		l.stage.free()
	}
	d.pool.freeAll()
	d.mu.Unlock()
	for _, m := range d.modules {
		C.cuModuleUnload(m)
	}
	d.slots.free()
	if d.stream != (cu.Stream{}) {
		d.stream.Destroy()
	}
	d.device.ReleasePrimaryCtx()
}

// Close waits for what was run and gives everything back. Addresses, lists and kernels of the device are then of no use.
func (d *Device) Close() error {
	d.turn.Lock()
	defer d.turn.Unlock()
	if d.calls == nil {
		return nil
	}
	close(d.calls)
	d.calls = nil
	<-d.end
	return nil
}

// Wait returns when all that was run has happened: the first fault of it.
func (d *Device) Wait() error { return d.hand(call{wait: true}) }

// wait is Wait on the device's thread.
func (d *Device) wait() error {
	err := wrap("wait", d.stream.Synchronize())
	if err == nil {
		d.slots.landed()
	}
	return err
}

func (d *Device) cStream() C.CUstream { return C.CUstream(unsafe.Pointer(d.stream.C())) }
