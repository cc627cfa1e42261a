package train

import (
	"fmt"
	"math"

	"glossa/whisper/tensor"
)

// adamW is the optimiser of Loshchilov & Hutter 2019, algorithm 2, with an average of the weights.
type adamW struct {
	params                []NamedParam
	moment1, moment2      [][]float32 // by parameter
	average               [][]float32 // of the weights; nil: none is kept
	beta1, beta2, epsilon float64
	decay, ema            float64
	clipNorm              float64
	updates               int // so far
	chunks                []chunk
	changed               func() // is called when the parameters have changed; nil: nobody asks
}

// chunk is a range of a parameter, the unit of work of a goroutine. Chunks do not depend on the
// number of processors, so that sums over them do not either.
type chunk struct{ param, from, to int }

const chunkSize = 1 << 16

func newAdamW(params []NamedParam, o *Options) *adamW {
	a := &adamW{params: params, beta1: o.Beta1, beta2: o.Beta2, epsilon: o.Epsilon, decay: o.WeightDecay, ema: o.EMA, clipNorm: o.ClipNorm}
	for i, p := range params {
		n := len(p.Mat.Data)
		a.moment1 = append(a.moment1, make([]float32, n))
		a.moment2 = append(a.moment2, make([]float32, n))
		if o.EMA > 0 {
			a.average = append(a.average, append([]float32(nil), p.Mat.Data...))
		}
		for from := 0; from < n; from += chunkSize {
			a.chunks = append(a.chunks, chunk{i, from, min(n, from+chunkSize)})
		}
	}
	return a
}

// zeroGrad sets all gradients to zero.
func (a *adamW) zeroGrad() {
	for _, p := range a.params {
		p.Mat.ZeroGrad()
	}
}

// fetch brings the gradients of a device to the host.
func (a *adamW) fetch(o *tensor.Ops) error {
	for _, p := range a.params {
		if err := o.Fetch(p.Mat.Grad()); err != nil {
			return err
		}
	}
	return nil
}

// send brings the parameters to a device.
func (a *adamW) send(o *tensor.Ops) {
	for _, p := range a.params {
		o.Send(p.Mat)
	}
}

// change tells that the parameters have changed.
func (a *adamW) change() {
	if a.changed != nil {
		a.changed()
	}
}

// norm returns the global norm of the gradient, NaN or infinite where an element is.
func (a *adamW) norm() float64 {
	sums := make([]float64, len(a.chunks))
	parallel(len(a.chunks), func(i int) {
		c := a.chunks[i]
		// Four sums, for the processor adds into them at once.
		var s0, s1, s2, s3 float64
		g := a.params[c.param].Mat.Grad().Data[c.from:c.to]
		for ; len(g) >= 4; g = g[4:] {
			s0 += float64(g[0]) * float64(g[0])
			s1 += float64(g[1]) * float64(g[1])
			s2 += float64(g[2]) * float64(g[2])
			s3 += float64(g[3]) * float64(g[3])
		}
		for _, v := range g {
			s0 += float64(v) * float64(v)
		}
		sums[i] = s0 + s1 + s2 + s3
	})
	var sum float64
	for _, s := range sums {
		sum += s
	}
	return math.Sqrt(sum)
}

// step updates the parameters with their gradients, whose global norm is norm, at rate:
//
//	g ← g min(1, clipNorm/norm)
//	m ← β₁ m + (1-β₁) g,  v ← β₂ v + (1-β₂) g²
//	θ ← θ - rate (Rate m/(1-β₁ᵗ) / (sqrt(v/(1-β₂ᵗ)) + ε) + decay θ)
//
// and the average ← average + (1-d)(θ - average), where d is the decay of the average, less at
// first, (1+t)/(10+t), so that the start is soon forgotten.
func (a *adamW) step(rate, norm float64) {
	a.updates++
	t := float64(a.updates)
	u := update{
		clip:  float32(min(1, a.clipNorm/max(norm, math.SmallestNonzeroFloat64))),
		beta1: float32(a.beta1), rest1: float32(1 - a.beta1),
		beta2: float32(a.beta2), rest2: float32(1 - a.beta2),
		rate:    float32(rate / (1 - math.Pow(a.beta1, t))),
		second:  float32(1 / (1 - math.Pow(a.beta2, t))),
		epsilon: float32(a.epsilon),
		ema:     float32(1 - min(a.ema, (1+t)/(10+t))),
	}
	parallel(len(a.chunks), func(i int) {
		c := a.chunks[i]
		p, u := a.params[c.param], u
		if p.Rate != 0 {
			u.rate *= float32(p.Rate)
		}
		u.keep = 1
		if p.Decay {
			u.keep = float32(1 - rate*a.decay)
		}
		part := func(x []float32) []float32 { return x[c.from:c.to] }
		u.weights(part(p.Mat.Data), part(p.Mat.Grad().Data), part(a.moment1[c.param]), part(a.moment2[c.param]))
		if a.average != nil {
			u.averages(part(a.average[c.param]), part(p.Mat.Data))
		}
	})
	a.change()
}

// update holds the numbers of one step.
type update struct {
	clip, beta1, rest1, beta2, rest2, rate, second, epsilon, keep, ema float32
}

func (u update) weights(w, g, m, v []float32) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := range w {
		d := g[i] * u.clip
		mi := u.beta1*m[i] + u.rest1*d
		vi := u.beta2*v[i] + u.rest2*d*d
		m[i], v[i] = mi, vi
		w[i] = u.keep*w[i] - u.rate*mi/(float32(math.Sqrt(float64(vi*u.second)))+u.epsilon)
	}
}

func (u update) averages(average, w []float32) {
	average = average[:len(w)]
	for i, x := range w {
		average[i] += u.ema * (x - average[i])
	}
}

// swapAverage exchanges the parameters for their averages, and back.
func (a *adamW) swapAverage() {
	for i, average := range a.average {
		w := a.params[i].Mat.Data
		for j, x := range average {
			w[j], average[j] = x, w[j]
		}
	}
	a.change()
}

// learningRate returns the rate of update number step, from 1 on: it rises in a line over the
// warm-up, and then falls to floor times the peak at the last step.
func (o *Options) learningRate(step int) float64 {
	if step <= o.Warmup {
		return o.LearningRate * float64(step) / float64(o.Warmup)
	}
	left := 1 - float64(step-o.Warmup)/float64(max(o.Steps-o.Warmup, 1))
	if o.Schedule == Cosine {
		left = (1 + math.Cos(math.Pi*(1-left))) / 2 // Loshchilov & Hutter 2017, eq. 5
	}
	return o.LearningRate * (o.Floor + (1-o.Floor)*max(left, 0))
}

// tensors returns the state as named matrices, shaped like the parameters: for each parameter
// itself, its moments and its average.
func (a *adamW) tensors(visit func(name string, like tensor.Mat, data []float32)) {
	for i, p := range a.params {
		visit("weight."+p.Name, p.Mat, p.Mat.Data)
		visit("moment1."+p.Name, p.Mat, a.moment1[i])
		visit("moment2."+p.Name, p.Mat, a.moment2[i])
		if a.average != nil {
			visit("average."+p.Name, p.Mat, a.average[i])
		}
	}
}

// checkNames returns an error for two parameters of one name.
func checkNames(params []NamedParam) error {
	seen := map[string]bool{}
	for _, p := range params {
		if seen[p.Name] {
			return fmt.Errorf("%w: two parameters are named %s", ErrOptions, p.Name)
		}
		if !p.Mat.Differentiable() {
			return fmt.Errorf("%w: parameter %s has no gradient", ErrOptions, p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}
