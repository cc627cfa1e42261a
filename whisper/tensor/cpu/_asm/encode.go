package main

import (
	"encoding/binary"
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// evex is an instruction on vector registers of 512 bits that Go's assembler lacks:
// EVEX.512.pp.0F38.W0 opcode /r.
type evex struct{ prefix, opcode byte }

// encodings are the instructions of AVX512_BF16 (Intel SDM volume 2), by name.
var encodings = map[string]evex{
	"VDPBF16PS":     {prefix: 2, opcode: 0x52},
	"VCVTNEPS2BF16": {prefix: 2, opcode: 0x72},
}

// multiplyAdd adds an instruction that avo lacks, of which acc is read and written: acc += a·b.
func multiplyAdd(c *build.Context, opcode string, b, a, acc operand.Op) {
	c.Instruction(&ir.Instruction{
		Opcode:   opcode,
		Operands: []operand.Op{b, a, acc},
		Inputs:   []operand.Op{b, a, acc},
		Outputs:  []operand.Op{acc},
	})
}

// convert adds an instruction that avo lacks, of one source and one destination.
func convert(c *build.Context, opcode string, from, to operand.Op) {
	c.Instruction(&ir.Instruction{
		Opcode:   opcode,
		Operands: []operand.Op{from, to},
		Inputs:   []operand.Op{from},
		Outputs:  []operand.Op{to},
	})
}

// encode replaces the instructions that Go's assembler lacks by their bytes.
func encode(file *ir.File) {
	for _, f := range file.Functions() {
		var nodes []ir.Node
		for _, n := range f.Nodes {
			i, ok := n.(*ir.Instruction)
			if !ok {
				nodes = append(nodes, n)
				continue
			}
			long := func(code []byte) *ir.Instruction {
				return &ir.Instruction{Opcode: "LONG", Operands: []operand.Op{operand.U32(binary.LittleEndian.Uint32(code))}}
			}
			if e, ok := encodings[i.Opcode]; ok {
				code := e.bytes(i.Operands)
				nodes = append(nodes, long(code),
					&ir.Instruction{Opcode: "WORD", Operands: []operand.Op{operand.U16(binary.LittleEndian.Uint16(code[4:]))}})
			} else if i.Opcode == "VPDPBUSD_VEX" {
				code := vexDot(i.Operands)
				nodes = append(nodes, long(code), &ir.Instruction{Opcode: "BYTE", Operands: []operand.Op{operand.U8(code[4])}})
			} else {
				nodes = append(nodes, n)
			}
		}
		f.Nodes = nodes
	}
}

// bytes returns the six bytes of the instruction. Operands are in the order of Go's assembler, the
// destination last; of two, the second source is absent.
func (e evex) bytes(operands []operand.Op) []byte {
	rm, to := vectorNumber(operands[0]), vectorNumber(operands[len(operands)-1])
	var v byte
	if len(operands) == 3 {
		v = vectorNumber(operands[1])
	}
	const map0F38, width512 = 2, 2
	return []byte{
		0x62,
		not(to, 3, 7) | not(rm, 4, 6) | not(rm, 3, 5) | not(to, 4, 4) | map0F38,
		(^v&15)<<3 | 1<<2 | e.prefix,
		width512<<5 | not(v, 4, 3),
		e.opcode,
		0xc0 | to&7<<3 | rm&7,
	}
}

// vexDot returns the five bytes of VPDPBUSD of AVX-VNNI: VEX.256.66.0F38.W0 50 /r.
func vexDot(operands []operand.Op) []byte {
	rm, v, to := vectorNumber(operands[0]), vectorNumber(operands[1]), vectorNumber(operands[2])
	const map0F38, width256, prefix66 = 2, 1, 1
	return []byte{
		0xc4,
		not(to, 3, 7) | 1<<6 | not(rm, 3, 5) | map0F38,
		(^v&15)<<3 | width256<<2 | prefix66,
		0x50,
		0xc0 | to&7<<3 | rm&7,
	}
}

func vectorNumber(o operand.Op) byte {
	v, ok := o.(reg.VecPhysical)
	if !ok {
		panic(fmt.Sprintf("operand %v is not a vector register", o))
	}
	return byte(v.PhysicalIndex())
}

// not returns a bit of the number of a register, inverted, at a place.
func not(register, bit, at byte) byte { return (register>>bit&1 ^ 1) << at }
