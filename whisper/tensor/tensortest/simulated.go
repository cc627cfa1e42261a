package tensortest

import (
	"fmt"
	"slices"
	"sort"
	"sync"

	"glossa/whisper/tensor"
)

// Simulated is a [tensor.Device] without hardware: it computes with the kernels of a host backend, in memory that
// the host has addresses of alone. It is as strict as a device may be: kernels run when something is read, and not
// before; memory is NaN until it is written; an address that is not wholly within memory of Alloc that was not freed,
// an operand in host memory alone, and a copy onto itself panic.
//
// It has none of the interfaces that a backend may have beside Gradients and [tensor.Spectrographer]: see [SimulateFused].
type Simulated struct {
	tensor.Chooser
	host  tensor.Backend
	state *deviceState
}

// deviceState is what views of one device share.
type deviceState struct {
	mu      sync.Mutex
	queue   []func()
	live    []allocation // in the order of their addresses, which are never used again
	next    uintptr
	used    int64
	stats   DeviceStats
	options DeviceOptions
	fault   error
}

// DeviceOptions size a simulated device.
type DeviceOptions struct {
	// Memory is the bytes of matrices and packed weights that there is room for. The default value is 0: 1 TiB, more than
	// the host has.
	Memory int64
}

func (o DeviceOptions) memory() int64 {
	if o.Memory > 0 {
		return o.Memory
	}
	return 1 << 40
}

// DeviceStats are counts of what a simulated device was asked for.
type DeviceStats struct {
	Kernels, Reads, Allocations, Refused int64
	Used                                 int64 // bytes
	LogMelFrames                         int64 // of spectrograms
}

type allocation struct {
	address uintptr
	data    []float32
}

// deviceGap is the bytes between allocations, which no operand may reach into.
const deviceGap = 1 << 12

// Simulate returns a device over a host backend that has gradients.
func Simulate(host tensor.Backend, o DeviceOptions) *Simulated {
	c, ok := host.(tensor.Chooser)
	if !ok {
		c = tensor.PlainChooser{}
	}
	return &Simulated{c, host, &deviceState{next: 1 << 40, options: o}}
}

// Name returns the host backend's, as simulated.
func (d *Simulated) Name() string { return "simulated/" + d.host.Name() }

// Stats returns the counts so far.
func (d *Simulated) Stats() DeviceStats {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	s := d.state.stats
	s.Used = d.state.used
	return s
}

// Limit sets the bytes that there is room for, 0 for the default.
func (d *Simulated) Limit(bytes int64) {
	d.state.mu.Lock()
	d.state.options.Memory = bytes
	d.state.mu.Unlock()
}

// Break makes err the device's fault, for good.
func (d *Simulated) Break(err error) {
	d.state.mu.Lock()
	d.state.fault = err
	d.state.mu.Unlock()
}

// claim takes bytes of the memory. The error wraps tensor.ErrMemory.
func (s *deviceState) claim(bytes int64) error {
	if limit := s.options.memory(); s.used+bytes > limit {
		s.stats.Refused++
		return fmt.Errorf("%w: %d bytes, of %d are %d in use", tensor.ErrMemory, bytes, limit, s.used)
	}
	s.used += bytes
	return nil
}

// Alloc returns memory of NaN.
func (d *Simulated) Alloc(n int) (uintptr, error) {
	if n <= 0 {
		panic(fmt.Sprintf("tensortest: memory for %d numbers", n))
	}
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Allocations++
	if err := s.claim(4 * int64(n)); err != nil {
		return 0, err
	}
	a := allocation{s.next, make([]float32, n)}
	for i := range a.data {
		a.data[i] = poison
	}
	s.live = append(s.live, a)
	s.next += (uintptr(4*n)+deviceGap+255)/256*256 + 256
	return a.address, nil
}

// Free takes memory back.
func (d *Simulated) Free(address uintptr) {
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(address)
	if i < 0 || s.live[i].address != address {
		panic(fmt.Sprintf("tensortest: free of %#x, which Alloc has not returned, or was freed", address))
	}
	s.used -= 4 * int64(len(s.live[i].data))
	s.live = slices.Delete(s.live, i, i+1)
}

// find returns the index of the last allocation that begins at or before address, -1 where none does.
func (s *deviceState) find(address uintptr) int {
	return sort.Search(len(s.live), func(i int) bool { return s.live[i].address > address }) - 1
}

// numbers returns n numbers of the device's memory.
func (s *deviceState) numbers(address uintptr, n int) []float32 {
	i := s.find(address)
	if i < 0 || address%4 != 0 {
		panic(fmt.Sprintf("tensortest: address %#x is in no memory of the device", address))
	}
	from, data := int(address-s.live[i].address)/4, s.live[i].data
	if from+n > len(data) {
		panic(fmt.Sprintf("tensortest: %d numbers from %#x are not in memory of the device, or it was freed", n, address))
	}
	return data[from : from+n : from+n]
}

