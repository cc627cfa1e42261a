package tensor

import "fmt"

// DType is the number format of a matrix or of packed weights.
type DType uint8

const (
	F32  DType = iota // IEEE 754 binary32: activations, and weights by default
	BF16              // bfloat16: weights only
	I8                // signed bytes with one scale for each output channel: weights only
	F16               // IEEE 754 binary16: weights only
)

// String returns the name that command lines and reports use.
func (d DType) String() string {
	switch d {
	case F32:
		return "f32"
	case BF16:
		return "bf16"
	case I8:
		return "int8"
	case F16:
		return "f16"
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}

// Mat is a row-major matrix (Rows, Cols) of float32. Copying it copies the reference, not the
// numbers. A matrix made by [Ops] lives until the next [Ops.Reset].
type Mat struct {
	Rows, Cols int

	// Data holds element (i, j) at i*Cols+j on a host backend. On a device it is nil, or what the host knows
	// of a parameter.
	Data []float32

	// Dev is the address on a [Device], and 0 on the host.
	Dev uintptr

	grad *gradient // nil: nothing that is differentiated depends on this matrix
}

// NewMat returns a matrix (rows, cols) over data, which it does not copy. It panics where the
// length of data is not rows*cols.
func NewMat(rows, cols int, data []float32) Mat {
	if rows < 0 || cols < 0 || len(data) != rows*cols {
		panic(fmt.Sprintf("tensor: a matrix (%d, %d) over %d numbers", rows, cols, len(data)))
	}
	return Mat{Rows: rows, Cols: cols, Data: data}
}

// Zeros returns a new matrix (rows, cols) of zeros that no arena owns.
func Zeros(rows, cols int) Mat { return NewMat(rows, cols, make([]float32, rows*cols)) }

// Vector returns data as a matrix (1, len(data)).
func Vector(data []float32) Mat { return NewMat(1, len(data), data) }

// Row returns row i, which aliases the matrix.
func (m Mat) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols : (i+1)*m.Cols] }

// Slice returns rows from:to as a matrix that aliases m, gradient included.
func (m Mat) Slice(from, to int) Mat {
	if from < 0 || to < from || to > m.Rows {
		panic(fmt.Sprintf("tensor: rows %d:%d of a matrix (%d, %d)", from, to, m.Rows, m.Cols))
	}
	s := Mat{Rows: to - from, Cols: m.Cols}
	if m.Data != nil {
		s.Data = m.Data[from*m.Cols : to*m.Cols : to*m.Cols]
	}
	if m.Dev != 0 {
		s.Dev = m.Dev + uintptr(4*from*m.Cols)
	}
	if m.grad != nil {
		s.grad = &gradient{parent: m.grad, offset: from * m.Cols, size: s.Rows * s.Cols}
	}
	return s
}

// IsZero reports whether m is the zero Mat, which stands for an absent operand such as the bias
// of a linear without one.
func (m Mat) IsZero() bool { return m.Data == nil && m.Dev == 0 }

// Segments are row ranges: rows s[i]:s[i+1] are sequence i. The first element is 0.
type Segments []int32

// NewSegments returns the segments of sequences of the given lengths in rows.
func NewSegments(lengths ...int) Segments {
	s := make(Segments, 1, len(lengths)+1)
	for _, n := range lengths {
		s = append(s, s[len(s)-1]+int32(n))
	}
	return s
}

// Len returns the number of sequences.
func (s Segments) Len() int { return max(len(s)-1, 0) }

// Rows returns the number of rows of all sequences together.
func (s Segments) Rows() int {
	if len(s) == 0 {
		return 0
	}
	return int(s[len(s)-1])
}

// Range returns the rows from:to of sequence i.
func (s Segments) Range(i int) (from, to int) { return int(s[i]), int(s[i+1]) }
