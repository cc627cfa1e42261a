//go:build amd64 && !purego

package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unsafe"
)

// routine is a function of an assembly file, to be run instruction by instruction: so kernels are
// tested on machines that lack their instruction set, with the same tests, and bit for bit
// against the sets that the machine has.
type routine struct {
	code   []instruction
	labels map[string]int
}

type instruction struct {
	text string
	op   func(m *machine, o []operand)
	o    []operand
}

// operand is an immediate, a general, vector or mask register, a place in memory, an argument, a
// constant in memory or a label.
type operand struct {
	kind        byte // 'i', 'r', 'v', 'k', 'm', 'a', 'c' or 'l'
	value       int64
	reg, index  int // index is -1 where there is none
	scale       int64
	lanes       int // of a vector register
	label       string
	destination int    // of the label, in code
	constant    []byte // in memory
}

// machine is the state of the processor. Values compared last stand for the flags.
type machine struct {
	general     [16]int64
	vector      [32]lanes
	mask        [8]uint64
	arguments   []byte
	left, right int64
	pc          int
}

type lanes [16]uint32

// loadRoutine parses function name of an assembly file as the generators print it.
func loadRoutine(file, name string) (*routine, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	constants, err := loadConstants(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	_, body, ok := strings.Cut(string(text), "TEXT ·"+name+"(SB)")
	if !ok {
		return nil, fmt.Errorf("%s: no function %s", file, name)
	}
	body, _, _ = strings.Cut(body, "\nTEXT ")
	r := &routine{labels: map[string]int{}}
	var bytes string // of an instruction that Go's assembler lacks, the first four
	for _, line := range strings.Split(body, "\n")[1:] {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		if label, ok := strings.CutSuffix(line, ":"); ok {
			r.labels[label] = len(r.code)
		} else if long, ok := strings.CutPrefix(line, "LONG"); ok {
			bytes = strings.TrimSpace(long)
		} else if line != "" {
			if word, ok := strings.CutPrefix(line, "WORD"); ok {
				line = decode(bytes, strings.TrimSpace(word))
			} else if last, ok := strings.CutPrefix(line, "BYTE"); ok {
				line = decodeVEX(bytes, strings.TrimSpace(last))
			}
			ins, err := parseInstruction(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", file, line, err)
			}
			r.code = append(r.code, ins)
		}
	}
	for i := range r.code {
		for j, o := range r.code[i].o {
			at, ok := &r.code[i].o[j], true
			switch o.kind {
			case 'l':
				at.destination, ok = r.labels[o.label]
			case 'c':
				at.constant, ok = constants[o.label]
			}
			if !ok {
				return nil, fmt.Errorf("%s: no %s", file, o.label)
			}
		}
	}
	return r, nil
}

var datum = regexp.MustCompile(`(?m)^DATA (\w+)<>\+(\d+)\(SB\)/4, \$(0x[0-9a-f]+)`)

// loadConstants returns the constants of an assembly file, which are of float32, by name.
func loadConstants(text string) (map[string][]byte, error) {
	constants := map[string][]byte{}
	for _, m := range datum.FindAllStringSubmatch(text, -1) {
		bits, err := strconv.ParseUint(m[3], 0, 32)
		if offset, _ := strconv.Atoi(m[2]); err != nil || offset != len(constants[m[1]]) {
			return nil, fmt.Errorf("constant %q", m[0])
		}
		constants[m[1]] = binary.NativeEndian.AppendUint32(constants[m[1]], uint32(bits))
	}
	return constants, nil
}

// decode returns the text of an instruction of 512-bit registers that Go's assembler lacks, given
// as its bytes: EVEX.512.F3.0F38.W0 opcode /r.
func decode(long, word string) string {
	code := immediate(long) | immediate(word)<<32
	b := func(i int) uint64 { return code >> (8 * i) & 0xff }
	bit := func(i, at int) uint64 { return ^b(i) >> at & 1 } // the bits of registers are inverted
	if b(0) != 0x62 || b(1)&0xf != 2 || b(2)&0x87 != 0x06 || b(3)&0xf7 != 0x40 || b(5)>>6 != 3 {
		return fmt.Sprintf("% x", code)
	}
	to := b(5)>>3&7 | bit(1, 7)<<3 | bit(1, 4)<<4
	rm := b(5)&7 | bit(1, 5)<<3 | bit(1, 6)<<4
	v := ^b(2)>>3&15 | bit(3, 3)<<4
	switch b(4) {
	case 0x52:
		return fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", rm, v, to)
	case 0x72:
		return fmt.Sprintf("VCVTNEPS2BF16 Z%d, Y%d", rm, to)
	}
	return fmt.Sprintf("% x", code)
}

// decodeVEX returns the text of VPDPBUSD of AVX-VNNI: VEX.256.66.0F38.W0 50 /r.
func decodeVEX(long, last string) string {
	code := immediate(long) | immediate(last)<<32
	b := func(i int) uint64 { return code >> (8 * i) & 0xff }
	if b(0) != 0xc4 || b(1)&0x5f != 0x42 || b(2)&0x87 != 0x05 || b(3) != 0x50 || b(4)>>6 != 3 {
		return fmt.Sprintf("% x", code)
	}
	to, rm, v := b(4)>>3&7|^b(1)>>7&1<<3, b(4)&7|^b(1)>>5&1<<3, ^b(2)>>3&15
	return fmt.Sprintf("VPDPBUSD Y%d, Y%d, Y%d", rm, v, to)
}

func immediate(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(s, "$"), 0, 32)
	return n
}

