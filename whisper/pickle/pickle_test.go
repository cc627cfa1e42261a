package pickle

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// testEnv knows one class, one function and any persistent id.
type testEnv struct{}

func (testEnv) Global(module, name string) (any, error) {
	switch module + "." + name {
	case "m.join":
		return Func(func(args Tuple) (any, error) { return fmt.Sprint(args...), nil }), nil
	case "m.class":
		return "class", nil
	}
	return nil, errGlobal
}

func (testEnv) Persistent(id any) (any, error) { return fmt.Sprint("persistent ", id), nil }

var errGlobal = errors.New("no such global")

// pythons are what Python's pickle.dumps makes, by protocol, of
// {"a": [1, -1, 300, 70000, 2**40, -2**40, 1.5, None, True, False], "ü": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), 3: {"x": "yyy"}, "again": the list of "a"}.
var pythons = map[int]string{
	2: "80027d71002858010000006171015d7102284b014affffffff4d2c014a701101008a060000000000018a060000000000ff473ff80000000000004e8889655802000000c3bc710328294b018571044b014b028671054b014b024b03877106284b014b024b034b047471077471084b037d7109580100000078710a5803000000797979710b735805000000616761696e710c6802752e",
	4: "80049577000000000000007d94288c0161945d94284b014affffffff4d2c014a701101008a060000000000018a060000000000ff473ff80000000000004e8889658c02c3bc9428294b0185944b014b0286944b014b024b038794284b014b024b034b04749474944b037d948c0178948c0379797994738c05616761696e946802752e",
}

func TestPicklesOfPython(t *testing.T) {
	list := &List{Items: []any{int64(1), int64(-1), int64(300), int64(70000), int64(1 << 40), int64(-1 << 40), 1.5, nil, true, false}}
	one, two, three, four := int64(1), int64(2), int64(3), int64(4)
	want := map[any]any{
		"a": list, "ü": Tuple{Tuple{}, Tuple{one}, Tuple{one, two}, Tuple{one, two, three}, Tuple{one, two, three, four}},
		three: &Dict{map[any]any{"x": "yyy"}}, "again": list,
	}
	for protocol, text := range pythons {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(data, testEnv{})
		if err != nil {
			t.Fatalf("protocol %d: %v", protocol, err)
		}
		dict := got.(*Dict)
		if !reflect.DeepEqual(dict.entries, want) {
			t.Errorf("protocol %d: %#v, want %#v", protocol, dict.entries, want)
		}
		a, _ := dict.Get("a")
		if again, _ := dict.Get("again"); a != again {
			t.Errorf("protocol %d: the list is not shared", protocol)
		}
		for n := range data {
			if _, err := Decode(data[:n], testEnv{}); !errors.Is(err, ErrFormat) {
				t.Fatalf("protocol %d: the first %d bytes: %v", protocol, n, err)
			}
		}
	}
}

func TestInstructions(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want any // an error, or the value
	}{
		"call":                     {"cm\njoin\n(K\x01K\x02tR.", "1 2"},
		"call by names on stack":   {"\x8c\x01m\x8c\x04join\x93K\x07\x85R.", "7"},
		"persistent":               {"K\x05Q.", "persistent 5"},
		"attributes are left out":  {"}}b.", &Dict{}},
		"popped":                   {"K\x01K\x020.", int64(1)},
		"popped to the mark":       {"K\x01(K\x02K\x031.", int64(1)},
		"append":                   {"]K\x01a.", &List{Items: []any{int64(1)}}},
		"zero":                     {"\x8a\x00.", int64(0)},
		"another global":           {"cos\nsystem\n.", errGlobal},
		"call of a class":          {"cm\nclass\n)R.", ErrFormat},
		"call without tuple":       {"cm\njoin\nK\x01R.", ErrFormat},
		"attributes of an integer": {"K\x01}b.", ErrFormat},
		"append to a dict":         {"}K\x01a.", ErrFormat},
		"entry of a list":          {"]K\x01K\x02s.", ErrFormat},
		"a key without value":      {"}(K\x01u.", ErrFormat},
		"a list as key":            {"}]K\x02s.", ErrFormat},
		"nothing on the stack":     {".", ErrFormat},
		"below the mark":           {"K\x01(0.", ErrFormat},
		"no mark":                  {"t.", ErrFormat},
		"nothing stored":           {"h\x05.", ErrFormat},
		"integer of 9 bytes":       {"\x8a\x09123456789.", ErrLimit},
		"text beyond the end":      {"X\xff\xff\xff\xffabc.", ErrFormat},
		"text that is no UTF-8":    {"X\x01\x00\x00\x00\xff.", ErrFormat},
		"name without end":         {"cm\njoin", ErrFormat},
		"an instance":              {"cm\nclass\n)\x81.", ErrInstruction},
		"an old instance":          {"(cm\nclass\no.", ErrInstruction},
		"no end":                   {strings.Repeat("N0", maxInstructions), ErrLimit},
		"too long":                 {strings.Repeat("N", MaxBytes+1), ErrLimit},
	} {
		got, err := Decode([]byte(c.data), testEnv{})
		if want, ok := c.want.(error); ok {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, %v, want %v", name, got, err, want)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, %v, want %#v", name, got, err, c.want)
		}
	}
}

// FuzzDecode checks that no pickle makes the machine panic.
func FuzzDecode(f *testing.F) {
	for _, text := range pythons {
		data, _ := hex.DecodeString(text)
		f.Add(data)
	}
	f.Add([]byte("cm\njoin\n(K\x01K\x02tR."))
	f.Add([]byte("]q\x00h\x00a(h\x00h\x00u}K\x05Qb1."))
	f.Fuzz(func(t *testing.T, data []byte) {
		if v, err := Decode(data, testEnv{}); err != nil && v != nil {
			t.Fatalf("%v and %v", v, err)
		}
	})
}
