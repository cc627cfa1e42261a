package train

import (
	"math"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// guide teaches heads of cross-attention to look where CTC hears a token: those of the first layers the one that
// their row is given, which tells them how far the text has come, and those of the last layers the one that it is to
// predict. A decoder that does not know yet where to look learns a language model first, and to listen late; attention
// that is told where to look listens sooner, and times words (guided attention, Tachibana et al. 2018, with
// the alignment of CTC in the place of their diagonal).
type guide struct {
	heads [][2]int // layer and head, as whisper.Generation.AlignmentHeads has them
	given int      // so many of the first layers look for the token that is given
	nHead int      // of a layer
	seen  []watched
}

// watched are the queries (nRow, nState) of a layer and the keys and values of each utterance.
type watched struct {
	layer int
	query tensor.Mat
	kv    []tensor.KeyValue
}

// watch notes what a layer attends with, for [whisper.Step.Watch].
func (g *guide) watch(layer int, query tensor.Mat, kv []tensor.KeyValue) {
	g.seen = append(g.seen, watched{layer, query, append([]tensor.KeyValue(nil), kv...)})
}

// loss returns scale · Σ over heads and rows of the cross entropy from where CTC hears a token of a row to where the
// head looks (1, 1), and the mean of it over both unscaled, for the rows of tokens seg. spans are the units of
// CTC that each row's output spells, and paths where it hears them.
//
//	Σ_t w(t) (log Σ_t' exp z(t') - z(t)),   z(t) = q·k(t)/√d,   w(t) ∝ Σ_units P(unit at frame t | text)
func (g *guide) loss(o *tensor.Ops, seg tensor.Segments, spans [][2]int32, paths []ctcPath, scale float32) (loss tensor.Mat, mean float64) {
	var parts []*guided
	for _, s := range g.seen {
		for _, h := range g.heads {
			if h[0] != s.layer {
				continue
			}
			for i := range paths {
				if from, to := seg.Range(i); paths[i].label != nil {
					rows := spans[from:to]
					if s.layer < g.given {
						rows = append([][2]int32{{}}, rows[:len(rows)-1]...) // what the row before was to predict
					}
					parts = append(parts, newGuided(o, s.query.Slice(from, to), s.kv[i].K, h[1], g.nHead, rows, &paths[i]))
				}
			}
		}
	}
	parallel(len(parts), func(i int) { parts[i].forward() })
	sum, rows := 0.0, 0
	for _, p := range parts {
		sum, rows = sum+p.loss, rows+len(p.rows)
	}
	loss = o.Upload(1, 1, []float32{scale * float32(sum)})
	var inputs []tensor.Mat
	for _, p := range parts {
		inputs = append(inputs, p.query, p.key)
	}
	o.Record(&loss, func() {
		d := scale * o.Host(o.Grad(loss)).Data[0]
		if o.Device() != nil {
			onDevice(o, parts, d)
			return
		}
		for _, p := range parts { // the buffers of gradients are made here, by one goroutine
			p.dQuery, p.dKey = o.Grad(p.query), o.Grad(p.key)
		}
		parallel(len(parts), func(i int) { parts[i].backward(d) }) // heads have columns of their own
	}, inputs...)
	return loss, ratio(sum, float64(rows))
}

// onDevice adds the gradients of all parts, which are computed on the host, to those on a device.
func onDevice(o *tensor.Ops, parts []*guided, scale float32) {
	wanted := func(m tensor.Mat) tensor.Mat {
		if !m.Differentiable() {
			return tensor.Mat{}
		}
		return tensor.Zeros(m.Rows, m.Cols)
	}
	for _, p := range parts {
		p.dQuery, p.dKey = wanted(p.query), wanted(p.key)
	}
	parallel(len(parts), func(i int) { parts[i].backward(scale) })
	for _, p := range parts {
		o.HostGrad(p.query, func(d tensor.Mat, _ bool) { copy(d.Data, p.dQuery.Data) })
		o.HostGrad(p.key, func(d tensor.Mat, _ bool) { copy(d.Data, p.dKey.Data) })
	}
}

// guided is one head on one utterance.
type guided struct {
	query, key         tensor.Mat // (nToken, nState), (nFrame, nState)
	hostQuery, hostKey tensor.Mat // the same in host memory
	dQuery, dKey       tensor.Mat
	from, to           int // columns of the head
	unit               float32
	rows               []guidedRow
	loss               float64
}

// guidedRow is a row that is told where to look.
type guidedRow struct {
	at   int       // row of the utterance
	want []float32 // (nFrame), adds up to 1
	is   []float32 // (nFrame), the head's weights
}

func newGuided(o *tensor.Ops, query, key tensor.Mat, head, nHead int, spans [][2]int32, path *ctcPath) *guided {
	width := query.Cols / nHead
	p := &guided{query: query, key: key, hostQuery: o.Host(query), hostKey: o.Host(key), from: head * width, to: (head + 1) * width, unit: float32(1 / math.Sqrt(float64(width)))}
	for i, s := range spans {
		if want := path.heard(int(s[0]), int(s[1]), key.Rows); want != nil {
			p.rows = append(p.rows, guidedRow{i, want, make([]float32, key.Rows)})
		}
	}
	return p
}

// heard returns how probably units from to to-1 of the text are at each of nFrame frames, as weights that add up to 1; nil where there are none.
func (p *ctcPath) heard(from, to, nFrame int) []float32 {
	if from >= to {
		return nil
	}
	w, sum, n := make([]float32, nFrame), float32(0), len(p.label)
	for t := range w {
		for k := from; k < to; k++ {
			w[t] += p.posterior[t*n+2*k+1]
		}
		sum += w[t]
	}
	if !(sum > 0) {
		return nil
	}
	for t := range w {
		w[t] /= sum
	}
	return w
}

// forward fills the weights of all rows, and the loss.
func (p *guided) forward() {
	for _, r := range p.rows {
		q := p.hostQuery.Row(r.at)[p.from:p.to]
		top := math.Inf(-1)
		for t := range r.is {
			z := p.unit * dot(q, p.hostKey.Row(t)[p.from:p.to])
			r.is[t], top = z, max(top, float64(z))
		}
		sum := 0.0
		for _, z := range r.is {
			sum += math.Exp(float64(z) - top)
		}
		total := top + math.Log(sum)
		for t, z := range r.is {
			p.loss += float64(r.want[t]) * (total - float64(z))
			r.is[t] = float32(math.Exp(float64(z) - total))
		}
	}
}

// backward adds scale · ∂loss/∂q and ∂loss/∂k: is - want, times the other.
func (p *guided) backward(scale float32) {
	for _, r := range p.rows {
		q := p.hostQuery.Row(r.at)[p.from:p.to]
		for t := range r.is {
			d := scale * p.unit * (r.is[t] - r.want[t])
			k := p.hostKey.Row(t)[p.from:p.to]
			if !p.dQuery.IsZero() {
				add(p.dQuery.Row(r.at)[p.from:p.to], k, d)
			}
			if !p.dKey.IsZero() {
				add(p.dKey.Row(t)[p.from:p.to], q, d)
			}
		}
	}
}

func dot(a, b []float32) (sum float32) {
	b = b[:len(a)]
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// add adds scale · x to y.
func add(y, x []float32, scale float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += scale * x[i]
	}
}

// newGuide returns the guide of a model: it teaches two heads of each layer, and leaves the others to find their way.
func newGuide(d whisper.Dims) *guide {
	g := &guide{nHead: d.NTextHead, given: d.NTextLayer / 2}
	for layer := range d.NTextLayer {
		for head := range min(2, d.NTextHead) {
			g.heads = append(g.heads, [2]int{layer, head})
		}
	}
	return g
}

// alignment returns the heads that look for the token which their row is to predict, and so time words.
func (g *guide) alignment() (heads [][2]int) {
	for _, h := range g.heads {
		if h[0] >= g.given {
			heads = append(heads, h)
		}
	}
	return heads
}
