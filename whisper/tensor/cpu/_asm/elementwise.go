package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// elementwise generates the loops over rows.
func elementwise(c *build.Context) {
	t := newTables(c)
	for _, s := range []isa{avx2, avx512} {
		arithmetic(c, s, t)
		reductions(c, s, t)
		exponentials(c, s, t)
		gelus(c, s, t)
		norms(c, s, t)
		combine(c, s, t)
		conversions(c, s, t)
	}
	dots(c)
	pairRows(c)
}

// tables are the constants in memory, each a vector of copies of one number: the AVX2 kernels
// have too few registers to keep them.
type tables struct {
	vectors map[string]operand.Mem
	mask    operand.Mem // eight words of ones, then eight of zeros
}

func newTables(c *build.Context) *tables {
	t := &tables{vectors: map[string]operand.Mem{}}
	for _, k := range constants {
		m := c.StaticGlobal("rows_" + k.name)
		c.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range avx2.bytes / 4 {
			c.AddDatum(4*i, operand.U32(k.bits))
		}
		t.vectors[k.name] = m
	}
	t.mask = c.StaticGlobal("rows_mask")
	c.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range avx2.bytes / 2 {
		word := uint32(0)
		if i < avx2.bytes/4 {
			word = math.MaxUint32
		}
		c.AddDatum(4*i, operand.U32(word))
	}
	return t
}

// rowFunction generates one function over slices of equal length n.
type rowFunction struct {
	*build.Context
	isa
	tables *tables

	size  string                    // the slice whose length is n
	base  map[string]reg.Register   // first element of each slice
	index reg.Register              // bytes from there, of the lane at hand
	keep  map[string]reg.VecVirtual // constants in registers
	loops int

	tailYMM reg.VecVirtual    // AVX2: the lanes of the last vector that hold numbers
	tailK   reg.OpmaskVirtual // AVX-512: likewise
}

// row begins function name+isa with the parameters of signature, of which some are slices of the
// length of the first. doc is the Go loop that it equals.
func row(c *build.Context, s isa, t *tables, name, signature string, slices []string, doc ...string) *rowFunction {
	c.Function(name + s.name)
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func" + signature)
	c.Pragma("noescape")
	c.Doc(append([]string{name + s.name + " computes", ""}, doc...)...)
	f := &rowFunction{
		Context: c, isa: s, tables: t, size: slices[0],
		base: map[string]reg.Register{}, keep: map[string]reg.VecVirtual{},
	}
	for _, name := range slices {
		f.base[name] = c.Load(c.Param(name).Base(), c.GP64())
	}
	return f
}

// end returns from the function.
func (f *rowFunction) end() {
	f.VZEROUPPER()
	f.RET()
}

// width is the number of lanes of a vector.
func (f *rowFunction) width() int { return f.bytes / 4 }

// v returns a fresh vector register.
func (f *rowFunction) v() reg.VecVirtual { return f.vector(f.Context) }

// hold keeps constants in registers: of AVX-512 all, of AVX2 only those that must be.
func (f *rowFunction) hold(must []string, others ...string) {
	names := must
	if f.bytes == avx512.bytes {
		names = append(append([]string{}, must...), others...)
	}
	for _, name := range names {
		r := f.v()
		f.VBROADCASTSS(f.tables.vectors[name], r)
		f.keep[name] = r
	}
}

// constant returns an operand with the constant: a register, or memory for AVX2.
func (f *rowFunction) constant(name string) operand.Op {
	if r, ok := f.keep[name]; ok {
		return r
	}
	if f.bytes == avx512.bytes {
		panic("constant without a register: " + name)
	}
	return f.tables.vectors[name]
}

// broadcast returns the parameter in all lanes.
func (f *rowFunction) broadcast(name string) reg.VecVirtual {
	r := f.v()
	f.VBROADCASTSS(f.Load(f.Param(name), f.XMM()), r)
	return r
}

// lane is one vector of the row at hand.
type lane struct {
	f      *rowFunction
	offset int
	masked bool // only the first lanes hold numbers
}

// each calls body with code that runs over all vectors of the row, unroll of them at a time, then
// single ones, then the last with fewer numbers.
func (f *rowFunction) each(unroll int, body func(lanes []lane)) {
	f.eachBlock([]int{unroll, 1}, body)
}

// eachBlock is each with blocks of several sizes in vectors, one after another; the last is 1.
func (f *rowFunction) eachBlock(blocks []int, body func(lanes []lane)) {
	f.loops++
	label := func(name string) string { return fmt.Sprintf("%s%d", name, f.loops) }
	n := f.Load(f.Param(f.size).Len(), f.GP64())
	f.index = f.GP64()
	f.XORQ(f.index, f.index)
	for _, u := range blocks {
		loop, done := label(fmt.Sprintf("loop%dx", u)), label(fmt.Sprintf("done%dx", u))
		lanes := make([]lane, u)
		for i := range lanes {
			lanes[i] = lane{f, i * f.bytes, false}
		}
		f.SUBQ(operand.U32(u*f.width()), n)
		f.JLT(operand.LabelRef(done))
		f.Label(loop)
		body(lanes)
		f.ADDQ(operand.U32(u*f.bytes), f.index)
		f.SUBQ(operand.U32(u*f.width()), n)
		f.JGE(operand.LabelRef(loop))
		f.Label(done)
		f.ADDQ(operand.U32(u*f.width()), n)
	}
	end := label("end")
	f.TESTQ(n, n)
	f.JEQ(operand.LabelRef(end))
	f.setMask(n)
	body([]lane{{f, 0, true}})
	f.Label(end)
}

