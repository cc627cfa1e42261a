package train

import (
	"math"
	"testing"

	"glossa/whisper/tensor"
)

func TestAdamWFollowsItsEquations(t *testing.T) {
	o := DefaultOptions(Full)
	o.WeightDecay, o.EMA, o.ClipNorm = 0.1, 0.9, 0.5
	p := tensor.NewParam(1, 2, []float32{1, -2})
	a := newAdamW([]NamedParam{{Name: "w", Mat: p, Decay: true}}, &o)
	w, average, m, v := [2]float64{1, -2}, [2]float64{1, -2}, [2]float64{}, [2]float64{}
	for n, gradient := range [][2]float64{{0.3, 0.4}, {3, -4}, {0, 0.1}} {
		const rate = 0.01
		a.zeroGrad()
		g := p.Grad().Data
		g[0], g[1] = float32(gradient[0]), float32(gradient[1])
		norm := a.norm()
		if want := math.Hypot(gradient[0], gradient[1]); math.Abs(norm-want) > 1e-6 {
			t.Fatalf("norm %v, want %v", norm, want)
		}
		a.step(rate, norm)
		k := float64(n + 1)
		decay := min(o.EMA, (1+k)/(10+k))
		for i := range w {
			clipped := gradient[i] * min(1, o.ClipNorm/norm)
			m[i] = o.Beta1*m[i] + (1-o.Beta1)*clipped
			v[i] = o.Beta2*v[i] + (1-o.Beta2)*clipped*clipped
			step := m[i] / (1 - math.Pow(o.Beta1, k)) / (math.Sqrt(v[i]/(1-math.Pow(o.Beta2, k))) + o.Epsilon)
			w[i] -= rate * (step + o.WeightDecay*w[i])
			average[i] = decay*average[i] + (1-decay)*w[i]
			if math.Abs(float64(p.Data[i])-w[i]) > 1e-6 || math.Abs(float64(a.average[0][i])-average[i]) > 1e-6 {
				t.Errorf("update %d: weight %v, average %v; want %v, %v", n+1, p.Data[i], a.average[0][i], w[i], average[i])
			}
		}
	}
}

func TestLearningRate(t *testing.T) {
	o := Options{LearningRate: 2, Warmup: 10, Steps: 110, Floor: 0.1, Schedule: Cosine}
	for _, c := range []struct {
		schedule string
		step     int
		want     float64
	}{
		{Cosine, 1, 0.2}, {Cosine, 10, 2}, {Cosine, 60, 1.1}, {Cosine, 110, 0.2},
		{Linear, 5, 1}, {Linear, 35, 1.55}, {Linear, 110, 0.2},
	} {
		o.Schedule = c.schedule
		if got := o.learningRate(c.step); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: rate %v at step %d, want %v", c.schedule, got, c.step, c.want)
		}
	}
}

func TestSwappingTheAverageTwiceChangesNothing(t *testing.T) {
	o := DefaultOptions(Full)
	p := tensor.NewParam(1, 1, []float32{3})
	a := newAdamW([]NamedParam{{Name: "w", Mat: p}}, &o)
	p.Data[0] = 5
	a.swapAverage()
	if p.Data[0] != 3 {
		t.Errorf("the weight is %v, want its average 3", p.Data[0])
	}
	if a.swapAverage(); p.Data[0] != 5 {
		t.Errorf("the weight is %v, want 5", p.Data[0])
	}
}
