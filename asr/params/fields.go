package params

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"glossa/asr"
)

// Fields are params that are taken by their names, each once. The first that is wrong is the error of all. An empty value is none, as that
// of a field that a person left out.
type Fields struct {
	values asr.Params // those that were not taken yet
	err    *Error
}

// NewFields returns the fields of params, which it leaves as they are.
func NewFields(p asr.Params) *Fields {
	f := &Fields{values: maps.Clone(p)}
	if f.values == nil {
		f.values = make(asr.Params)
	}
	return f
}

// Fail notes what is wrong with a field.
func (f *Fields) Fail(name, format string, args ...any) {
	f.fail(name, InvalidValue, name+": "+fmt.Sprintf(format, args...))
}

func (f *Fields) fail(name, code, message string) {
	if f.err == nil {
		f.err = &Error{name, code, message}
	}
}

// Set sets a field that has not been taken, in place of what was there.
func (f *Fields) Set(name, value string) { f.values[name] = []string{value} }

// Rest returns the fields that have not been taken.
func (f *Fields) Rest() asr.Params { return maps.Clone(f.values) }

// End returns the error of the first field that is wrong, or else of one that nobody has taken: an *Error.
func (f *Fields) End() error {
	if f.err == nil && len(f.values) > 0 {
		name := Clip(slices.Sorted(maps.Keys(f.values))[0])
		f.fail(name, Unknown, fmt.Sprintf("unknown field %q", name))
	}
	if f.err != nil {
		return f.err
	}
	return nil
}

// all takes the values of a field.
func (f *Fields) all(name string) []string {
	values := f.values[name]
	delete(f.values, name)
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// Text takes the value of a field that has one.
func (f *Fields) Text(name string) (value string, ok bool) {
	values := f.all(name)
	if len(values) > 1 {
		f.Fail(name, "this is here %d times, which one is meant?", len(values))
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// Peek returns the values of a field that may have several, also with commas between them, and does not take it.
func (f *Fields) Peek(name string) []string {
	var list []string
	for _, value := range f.values[name] {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}

// List takes the values of a field that may have several, also with commas between them.
func (f *Fields) List(name string) []string {
	list := f.Peek(name)
	delete(f.values, name)
	return list
}

// Flag takes a truth, and reports whether there is one.
func (f *Fields) Flag(name string, to *bool) (ok bool) {
	value, ok := f.Text(name)
	if ok {
		b, err := strconv.ParseBool(strings.ToLower(value))
		if err != nil {
			f.Fail(name, "%q is neither true nor false", Clip(value))
		}
		*to = b
	}
	return ok
}

// Choice takes a field that has one of some values, the first of them where it has none.
func (f *Fields) Choice(name string, of ...string) string {
	value, ok := f.Text(name)
	if !ok {
		return of[0]
	}
	if !slices.Contains(of, value) {
		f.Fail(name, "%q is none of %s", Clip(value), strings.Join(of, ", "))
	}
	return value
}

// Refuse takes fields that others have, and says why they cannot be had.
func (f *Fields) Refuse(why string, names ...string) {
	for _, name := range names {
		if len(f.all(name)) > 0 {
			f.fail(name, Unsupported, name+": "+why)
		}
	}
}

// number takes a number from low to high.
func (f *Fields) number(name string, low, high float64, to *float64) (ok bool) {
	value, ok := f.Text(name)
	if ok {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= low && x <= high) {
			f.Fail(name, "%q is not a number from %v to %v", Clip(value), low, high)
		}
		*to = x
	}
	return ok
}

// count takes a whole number from low to high.
func (f *Fields) count(name string, low, high int, to *int) {
	value, ok := f.Text(name)
	if !ok {
		return
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		f.Fail(name, "%q is not a whole number from %d to %d", Clip(value), low, high)
	}
	*to = n
}

// threshold takes a number, or with none that nothing is beyond it. Zero is the smallest number above it, which compares as zero
// does, for in asr.Decoding zero stands for the default.
func (f *Fields) threshold(name string, to *float64) {
	value, ok := f.Text(name)
	if !ok {
		return
	}
	if strings.EqualFold(value, asr.None) {
		*to = asr.Off()
		return
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(x) {
		f.Fail(name, "%q is neither a number nor none", Clip(value))
	}
	if x == 0 {
		x = math.SmallestNonzeroFloat64
	}
	*to = x
}

// Clip returns what a client sent as far as it is worth telling.
func Clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