// at returns an operand in host memory: the zero Mat of that.
func (s *deviceState) at(m tensor.Mat) tensor.Mat {
	switch n := m.Rows * m.Cols; {
	case m.IsZero():
		return m
	case m.Dev == 0 && (m.Data == nil || n > 0):
		panic(fmt.Sprintf("tensortest: operand (%d, %d) of a device is in host memory", m.Rows, m.Cols))
	case n == 0:
		return tensor.Mat{Rows: m.Rows, Cols: m.Cols, Data: []float32{}}
	default:
		return tensor.Mat{Rows: m.Rows, Cols: m.Cols, Data: s.numbers(m.Dev, n)}
	}
}

func (s *deviceState) atKeyValues(kvs []tensor.KeyValue) []tensor.KeyValue {
	y := make([]tensor.KeyValue, len(kvs))
	for i, kv := range kvs {
		if kv.Paged.Rows > 0 {
			y[i] = s.gather(kv.Paged)
			continue
		}
		y[i] = tensor.KeyValue{K: s.at(kv.K), V: s.at(kv.V), Packed: kv.Packed}
	}
	return y
}

// gather returns room for keys and values in pages, and queues the copies that fill it.
func (s *deviceState) gather(p tensor.PagedKV) tensor.KeyValue {
	kv := tensor.KeyValue{K: tensor.Zeros(p.Rows, p.Cols), V: tensor.Zeros(p.Rows, p.Cols)}
	for i := range p.Rows {
		row := p.Page[i/tensor.PageRows] + uintptr(4*p.Cols*(i%tensor.PageRows))
		k, v := s.numbers(row+p.Keys, p.Cols), s.numbers(row+p.Values, p.Cols)
		s.later(func() {
			copy(kv.K.Row(i), k)
			copy(kv.V.Row(i), v)
		})
	}
	return kv
}

// later queues f.
func (s *deviceState) later(f func()) { s.queue = append(s.queue, f) }

// kernel queues a kernel: prepare finds its operands and copies its indices now, and returns what computes.
func (d *Simulated) kernel(prepare func(s *deviceState) func()) {
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Kernels++
	s.later(prepare(s))
}

// Write copies data to m.
func (d *Simulated) Write(m tensor.Mat, data []float32) {
	if len(data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("tensortest: %d numbers written to (%d, %d)", len(data), m.Rows, m.Cols))
	}
	data = slices.Clone(data)
	d.kernel(func(s *deviceState) func() {
		y := s.at(m)
		return func() { copy(y.Data, data) }
	})
}

// Read runs what is queued.
func (d *Simulated) Read(data []float32, m tensor.Mat) error {
	s := d.state
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("tensortest: (%d, %d) read into %d numbers", m.Rows, m.Cols, len(data)))
	}
	x := s.at(m)
	s.stats.Reads++
	for _, f := range s.queue {
		f()
	}
	clear(s.queue)
	s.queue = s.queue[:0]
	if s.fault != nil {
		return s.fault
	}
	copy(data, x.Data)
	return nil
}

// Copy computes y = x.
func (d *Simulated) Copy(y, x tensor.Mat) {
	if n := uintptr(4 * x.Rows * x.Cols); y.Rows*y.Cols != x.Rows*x.Cols || y.Dev < x.Dev+n && x.Dev < y.Dev+n {
		panic(fmt.Sprintf("tensortest: copy of (%d, %d) to (%d, %d), or of memory that overlaps", x.Rows, x.Cols, y.Rows, y.Cols))
	}
	d.kernel(func(s *deviceState) func() {
		y, x := s.at(y), s.at(x)
		return func() { copy(y.Data, x.Data) }
	})
}

// Zero computes y = 0.
func (d *Simulated) Zero(y tensor.Mat) {
	d.kernel(func(s *deviceState) func() {
		y := s.at(y)
		return func() { clear(y.Data) }
	})
}

// CopyRows copies rows to addresses.
func (d *Simulated) CopyRows(to []uintptr, x tensor.Mat) {
	d.kernel(func(s *deviceState) func() {
		x, rows := s.at(x), make([][]float32, len(to))
		for i, address := range to {
			rows[i] = s.numbers(address, x.Cols)
		}
		return func() {
			for i, row := range rows {
				copy(row, x.Row(i))
			}
		}
	})
}

// MemoryInfo returns the limit and what is left of it.
func (d *Simulated) MemoryInfo() (free, total int64) {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	total = d.state.options.memory()
	return total - d.state.used, total
}