func parseInstruction(line string) (instruction, error) {
	name, rest, _ := strings.Cut(line, " ")
	ins := instruction{text: line, op: opcodes[name]}
	if ins.op == nil {
		return ins, fmt.Errorf("instruction %s is not emulated", name)
	}
	if rest = strings.TrimSpace(rest); rest == "" {
		return ins, nil
	}
	for _, s := range strings.Split(rest, ", ") {
		o, err := parseOperand(strings.TrimSpace(s))
		if err != nil {
			return ins, err
		}
		ins.o = append(ins.o, o)
	}
	return ins, nil
}

var (
	generalNames = strings.Fields("AX CX DX BX SP BP SI DI R8 R9 R10 R11 R12 R13 R14 R15")
	argument     = regexp.MustCompile(`^\w+\+(\d+)\(FP\)$`)
	memory       = regexp.MustCompile(`^(-?\d*)\((\w+)\)(?:\((\w+)\*(\d)\))?$`)
	constant     = regexp.MustCompile(`^(\w+)<>\+(\d+)\(SB\)$`)
	maskName     = regexp.MustCompile(`^K([0-7])$`)
	vectorName   = regexp.MustCompile(`^([XYZ])(\d+)$`)
	labelName    = regexp.MustCompile(`^[a-z]\w*$`)
)

func parseOperand(s string) (operand, error) {
	if imm, ok := strings.CutPrefix(s, "$"); ok {
		v, err := strconv.ParseInt(imm, 0, 64)
		return operand{kind: 'i', value: v}, err
	}
	if m := argument.FindStringSubmatch(s); m != nil {
		v, err := strconv.ParseInt(m[1], 10, 64)
		return operand{kind: 'a', value: v}, err
	}
	if m := vectorName.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[2])
		return operand{kind: 'v', reg: n, lanes: map[string]int{"X": 4, "Y": 8, "Z": 16}[m[1]]}, err
	}
	if m := constant.FindStringSubmatch(s); m != nil {
		v, err := strconv.ParseInt(m[2], 10, 64)
		return operand{kind: 'c', label: m[1], value: v}, err
	}
	if m := maskName.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[1])
		return operand{kind: 'k', reg: n}, err
	}
	if m := memory.FindStringSubmatch(s); m != nil {
		o := operand{kind: 'm', index: -1}
		o.value, _ = strconv.ParseInt(m[1], 10, 64)
		o.scale, _ = strconv.ParseInt(m[4], 10, 64)
		var err error
		if o.reg, err = generalRegister(m[2]); err == nil && m[3] != "" {
			o.index, err = generalRegister(m[3])
		}
		return o, err
	}
	if n, err := generalRegister(s); err == nil {
		return operand{kind: 'r', reg: n}, nil
	}
	if labelName.MatchString(s) {
		return operand{kind: 'l', label: s}, nil
	}
	return operand{}, fmt.Errorf("operand %q", s)
}

