//go:build amd64 && !purego

package cpu

import (
	"math"
	"unsafe"
)

// opcodes are the instructions that the generators use, operands in the order of Go's assembler:
// sources first.
var opcodes = map[string]func(m *machine, o []operand){
	"MOVQ":   func(m *machine, o []operand) { m.setInteger(o[1], m.integer(o[0])) },
	"LEAQ":   func(m *machine, o []operand) { m.setInteger(o[1], m.address(o[0])) },
	"ADDQ":   func(m *machine, o []operand) { m.arithmetic(o[1], m.integer(o[1])+m.integer(o[0])) },
	"SHLQ":   func(m *machine, o []operand) { m.arithmetic(o[1], m.integer(o[1])<<m.integer(o[0])) },
	"SHRQ":   func(m *machine, o []operand) { m.arithmetic(o[1], int64(uint64(m.integer(o[1]))>>m.integer(o[0]))) },
	"XORQ":   func(m *machine, o []operand) { m.arithmetic(o[1], m.integer(o[1])^m.integer(o[0])) },
	"BZHIQ":  func(m *machine, o []operand) { m.arithmetic(o[2], m.integer(o[1])&(1<<m.integer(o[0])-1)) },
	"IMUL3Q": func(m *machine, o []operand) { m.setInteger(o[2], m.integer(o[0])*m.integer(o[1])) },
	"DECQ":   func(m *machine, o []operand) { m.arithmetic(o[0], m.integer(o[0])-1) },
	"TESTQ":  func(m *machine, o []operand) { m.compare(m.integer(o[0])&m.integer(o[1]), 0) },
	"CMPQ":   func(m *machine, o []operand) { m.compare(m.integer(o[0]), m.integer(o[1])) },
	"SUBQ": func(m *machine, o []operand) {
		x, y := m.integer(o[1]), m.integer(o[0])
		m.setInteger(o[1], x-y)
		m.compare(x, y)
	},

	"JMP": func(m *machine, o []operand) { m.jump(o, true) },
	"JEQ": func(m *machine, o []operand) { m.jump(o, m.left == m.right) },
	"JNE": func(m *machine, o []operand) { m.jump(o, m.left != m.right) },
	"JLT": func(m *machine, o []operand) { m.jump(o, m.left < m.right) },
	"JLE": func(m *machine, o []operand) { m.jump(o, m.left <= m.right) },
	"JGE": func(m *machine, o []operand) { m.jump(o, m.left >= m.right) },
	"JGT": func(m *machine, o []operand) { m.jump(o, m.left > m.right) },
	"RET": func(m *machine, o []operand) { m.pc = -1 },

	"PREFETCHT0": func(m *machine, o []operand) {},
	"VZEROUPPER": func(m *machine, o []operand) {
		for i := range 16 {
			clear(m.vector[i][4:])
		}
	},

	"VMOVUPS": func(m *machine, o []operand) {
		n := max(o[0].lanes, o[len(o)-1].lanes)
		if len(o) == 3 {
			m.storeMasked(o[2], m.load(o[0], n), n, m.mask[o[1].reg])
			return
		}
		m.store(o[1], m.load(o[0], n), n)
	},
	"VMOVAPS":   func(m *machine, o []operand) { m.store(o[1], m.load(o[0], o[1].lanes), o[1].lanes) },
	"VMOVUPS.Z": zeroMasked,
	"VMOVAPS.Z": zeroMasked,
	"VMASKMOVPS": func(m *machine, o []operand) {
		mask := m.vector[o[1].reg].signs()
		if n := o[0].lanes; n > 0 {
			m.storeMasked(o[2], m.load(o[0], n), n, mask)
			return
		}
		m.store(o[2], m.loadMasked(o[0], o[2].lanes, mask), o[2].lanes)
	},
	"MOVSS":    func(m *machine, o []operand) { m.store(o[1], m.load(o[0], 1), 1) },
	"VMOVSS":   func(m *machine, o []operand) { m.store(o[1], m.load(o[0], 1), 1) },
	"KMOVW":    func(m *machine, o []operand) { m.setInteger(o[1], m.integer(o[0])&0xffff) },
	"VPMOVD2M": func(m *machine, o []operand) { m.mask[o[1].reg] = m.load(o[0], o[0].lanes).signs() },
	"VBROADCASTSS": func(m *machine, o []operand) {
		v := m.load(o[0], 1)
		for i := range v {
			v[i] = v[0]
		}
		m.store(o[1], v, o[1].lanes)
	},
	"VXORPS": eachLane(func(x, y uint32) uint32 { return x ^ y }),
	"VANDPS": eachLane(func(x, y uint32) uint32 { return x & y }),
	"VPSLLD": func(m *machine, o []operand) {
		v := m.load(o[1], o[1].lanes)
		for i := range v {
			v[i] <<= o[0].value
		}
		m.store(o[2], v, o[2].lanes)
	},
	"VADDPS":  eachFloat(func(x, y float32) float32 { return x + y }),
	"VSUBPS":  eachFloat(func(x, y float32) float32 { return x - y }),
	"VMULPS":  eachFloat(func(x, y float32) float32 { return x * y }),
	"VDIVPS":  eachFloat(func(x, y float32) float32 { return x / y }),
	"VMAXPS":  eachFloat(greater),
	"VADDSS":  firstFloat(func(x, y float32) float32 { return x + y }),
	"VMULSS":  firstFloat(func(x, y float32) float32 { return x * y }),
	"VDIVSS":  firstFloat(func(x, y float32) float32 { return x / y }),
	"VMAXSS":  firstFloat(greater),
	"VSQRTSS": firstFloat(func(_, y float32) float32 { return float32(math.Sqrt(float64(y))) }),
	"VCVTSI2SSQ": func(m *machine, o []operand) {
		v := m.load(o[1], 4)
		v[0] = math.Float32bits(float32(m.integer(o[0])))
		m.store(o[2], v, 4)
	},

	"VFMADD231PS":  multiplyAdd(func(x, y, z float32) float32 { return fma(y, x, z) }),
	"VFMADD213PS":  multiplyAdd(func(x, y, z float32) float32 { return fma(y, z, x) }),
	"VFMSUB213PS":  multiplyAdd(func(x, y, z float32) float32 { return fma(y, z, -x) }),
	"VFMSUB132PS":  multiplyAdd(func(x, y, z float32) float32 { return fma(z, x, -y) }),
	"VFNMADD231PS": multiplyAdd(func(x, y, z float32) float32 { return fma(-y, x, z) }),

	"VPORD": eachLane(func(x, y uint32) uint32 { return x | y }),
	"VPMOVZXWD": func(m *machine, o []operand) {
		half := m.load(o[0], o[1].lanes/2)
		var v lanes
		for i := range o[1].lanes {
			v[i] = half[i/2] >> (i % 2 * 16) & 0xffff
		}
		m.store(o[1], v, o[1].lanes)
	},
	"VPSRAD": func(m *machine, o []operand) {
		v := m.load(o[1], o[1].lanes)
		for i := range v {
			v[i] = uint32(int32(v[i]) >> o[0].value)
		}
		m.store(o[2], v, o[2].lanes)
	},
	"VPACKUSDW": func(m *machine, o []operand) { // of X registers
		low, high := m.load(o[1], 4), m.load(o[0], 4)
		saturate := func(x uint32) uint32 { return uint32(max(min(int32(x), math.MaxUint16), 0)) }
		var v lanes
		for i := range 2 {
			v[i] = saturate(low[2*i]) | saturate(low[2*i+1])<<16
			v[2+i] = saturate(high[2*i]) | saturate(high[2*i+1])<<16
		}
		m.store(o[2], v, 4)
	},
	"VPADDD":  eachLane(func(x, y uint32) uint32 { return x + y }),
	"VPSUBD":  eachLane(func(x, y uint32) uint32 { return x - y }),
	"VPMAXUD": eachLane(func(x, y uint32) uint32 { return max(x, y) }),
	"VPMADDWD": eachLane(func(x, y uint32) uint32 {
		return uint32(int32(int16(x))*int32(int16(y)) + int32(int16(x>>16))*int32(int16(y>>16)))
	}),
	"VPSRLD": func(m *machine, o []operand) {
		v := m.load(o[1], o[1].lanes)
		for i := range v {
			v[i] >>= o[0].value
		}
		m.store(o[2], v, o[2].lanes)
	},
	"VPMOVSXBW": func(m *machine, o []operand) {
		n := o[1].lanes
		from := unsafe.Slice((*[2]int8)(m.pointer(o[0])), n)
		var v lanes
		for i, b := range from {
			v[i] = uint32(uint16(b[0])) | uint32(uint16(b[1]))<<16
		}
		m.store(o[1], v, n)
	},
	"VCVTDQ2PS": eachOf(func(x uint32) uint32 { return math.Float32bits(float32(int32(x))) }),
	"VCVTPS2DQ": eachOf(func(x uint32) uint32 {
		return uint32(int32(math.RoundToEven(float64(math.Float32frombits(x)))))
	}),
	"VPBROADCASTD": func(m *machine, o []operand) {
		v := m.load(o[0], 1)
		for i := range v {
			v[i] = v[0]
		}
		m.store(o[1], v, o[1].lanes)
	},
	"MOVL": func(m *machine, o []operand) { m.setInteger(o[1], m.integer(o[0])&math.MaxUint32) },
	"VPMOVDB": func(m *machine, o []operand) {
		v := m.load(o[0], o[0].lanes)
		to := unsafe.Slice((*byte)(m.pointer(o[1])), o[0].lanes)
		for i := range to {
			to[i] = byte(v[i])
		}
	},
	"VPACKSSDW": func(m *machine, o []operand) { // of X registers
		low, high := m.load(o[1], 4), m.load(o[0], 4)
		saturate := func(x uint32) uint32 {
			return uint32(uint16(max(min(int32(x), math.MaxInt16), math.MinInt16)))
		}
		var v lanes
		for i := range 2 {
			v[i] = saturate(low[2*i]) | saturate(low[2*i+1])<<16
			v[2+i] = saturate(high[2*i]) | saturate(high[2*i+1])<<16
		}
		m.store(o[2], v, 4)
	},
	"VPDPBUSD": func(m *machine, o []operand) {
		n := o[2].lanes
		signed, unsigned, acc := m.load(o[0], n), m.load(o[1], n), m.load(o[2], n)
		for i := range n {
			for shift := 0; shift < 32; shift += 8 {
				acc[i] += uint32(int32(int8(signed[i]>>shift)) * int32(uint8(unsigned[i]>>shift)))
			}
		}
		m.store(o[2], acc, n)
	},
	"VMOVD": func(m *machine, o []operand) { m.store(o[1], lanes{uint32(m.integer(o[0]))}, 4) },
	"VMOVQ": func(m *machine, o []operand) { // to memory
		v := m.load(o[0], 2)
		m.setInteger(o[1], int64(v[0])|int64(v[1])<<32)
	},
	"VPACKUSWB": func(m *machine, o []operand) { // of X registers
		low, high := m.load(o[1], 4), m.load(o[0], 4)
		var v lanes
		for i := range 8 {
			saturate := func(x *lanes) uint32 {
				return uint32(max(min(int16(x[i/2]>>(16*(i%2))), math.MaxUint8), 0))
			}
			v[i/4] |= saturate(&low) << (8 * (i % 4))
			v[2+i/4] |= saturate(&high) << (8 * (i % 4))
		}
		m.store(o[2], v, 4)
	},
	"VDPBF16PS": multiplyAddBF16,
	"VCVTNEPS2BF16": func(m *machine, o []operand) {
		x := m.load(o[0], 16)
		var v lanes
		for i := range 8 {
			word := func(i int) uint32 { return uint32(bfloat16(math.Float32frombits(x[i]))) }
			v[i] = word(2*i) | word(2*i+1)<<16
		}
		m.store(o[1], v, 8)
	},

	"VREDUCEPS": func(m *machine, o []operand) { // less the floor
		x := m.load(o[1], o[2].lanes)
		for i := range o[2].lanes {
			v := float64(math.Float32frombits(x[i]))
			x[i] = math.Float32bits(float32(v - math.Floor(v)))
		}
		m.store(o[2], x, o[2].lanes)
	},
	"VSCALEFPS": eachFloat(func(x, y float32) float32 {
		return float32(float64(x) * math.Exp2(math.Floor(float64(y))))
	}),

	"VBLENDVPS": func(m *machine, o []operand) {
		m.blend(o[3], o[1], o[2], m.vector[o[0].reg].signs())
	},
	"VBLENDMPS": func(m *machine, o []operand) { m.blend(o[3], o[0], o[1], m.mask[o[2].reg]) },

	"VMOVHLPS": permute(func(i int) (second bool, lane int) { return i < 2, i%2 + 2 }),
	"VMOVSHDUP": func(m *machine, o []operand) {
		v := m.load(o[0], o[0].lanes)
		for i := range v {
			v[i] = v[i|1]
		}
		m.store(o[1], v, o[1].lanes)
	},
	"VEXTRACTF128":  extract,
	"VEXTRACTF64X4": extract,
	"VUNPCKLPS":     permute(func(i int) (second bool, lane int) { return i%2 == 1, i&^3 + i%4/2 }),
	"VUNPCKHPS":     permute(func(i int) (second bool, lane int) { return i%2 == 1, i&^3 + i%4/2 + 2 }),
	"VSHUFPS": func(m *machine, o []operand) {
		select4 := o[0].value
		permute(func(i int) (second bool, lane int) {
			return i%4 >= 2, i&^3 + int(select4>>(2*(i%4))&3)
		})(m, o[1:])
	},
	"VPERM2F128": func(m *machine, o []operand) {
		halves := o[0].value
		permute(func(i int) (second bool, lane int) {
			half := int(halves >> (4 * (i / 4)) & 3)
			return half >= 2, half%2*4 + i%4
		})(m, o[1:])
	},
}

