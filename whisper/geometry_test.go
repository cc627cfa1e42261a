package whisper

import "testing"

func TestGeometryNames(t *testing.T) {
	for i, name := range Geometries() {
		d, ok := Geometry(name)
		if err := d.Validate(); !ok || err != nil || name != published[i].name {
			t.Errorf("%s: %v %v, published as %s", name, ok, err, published[i].name)
		}
	}
	for short, long := range shortNames {
		a, ok := Geometry(short)
		if b, _ := Geometry(long); !ok || a != b {
			t.Errorf("%s: %+v, %s: %+v", short, a, long, b)
		}
	}
	if base, _ := Geometry("base"); base != baseDims {
		t.Errorf("base: %+v", base)
	}
	if d, ok := Geometry("enormous"); ok {
		t.Errorf("enormous: %+v", d)
	}
}
