package cpu

import "glossa/whisper/tensor"

// kernels are the inner loops of one instruction set: the whole of the dispatch. A faster kernel
// is one more file and its line in the tables of kernels_amd64.go.
type kernels struct {
	name string
	gemmKernels
	rowKernels
	factors [2]factorFormat // float32 and bfloat16
	formats [3]*format      // by tensor.DType
}

// format returns how products with weights of dtype are computed, nil where there is no kernel.
func (k *kernels) format(dtype tensor.DType) *format {
	if int(dtype) >= len(k.formats) {
		return nil
	}
	return k.formats[dtype]
}

// goKernels run on every machine.
var goKernels = kernels{
	name:        "go",
	gemmKernels: gemmKernels{mr: 4, nr: 16, panel: panelGo, transpose: transposeGo},
	rowKernels:  goRows,
	factors:     goFactors,
	formats:     goFormats,
}
