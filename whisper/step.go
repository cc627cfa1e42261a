package whisper

import "glossa/whisper/tensor"

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
}

// Adapter owns a whole Linear: fLoRA multiplies the weight, so that it cannot be an added delta.
type Adapter interface {
	// Linear returns the product of l with the rows x, each sequence of s under its adapter;
	// !ok where none of them adapts this linear, and the base model's product stands.
	Linear(s *Step, l *Linear, x tensor.Mat) (y tensor.Mat, ok bool)
}
