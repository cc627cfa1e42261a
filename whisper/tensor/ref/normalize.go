package ref

import (
	"math"

	"glossa/whisper/tensor"
)

// LayerNorm computes y[i] = gamma ∘ (x[i] - mean) / sqrt(var + LayerNormEps) + beta
// (Ba et al. 2016, eq. 4).
func (*Backend) LayerNorm(y, x, gamma, beta tensor.Mat) {
	for i := range x.Rows {
		mean, inverse := moments(x.Row(i))
		for j, v := range x.Row(i) {
			normalized := (float64(v) - mean) * inverse
			y.Row(i)[j] = float32(float64(gamma.Data[j])*normalized + float64(beta.Data[j]))
		}
	}
}

// moments returns the mean of x and 1/sqrt(var(x) + LayerNormEps), var over n as in torch.
func moments(x []float32) (mean, inverse float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += float64(v) / n
	}
	var variance float64
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d / n
	}
	return mean, 1 / math.Sqrt(variance+tensor.LayerNormEps)
}

// LogSoftmax computes y[i] = x[i] - log Σ_j exp(x[i][j]).
func (*Backend) LogSoftmax(y, x tensor.Mat) {
	for i := range x.Rows {
		row := x.Row(i)
		logits := make([]float64, len(row))
		for j, v := range row {
			logits[j] = float64(v)
		}
		logSum := logSumExp(logits)
		for j, l := range logits {
			y.Row(i)[j] = float32(l - logSum)
		}
	}
}

// logSumExp returns log Σ exp(x), computed as max(x) + log Σ exp(x - max(x)) against overflow.
func logSumExp(x []float64) float64 {
	most := math.Inf(-1)
	for _, v := range x {
		most = max(most, v)
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(v - most)
	}
	return most + math.Log(sum)
}
