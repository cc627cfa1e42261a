package jobs

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"glossa/asr"
)

// fill gives every field that JSON knows a value of its own.
func fill(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), next)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.String:
		v.SetString(string(rune('ا' + *next)))
	case reflect.Int, reflect.Int32:
		v.SetInt(int64(*next))
	case reflect.Uint8:
		v.SetUint(uint64(*next % 256))
	case reflect.Float64:
		v.SetFloat(math.Nextafter(float64(*next)/3, 1e9))
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

// TestNothingOfAResultIsLost fails where a field is added to package asr that is not stored.
func TestNothingOfAResultIsLost(t *testing.T) {
	var r asr.Result
	var c asr.Checkpoint
	next := 0
	fill(reflect.ValueOf(&r).Elem(), &next)
	fill(reflect.ValueOf(&c).Elem(), &next)

	b, err := json.Marshal(toWireResult(&r))
	if err != nil {
		t.Fatal(err)
	}
	var w wireResult
	if err := json.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(w.result(), &r) {
		t.Errorf("a result\n%+v became\n%+v", r, *w.result())
	}
	if plain, err := json.Marshal(r); err != nil || string(plain) != string(b) {
		t.Errorf("a result is stored as\n%s, not as its own JSON,\n%s", b, plain)
	}

	if b, err = encodeCheckpoint(c); err != nil {
		t.Fatal(err)
	}
	if of, err := decodeCheckpoint(b); err != nil || !reflect.DeepEqual(of, c) {
		t.Errorf("a checkpoint\n%+v became\n%+v: %v", c, of, err)
	}
	if plain, err := json.Marshal(c); err != nil || string(plain) != string(b) {
		t.Errorf("a checkpoint is stored as\n%s, not as its own JSON,\n%s", b, plain)
	}
}

func TestNumbersThatJSONDoesNotHave(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 0.1} {
		b, err := json.Marshal([]number{number(x)})
		if err != nil {
			t.Fatal(err)
		}
		var back []number
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if math.Float64bits(float64(back[0])) != math.Float64bits(x) && !(math.IsNaN(x) && math.IsNaN(float64(back[0]))) {
			t.Errorf("%v became %v by way of %s", x, back[0], b)
		}
	}
	var n number
	if err := json.Unmarshal([]byte(`"many"`), &n); err == nil {
		t.Error("a text is a number:", n)
	}
}