func generalRegister(name string) (int, error) {
	for i, n := range generalNames {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("register %q", name)
}

// call runs the routine on the frame of its arguments, and writes its results there.
func (r *routine) call(frame []byte) {
	m := &machine{arguments: frame}
	for m.pc >= 0 {
		i := &r.code[m.pc]
		m.pc++
		i.op(m, i.o)
	}
}

// pointer returns the place in memory, or in the frame, that o names. As the processor, it does
// not know which of the addresses belong to Go's memory.
//
//go:nocheckptr
func (m *machine) pointer(o operand) unsafe.Pointer {
	switch o.kind {
	case 'a':
		return unsafe.Pointer(&m.arguments[o.value])
	case 'c':
		return unsafe.Pointer(&o.constant[o.value])
	}
	return unsafe.Add(unsafe.Pointer(nil), m.address(o))
}

func (m *machine) address(o operand) int64 {
	if o.kind == 'c' {
		return int64(uintptr(m.pointer(o)))
	}
	a := m.general[o.reg] + o.value
	if o.index >= 0 {
		a += m.general[o.index] * o.scale
	}
	return a
}

func (m *machine) integer(o operand) int64 {
	switch o.kind {
	case 'i':
		return o.value
	case 'r':
		return m.general[o.reg]
	case 'k':
		return int64(m.mask[o.reg])
	}
	return *(*int64)(m.pointer(o))
}

func (m *machine) setInteger(o operand, v int64) {
	switch o.kind {
	case 'r':
		m.general[o.reg] = v
		return
	case 'k':
		m.mask[o.reg] = uint64(v)
		return
	}
	*(*int64)(m.pointer(o)) = v
}

// load returns the n lanes that o names, in a register or in memory.
func (m *machine) load(o operand, n int) (v lanes) {
	if o.kind == 'v' {
		copy(v[:n], m.vector[o.reg][:n])
		return v
	}
	copy(v[:n], unsafe.Slice((*uint32)(m.pointer(o)), n))
	return v
}

// store writes the n lanes of v to o; the lanes of a register past them become zeros.
func (m *machine) store(o operand, v lanes, n int) {
	clear(v[n:])
	if o.kind == 'v' {
		m.vector[o.reg] = v
		return
	}
	copy(unsafe.Slice((*uint32)(m.pointer(o)), n), v[:n])
}

// loadMasked returns the lanes of o that mask names, and zeros for the others, which are not read.
func (m *machine) loadMasked(o operand, n int, mask uint64) (v lanes) {
	for i := range n {
		if mask>>i&1 == 0 {
			continue
		}
		if o.kind == 'v' {
			v[i] = m.vector[o.reg][i]
		} else {
			v[i] = *(*uint32)(unsafe.Add(m.pointer(o), 4*i))
		}
	}
	return v
}

// storeMasked writes the lanes of v that mask names to memory.
func (m *machine) storeMasked(o operand, v lanes, n int, mask uint64) {
	for i := range n {
		if mask>>i&1 != 0 {
			*(*uint32)(unsafe.Add(m.pointer(o), 4*i)) = v[i]
		}
	}
}

// signs returns the mask of the lanes whose highest bit is set.
func (v lanes) signs() (mask uint64) {
	for i, bits := range v {
		mask |= uint64(bits>>31) << i
	}
	return mask
}

// fma returns x*y+z rounded once: the sum is rounded to odd in float64, which has more than twice
// the precision, and then to float32 (Boldo & Melquiond 2008).
func fma(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	b := s - p
	if e := (p - (s - b)) + (c - b); e != 0 && !math.IsNaN(e) && math.Float64bits(s)&1 == 0 {
		s = math.Nextafter(s, math.Inf(int(math.Copysign(1, e))))
	}
	return float32(s)
}
