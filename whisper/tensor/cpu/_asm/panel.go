package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of panel in package cpu, whose tests compare them.
const (
	panelA    = 8 * iota // *float32
	panelB               // *float32
	panelC               // *float32
	panelBias            // *float32, or nil
	panelM
	panelK
	panelARow
	panelACol
	panelBRow
	panelCRow
	panelLoad
)

const (
	nVec = 2 // vectors in a row of a tile

	// rowsPerBase is how many rows of a are addressed from one register, at 0, 1 and 2 strides.
	rowsPerBase = 3

	unroll = 4

	// prefetch is the distance in bytes that the second factor is fetched ahead: about the
	// latency of memory at the rate that one core reads.
	prefetch = 2048
)

func panels(c *build.Context) {
	for _, s := range []isa{avx2, avx512} {
		panel(c, s)
	}
}

// tile generates the code for some rows of a panel.
type tile struct {
	*build.Context
	isa
	label           string
	rows            int
	p               reg.Register // *panel
	a, out          reg.Register // the first row of a and c
	aRow            reg.Register
	acc             [][nVec]reg.VecVirtual
	aBase           []reg.Register
	b, k, aCol, ldb reg.Register
}

// panel generates the kernel: tiles of mr rows, and of fewer for those that are left.
func panel(c *build.Context, s isa) {
	c.Function("panel" + s.name)
	c.Attributes(build.NOSPLIT)
	c.Signature(structArgument("p", "panel"))
	c.Pragma("noescape")
	c.Doc(
		fmt.Sprintf("panel%s computes, with nr = %d,", s.name, nVec*s.bytes/4),
		"",
		"\tfor i := range m {",
		"\t\tfor j := range nr {",
		"\t\t\tacc := 0",
		"\t\t\tif load {",
		"\t\t\t\tacc = c[i, j]",
		"\t\t\t}",
		"\t\t\tfor p := range k {",
		"\t\t\t\tacc = fma(a[i, p], b[p, j], acc)",
		"\t\t\t}",
		"\t\t\tif bias != nil {",
		"\t\t\t\tacc += bias[j]",
		"\t\t\t}",
		"\t\t\tc[i, j] = acc",
		"\t\t}",
		"\t}",
	)
	p := c.Load(c.Param("p"), c.GP64())
	load := func(offset int) reg.Register {
		r := c.GP64()
		c.MOVQ(at(p, offset), r)
		return r
	}
	m, a, out := load(panelM), load(panelA), load(panelC)
	aRow := load(panelARow)
	n := c.GP64()
	chooseRows(c, m, n, s.mr)
	for i := 1; i <= s.mr; i++ {
		c.CMPQ(n, operand.U8(i))
		c.JEQ(operand.LabelRef(fmt.Sprintf("rows%d", i)))
	}
	c.VZEROUPPER()
	c.RET()
	for i := s.mr; i > 0; i-- {
		label := fmt.Sprintf("rows%d", i)
		c.Label(label)
		t := tile{Context: c, isa: s, label: label, rows: i, p: p, a: a, out: out, aRow: aRow}
		t.generate()
		c.SUBQ(operand.U8(i), m)
		advance(c, a, aRow, i)
		advance(c, out, load(panelCRow), i)
		c.JMP(operand.LabelRef("tiles"))
	}
}

// chooseRows sets n to the rows of the next tile, of the m that are left: mr, but where that
// would leave fewer than mr, half of the rest, since a tile of few rows waits for its own sums.
func chooseRows(c *build.Context, m, n reg.Register, mr int) {
	c.Label("tiles")
	c.MOVQ(m, n)
	c.CMPQ(m, operand.U8(mr))
	c.JLE(operand.LabelRef("choose"))
	c.MOVQ(operand.U32(mr), n)
	c.CMPQ(m, operand.U8(2*mr))
	c.JGE(operand.LabelRef("choose"))
	c.LEAQ(at(m, 1), n)
	c.SHRQ(operand.U8(1), n)
	c.Label("choose")
}

// advance adds n strides to pointer.
func advance(c *build.Context, pointer, stride reg.Register, n int) {
	step := c.GP64()
	c.IMUL3Q(operand.U8(n), stride, step)
	c.ADDQ(step, pointer)
}

func (t *tile) generate() {
	t.start()
	t.products()
	t.finish()
}

