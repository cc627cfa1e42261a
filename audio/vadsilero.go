package audio

import "math"

// The geometry of Silero VAD from version 5 on, at 16 kHz (silero_vad/tinygrad_model.py of snakers4/silero-vad).
const (
	sileroWindow  = 512 // samples of a frame, 32 ms
	sileroContext = 64  // samples before the frame that the network sees too
	sileroPad     = 64  // samples that are mirrored behind it
	sileroFFT     = 256 // samples of a transform
	sileroHop     = 128 // samples from transform to transform
	sileroBins    = sileroFFT/2 + 1
	sileroFrames  = (sileroContext+sileroWindow+sileroPad-sileroFFT)/sileroHop + 1
	sileroKernel  = 3   // taps of a convolution, and one of padding at either end
	sileroState   = 128 // of the LSTM, and its input
	sileroGates   = 4
)

// sileroEncoder is the shapes of the encoder's convolutions. It takes sileroFrames spectra to one row of sileroState.
var sileroEncoder = [4]struct{ in, out, stride int }{
	{sileroBins, 128, 1}, {128, 64, 2}, {64, 64, 2}, {64, sileroState, 1},
}

// Silero is the network of Silero VAD (Silero Team, https://github.com/snakers4/silero-vad), versions 5 and 6 at 16 kHz:
//
//	X = |STFT(context, frame)|                    (4, 129)
//	x = encoder(X)                                (128): four times relu(conv)
//	i, f, g, o = W·[x h] + b                      (128) each
//	c = σ(f)·c + σ(i)·tanh(g),  h = σ(o)·tanh(c)
//	p = σ(w·relu(h) + b)
//
// It holds the weights, is immutable, and serves any number of Detectors.
type Silero struct {
	encoder [len(sileroEncoder)]conv
	rnn     affine // (4·128, 128+128): gates i, f, g, o of input and hidden state
	out     affine // (1, 128)
	fft     *fft256
}

// Detector returns a detector of frames of 512 samples, for one stream at a time.
func (s *Silero) Detector() Detector { return newSileroDetector(s) }

func newSileroDetector(s *Silero) *sileroDetector {
	return &sileroDetector{Silero: s, framer: newFramer(sileroContext+sileroWindow, sileroWindow, sileroContext)}
}

// sileroDetector is the state of a stream.
type sileroDetector struct {
	*Silero
	framer
	input [2 * sileroState]float32 // the encoder's row and the hidden state
	cell  [sileroState]float32

	padded  [sileroContext + sileroWindow + sileroPad]float32
	gates   [sileroGates * sileroState]float32
	rows, y [sileroFrames * sileroBins]float32 // of one convolution and of the next
}

func (d *sileroDetector) FrameSamples() int { return sileroWindow }

func (d *sileroDetector) Push(probs, pcm []float32) []float32 {
	d.push(pcm, func(window []float32) { probs = append(probs, d.step(window)) })
	return probs
}

func (d *sileroDetector) Flush(probs []float32) []float32 {
	if d.have > sileroContext {
		probs = d.Push(probs, make([]float32, len(d.buf)-d.have))
	}
	*d = *newSileroDetector(d.Silero)
	return probs
}

// step is the probability of a frame and the context before it.
func (d *sileroDetector) step(window []float32) float32 {
	n := copy(d.padded[:], window)
	for i := range sileroPad {
		d.padded[n+i] = window[n-2-i]
	}
	for t := 0; t < sileroFrames; t += 2 {
		samples, rows := d.padded[t*sileroHop:], d.rows[t*sileroBins:]
		d.fft.magnitudes(rows[:sileroBins], rows[sileroBins:][:sileroBins],
			(*[sileroFFT]float32)(samples), (*[sileroFFT]float32)(samples[sileroHop:]))
	}
	x, y := d.rows[:], d.y[:]
	for i := range d.encoder {
		x, y = d.encoder[i].forward(y, x), x
	}
	copy(d.input[:], x)

	hidden := d.input[sileroState:]
	d.rnn.apply(d.gates[:], d.input[:])
	for i := range hidden {
		in, forget := sigmoid(d.gates[i]), sigmoid(d.gates[sileroState+i])
		candidate, out := tanh(d.gates[2*sileroState+i]), sigmoid(d.gates[3*sileroState+i])
		d.cell[i] = forget*d.cell[i] + in*candidate
		hidden[i] = out * tanh(d.cell[i])
		x[i] = max(hidden[i], 0)
	}
	var logit [1]float32
	d.out.apply(logit[:], x)
	return sigmoid(logit[0])
}

// conv is a convolution over rows with one row of zeros at either end, and relu: y[t] = relu(bias + Σ_k W_k·x[t·stride+k-1]).
type conv struct {
	in, out, stride int
	weight          []float32 // (out, sileroKernel, in)
	bias            []float32 // (out)
}

// forward computes the rows (nRow', out) of x (nRow, in) in the memory of y, which must suffice.
func (c *conv) forward(y, x []float32) []float32 {
	rows := len(x) / c.in
	n := (rows-1)/c.stride + 1
	y = y[:n*c.out]
	for t := range n {
		first := t*c.stride - 1
		from, to := max(first, 0), min(first+sileroKernel, rows)
		matVec(y[t*c.out:(t+1)*c.out], c.weight[(from-first)*c.in:], sileroKernel*c.in, c.bias, x[from*c.in:to*c.in])
	}
	relu(y)
	return y
}

// affine is y = W·x + b.
type affine struct{ weight, bias []float32 }

func (a *affine) apply(y, x []float32) { matVec(y, a.weight, len(x), a.bias, x) }

// matVec sets y[r] = bias[r] + Σ_i w[r·stride+i]·x[i]. Four rows at a time are as many as fill the adders and fit the registers.
func matVec(y, w []float32, stride int, bias, x []float32) {
	n := len(x)
	r := 0
	for ; r+4 <= len(y); r += 4 {
		at := w[r*stride:]
		w0, w1, w2, w3 := at[:n], at[stride:][:n], at[2*stride:][:n], at[3*stride:][:n]
		b := (*[4]float32)(bias[r:])
		s0, s1, s2, s3 := b[0], b[1], b[2], b[3]
		for i, v := range x {
			s0 += w0[i] * v
			s1 += w1[i] * v
			s2 += w2[i] * v
			s3 += w3[i] * v
		}
		*(*[4]float32)(y[r:]) = [4]float32{s0, s1, s2, s3}
	}
	for ; r < len(y); r++ {
		sum := bias[r]
		for i, v := range x {
			sum += w[r*stride+i] * v
		}
		y[r] = sum
	}
}

func relu(x []float32) {
	for i, v := range x {
		x[i] = max(v, 0)
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// tanh x = 2σ(2x) - 1, cheaper than math.Tanh.
func tanh(x float32) float32 { return float32(2/(1+math.Exp(-2*float64(x))) - 1) }
