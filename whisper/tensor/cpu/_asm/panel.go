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
	panelRowScale   // *float32
	panelColScale   // *float32
	panelCorrection // *int32
	panelAhead
)

const (
	nVec = 2 // vectors in a row of a tile

	// rowsPerBase is how many rows of a are addressed from one register, at 0, 1 and 2 strides.
	rowsPerBase = 3

	unroll = 4
)

func panels(c *build.Context) {
	for _, f := range panelFormats {
		panel(c, f)
	}
}

// tile generates the code for some rows of a panel.
type tile struct {
	*build.Context
	panelFormat
	label           string
	rows            int
	p               reg.Register // *panel
	a, out          reg.Register // the first row of a and c
	aRow            reg.Register
	acc             [][nVec]reg.VecVirtual
	aBase           []reg.Register
	b, k, aCol, ldb reg.Register
	ahead           reg.Register
}

// panel generates the kernel: tiles of mr rows, and of fewer for those that are left.
func panel(c *build.Context, f panelFormat) {
	s := f.isa
	c.Function("panel" + f.suffix())
	c.Attributes(build.NOSPLIT)
	c.Signature(structArgument("p", "panel"))
	c.Pragma("noescape")
	c.Doc(f.doc()...)
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
		t := tile{Context: c, panelFormat: f, label: label, rows: i, p: p, a: a, out: out, aRow: aRow}
		t.generate()
		c.SUBQ(operand.U8(i), m)
		advance(c, a, aRow, i)
		advance(c, out, load(panelCRow), i)
		c.JMP(operand.LabelRef("tiles"))
	}
}

// doc returns the Go loop that the kernel equals.
func (f panelFormat) doc() []string {
	product := "\t\t\t\tacc = fma(a[i, p], b[p, j], acc)"
	switch {
	case f.integer:
		product = fmt.Sprintf("\t\t\t\tacc += a[i, p, 0] * b[p, j, 0] + … + a[i, p, %d] * b[p, j, %d]", f.terms-1, f.terms-1)
	case f.format != "" && f.isa == avx512:
		product = "\t\t\t\tacc = dot(a[i, p], b[p, j], acc) // VDPBF16PS"
	case f.format != "":
		product = "\t\t\t\tacc = fma(a[i, p, 1], b[p, j, 1], fma(a[i, p, 0], b[p, j, 0], acc))"
	}
	doc := []string{
		fmt.Sprintf("panel%s computes, with nr = %d,", f.suffix(), nVec*f.bytes/4),
		"",
		"\tfor i := range m {",
		"\t\tfor j := range nr {",
		"\t\t\tacc := 0",
	}
	if !f.integer {
		doc = append(doc,
			"\t\t\tif load {",
			"\t\t\t\tacc = c[i, j]",
			"\t\t\t}")
	}
	doc = append(doc,
		"\t\t\tfor p := range k {",
		product,
		"\t\t\t}")
	if f.integer {
		doc = append(doc, "\t\t\tacc = float32(acc - correction[j]) * rowScale[i] * colScale[j]")
	}
	return append(doc,
		"\t\t\tif bias != nil {",
		"\t\t\t\tacc += bias[j]",
		"\t\t\t}",
		"\t\t\tc[i, j] = acc",
		"\t\t}",
		"\t}",
	)
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
	if !t.integer {
		t.CMPQ(at(t.p, panelLoad), operand.U8(0))
		t.JEQ(t.ref("Zero"))
		t.eachRow(func(i int, c reg.Register) {
			for v := range nVec {
				t.VMOVUPS(at(c, v*t.bytes), t.acc[i][v])
			}
		})
		t.JMP(t.ref("Products"))
		t.Label(t.label + "Zero")
	}
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
	t.b, t.k, t.aCol, t.ldb, t.ahead = t.GP64(), t.GP64(), t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(at(t.p, panelAhead), t.ahead)
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
		t.step()
	}
	t.SUBQ(operand.U8(unroll), t.k)
	t.JGE(t.ref("Loop"))
	t.Label(t.label + "Tail")
	t.ADDQ(operand.U8(unroll), t.k)
	t.JEQ(t.ref("Finish"))
	t.Label(t.label + "Single")
	t.step()
	t.DECQ(t.k)
	t.JNE(t.ref("Single"))
	t.Label(t.label + "Finish")
}

