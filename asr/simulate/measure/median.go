package measure

import (
	"math"
	"reflect"
	"slices"
	"strconv"
)

// Median returns the first of some values, with the median of all in each of its numbers that is no whole number. All have one shape:
// structs, pointers and as many elements in each slice.
func Median[T any](of ...T) T {
	values := make([]reflect.Value, len(of))
	for i := range of {
		values[i] = reflect.ValueOf(&of[i]).Elem()
	}
	median(values)
	return of[0]
}

// median sets what is in the first of some values.
func median(of []reflect.Value) {
	inner := func(f func(v reflect.Value) reflect.Value) {
		parts := make([]reflect.Value, len(of))
		for i, v := range of {
			parts[i] = f(v)
		}
		median(parts)
	}
	switch first := of[0]; first.Kind() {
	case reflect.Float64:
		var numbers []float64
		for _, v := range of {
			numbers = append(numbers, v.Float())
		}
		slices.Sort(numbers)
		first.SetFloat(figures((numbers[(len(numbers)-1)/2] + numbers[len(numbers)/2]) / 2))
	case reflect.Struct:
		for i := range first.NumField() {
			inner(func(v reflect.Value) reflect.Value { return v.Field(i) })
		}
	case reflect.Pointer:
		if !first.IsNil() {
			inner(func(v reflect.Value) reflect.Value { return v.Elem() })
		}
	case reflect.Slice:
		for i := range first.Len() { // all passes have as many points
			inner(func(v reflect.Value) reflect.Value { return v.Index(i) })
		}
	}
}

// figures rounds a number to four figures.
func figures(x float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil || math.IsInf(y, 0) {
		return x
	}
	return y
}