func (t *tile) ref(name string) operand.LabelRef { return operand.LabelRef(t.label + name) }

// eachRow calls f with a register that points at each row of the product in turn.
func (t *tile) eachRow(f func(row int, c reg.Register)) {
	p, stride := t.GP64(), t.GP64()
	t.MOVQ(t.out, p)
	t.MOVQ(at(t.p, panelCRow), stride)
	for i := range t.rows {
		f(i, p)
		if i+1 < t.rows {
			t.ADDQ(stride, p)
		}
	}
}

// start sets the accumulators to zeros or to the product so far.
func (t *tile) start() {
	t.acc = make([][nVec]reg.VecVirtual, t.rows)
	for i := range t.acc {
		for v := range nVec {
			t.acc[i][v] = t.vector(t.Context)
		}
	}
	t.CMPQ(at(t.p, panelLoad), operand.U8(0))
	t.JEQ(t.ref("Zero"))
	t.eachRow(func(i int, c reg.Register) {
		for v := range nVec {
			t.VMOVUPS(at(c, v*t.bytes), t.acc[i][v])
		}
	})
	t.JMP(t.ref("Products"))
	t.Label(t.label + "Zero")
	t.eachRow(func(i int, c reg.Register) {
		t.PREFETCHT0(at(c, 0))
		for v := range nVec {
			t.zero(t.Context, t.acc[i][v])
		}
	})
	t.Label(t.label + "Products")
}

// products adds the outer products of the columns of a and the rows of b.
func (t *tile) products() {
	t.b, t.k, t.aCol, t.ldb = t.GP64(), t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(at(t.p, panelB), t.b)
	t.MOVQ(at(t.p, panelK), t.k)
	t.MOVQ(at(t.p, panelACol), t.aCol)
	t.MOVQ(at(t.p, panelBRow), t.ldb)
	for i := 0; i < t.rows; i += rowsPerBase {
		base := t.GP64()
		if i == 0 {
			t.MOVQ(t.a, base)
		} else {
			last := t.aBase[len(t.aBase)-1]
			t.LEAQ(indexed(last, t.aRow, 2), base)
			t.ADDQ(t.aRow, base)
		}
		t.aBase = append(t.aBase, base)
	}
	t.SUBQ(operand.U8(unroll), t.k)
	t.JLT(t.ref("Tail"))
	t.Label(t.label + "Loop")
	for range unroll {
		t.outer()
	}
	t.SUBQ(operand.U8(unroll), t.k)
	t.JGE(t.ref("Loop"))
	t.Label(t.label + "Tail")
	t.ADDQ(operand.U8(unroll), t.k)
	t.JEQ(t.ref("Finish"))
	t.Label(t.label + "Single")
	t.outer()
	t.DECQ(t.k)
	t.JNE(t.ref("Single"))
	t.Label(t.label + "Finish")
}

// outer adds one outer product.
func (t *tile) outer() {
	var b [nVec]reg.VecVirtual
	for v := range nVec {
		b[v] = t.vector(t.Context)
		t.VMOVUPS(at(t.b, v*t.bytes), b[v])
		if v*t.bytes%64 == 0 {
			t.PREFETCHT0(at(t.b, prefetch+v*t.bytes))
		}
	}
	t.ADDQ(t.ldb, t.b)
	for i := range t.rows {
		a := t.vector(t.Context)
		t.VBROADCASTSS(indexed(t.aBase[i/rowsPerBase], t.aRow, i%rowsPerBase), a)
		for v := range nVec {
			t.VFMADD231PS(b[v], a, t.acc[i][v])
		}
	}
	for _, base := range t.aBase {
		t.ADDQ(t.aCol, base)
	}
}

// finish adds the bias and stores the rows.
func (t *tile) finish() {
	bias := t.GP64()
	t.MOVQ(at(t.p, panelBias), bias)
	t.TESTQ(bias, bias)
	t.JEQ(t.ref("Store"))
	for v := range nVec {
		b := t.vector(t.Context)
		t.VMOVUPS(at(bias, v*t.bytes), b)
		for i := range t.rows {
			t.VADDPS(b, t.acc[i][v], t.acc[i][v])
		}
	}
	t.Label(t.label + "Store")
	t.eachRow(func(i int, c reg.Register) {
		for v := range nVec {
			t.VMOVUPS(t.acc[i][v], at(c, v*t.bytes))
		}
	})
}