func (m *machine) arithmetic(o operand, v int64) {
	m.setInteger(o, v)
	m.compare(v, 0)
}

func (m *machine) compare(left, right int64) { m.left, m.right = left, right }

func (m *machine) jump(o []operand, taken bool) {
	if taken {
		m.pc = o[0].destination
	}
}

func zeroMasked(m *machine, o []operand) {
	m.store(o[2], m.loadMasked(o[0], o[2].lanes, m.mask[o[1].reg]), o[2].lanes)
}

// extract writes part o[0] of the vector o[1], as wide as o[2].
func extract(m *machine, o []operand) {
	n := o[2].lanes
	v := m.load(o[1], o[1].lanes)
	copy(v[:n], v[int(o[0].value)*n:])
	m.store(o[2], v, n)
}

// blend writes the lanes of yes that mask names, and those of no elsewhere.
func (m *machine) blend(out, yes, no operand, mask uint64) {
	n := out.lanes
	v, y := m.load(no, n), m.load(yes, n)
	for i := range n {
		if mask>>i&1 != 0 {
			v[i] = y[i]
		}
	}
	m.store(out, v, n)
}

// greater is the maximum of the processor: y where neither is the greater, NaN among them.
func greater(x, y float32) float32 {
	if x > y {
		return x
	}
	return y
}

