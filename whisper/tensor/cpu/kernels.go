package cpu

// kernels are the inner loops of one instruction set: the whole of the dispatch. A faster kernel
// is one more file and its line in the tables of kernels_amd64.go.
type kernels struct {
	name string
	gemmKernels
	rowKernels
	bf16, i8 *narrowFormat
}

// goKernels run on every machine.
var goKernels = kernels{
	name:        "go",
	gemmKernels: gemmKernels{mr: 4, nr: 16, panel: panelGo, transpose: transposeGo},
	rowKernels:  goRows,
	bf16:        &goBF16,
	i8:          &goI8,
}