// setMask selects the first n lanes.
func (f *rowFunction) setMask(n reg.Register) {
	if f.bytes == avx512.bytes {
		ones := f.GP64()
		f.MOVQ(operand.I32(-1), ones)
		f.BZHIQ(n, ones, ones)
		f.tailK = f.K()
		f.KMOVW(ones.As32(), f.tailK)
		return
	}
	p := f.GP64()
	f.LEAQ(f.tables.mask.Offset(f.bytes), p)
	f.SHLQ(operand.U8(2), n)
	f.SUBQ(n, p)
	f.tailYMM = f.YMM()
	f.VMOVUPS(at(p, 0), f.tailYMM)
}

// mem returns the address of the lane in a slice.
func (l lane) mem(slice string) operand.Mem {
	return operand.Mem{Base: l.f.base[slice], Index: l.f.index, Scale: 1, Disp: l.offset}
}

// load returns the lane of a slice, zeros where it holds no numbers.
func (l lane) load(slice string) reg.VecVirtual { return l.loadFrom(l.mem(slice)) }

// loadFrom returns the lane at an address.
func (l lane) loadFrom(m operand.Mem) reg.VecVirtual {
	f, r := l.f, l.f.v()
	switch {
	case !l.masked:
		f.VMOVUPS(m, r)
	case f.bytes == avx512.bytes:
		f.VMOVUPS_Z(m, f.tailK, r)
	default:
		f.VMASKMOVPS(m, f.tailYMM, r)
	}
	return r
}

// fetchAhead is the distance in bytes that rows to convert are fetched ahead: they often come from memory,
// one behind the other, and what the processor fetches by itself ends with each page.
const fetchAhead = 2048

// prefetch fetches what lies ahead of the lane in a slice, and perhaps behind its end.
func (l lane) prefetch(slice string) {
	m := l.mem(slice)
	m.Disp += fetchAhead
	l.f.PREFETCHT0(m)
}

// store writes r to the lane of a slice.
func (l lane) store(r reg.VecVirtual, slice string) {
	f := l.f
	switch {
	case !l.masked:
		f.VMOVUPS(r, l.mem(slice))
	case f.bytes == avx512.bytes:
		f.VMOVUPS(r, f.tailK, l.mem(slice))
	default:
		f.VMASKMOVPS(r, f.tailYMM, l.mem(slice))
	}
}

// clearRest sets the lanes of r that hold no numbers to zero.
func (l lane) clearRest(r reg.VecVirtual) {
	switch {
	case !l.masked:
	case l.f.bytes == avx512.bytes:
		l.f.VMOVAPS_Z(r, l.f.tailK, r)
	default:
		l.f.VANDPS(l.f.tailYMM, r, r)
	}
}

// setRest sets the lanes of r that hold no numbers to those of other.
func (l lane) setRest(r, other reg.VecVirtual) {
	switch {
	case !l.masked:
	case l.f.bytes == avx512.bytes:
		l.f.VBLENDMPS(r, other, l.f.tailK, r)
	default:
		l.f.VBLENDVPS(l.f.tailYMM, r, other, r)
	}
}

// zeros returns n registers of zeros.
func (f *rowFunction) zeros(n int) []reg.VecVirtual {
	acc := make([]reg.VecVirtual, n)
	for i := range acc {
		acc[i] = f.v()
		f.zero(f.Context, acc[i])
	}
	return acc
}

// fold returns the sum, or what op computes, of all lanes of acc: registers in pairs, then halves.
func (f *rowFunction) fold(acc []reg.VecVirtual, op func(a, b, to operand.Op)) reg.VecVirtual {
	for n := len(acc); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			op(acc[n-1-i], acc[i], acc[i])
		}
	}
	v := acc[0]
	if f.bytes == avx512.bytes {
		half := f.YMM()
		f.VEXTRACTF64X4(operand.U8(1), v, half)
		op(half, v.AsY(), v.AsY())
	}
	high := f.XMM()
	f.VEXTRACTF128(operand.U8(1), v.AsY(), high)
	op(high, v.AsX(), v.AsX())
	f.VMOVHLPS(v.AsX(), v.AsX(), high)
	op(high, v.AsX(), v.AsX())
	f.VMOVSHDUP(v.AsX(), high)
	op(high, v.AsX(), v.AsX())
	return v
}

// sum folds acc by addition.
func (f *rowFunction) sum(acc []reg.VecVirtual) reg.VecVirtual {
	return f.fold(acc, func(a, b, to operand.Op) { f.VADDPS(a, b, to) })
}

// result stores lane 0 of v as result i.
func (f *rowFunction) result(v reg.VecVirtual, i int) {
	r, err := f.ReturnIndex(i).Resolve()
	if err != nil {
		panic(err)
	}
	f.VMOVSS(v.AsX(), r.Addr)
}