// step adds one step of the inner dimension.
func (t *tile) step() {
	t.outer(t)
	t.ADDQ(t.ldb, t.b)
	for _, base := range t.aBase {
		t.ADDQ(t.aCol, base)
	}
}

// outerLanes adds one outer product, of lanes that hold all terms of a step.
func (t *tile) outerLanes() {
	var b [nVec]reg.VecVirtual
	width := t.bytes / 4 * t.bBytes
	for v := range nVec {
		b[v] = t.vector(t.Context)
		if t.bBytes == 4 {
			t.VMOVUPS(at(t.b, v*width), b[v])
		} else {
			t.VPMOVSXBW(at(t.b, v*width), b[v])
		}
		t.prefetchB(v * width)
	}
	t.multiplyRows(0, b)
}

// outerWidened adds two outer products, of the even and the odd terms, widened to float32.
func (t *tile) outerWidened() {
	var b [nVec]reg.VecVirtual
	for v := range nVec {
		b[v] = t.vector(t.Context)
		t.VPSLLD(operand.U8(16), t.load(at(t.b, v*t.bytes)), b[v])
		t.prefetchB(v * t.bytes)
	}
	t.multiplyRows(0, b)
	for v := range nVec {
		b[v] = t.vector(t.Context)
		t.VPSRLD(operand.U8(16), t.load(at(t.b, v*t.bytes)), b[v])
		t.VPSLLD(operand.U8(16), b[v], b[v])
	}
	t.multiplyRows(t.aBytes/2, b)
}

func (t *tile) load(m operand.Mem) reg.VecVirtual {
	v := t.vector(t.Context)
	t.VMOVUPS(m, v)
	return v
}

// prefetchB fetches the second factor ahead, once a cache line.
func (t *tile) prefetchB(offset int) {
	if offset%64 == 0 {
		t.PREFETCHT0(operand.Mem{Base: t.b, Index: t.ahead, Scale: 1, Disp: offset})
	}
}

// multiplyRows adds the products of b and the lanes at an offset in a of each row.
func (t *tile) multiplyRows(offset int, b [nVec]reg.VecVirtual) {
	for i := range t.rows {
		a, sum := t.vector(t.Context), t.vector(t.Context)
		m := indexed(t.aBase[i/rowsPerBase], t.aRow, i%rowsPerBase)
		m.Disp = offset
		t.VBROADCASTSS(m, a)
		for v := range nVec {
			t.multiply(t.Context, b[v], a, t.acc[i][v], sum)
		}
	}
}

// scale replaces the accumulators, of int32, by the product that they stand for.
func (t *tile) scale() {
	col, correction, row := t.GP64(), t.GP64(), t.GP64()
	t.MOVQ(at(t.p, panelColScale), col)
	t.MOVQ(at(t.p, panelCorrection), correction)
	t.MOVQ(at(t.p, panelRowScale), row)
	for v := range nVec {
		c := t.load(at(correction, v*t.bytes))
		for i := range t.rows {
			t.VPSUBD(c, t.acc[i][v], t.acc[i][v])
			t.VCVTDQ2PS(t.acc[i][v], t.acc[i][v])
		}
	}
	for i := range t.rows {
		r := t.vector(t.Context)
		t.VBROADCASTSS(at(row, 4*i), r)
		for v := range nVec {
			t.VMULPS(r, t.acc[i][v], t.acc[i][v])
		}
	}
	for v := range nVec {
		c := t.load(at(col, v*t.bytes))
		for i := range t.rows {
			t.VMULPS(c, t.acc[i][v], t.acc[i][v])
		}
	}
	t.ADDQ(operand.U8(4*t.rows), row)
	t.MOVQ(row, at(t.p, panelRowScale))
}

// finish adds the bias and stores the rows.
func (t *tile) finish() {
	if t.integer {
		t.scale()
	}
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
