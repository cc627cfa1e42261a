package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// machine is the state of a pickle while it runs.
type machine struct {
	data  []byte
	at    int // of the next byte
	stack []any
	marks []int // lengths of the stack where an open list of arguments begins
	memo  map[uint32]any
	env   Env
}

const opStop = '.'

// instructions are what the machine knows, by the names of pickletools.py.
var instructions = map[byte]func(m *machine) error{
	0x80: func(m *machine) error { return m.skip(1) }, // PROTO
	0x95: func(m *machine) error { return m.skip(8) }, // FRAME

	'N':  func(m *machine) error { return m.push(nil) },           // NONE
	0x88: func(m *machine) error { return m.push(true) },          // NEWTRUE
	0x89: func(m *machine) error { return m.push(false) },         // NEWFALSE
	'K':  func(m *machine) error { return m.pushInt(1, false) },   // BININT1
	'M':  func(m *machine) error { return m.pushInt(2, false) },   // BININT2
	'J':  func(m *machine) error { return m.pushInt(4, true) },    // BININT
	0x8a: func(m *machine) error { return m.pushLong() },          // LONG1
	'G':  func(m *machine) error { return m.pushFloat() },         // BINFLOAT
	0x8c: func(m *machine) error { return m.pushText(1) },         // SHORT_BINUNICODE
	'X':  func(m *machine) error { return m.pushText(4) },         // BINUNICODE
	')':  func(m *machine) error { return m.push(Tuple{}) },       // EMPTY_TUPLE
	']':  func(m *machine) error { return m.push(&List{}) },       // EMPTY_LIST
	'}':  func(m *machine) error { return m.push(&Dict{}) },       // EMPTY_DICT
	'(':  func(m *machine) error { return m.mark() },              // MARK
	't':  func(m *machine) error { return m.tuple(m.popMark()) },  // TUPLE
	0x85: func(m *machine) error { return m.tuple(m.popN(1)) },    // TUPLE1
	0x86: func(m *machine) error { return m.tuple(m.popN(2)) },    // TUPLE2
	0x87: func(m *machine) error { return m.tuple(m.popN(3)) },    // TUPLE3
	'a':  func(m *machine) error { return m.extend(m.popN(1)) },   // APPEND
	'e':  func(m *machine) error { return m.extend(m.popMark()) }, // APPENDS
	's':  func(m *machine) error { return m.update(m.popN(2)) },   // SETITEM
	'u':  func(m *machine) error { return m.update(m.popMark()) }, // SETITEMS

	'q':  func(m *machine) error { return m.store(1) },                 // BINPUT
	'r':  func(m *machine) error { return m.store(4) },                 // LONG_BINPUT
	0x94: func(m *machine) error { return m.storeAt(len(m.memo)) },     // MEMOIZE
	'h':  func(m *machine) error { return m.load(1) },                  // BINGET
	'j':  func(m *machine) error { return m.load(4) },                  // LONG_BINGET
	'0':  func(m *machine) error { _, err := m.pop(); return err },     // POP
	'1':  func(m *machine) error { _, err := m.popMark(); return err }, // POP_MARK

	'c':  (*machine).global,      // GLOBAL
	0x93: (*machine).stackGlobal, // STACK_GLOBAL
	'R':  (*machine).reduce,      // REDUCE
	'b':  (*machine).build,       // BUILD
	'Q':  (*machine).persistent,  // BINPERSID
}

// run performs one instruction.
func (m *machine) run(op byte) error {
	instruction, ok := instructions[op]
	if !ok {
		return fmt.Errorf("%w: %#02x", ErrInstruction, op)
	}
	return instruction(m)
}

// take is the next n bytes.
func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || n > len(m.data)-m.at {
		return nil, fmt.Errorf("%w: it ends %d bytes too early", ErrFormat, n-(len(m.data)-m.at))
	}
	m.at += n
	return m.data[m.at-n : m.at], nil
}

func (m *machine) skip(n int) error {
	_, err := m.take(n)
	return err
}

// unsigned is the next n <= 4 bytes as a little-endian number.
func (m *machine) unsigned(n int) (uint32, error) {
	raw, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var word [4]byte
	copy(word[:], raw)
	return binary.LittleEndian.Uint32(word[:]), nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return nil
}

// pop takes the top of the stack, which must lie above the last mark.
func (m *machine) pop() (any, error) {
	items, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// popN takes the n items at the top of the stack, valid until the next push.
func (m *machine) popN(n int) ([]any, error) {
	bottom := 0
	if len(m.marks) > 0 {
		bottom = m.marks[len(m.marks)-1]
	}
	if len(m.stack)-bottom < n {
		return nil, fmt.Errorf("%w: %d items on the stack, %d are needed", ErrFormat, len(m.stack)-bottom, n)
	}
	items := m.stack[len(m.stack)-n:]
	m.stack = m.stack[:len(m.stack)-n]
	return items, nil
}

func (m *machine) mark() error {
	m.marks = append(m.marks, len(m.stack))
	return nil
}

// popMark takes what lies above the last mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, fmt.Errorf("%w: no mark on the stack", ErrFormat)
	}
	items, err := m.popN(len(m.stack) - m.marks[len(m.marks)-1])
	m.marks = m.marks[:len(m.marks)-1]
	return items, err
}