// firstFloat returns the instruction o[2] = f(o[1], o[0]) of the first lane; the others are o[1]'s.
func firstFloat(f func(x, y float32) float32) func(m *machine, o []operand) {
	return func(m *machine, o []operand) {
		v, y := m.load(o[1], 4), m.load(o[0], 1)
		v[0] = math.Float32bits(f(math.Float32frombits(v[0]), math.Float32frombits(y[0])))
		m.store(o[2], v, 4)
	}
}

// multiplyAdd returns the instruction o[2] = f(o[0], o[1], o[2]), lane by lane.
func multiplyAdd(f func(x, y, z float32) float32) func(m *machine, o []operand) {
	return func(m *machine, o []operand) {
		n := o[2].lanes
		x, y, z := m.load(o[0], n), m.load(o[1], n), m.load(o[2], n)
		for i := range n {
			v := f(math.Float32frombits(x[i]), math.Float32frombits(y[i]), math.Float32frombits(z[i]))
			z[i] = math.Float32bits(v)
		}
		m.store(o[2], z, n)
	}
}

// eachLane returns the instruction o[2] = f(o[1], o[0]), lane by lane.
func eachLane(f func(x, y uint32) uint32) func(m *machine, o []operand) {
	return func(m *machine, o []operand) {
		n := o[2].lanes
		x, y := m.load(o[1], n), m.load(o[0], n)
		for i := range n {
			x[i] = f(x[i], y[i])
		}
		m.store(o[2], x, n)
	}
}

