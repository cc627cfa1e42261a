//go:build cuda && linux

package cuda

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/kernels"
)

// ErrUnavailable is wrapped by the error of [New] where there is nothing to compute on: no driver, or no device.
var ErrUnavailable = driver.ErrUnavailable

// ErrFormat is wrapped by the error of [Backend.Pack] for a number format that the device has no product for.
var ErrFormat = errors.New("cuda: no kernel for the number format")

// Backend computes on one GPU. Its kernels are appended to a list, which runs when a result is read; see README.md. Any number
// of goroutines may use it.
type Backend struct {
	tensor.Chooser // on the host, where logits are when tokens are chosen

	device *driver.Device
	info   driver.Info

	mu        sync.Mutex // guards what follows
	list      *driver.List
	k         kernelSet
	narrow    buffer       // rows in 16 bits, for the next product
	beside    buffer       // the same, while narrow is read
	copied    copied       // of what
	shortened []short      // in no order
	narrows   tensor.DType // of products of 16 bits that are to be expected, the format; F32: none are
	ranks     buffer       // rows times factors of low rank
	products  buffer       // that are added to what there is
	swapped   bool         // narrow and beside
	parts     buffer       // of sums over rows, and of attention
	stats     buffer       // of rows
	shorts    buffer       // queries, keys and values in 16 bits, and what is to be widened
	arrived   buffer       // counters of blocks
	waiting   waitingProducts
	mixing    []mixEntry   // of a GroupedLinear
	args      []driver.Arg // of a launch
	err       error        // the first failure since the last Read
	index     index
	work      attentionWork
	picking   picking

	mel spectrograph // has a lock of its own
}

var (
	_ tensor.Device           = (*Backend)(nil)
	_ tensor.Chooser          = (*Backend)(nil)
	_ tensor.Gradients        = (*Backend)(nil)
	_ tensor.GELULinear       = (*Backend)(nil)
	_ tensor.ScaledLinear     = (*Backend)(nil)
	_ tensor.LowRankLinear    = (*Backend)(nil)
	_ tensor.RowAdder         = (*Backend)(nil)
	_ tensor.GroupedLinear    = (*Backend)(nil)
	_ tensor.PackedEmbedder   = (*Backend)(nil)
	_ tensor.KeyValuePacker   = (*Backend)(nil)
	_ tensor.RoundedAttention = (*Backend)(nil)
	_ tensor.Rounder          = (*Backend)(nil)
)

// New returns the backend of device number ordinal. Where there is no driver or no device the error wraps [ErrUnavailable].
// Tokens are chosen by [tensor.PlainChooser]; set Chooser before the first use for faster kernels of the host.
func New(ordinal int) (tensor.Backend, error) {
	d, err := driver.Open(ordinal)
	if err != nil {
		return nil, err
	}
	b := &Backend{Chooser: tensor.PlainChooser{}, device: d, info: d.Info(), list: d.NewList()}
	if b.k, err = loadKernels(d, b.info); err != nil {
		d.Close()
		return nil, err
	}
	b.mel.ordinal = ordinal
	return b, nil
}

// Close waits for what runs and gives the device back. The backend and all that it packed are then of no use.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Join(b.mel.close(), b.device.Close())
}

// Name returns "cuda/" and the compute capability, such as "cuda/9.0".
func (b *Backend) Name() string { return fmt.Sprintf("cuda/%d.%d", b.info.Major, b.info.Minor) }

// Device describes the device, for reports.
func (b *Backend) Device() string {
	return fmt.Sprintf("%s, %d multiprocessors, %.1f GiB", b.info.Name, b.info.Multiprocessors, float64(b.info.TotalBytes)/(1<<30))
}

// kernelSet are the kernels; those of attention by tensor cores are nil for formats that these do not multiply.
type kernelSet struct {
	add, epilogue, widen                           *driver.Kernel
	gather, gatherNarrow, scatter                  *driver.Kernel
	addGroups, addProductGroups                    *driver.Kernel
	unfold, unfoldBackward                         *driver.Kernel
	layerNorm, rowMoments, layerNormBackward       *driver.Kernel
	sumRows, addParts, logSoftmax                  *driver.Kernel
	geluBackward, scaleBackward                    *driver.Kernel
	shrink, expandEpilogue                         *driver.Kernel
	mixF32, mixBF16, mixF16                        *driver.Kernel
	attentionAny, one, tiled, merge                *driver.Kernel
	bf16, f16                                      productKernels
	fewBF16, fewF16                                fewKernels
	scaleFew, shrinkFew                            *driver.Kernel
	normBlock                                      *driver.Kernel
	normWarp768, normWarp1024, normWarp1280        *driver.Kernel
	attentionStats, attentionDQuery, attentionDKey *driver.Kernel
	pickChunks, pickRows                           *driver.Kernel
}

// productKernels are those of attention to keys and values of a format of 16 bits by tensor cores: packed, and in rows. groups is what takes
// the place of rows on devices that it runs on.
type productKernels struct{ packKeyValue, unpackKeys, flash, few, rows, groups *driver.Kernel }

// productsOf returns the kernels of attention to keys and values of a format by tensor cores, nil where there are none.
func (b *Backend) productsOf(dtype tensor.DType) *productKernels {
	if k := ofFormat(dtype, &b.k.bf16, &b.k.f16); k != nil && k.flash != nil {
		return k
	}
	return nil
}

