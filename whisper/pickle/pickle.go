// Package pickle reads Python's pickles as data.
//
// A pickle is a program for a stack machine (Python's pickletools.py describes each instruction) and in Python it may call any
// function. Here it calls none but those that an Env returns: an Env is a whitelist. The machine knows the instructions that
// plain data and torch.save need, of protocols 2 to 5, and refuses the others. What it may allocate is bounded by the length of
// the pickle, and that length has a limit.
package pickle

import (
	"errors"
	"fmt"
	"iter"
)

// Errors of this package. Each is wrapped with the byte of the pickle at which it happened.
var (
	ErrFormat      = errors.New("pickle: malformed")
	ErrInstruction = errors.New("pickle: instruction not supported")
	ErrLimit       = errors.New("pickle: larger than any list of tensors")
)

// Limits of a pickle. That of a model with 1,300 tensors has 150 KB and 50,000 instructions.
const (
	MaxBytes        = 8 << 20
	maxInstructions = 1 << 19
)

// Env says what a pickle may name.
type Env interface {
	// Global is the Python object called name in module. One that the pickle may call is a Func.
	Global(module, name string) (any, error)
	// Persistent is the object that lies outside the pickle under id.
	Persistent(id any) (any, error)
}

// Func is a function that a pickle may call.
type Func func(args Tuple) (any, error)

// A Tuple is Python's tuple. Other values are nil, bool, int64, float64, string, *List, *Dict and what the Env returned.
type Tuple []any

// A List is Python's list.
type List struct{ Items []any }

// A Dict is Python's dict with keys that are strings, integers, floats, booleans or None.
type Dict struct{ entries map[any]any }

// Get is the value of key; ok is false if there is none.
func (d *Dict) Get(key any) (value any, ok bool) {
	value, ok = d.entries[key]
	return value, ok
}

// All ranges over the entries, in no order.
func (d *Dict) All() iter.Seq2[any, any] {
	return func(yield func(key, value any) bool) {
		for k, v := range d.entries {
			if !yield(k, v) {
				return
			}
		}
	}
}

// set adds an entry. The error is ErrFormat for a key of another type.
func (d *Dict) set(key, value any) error {
	switch key.(type) {
	case nil, string, int64, float64, bool:
	default:
		return fmt.Errorf("%w: %T as the key of a dict", ErrFormat, key)
	}
	if d.entries == nil {
		d.entries = map[any]any{}
	}
	d.entries[key] = value
	return nil
}

// Decode is the value that the pickle data describes. It may hold itself, so that whoever walks it must bound the depth.
// The errors are ErrFormat, ErrInstruction, ErrLimit and those of env.
func Decode(data []byte, env Env) (any, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrLimit, len(data), MaxBytes)
	}
	m := &machine{data: data, memo: map[uint32]any{}, env: env}
	for range maxInstructions {
		at := m.at
		op, err := m.take(1)
		if err == nil && op[0] == opStop {
			return m.pop()
		}
		if err == nil {
			err = m.run(op[0])
		}
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", at, err)
		}
	}
	return nil, fmt.Errorf("%w: more than %d instructions", ErrLimit, maxInstructions)
}
