//go:build cuda && linux

package driver

import (
	"reflect"
	"testing"
)

func TestEntries(t *testing.T) {
	got, err := entries(`
.visible .entry first(
	.param .u64 first_param_0,
	.param .u64 .ptr .global .align 4 first_param_1,
	.param .u32 first_param_2,
	.param .f32 first_param_3,
	.param .s32 first_param_4, .param .b64 first_param_5
)
.maxntid 256, 1, 1
{
	ret;
}
.entry none() { ret; }
.func (.param .b32 out) helper(.param .b32 in) { ret; }
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]paramKind{"first": {param64, param64, param32, paramFloat, param32, param64}, "none": {}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{
		".entry f(.param .align 8 .b8 f_param_0[24])", ".entry f(.param .u16 p)", ".entry f(.param .f64 p)", ".entry f(.reg .u32 p)",
	} {
		if _, err := entries(bad); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestWaiting(t *testing.T) {
	got := waiting(`
.visible .entry first(.param .u64 first_param_0)
{
	griddepcontrol.launch_dependents;
	griddepcontrol.wait;
	ret;
}
.entry none() { ret; }
.entry comment() {
	//griddepcontrol.wait;
	ret;
}
`)
	if want := map[string]bool{"first": true}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
