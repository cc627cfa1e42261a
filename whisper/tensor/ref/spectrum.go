package ref

import (
	"math"

	"glossa/whisper/tensor"
)

// LogMel is the reference of [tensor.Spectrographer]: the sums of its definition.
func LogMel(y, highest, pcm []float32, s *tensor.Spectrogram) {
	n, filters := len(s.Window), len(s.First)
	cos, sin := make([]float64, n), make([]float64, n)
	for i := range n {
		sin[i], cos[i] = math.Sincos(2 * math.Pi * float64(i) / float64(n))
	}
	power := make([]float64, n/2+1)
	for t := range s.Frames(len(pcm)) {
		frame := pcm[t*s.Hop:][:n]
		for k := range power {
			re, im := 0.0, 0.0
			for i, x := range frame {
				v := s.Window[i] * float64(x)
				re, im = re+v*cos[k*i%n], im-v*sin[k*i%n]
			}
			power[k] = re*re + im*im
		}
		highest[t] = float32(math.Inf(-1))
		if math.IsNaN(power[0] - power[0]) { // a sample that is not finite reaches every bin
			highest[t] = float32(math.NaN())
		}
		for m := range filters {
			sum := 0.0
			for i, w := range s.Weights[s.Start[m]:s.Start[m+1]] {
				sum += w * power[int(s.First[m])+i]
			}
			v := float32(math.Log10(max(sum, s.Floor)))
			y[t*filters+m] = v
			highest[t] = max(highest[t], v) // NaN stays
		}
	}
}
