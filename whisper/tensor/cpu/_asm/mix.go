package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mixes generates what takes the panels of a weight apart, and puts them together again.
func mixes(c *build.Context) {
	for _, f := range panelFormats {
		switch {
		case f.format == "BF16":
			unpackBF16(c, f)
			if f.isa == avx512 {
				packBF16(c, f)
			}
		case f.integer:
			unpackI8(c, f)
			packI8(c, f)
		}
	}
}

// steps generates a function over the steps of a panel.
type steps struct {
	*rowFunction
	panelFormat
	dst, src, n reg.Register
}

func newSteps(c *build.Context, f panelFormat, name, signature string, doc ...string) *steps {
	name += f.suffix()
	c.Function(name)
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func" + signature)
	c.Pragma("noescape")
	c.Doc(append([]string{name + " computes", ""}, doc...)...)
	s := &steps{rowFunction: &rowFunction{Context: c, isa: f.isa}, panelFormat: f}
	s.dst, s.src, s.n = s.argument("dst"), s.argument("src"), s.argument("steps")
	return s
}

func (s *steps) argument(name string) reg.Register {
	r := s.GP64()
	s.Load(s.Param(name), r)
	return r
}

// row is the offset in bytes of vector v of row t of the numbers of a step.
func (s *steps) row(t, v int) int { return (t*nVec + v) * s.rowFunction.bytes }

// loop generates the loop over steps of the given bytes, and ends the function.
func (s *steps) loop(toSize, fromSize int, body, after func()) {
	s.Label("step")
	body()
	s.ADDQ(operand.U32(toSize), s.dst)
	s.ADDQ(operand.U32(fromSize), s.src)
	s.DECQ(s.n)
	s.JNE(operand.LabelRef("step"))
	after()
	s.end()
}

// numbers is the size of the numbers of a step in float32, weights that in the panel.
func (s *steps) numbers() int { return s.terms * nVec * s.rowFunction.bytes }
func (s *steps) weights() int { return nVec * s.width() * s.bBytes }

func unpackBF16(c *build.Context, f panelFormat) {
	s := newSteps(c, f, "unpack", "(dst, src, scale *float32, steps int)",
		"\tfor p := range steps {",
		"\t\tfor i := range nr {",
		"\t\t\tdst[2*p, i], dst[2*p+1, i] = src[p, i, 0], src[p, i, 1]",
		"\t\t}",
		"\t}",
	)
	s.loop(s.numbers(), s.weights(), func() {
		for v := range nVec {
			words, low := s.v(), s.v()
			s.VMOVUPS(at(s.src, v*s.rowFunction.bytes), words)
			s.VPSLLD(operand.U8(16), words, low)
			s.VPSRLD(operand.U8(16), words, words)
			s.VPSLLD(operand.U8(16), words, words)
			s.VMOVUPS(low, at(s.dst, s.row(0, v)))
			s.VMOVUPS(words, at(s.dst, s.row(1, v)))
		}
	}, func() {})
}

func packBF16(c *build.Context, f panelFormat) {
	s := newSteps(c, f, "pack", "(dst, src, inverse *float32, sums *int32, steps int)",
		"\tfor p := range steps {",
		"\t\tfor i := range nr {",
		"\t\t\tdst[p, i, 0], dst[p, i, 1] = bfloat16(src[2*p, i]), bfloat16(src[2*p+1, i])",
		"\t\t}",
		"\t}",
	)
	s.loop(s.weights(), s.numbers(), func() {
		for v := range nVec {
			low, high := s.v(), s.v()
			s.VMOVUPS(at(s.src, s.row(0, v)), low)
			s.VMOVUPS(at(s.src, s.row(1, v)), high)
			low, high = s.bf16Lanes(low), s.bf16Lanes(high)
			s.VPSLLD(operand.U8(16), high, high)
			s.VPORD(low, high, high)
			s.VMOVUPS(high, at(s.dst, v*s.rowFunction.bytes))
		}
	}, func() {})
}

func unpackI8(c *build.Context, f panelFormat) {
	s := newSteps(c, f, "unpack", "(dst, src, scale *float32, steps int)",
		"\tfor p := range steps {",
		"\t\tfor i := range nr {",
		"\t\t\tfor t := range terms {",
		"\t\t\t\tdst[terms*p+t, i] = float32(src[p, i, t]) * scale[i]",
		"\t\t\t}",
		"\t\t}",
		"\t}",
	)
	scale, from := s.fresh(nVec), s.argument("scale")
	for v := range scale {
		s.VMOVUPS(at(from, v*s.rowFunction.bytes), scale[v])
	}
	s.loop(s.numbers(), s.weights(), func() {
		for v := range nVec {
			words := s.v()
			if s.bBytes == 4 {
				s.VMOVUPS(at(s.src, v*s.rowFunction.bytes), words)
			} else {
				s.VPMOVZXWD(at(s.src, v*s.rowFunction.bytes/2), words)
			}
			for t := range s.terms {
				x := s.v()
				s.VPSLLD(operand.U8(24-8*t), words, x)
				s.VPSRAD(operand.U8(24), x, x)
				s.VCVTDQ2PS(x, x)
				s.VMULPS(scale[v], x, x)
				s.VMOVUPS(x, at(s.dst, s.row(t, v)))
			}
		}
	}, func() {})
}

func packI8(c *build.Context, f panelFormat) {
	s := newSteps(c, f, "pack", "(dst, src, inverse *float32, sums *int32, steps int)",
		"\tfor p := range steps {",
		"\t\tfor i := range nr {",
		"\t\t\tfor t := range terms {",
		"\t\t\t\tq := round(src[terms*p+t, i] * inverse[i]) // to nearest even",
		"\t\t\t\tdst[p, i, t] = q",
		"\t\t\t\tsums[i] += q",
		"\t\t\t}",
		"\t\t}",
		"\t}",
	)
	inverse, sums := s.fresh(nVec), s.fresh(nVec)
	from, to := s.argument("inverse"), s.argument("sums")
	bits, mask := s.GP32(), s.v()
	s.MOVL(operand.U32(0xff), bits)
	s.VMOVD(bits, mask.AsX())
	s.VPBROADCASTD(mask.AsX(), mask)
	for v := range nVec {
		s.VMOVUPS(at(from, v*s.rowFunction.bytes), inverse[v])
		s.VMOVUPS(at(to, v*s.rowFunction.bytes), sums[v])
	}
	s.loop(s.weights(), s.numbers(), func() {
		for v := range nVec {
			words := s.v()
			for t := range s.terms {
				q := s.v()
				s.VMULPS(at(s.src, s.row(t, v)), inverse[v], q)
				s.VCVTPS2DQ(q, q)
				s.VPADDD(q, sums[v], sums[v])
				s.VANDPS(mask, q, q)
				if t == 0 {
					s.VMOVAPS(q, words)
					continue
				}
				s.VPSLLD(operand.U8(8*t), q, q)
				s.VPADDD(q, words, words) // none has a bit of another
			}
			if s.bBytes == 4 {
				s.VMOVUPS(words, at(s.dst, v*s.rowFunction.bytes))
				continue
			}
			high := s.XMM()
			s.VEXTRACTF128(operand.U8(1), words, high)
			s.VPACKUSDW(high, words.AsX(), high)
			s.VMOVUPS(high, at(s.dst, v*s.rowFunction.bytes/2))
		}
	}, func() {
		for v := range nVec {
			s.VMOVUPS(sums[v], at(to, v*s.rowFunction.bytes))
		}
	})
}
