//go:build amd64 && !purego

package cpu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/tensortest"
)

// emulated returns the kernels of an instruction set that the machine lacks, run instruction by
// instruction, and whether there are any. Kernels without a routine of the set's own stay as
// they are: Go around those of AVX2.
func emulated(t *testing.T, name string) (kernels, bool) {
	k, ok := map[string]kernels{"avx512": avx512Kernels, "avx2": avx2Kernels, "avxvnni": avx2Kernels}[name]
	if !ok {
		return k, false
	}
	suffix := strings.ToUpper(k.name)
	panels := []string{"panel" + suffix, "panelBF16" + suffix, "panelI8" + suffix}
	if name == "avxvnni" {
		k.formats[tensor.I8], panels[tensor.I8] = avxVNNII8, "panelI8AVXVNNI"
	}
	k.name = name + " emulated"
	emulate(t, &k.panel, "panel_amd64.s", "panel"+suffix)
	for i, f := range k.formats {
		format := *f
		emulate(t, &format.panel, "panel_amd64.s", panels[i])
		emulate(t, &format.outer, "panel_amd64.s", "panel"+suffix)
		if format.unpack != nil {
			emulate(t, &format.unpack, "mix_amd64.s", strings.Replace(panels[i], "panel", "unpack", 1))
		}
		if format.pack != nil {
			emulate(t, &format.pack, "mix_amd64.s", strings.Replace(panels[i], "panel", "pack", 1))
		}
		k.formats[i] = &format
	}
	for i, name := range []string{"F32", "BF16"} {
		emulate(t, &k.factors[i].shrink, "lowrank_amd64.s", "shrink"+name+suffix)
		emulate(t, &k.factors[i].expand, "lowrank_amd64.s", "expand"+name+suffix)
	}
	emulate(t, &k.transpose, "transpose_amd64.s", "transposeAVX2")
	const rows = "elementwise_amd64.s"
	text, err := os.ReadFile(rows)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(&k.rowKernels).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name + suffix; strings.Contains(string(text), "TEXT ·"+name+"(SB)") {
			f := reflect.NewAt(v.Field(i).Type(), v.Field(i).Addr().UnsafePointer())
			emulate(t, f.Interface(), rows, name)
		}
	}
	return k, true
}

// emulate sets the function that f points at to the emulation of a routine of its signature.
func emulate(t *testing.T, f any, file, name string) {
	t.Helper()
	r, err := loadRoutine(file, name)
	if err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(f).Elem()
	v.Set(reflect.MakeFunc(v.Type(), func(in []reflect.Value) []reflect.Value {
		var frame []byte
		for _, a := range in {
			frame = appendArgument(frame, a)
		}
		frame = append(frame, make([]byte, -len(frame)&7)...)
		results := len(frame)
		frame = append(frame, make([]byte, 8*v.Type().NumOut())...)
		r.call(frame)
		runtime.KeepAlive(in)
		out := make([]reflect.Value, v.Type().NumOut())
		for i := range out {
			out[i] = reflect.ValueOf(math.Float32frombits(binary.NativeEndian.Uint32(frame[results+4*i:])))
		}
		return out
	}))
}

// appendArgument lays a out as the stack does: each number at a multiple of its size.
func appendArgument(frame []byte, a reflect.Value) []byte {
	if a.Kind() == reflect.Float32 {
		return binary.NativeEndian.AppendUint32(frame, math.Float32bits(float32(a.Float())))
	}
	word := binary.NativeEndian.AppendUint64
	frame = append(frame, make([]byte, -len(frame)&7)...)
	switch a.Kind() {
	case reflect.Int:
		return word(frame, uint64(a.Int()))
	case reflect.Pointer:
		return word(frame, uint64(a.Pointer()))
	case reflect.Slice:
		return word(word(word(frame, uint64(a.Pointer())), uint64(a.Len())), uint64(a.Cap()))
	}
	panic("argument of type " + a.Type().String())
}

// TestEmulationIsExact holds the emulation to the machine, bit for bit, where the machine has the
// instruction set.
func TestEmulationIsExact(t *testing.T) {
	for _, name := range []string{"avx2", "avx512"} {
		t.Run(name, func(t *testing.T) {
			b, err := New(Options{ISA: name})
			if err != nil {
				t.Skipf("SKIP: instruction set %s absent: %v", name, err)
			}
			defer b.Close()
			k, _ := emulated(t, name)
			e := newBackend(1, k)
			r := rand.New(rand.NewPCG(17, 18))
			for _, s := range [][3]int{{1, 40, 33}, {31, 40, 33}, {11, 70, 16}} {
				x, w := operands(r, s[0], s[1], s[2], allTransposes)
				y, z := randomMat(r, s[0], s[1]), randomMat(r, s[0], s[1])
				copy(z.Data, y.Data)
				b.MatMul(y, x, w, allTransposes, true)
				e.MatMul(z, x, w, allTransposes, true)
				requireBits(t, "emulated", y.Data, z.Data)
				w.Rows, w.Cols = s[1], s[2]
				x.Rows, x.Cols = s[0], s[2]
				for _, dtype := range allDTypes {
					f, _ := b.Pack(w, dtype)
					g, _ := e.Pack(w, dtype)
					b.Linear(y, x, f, tensor.Mat{})
					e.Linear(z, x, g, tensor.Mat{})
					requireBits(t, "emulated "+dtype.String(), y.Data, z.Data)
					emulatedAdapters(t, r, b, e, f, g, x)
				}
			}
		})
	}
}

