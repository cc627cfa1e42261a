package flora

import (
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// BatchError is what is wrong with an adapter on one device.
type BatchError struct {
	Batch int // its number
	Err   error
}

// Error returns the text of Err.
func (e *BatchError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *BatchError) Unwrap() error { return e.Err }

// AddBatch adds a device: a backend and the bank's model, packed for it. It returns its number. Adapters that are
// ready are not on it before they are made ready again. The error is that of [NewBatchWith].
func (b *Bank) AddBatch(m *whisper.Model, k tensor.Backend) (number int, err error) {
	batch, err := NewBatchWith(m, k, b.options.Strategies)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches = append(b.batches, &banked{batch: batch})
	return len(b.batches) - 1, nil
}

// BatchAt returns the executor of the adapters on a device.
func (b *Bank) BatchAt(number int) *Batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.batches[number].batch
}

// Retire forgets what is on a device that is of no more use: no adapter is made ready for it any more.
func (b *Bank) Retire(number int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches[number].retired, b.batches[number].leaving = true, nil
	for v := range b.versions {
		if number < len(v.on) {
			v.on[number] = placing{}
		}
	}
}

// lacking returns the batches that a version is not prepared for, by their numbers.
func (b *Bank) lacking(v *version) map[int]*Batch {
	lacking := make(map[int]*Batch)
	for number, d := range b.batches {
		if !d.retired && v.at(number).resident == nil {
			lacking[number] = d.batch
		}
	}
	return lacking
}

// prepared reports whether a version is prepared for all devices.
func (b *Bank) prepared(v *version) bool {
	for number, d := range b.batches {
		if !d.retired && (number >= len(v.on) || v.on[number].resident == nil) {
			return false
		}
	}
	return true
}

// prepare prepares an adapter for batches. The error is a [BatchError].
func prepare(a *Adapter, batches map[int]*Batch) (map[int]*Resident, error) {
	prepared := make(map[int]*Resident)
	for number, batch := range batches {
		r, err := batch.Prepare(a)
		if err != nil {
			for _, other := range prepared {
				other.Free()
			}
			return nil, &BatchError{number, err}
		}
		prepared[number] = r
	}
	return prepared, nil
}

// at returns what the version is in a batch.
func (v *version) at(number int) *placing {
	if n := number + 1 - len(v.on); n > 0 {
		v.on = append(v.on, make([]placing, n)...)
	}
	return &v.on[number]
}

// resident returns any of the forms that the version is prepared in, nil where it is in none.
func (v *version) resident() *Resident {
	for _, at := range v.on {
		if at.resident != nil {
			return at.resident
		}
	}
	return nil
}

// inBatch reports whether the version has an index anywhere.
func (v *version) inBatch() bool {
	return slices.ContainsFunc(v.on, func(at placing) bool { return at.index != 0 })
}
