// Package tensor is the arithmetic under the model: matrices of packed rows, the operations that
// an encoder-decoder needs, and the tape that differentiates them.
//
// It has two layers. [Ops] is what model code calls: expressions on matrices, with every shape
// check, an arena that is reset after each step, and (while a tape is on) the record that
// [Ops.Backward] runs in reverse. [Backend] is what a device implements: about a dozen
// destination-first kernels that never allocate and never check.
//
// There is no batch dimension. The rows of all sequences are packed one after another into one
// matrix (nRow, nCol), and [Segments] says which rows belong together; only convolution and
// attention look at it.
//
// A backend whose memory is not the host's is a [Device]: its matrices have an address in the place of numbers, what is
// to be read must be asked for ([Ops.Read], [Ops.View], [Ops.Host]), and what the host makes must be sent ([Ops.Upload],
// [Ops.Operand]). What outlives the arena is in [Memory]; parameters that the host must know too are in both ([Place]).
// What a device has no memory for is an error of the next Read, and costs what was made since Reset and no more.
//
// The determinism law: every element that a kernel writes is one fixed sequence of operations,
// whatever the number of rows beside it. So a sequence has bitwise the same result alone and in
// any batch.
package tensor
