package train

import (
	"fmt"

	"glossa/whisper/tensor"
)

// Precisions of a training: what the factors of its matrix products and attentions are rounded to, forward
// and backward. Sums, everything between the products, and the parameters with what the optimiser keeps of
// them are float32 in each (Micikevicius et al. 2018, §3.1; bfloat16 has float32's range, so that the loss
// needs no scale).
const (
	PrecisionAuto = "auto" // BF16 where the processor multiplies it as it is, else F32
	PrecisionF32  = "f32"  // nothing is rounded
	PrecisionBF16 = "bf16"
)

// choosePrecision returns the backend that computes in the precision of o, and sets Precision to what Auto
// stands for.
func (o *Options) choosePrecision() (tensor.Backend, error) {
	if o.Precision == PrecisionF32 {
		return o.Backend, nil
	}
	if r, ok := o.Backend.(tensor.Rounder); ok {
		if b := r.Rounded(tensor.BF16); b != nil {
			o.Precision = PrecisionBF16
			return b, nil
		}
	}
	if o.Precision == PrecisionAuto {
		o.Precision = PrecisionF32
		return o.Backend, nil
	}
	return nil, fmt.Errorf("%w: Precision is %s, which %s does not multiply; %s works everywhere", ErrOptions, o.Precision, o.Backend.Name(), PrecisionF32)
}