// eachOf returns the instruction o[1] = f(o[0]), lane by lane.
func eachOf(f func(x uint32) uint32) func(m *machine, o []operand) {
	return func(m *machine, o []operand) {
		x := m.load(o[0], o[1].lanes)
		for i := range o[1].lanes {
			x[i] = f(x[i])
		}
		m.store(o[1], x, o[1].lanes)
	}
}

// multiplyAddBF16 is VDPBF16PS: the products of the upper and of the lower halves are added one
// after the other.
func multiplyAddBF16(m *machine, o []operand) {
	n := o[2].lanes
	x, y, acc := m.load(o[0], n), m.load(o[1], n), m.load(o[2], n)
	for i := range n {
		sum := math.Float32frombits(acc[i])
		sum = fma(math.Float32frombits(x[i]&^0xffff), math.Float32frombits(y[i]&^0xffff), sum)
		sum = fma(math.Float32frombits(x[i]<<16), math.Float32frombits(y[i]<<16), sum)
		acc[i] = math.Float32bits(sum)
	}
	m.store(o[2], acc, n)
}

func eachFloat(f func(x, y float32) float32) func(m *machine, o []operand) {
	return eachLane(func(x, y uint32) uint32 {
		return math.Float32bits(f(math.Float32frombits(x), math.Float32frombits(y)))
	})
}

// permute returns the instruction o[2][i] = o[1][lane], or o[0][lane] where it is of the second
// operand, in Intel's order.
func permute(f func(i int) (second bool, lane int)) func(m *machine, o []operand) {
	return func(m *machine, o []operand) {
		n := o[2].lanes
		x, y := m.load(o[1], n), m.load(o[0], n)
		var v lanes
		for i := range n {
			second, lane := f(i)
			if v[i] = x[lane]; second {
				v[i] = y[lane]
			}
		}
		m.store(o[2], v, n)
	}
}