// emulatedAdapters compares linears of x under products of low rank, and under a mixed weight.
func emulatedAdapters(t *testing.T, r *rand.Rand, b, e *Backend, f, g tensor.Packed, x tensor.Mat) {
	const rank = 15 // of 8, 4, 2 and 1
	nOut, nIn := f.Shape()
	u, v, d := randomMat(r, nOut, rank), randomMat(r, rank, nIn), randomMat(r, 1, nOut)
	change := tensor.Update{Base: true, A: randomMat(r, 2, nOut), B: randomMat(r, 2, nIn), U: u, V: v}
	results := [2]tensor.Mat{}
	for i, at := range []*Backend{b, e} {
		w := []tensor.Packed{f, g}[i]
		y := tensor.Zeros(2*x.Rows, nOut)
		low := make([]*tensor.LowRank, x.Rows)
		for i := range low {
			low[i], _ = tensor.NewLowRank(at, u, v, d, f.DType())
		}
		at.LowRankLinear(y.Slice(0, x.Rows), x, w, tensor.Mat{}, tensor.Scales{}, low, false)
		mixed, _ := at.NewMixed(w)
		packed, _ := at.PackUpdate(change, nOut, nIn)
		at.Mix(mixed, w, packed)
		at.Linear(y.Slice(x.Rows, y.Rows), x, mixed, tensor.Mat{})
		results[i] = y
	}
	requireBits(t, "emulated adapters beside "+f.DType().String(), results[0].Data, results[1].Data)
}

// TestAVXVNNI holds the products of bytes of AVX-VNNI, emulated, to the bits of those of AVX2: no
// instruction set changes the sums of int8.
func TestAVXVNNI(t *testing.T) {
	b, err := New(Options{ISA: "avx2", Threads: 1})
	if err != nil {
		t.Skipf("SKIP: instruction set avx2 absent: %v", err)
	}
	defer b.Close()
	k, _ := emulated(t, "avxvnni")
	e := newBackend(1, k)
	r := rand.New(rand.NewPCG(19, 20))
	for _, s := range [][3]int{{1, 16, 8}, {7, 40, 33}, {13, 17, 70}} {
		m, n, k := s[0], s[1], s[2]
		x, w := operands(r, m, n, k, tensor.TransB)
		y, z := randomMat(r, m, n), randomMat(r, m, n)
		for at, out := range map[*Backend]tensor.Mat{b: y, e: z} {
			f, err := at.Pack(w, tensor.I8)
			if err != nil {
				t.Fatal(err)
			}
			at.Linear(out, x, f, tensor.Mat{})
		}
		requireBits(t, "AVX-VNNI", y.Data, z.Data)
		f, _ := b.Pack(w, tensor.I8)
		g, _ := e.Pack(w, tensor.I8)
		emulatedAdapters(t, r, b, e, f, g, x)
	}
	const nKey, nCol, nHead = 21, 32, 2
	keys, values, q := randomMat(r, nKey, nCol), randomMat(r, nKey, nCol), randomMat(r, 3, nCol)
	y, z := randomMat(r, 3, nCol), randomMat(r, 3, nCol)
	for at, out := range map[*Backend]tensor.Mat{b: y, e: z} {
		packed := tensor.PackedKV{Rows: nKey, Cols: nCol, NHead: nHead, DType: tensor.I8}
		packed.Data = tensor.Aligned(at.PackedKVSize(nKey, nCol, nHead, tensor.I8))
		at.PackKeyValue([]tensor.PackedKV{packed}, []tensor.KeyValue{{K: keys, V: values}})
		at.Attention(out, q, tensor.NewSegments(3), []tensor.KeyValue{{Packed: packed}}, nHead, false)
	}
	requireBits(t, "attention by AVX-VNNI", y.Data, z.Data)
}

// TestEmulatedConformance holds the emulated instruction set to the contract of a backend. It
// takes minutes, and runs where the environment variable GLOSSA_EMULATE is set.
func TestEmulatedConformance(t *testing.T) {
	if os.Getenv("GLOSSA_EMULATE") == "" {
		t.Skip("SKIP: conformance of emulated kernels: GLOSSA_EMULATE absent")
	}
	k, _ := emulated(t, "avx512")
	b := newBackend(1, k)
	defer b.Close()
	tensortest.Run(t, b, tensortest.Float32(), tensortest.MayAllocate)
}
