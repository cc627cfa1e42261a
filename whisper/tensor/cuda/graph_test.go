//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
)

// decoder is a layer of a decoder as models call it: enough of one that each of its kernels runs.
type decoder struct {
	*room
	nState, nHead       int
	norm                [2]tensor.Mat
	query, up, down     tensor.Packed
	bias, wide          tensor.Mat
	scales              tensor.Scales
	low                 []*tensor.LowRank
	cross               tensor.PackedKV
	table               tensor.Mat
	x, y, z, q, a, k, v tensor.Mat
	id                  []int32
	row                 []int32
	seg                 tensor.Segments
	self, other         []tensor.KeyValue
	to                  []uintptr
	result              []float32
	nKey                int
	nRow, nKeyOfCross   int
}

func newDecoder(t *testing.T, b *Backend, nRow int, dtype tensor.DType) *decoder {
	const nHead = 2
	d := &decoder{room: newRoom(t, b), nHead: nHead, nState: nHead * headSize, nRow: nRow, nKeyOfCross: 300}
	n := d.nState
	pack := func(rows, cols int) tensor.Packed {
		p, err := b.Pack(host(d.random(rows, cols)), dtype)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	d.norm = [2]tensor.Mat{d.random(1, n), d.random(1, n)}
	d.query, d.up, d.down = pack(n, n), pack(4*n, n), pack(n, 4*n)
	d.bias, d.wide, d.table = d.random(1, n), d.random(1, 4*n), d.random(50, n)
	d.scales = tensor.Scales{In: d.random(3, n), Out: d.random(3, n)}
	u, v := host(d.random(n, 5)), host(d.random(5, n))
	low, err := tensor.NewLowRank(b, u, v, host(d.random(1, n)), dtype)
	if err != nil {
		t.Fatal(err)
	}
	d.x, d.y, d.q, d.a = d.empty(nRow, n), d.empty(nRow, n), d.empty(nRow, n), d.empty(nRow, n)
	d.k, d.v, d.z = d.empty(nRow, n), d.empty(nRow, n), d.empty(nRow, 4*n)
	d.cross = tensor.PackedKV{Rows: d.nKeyOfCross, Cols: n, NHead: nHead, DType: dtype}
	d.cross.Dev = d.empty(1, b.PackedKVSize(d.nKeyOfCross, n, nHead, dtype)).Dev
	b.PackKeyValue([]tensor.PackedKV{d.cross}, []tensor.KeyValue{{K: d.random(d.nKeyOfCross, n), V: d.random(d.nKeyOfCross, n)}})
	d.seg = tensor.NewSegments()
	for i := range nRow {
		d.seg = append(d.seg, int32(i+1))
		d.id, d.row = append(d.id, 0), append(d.row, int32(i%3))
		d.low = append(d.low, low)
		if i%2 == 1 {
			d.low[i] = nil
		}
		var page []uintptr
		for range 2 {
			page = append(page, d.random(2*tensor.PageRows, n).Dev)
		}
		d.self = append(d.self, tensor.KeyValue{Paged: tensor.PagedKV{Cols: n, Page: page, Values: uintptr(4 * n * tensor.PageRows)}})
		d.other = append(d.other, tensor.KeyValue{Packed: d.cross})
		d.to = append(d.to, 0, 0)
	}
	d.scales.Row = d.row
	d.result = make([]float32, nRow*n)
	return d
}

// step decodes one token of each row, and reads the result.
func (d *decoder) step() {
	b := d.b
	rowBytes := uintptr(4 * d.nState)
	for i := range d.nRow {
		d.id[i] = int32((d.nKey*7 + i) % 50)
		p := &d.self[i].Paged
		page, at := p.Page[d.nKey/tensor.PageRows], uintptr(d.nKey%tensor.PageRows)*rowBytes
		d.to[i], d.to[d.nRow+i] = page+p.Keys+at, page+p.Values+at
		p.Rows = d.nKey + 1
	}
	d.nKey++
	b.Embed(d.x, d.table, d.id)
	b.LayerNorm(d.y, d.x, d.norm[0], d.norm[1])
	b.Linear(d.q, d.y, d.query, d.bias)
	b.Linear(d.k, d.y, d.query, tensor.Mat{})
	b.ScaledLinear(d.v, d.y, d.query, d.bias, d.scales, false)
	b.CopyRows(d.to[:d.nRow], d.k)
	b.CopyRows(d.to[d.nRow:], d.v)
	b.Attention(d.a, d.q, d.seg, d.self, d.nHead, true)
	b.LowRankLinear(d.y, d.a, d.query, d.bias, d.scales, d.low, false)
	b.Add(d.x, d.x, d.y)
	b.Attention(d.a, d.x, d.seg, d.other, d.nHead, false)
	b.Add(d.x, d.x, d.a)
	b.LayerNorm(d.y, d.x, d.norm[0], d.norm[1])
	b.LinearGELU(d.z, d.y, d.up, d.wide)
	b.Linear(d.y, d.z, d.down, d.bias)
	b.Add(d.x, d.x, d.y)
	b.AddRows(d.x, d.y, d.row)
	b.LogSoftmax(d.y, d.x)
	if err := b.Read(d.result, d.y); err != nil {
		d.t.Fatal(err)
	}
}

// TestGraphs checks that a decoding step becomes one graph, which stays the same while caches grow within their pages, and that its
// numbers are those of running kernel by kernel.
func TestGraphs(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		t.Run(dtype.String(), func(t *testing.T) {
			const steps = 70
			b := openPlainly(t)
			d := newDecoder(t, b, 5, dtype)
			t.Setenv("GLOSSA_CUDA_NO_GRAPHS", "1")
			plain := openPlainly(t)
			e := newDecoder(t, plain, 5, dtype)
			for i := range steps {
				d.step()
				e.step()
				for j, v := range e.result {
					if d.result[j] != v {
						t.Fatalf("step %d: number %d is %v, and %v without graphs", i, j, d.result[j], v)
					}
				}
			}
			s := b.device.Stats()
			if s.Captures != 1 || s.GraphLaunches < steps-3 || s.Uncaptured != 0 {
				t.Errorf("%d captures, %d launches of graphs in %d steps", s.Captures, s.GraphLaunches, steps)
			}
			if s := plain.device.Stats(); s.GraphLaunches != 0 {
				t.Errorf("%d launches of graphs without graphs", s.GraphLaunches)
			}
		})
	}
}

// TestSteadyStep checks that a step allocates nothing, neither here nor on the device.
func TestSteadyStep(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		b := openPlainly(t)
		d := newDecoder(t, b, 5, dtype)
		for range 4 {
			d.step()
		}
		before := b.device.Stats()
		if n := testing.AllocsPerRun(20, d.step); n != 0 && !raceDetector {
			t.Errorf("%v: %g allocations a step", dtype, n)
		}
		after := b.device.Stats()
		if after.Allocs != before.Allocs || after.DriverAllocs != before.DriverAllocs {
			t.Errorf("%v: %d allocations on the device, %d by the driver", dtype, after.Allocs-before.Allocs, after.DriverAllocs-before.DriverAllocs)
		}
	}
}
