package httpapi

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"glossa/asr"
)

// fields are the fields of a form, each of which is asked for once. The first that is wrong is the error of all. An empty value is
// none, as that of a field that a person left out.
type fields struct {
	values map[string][]string // those that were not asked for yet
	err    *apiError
}

// fail notes what is wrong with a field.
func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = invalid(name, "%s: %s", name, fmt.Sprintf(format, args...))
	}
}

// all returns the values of a field.
func (f *fields) all(name string) []string {
	values := f.values[name]
	delete(f.values, name)
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// text returns the value of a field that has one.
func (f *fields) text(name string) (value string, ok bool) {
	values := f.all(name)
	if len(values) > 1 {
		f.fail(name, "this is here %d times, which one is meant?", len(values))
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// list returns the values of a field that may have several, also with commas between them.
func (f *fields) list(name string) []string {
	var list []string
	for _, value := range f.all(name) {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
	}
	return list
}

// flag sets a truth.
func (f *fields) flag(name string, to *bool) {
	if value, ok := f.text(name); ok {
		b, err := strconv.ParseBool(strings.ToLower(value))
		if err != nil {
			f.fail(name, "%q is neither true nor false", clip(value))
		}
		*to = b
	}
}

// number sets a number from low to high.
func (f *fields) number(name string, low, high float64, to *float64) {
	value, ok := f.text(name)
	if !ok {
		return
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || !(x >= low && x <= high) {
		f.fail(name, "%q is not a number from %v to %v", clip(value), low, high)
	}
	*to = x
}

// count sets a whole number from low to high.
func (f *fields) count(name string, low, high int, to *int) {
	value, ok := f.text(name)
	if !ok {
		return
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		f.fail(name, "%q is not a whole number from %d to %d", clip(value), low, high)
	}
	*to = n
}

// threshold sets a number, or with none that nothing is beyond it. Zero is the smallest number above it, which compares as zero
// does, for in asr.Decoding zero stands for the default.
func (f *fields) threshold(name string, to *float64) {
	value, ok := f.text(name)
	if !ok {
		return
	}
	if strings.EqualFold(value, asr.None) {
		*to = asr.Off()
		return
	}
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(x) {
		f.fail(name, "%q is neither a number nor none", clip(value))
	}
	if x == 0 {
		x = math.SmallestNonzeroFloat64
	}
	*to = x
}

// choice returns the value of a field that has one of some, the first of them where it has none.
func (f *fields) choice(name string, of ...string) string {
	value, ok := f.text(name)
	if !ok {
		return of[0]
	}
	if !slices.Contains(of, value) {
		f.fail(name, "%q is none of %s", clip(value), strings.Join(of, ", "))
	}
	return value
}

// refuse says why fields cannot be had, which are part of OpenAI's API.
func (f *fields) refuse(why string, names ...string) {
	for _, name := range names {
		if len(f.all(name)) > 0 && f.err == nil {
			f.err = &apiError{status: http.StatusBadRequest, param: name, code: "unsupported_parameter", message: name + ": " + why}
		}
	}
}

// rest fails where there are fields that nobody has asked for.
func (f *fields) rest() {
	if len(f.values) > 0 && f.err == nil {
		name := clip(slices.Sorted(maps.Keys(f.values))[0])
		f.err = &apiError{status: http.StatusBadRequest, param: name, code: "unknown_parameter", message: fmt.Sprintf("unknown field %q; /openapi.json lists those that there are", name)}
	}
}
