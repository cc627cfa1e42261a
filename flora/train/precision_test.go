package train

import (
	"errors"
	"testing"

	"glossa/whisper/tensor/ref"
)

// TestPrecision pins what each precision stands for on a backend that multiplies float32 alone.
func TestPrecision(t *testing.T) {
	for _, c := range []struct {
		precision, want string
		err             error
	}{
		{PrecisionAuto, PrecisionF32, nil}, {PrecisionF32, PrecisionF32, nil}, {PrecisionBF16, PrecisionBF16, ErrOptions},
	} {
		o := DefaultOptions(Full)
		o.Backend, o.Precision = ref.New(), c.precision
		b, err := o.choosePrecision()
		if !errors.Is(err, c.err) || o.Precision != c.want || err == nil && b != o.Backend {
			t.Errorf("%s: backend %v, precision %s, error %v", c.precision, b, o.Precision, err)
		}
	}
}

// TestPrecisionOfProducts pins that a backend which rounds is another one, and named so.
func TestPrecisionOfProducts(t *testing.T) {
	o := DefaultOptions(Full)
	o.Backend = newBackend(t)
	b, err := o.choosePrecision()
	if err != nil {
		t.Fatal(err)
	}
	if rounds := b.Name() != o.Backend.Name(); rounds != (o.Precision == PrecisionBF16) {
		t.Errorf("precision %s on %s", o.Precision, b.Name())
	}
}