// ofFormat returns what there is for numbers of a format, nil for float32. What is asked for in int8 is kept in bfloat16.
func ofFormat[T any](dtype tensor.DType, bf16, f16 *T) *T {
	switch dtype {
	case tensor.F32:
		return nil
	case tensor.F16:
		return f16
	}
	return bf16
}

// names tells where each kernel is kept. Of those that two modules have, a device has one.
func (k *kernelSet) names() map[string]**driver.Kernel {
	return map[string]**driver.Kernel{
		"add": &k.add, "epilogue": &k.epilogue, "widen": &k.widen,
		"gather": &k.gather, "gather_narrow": &k.gatherNarrow, "scatter": &k.scatter,
		"add_groups": &k.addGroups, "add_product_groups": &k.addProductGroups,
		"unfold": &k.unfold, "unfold_backward": &k.unfoldBackward,
		"layer_norm": &k.layerNorm, "row_moments": &k.rowMoments, "layer_norm_backward": &k.layerNormBackward,
		"sum_rows": &k.sumRows, "add_parts": &k.addParts, "log_softmax": &k.logSoftmax,
		"gelu_backward": &k.geluBackward, "scale_backward": &k.scaleBackward,
		"shrink": &k.shrink, "expand_epilogue": &k.expandEpilogue,
		"mix_f32": &k.mixF32, "mix_bf16": &k.mixBF16, "mix_f16": &k.mixF16,
		"attention_any": &k.attentionAny, "attention_one": &k.one, "attention_tiled": &k.tiled,
		"attention_merge":     &k.merge,
		"pack_key_value_bf16": &k.bf16.packKeyValue, "unpack_keys_bf16": &k.bf16.unpackKeys,
		"attention_flash_bf16": &k.bf16.flash, "attention_few_bf16": &k.bf16.few,
		"pack_key_value_f16": &k.f16.packKeyValue, "unpack_keys_f16": &k.f16.unpackKeys,
		"attention_flash_f16": &k.f16.flash, "attention_few_f16": &k.f16.few,
		"pack_key_value_f16_sm75": &k.f16.packKeyValue, "unpack_keys_f16_sm75": &k.f16.unpackKeys,
		"attention_rows_bf16": &k.bf16.rows, "attention_rows_bf16_sm90": &k.bf16.groups,
		"attention_rows_f16": &k.f16.rows, "attention_rows_f16_sm90": &k.f16.groups,
		"attention_flash_f16_sm75": &k.f16.flash, "attention_few_f16_sm75": &k.f16.few,
		"scale_few": &k.scaleFew, "shrink_few": &k.shrinkFew, "layer_norm_block": &k.normBlock,
		"layer_norm_warp_768": &k.normWarp768, "layer_norm_warp_1024": &k.normWarp1024, "layer_norm_warp_1280": &k.normWarp1280,
		"product_8_bf16": &k.fewBF16.rows8, "product_8_f16": &k.fewF16.rows8,
		"product_16_bf16": &k.fewBF16.rows16, "product_16_f16": &k.fewF16.rows16,
		"product_32_bf16": &k.fewBF16.rows32, "product_32_f16": &k.fewF16.rows32,
		"shrink_many_bf16": &k.fewBF16.shrinkMany, "shrink_many_f16": &k.fewF16.shrinkMany,
		"pick_chunks": &k.pickChunks, "pick_rows": &k.pickRows,
		"attention_stats": &k.attentionStats, "attention_dq": &k.attentionDQuery, "attention_dkv": &k.attentionDKey,
	}
}

// loadKernels compiles what runs on the device.
func loadKernels(d *driver.Device, info driver.Info) (k kernelSet, err error) {
	to := k.names()
	modules := kernels.Modules(info.Major, info.Minor)
	if len(modules) == 0 {
		return kernelSet{}, fmt.Errorf("%w: %s has compute capability %d.%d, and 7.0 is needed", ErrUnavailable, info.Name, info.Major, info.Minor)
	}
	for _, m := range modules {
		if m.Name == kernels.Spectrum { // see spectrograph
			continue
		}
		loaded, err := d.LoadModule(m.PTXFor(info.Major), m.Kernels()...)
		if err != nil {
			return kernelSet{}, fmt.Errorf("load module %s: %w", m.Name, err)
		}
		for name, kernel := range loaded {
			place, ok := to[name]
			if !ok {
				return kernelSet{}, fmt.Errorf("cuda: module %s has an unknown kernel %s", m.Name, name)
			}
			*place = kernel
		}
	}
	return k, nil
}

// pointer returns the address of a matrix as an argument, null for the zero Mat.
func pointer(m tensor.Mat) driver.Arg { return driver.Pointer(address(m)) }

// address returns the address of a matrix, 0 of the zero Mat. It panics where the matrix is in host memory alone.
func address(m tensor.Mat) driver.Address {
	if m.Dev == 0 && len(m.Data) > 0 {
		panic(fmt.Sprintf("cuda: a matrix (%d, %d) in host memory, where a kernel of the device needs one in the device's", m.Rows, m.Cols))
	}
	return driver.Address(m.Dev)
}

// bytesOf returns numbers as bytes.
func bytesOf[T any](x []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(t)))
}
