//go:build cuda && linux

package driver

// Stats counts what a device has done since it was opened, for tests and benchmarks.
type Stats struct {
	Lists         int64  // that were run
	Launches      int64  // of kernels, one by one
	Products      int64  // of matrices, one by one
	Captures      int64  // lists made into graphs
	GraphLaunches int64  // lists run as graphs, those captured among them
	Uncaptured    int64  // lists that could not be captured, and were run plainly
	Uncapturable  string // why, the last time; "" if never
	Evictions     int64  // graphs given up for newer ones

	StagedBytes int64 // copied to the device with lists
	BytesIn     int64 // copied by CopyIn
	BytesOut    int64 // copied by CopyOut

	UsedBytes     int64 // allocated now
	PeakBytes     int64 // the most that was ever allocated
	ReservedBytes int64 // that the pool holds
	Allocs        int64 // of Alloc
	DriverAllocs  int64 // of device memory from the driver: none in a steady step
}

// Stats returns the counts.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.UsedBytes, s.PeakBytes, s.ReservedBytes = d.pool.used, d.pool.peak, d.pool.reserved
	s.Allocs, s.DriverAllocs = d.pool.allocs, d.pool.driverAllocs
	return s
}
