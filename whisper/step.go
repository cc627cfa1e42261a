package whisper

import (
	"slices"

	"glossa/whisper/tensor"
)

// Step is one evaluation of the network on packed rows: the operations, and what differs from
// sequence to sequence. Only Attention reads the segments and caches, only Linear reads the
// adapter, only the decoder's embedding reads the positions.
type Step struct {
	*tensor.Ops

	// Seg are the row ranges of the sequences.
	Seg tensor.Segments

	// Adapter rewrites the linears, nil for the base model.
	Adapter Adapter

	// AdapterOf is the index of each sequence's adapter in Adapter, 0 the identity. Nil stands
	// for zeros.
	AdapterOf []int32

	// Cache holds what a decoder's sequence has seen, one for each sequence; nil where Seg holds
	// each sequence from its first token on and nothing is to be kept, as in training.
	Cache []*Cache

	// Cross are the cross-attention keys and values of each sequence's utterance.
	Cross []*CrossKV

	// Watch, where it is not nil, is shown the queries (nRow, nState) and each sequence's keys and
	// values of every layer of cross-attention, for inference alone. They live in the arena.
	Watch func(layer int, q tensor.Mat, kv []tensor.KeyValue)

	// Memory of the methods below, reused where no tape is on.
	kv         []tensor.KeyValue
	position   []int32
	adapter    []int32
	rowAddress []uintptr // of rows in pages
}

// keyValues returns room for the keys and values of n sequences, until the next call.
func (s *Step) keyValues(n int) []tensor.KeyValue {
	if s.Recording() {
		return make([]tensor.KeyValue, n)
	}
	s.kv = slices.Grow(s.kv[:0], n)[:n]
	return s.kv
}

// rows returns room for a number for each row, until the next call with the same buffer.
func (s *Step) rows(buffer *[]int32) []int32 {
	if s.Recording() {
		return make([]int32, 0, s.Seg.Rows())
	}
	*buffer = slices.Grow((*buffer)[:0], s.Seg.Rows())
	return *buffer
}

// positions returns the position of each row in its sequence, whose cache holds those before it.
func (s *Step) positions() []int32 {
	p := s.rows(&s.position)
	for i := range s.Seg.Len() {
		from, to := s.Seg.Range(i)
		first := 0
		if s.Cache != nil {
			first = s.Cache[i].Len()
		}
		for j := range to - from {
			p = append(p, int32(first+j))
		}
	}
	return p
}

// AdapterRows returns the adapter index of each row, until the next call.
func (s *Step) AdapterRows() []int32 {
	rows := s.rows(&s.adapter)
	for i := range s.Seg.Len() {
		index := int32(0)
		if s.AdapterOf != nil {
			index = s.AdapterOf[i]
		}
		from, to := s.Seg.Range(i)
		for range to - from {
			rows = append(rows, index)
		}
	}
	return rows
}

// Adapter owns a whole Linear: fLoRA multiplies the weight, so that it cannot be an added delta.
type Adapter interface {
	// Linear returns the product of l with the rows x, and with gelu GELU of it, each sequence of s
	// under its adapter; !ok where none of them adapts this linear, and the base model's product
	// stands.
	Linear(s *Step, l *Linear, x tensor.Mat, gelu bool) (y tensor.Mat, ok bool)

	// LinearAdd adds to y the product of l with the rows x, each sequence of s under its adapter; !ok, and y is as it was, where
	// none of them adapts this linear. It is not called where a tape records.
	LinearAdd(s *Step, l *Linear, y, x tensor.Mat) (ok bool)
}