// top is the item that stays at the top of the stack.
func (m *machine) top() (any, error) {
	items, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return items[0], m.push(items[0])
}

func (m *machine) pushInt(n int, signed bool) error {
	u, err := m.unsigned(n)
	if err != nil {
		return err
	}
	if signed {
		return m.push(int64(int32(u)))
	}
	return m.push(int64(u))
}

// pushLong pushes an integer of up to eight bytes in two's complement.
func (m *machine) pushLong() error {
	n, err := m.unsigned(1)
	if err != nil {
		return err
	}
	raw, err := m.take(int(n))
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("%w: an integer of %d bytes", ErrLimit, n)
	}
	if n == 0 {
		return m.push(int64(0))
	}
	v := int64(int8(raw[n-1]))
	for i := int(n) - 2; i >= 0; i-- {
		v = v<<8 | int64(raw[i])
	}
	return m.push(v)
}

func (m *machine) pushFloat() error {
	raw, err := m.take(8)
	if err != nil {
		return err
	}
	return m.push(math.Float64frombits(binary.BigEndian.Uint64(raw)))
}

// pushText pushes a string whose length is given in n bytes.
func (m *machine) pushText(n int) error {
	length, err := m.unsigned(n)
	if err != nil {
		return err
	}
	raw, err := m.take(int(length))
	if err != nil {
		return err
	}
	if !utf8.Valid(raw) {
		return fmt.Errorf("%w: a string that is not UTF-8", ErrFormat)
	}
	return m.push(string(raw))
}

func (m *machine) tuple(items []any, err error) error {
	if err != nil {
		return err
	}
	return m.push(append(Tuple{}, items...))
}

// extend appends items to the list below them.
func (m *machine) extend(items []any, err error) error {
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	list, ok := v.(*List)
	if !ok {
		return fmt.Errorf("%w: append to %T", ErrFormat, v)
	}
	list.Items = append(list.Items, items...)
	return nil
}

// update adds items, alternately keys and values, to the dict below them.
func (m *machine) update(items []any, err error) error {
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	dict, ok := v.(*Dict)
	if !ok || len(items)%2 != 0 {
		return fmt.Errorf("%w: %d keys and values for %T", ErrFormat, len(items), v)
	}
	for i := 0; i < len(items); i += 2 {
		if err := dict.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// store keeps the top of the stack under the number that the next n bytes give.
func (m *machine) store(n int) error {
	key, err := m.unsigned(n)
	if err != nil {
		return err
	}
	return m.storeAt(int(key))
}

func (m *machine) storeAt(key int) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	m.memo[uint32(key)] = v
	return nil
}

// load pushes what store kept.
func (m *machine) load(n int) error {
	key, err := m.unsigned(n)
	if err != nil {
		return err
	}
	v, ok := m.memo[key]
	if !ok {
		return fmt.Errorf("%w: nothing is stored under %d", ErrFormat, key)
	}
	return m.push(v)
}

// line is the text up to the next end of line.
func (m *machine) line() (string, error) {
	text, _, ok := bytes.Cut(m.data[m.at:], []byte("\n"))
	if !ok {
		return "", fmt.Errorf("%w: a name without end", ErrFormat)
	}
	m.at += len(text) + 1
	return string(text), nil
}

func (m *machine) global() error {
	module, err := m.line()
	if err != nil {
		return err
	}
	name, err := m.line()
	if err != nil {
		return err
	}
	return m.pushGlobal(module, name)
}

func (m *machine) stackGlobal() error {
	items, err := m.popN(2)
	if err != nil {
		return err
	}
	module, ok := items[0].(string)
	name, ok2 := items[1].(string)
	if !ok || !ok2 {
		return fmt.Errorf("%w: %T and %T name no object", ErrFormat, items[0], items[1])
	}
	return m.pushGlobal(module, name)
}

func (m *machine) pushGlobal(module, name string) error {
	v, err := m.env.Global(module, name)
	if err != nil {
		return err
	}
	return m.push(v)
}

// reduce calls a function of the Env.
func (m *machine) reduce() error {
	items, err := m.popN(2)
	if err != nil {
		return err
	}
	f, ok := items[0].(Func)
	args, ok2 := items[1].(Tuple)
	if !ok || !ok2 {
		return fmt.Errorf("%w: call of %T with %T", ErrFormat, items[0], items[1])
	}
	v, err := f(args)
	if err != nil {
		return err
	}
	return m.push(v)
}

// build leaves out the attributes of a dict, such as the _metadata of a state dict; nothing else has any.
func (m *machine) build() error {
	items, err := m.popN(2)
	if err != nil {
		return err
	}
	if _, ok := items[0].(*Dict); !ok {
		return fmt.Errorf("%w: attributes of %T", ErrFormat, items[0])
	}
	return m.push(items[0])
}

func (m *machine) persistent() error {
	id, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.env.Persistent(id)
	if err != nil {
		return err
	}
	return m.push(v)
}
