package train

import (
	"math"

	"glossa/whisper/tensor"
)

// impossible is log 0.
var impossible = math.Inf(-1)

// feasible reports whether a text can be spread over so many frames: each token takes one, and so
// does the blank between two equal ones.
func feasible(text []int32, frames int) bool {
	need := len(text)
	for i := 1; i < len(text); i++ {
		if text[i] == text[i-1] {
			need++
		}
	}
	return len(text) > 0 && need <= frames
}

// ctcPath is the lattice of one utterance: the states are the tokens of its text with a blank
// before, between and after them, l' in Graves et al. 2006, §4.1.
type ctcPath struct {
	label     []int32   // of each state
	posterior []float32 // (nFrame, nState): P(state s at frame t | text, frames)
	loss      float64   // -log P(text | frames)
}

// ctc returns the lattice of a text for the log probabilities logProb (nFrame, nClass), the last
// class the blank, by the forward-backward algorithm (Graves et al. 2006, eq. 6-11, 13-15). The
// text must be feasible.
func ctc(logProb tensor.Mat, text []int32) ctcPath {
	blank := int32(logProb.Cols - 1)
	label := make([]int32, 2*len(text)+1)
	for s := range label {
		label[s] = blank
		if s%2 == 1 {
			label[s] = text[s/2]
		}
	}
	p := ctcPath{label: label, posterior: make([]float32, logProb.Rows*len(label))}
	if !p.scaled(logProb) {
		p.logarithmic(logProb)
	}
	return p
}

// logarithmic sets posterior and loss by log probabilities, of any size.
func (p *ctcPath) logarithmic(logProb tensor.Mat) {
	label, nFrame, nState := p.label, logProb.Rows, len(p.label)
	forward := make([]float64, nFrame*nState)
	backward := make([]float64, nFrame*nState)
	ctcForward(forward, logProb, label)
	ctcBackward(backward, logProb, label)
	last := forward[(nFrame-1)*nState:]
	total := logAdd(last[nState-1], last[nState-2])
	p.loss = -total
	for t := range nFrame {
		row := logProb.Row(t)
		for s, k := range label {
			i := t*nState + s
			// Both directions count frame t, so that it is divided out once.
			p.posterior[i] = float32(math.Exp(forward[i] + backward[i] - float64(row[k]) - total))
		}
	}
}

// ctcForward sets a[t][s] = log α_t(s): of all paths from the start to state s at frame t.
func ctcForward(a []float64, logProb tensor.Mat, label []int32) {
	n := len(label)
	for t := range logProb.Rows {
		row := logProb.Row(t)
		for s, k := range label {
			sum := impossible
			switch {
			case t > 0:
				before := a[(t-1)*n : t*n]
				sum = before[s]
				if s > 0 {
					sum = logAdd(sum, before[s-1])
				}
				if skips(label, s) {
					sum = logAdd(sum, before[s-2])
				}
			case s < 2:
				sum = 0
			}
			a[t*n+s] = sum + float64(row[k])
		}
	}
}

// ctcBackward sets b[t][s] = log β_t(s): of all paths from state s at frame t to the end.
func ctcBackward(b []float64, logProb tensor.Mat, label []int32) {
	n, last := len(label), logProb.Rows-1
	for t := last; t >= 0; t-- {
		row := logProb.Row(t)
		for s, k := range label {
			sum := impossible
			switch {
			case t < last:
				after := b[(t+1)*n : (t+2)*n]
				sum = after[s]
				if s+1 < n {
					sum = logAdd(sum, after[s+1])
				}
				if s+2 < n && skips(label, s+2) {
					sum = logAdd(sum, after[s+2])
				}
			case s >= n-2:
				sum = 0
			}
			b[t*n+s] = sum + float64(row[k])
		}
	}
}

// skips reports whether a path may come to state s from s-2, past a blank: not to a blank, and not
// to a token from an equal one.
func skips(label []int32, s int) bool { return s >= 2 && s%2 == 1 && label[s] != label[s-2] }

// logAdd returns log(exp a + exp b).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if b == impossible {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// ctcLoss returns scale · Σ -log P(text[i] | frames of sequence i) (1, 1), and that sum unscaled,
// for logits (nRow, nUnit+1) packed by seg, the last class the blank. Texts that are not feasible
// contribute nothing, and have no label in paths.
func ctcLoss(o *tensor.Ops, logits tensor.Mat, seg tensor.Segments, text [][]int32, scale float32) (loss tensor.Mat, sum float64, paths []ctcPath) {
	logProb := o.Host(o.LogSoftmax(logits))
	paths = make([]ctcPath, len(text))
	parallel(len(text), func(i int) {
		if from, to := seg.Range(i); feasible(text[i], to-from) {
			paths[i] = ctc(logProb.Slice(from, to), text[i])
		}
	})
	for _, p := range paths {
		sum += p.loss
	}
	loss = o.Upload(1, 1, []float32{scale * float32(sum)})
	o.Record(&loss, func() {
		g := scale * o.Host(o.Grad(loss)).Data[0]
		o.HostGrad(logits, func(d tensor.Mat, fresh bool) {
			parallel(len(paths), func(i int) {
				d := d.Slice(seg.Range(i))
				if fresh {
					clear(d.Data)
				}
				if p := &paths[i]; p.label != nil {
					p.addGradient(o.Chooser(), d, logProb.Slice(seg.Range(i)), g)
				}
			})
		})
	}, logits)
	return loss, sum, paths
}

// addGradient adds scale · ∂loss/∂logits to d: softmax(logits) less the posterior of each label
// (Graves et al. 2006, eq. 16).
func (p *ctcPath) addGradient(c tensor.Chooser, d, logProb tensor.Mat, scale float32) {
	n, prob := len(p.label), make([]float32, d.Cols)
	for t := range d.Rows {
		row := d.Row(t)
		c.Exp(prob, logProb.Row(t), 0, 1)
		for j, y := range prob {
			row[j] += scale * y
		}
		for s, k := range p.label {
			row[k] -= scale * p.posterior[t*n+s]
		}
	}
}
