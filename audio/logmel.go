package audio

import (
	"fmt"
	"math"

	"github.com/mjibson/go-dsp/window"
)

// The spectrogram's geometry (whisper/audio.py of openai/whisper).
const (
	NFFT          = 400                      // samples of one transform, 25 ms
	HopLength     = 160                      // samples from frame to frame, 10 ms
	FramesPerSec  = SampleRate / HopLength   // 100
	ChunkLength   = 30                       // seconds of Whisper's own window
	ChunkSamples  = ChunkLength * SampleRate // 480000
	ChunkFrames   = ChunkSamples / HopLength // 3000
	maxMels       = NFFT / 2                 // more filters than bins would be empty ones
	PowerFloor    = 1e-10                    // below it, power counts as silence
	silenceLog    = -10                      // log10 of PowerFloor
	dynamicRange  = 8                        // decades below the loudest value that are kept
	reflectLength = NFFT / 2                 // samples mirrored at either end, so that frame i is centred on sample i·HopLength
)

// Mel is a log-mel spectrogram, frame-major: the NMels values of frame t are Data[t*NMels : (t+1)*NMels], so that Data is
// the row-major matrix (Frames, NMels) whose rows the model packs. (Upstream's tensor is its transpose, (n_mels, n_frames).)
type Mel struct {
	NMels  int
	Frames int
	// Padding counts the last frames that stand for silence appended to the clip and not for the clip; the zero value says that
	// every frame is content.
	Padding int
	Data    []float32
}

// Content is the number of frames that stand for the clip itself: Frames - Padding (upstream's content_frames).
func (m Mel) Content() int { return m.Frames - m.Padding }

// Frame is the row (NMels) of frame t. It shares m's memory.
func (m Mel) Frame(t int) []float32 { return m.Data[t*m.NMels : (t+1)*m.NMels] }

// Slice is frames from…to-1 (upstream's mel[:, from:to]). It shares m's memory. It panics unless 0 <= from <= to <= Frames.
func (m Mel) Slice(from, to int) Mel {
	if from < 0 || to < from || to > m.Frames {
		panic(fmt.Sprintf("audio: Mel.Slice(%d, %d) of %d frames", from, to, m.Frames))
	}
	padding := min(max(to-m.Content(), 0), to-from)
	return Mel{NMels: m.NMels, Frames: to - from, Padding: padding, Data: m.Data[from*m.NMels : to*m.NMels]}
}

// Window is the window of exactly frames frames that starts at frame seek: the content frames in it, then 0.0 in the log-mel domain
// (not the silence of the clip) for what is missing, as transcribe() of openai/whisper does: pad_or_trim of
// mel[:, seek : seek+min(frames, content_frames-seek)]. Its Data is a copy. A negative seek or count panics.
func (m Mel) Window(seek, frames int) Mel {
	if seek < 0 || frames < 0 {
		panic(fmt.Sprintf("audio: Mel.Window(%d, %d)", seek, frames))
	}
	from := min(seek, m.Content())
	to := min(seek+frames, m.Content())
	w := Mel{NMels: m.NMels, Frames: frames, Padding: frames - (to - from), Data: make([]float32, frames*m.NMels)}
	copy(w.Data, m.Data[from*m.NMels:to*m.NMels])
	return w
}

// LogMel computes Whisper's log-mel spectrogram of pcm, samples at SampleRate, with nMels filters (80, or 128 from large-v3 on):
//
//	S[t, m] = log10 max(1e-10, Σ_k filter[m, k]·|STFT(pcm)[t, k]|²),   mel = (max(S, max S - 8) + 4)/4
//
// with a periodic Hann window of NFFT samples, frames centred by reflection at both ends, and the last frame dropped: the result has
// len(pcm)/HopLength frames. It is log_mel_spectrogram(pcm, nMels) of openai/whisper. Errors: ErrEmpty for a clip shorter than
// one hop, ErrNotFinite for a NaN or infinite sample, and an error for nMels outside 1…200.
func LogMel(pcm []float32, nMels int) (Mel, error) { return LogMelPadded(pcm, nMels, 0) }

// LogMelPadded is LogMel of pcm followed by padSamples samples of silence, log_mel_spectrogram(pcm, nMels, padding=padSamples) of
// openai/whisper: (len(pcm)+padSamples)/HopLength frames, of which all but len(pcm)/HopLength are Padding. Whisper's own
// front end is LogMelPadded(pcm, nMels, ChunkSamples), of which language detection and decode() take Slice(0, ChunkFrames). Tables are
// made anew by each call, in the time of a few frames; an Extractor keeps them.
func LogMelPadded(pcm []float32, nMels, padSamples int) (Mel, error) {
	e, err := NewExtractor(nMels)
	if err != nil {
		return Mel{}, err
	}
	var m Mel
	err = e.LogMel(&m, pcm, padSamples)
	return m, err
}

// PadOrTrim is the first n samples of pcm, followed by silence where pcm is shorter (upstream's pad_or_trim). The result shares pcm's
// memory when it only trims.
func PadOrTrim(pcm []float32, n int) []float32 {
	if len(pcm) >= n {
		return pcm[:n:n]
	}
	padded := make([]float32, n)
	copy(padded, pcm)
	return padded
}

// Extractor holds the tables of LogMel for one number of filters. It is immutable: one Extractor may serve any number of goroutines.
type Extractor struct {
	nMels   int
	window  []float64
	dft     *dftTables
	filters *melFilters
}

// NewExtractor prepares the window, the transform and nMels filters, 1 <= nMels <= 200.
func NewExtractor(nMels int) (*Extractor, error) {
	if nMels < 1 || nMels > maxMels {
		return nil, fmt.Errorf("audio: %d mel filters: want 1 to %d", nMels, maxMels)
	}
	// The periodic window of n points is the symmetric one of n+1 points without its last.
	hann := window.Hann(NFFT + 1)[:NFFT]
	return &Extractor{nMels: nMels, window: hann, dft: newDFTTables(hann), filters: newMelFilters(nMels)}, nil
}

// LogMel computes LogMelPadded(pcm, nMels, padSamples) into dst, and allocates only if dst.Data is too small for it. Errors are those of
// LogMel; after one, dst's content is unspecified. A negative padSamples panics.
func (e *Extractor) LogMel(dst *Mel, pcm []float32, padSamples int) error {
	total, err := e.resize(dst, len(pcm), padSamples)
	if err != nil {
		return err
	}
	peak, err := e.logPower(dst, pcm, total, 0, dst.Frames)
	if err != nil {
		return err
	}
	dst.scale(peak)
	return nil
}

// resize makes room in dst for the log-mel of a clip of samples followed by silence, and returns the samples of both.
func (e *Extractor) resize(dst *Mel, samples, padSamples int) (total int, err error) {
	if padSamples < 0 {
		panic(fmt.Sprintf("audio: LogMel with %d samples of padding", padSamples))
	}
	total = samples + padSamples
	frames := total / HopLength
	if frames == 0 {
		return 0, fmt.Errorf("%w: log-mel of %d samples: one frame takes %d", ErrEmpty, total, HopLength)
	}
	size := frames * e.nMels
	if cap(dst.Data) < size {
		dst.Data = make([]float32, size)
	}
	*dst = Mel{NMels: e.nMels, Frames: frames, Padding: frames - samples/HopLength, Data: dst.Data[:size]}
	return total, nil
}

// scale takes log10 powers whose maximum is peak to the values of a log-mel.
func (m *Mel) scale(peak float32) {
	floor := peak - dynamicRange
	for i, v := range m.Data {
		if v < floor {
			v = floor
		}
		m.Data[i] = (v + 4) / 4
	}
}

// logPower sets frames from…to-1 of dst to log10 of the floored mel power of pcm followed by silence up to total samples, and returns their
// maximum, -∞ of none.
func (e *Extractor) logPower(dst *Mel, pcm []float32, total, from, to int) (peak float32, err error) {
	var s melScratch
	peak = float32(math.Inf(-1))
	for t := from; t < to; t++ {
		highest, err := e.logFrame(&s, dst.Frame(t), pcm, t*HopLength-reflectLength, total)
		if err != nil {
			return 0, fmt.Errorf("%w: in frame %d", err, t)
		}
		if highest > peak {
			peak = highest
		}
	}
	return peak, nil
}

// melScratch is what one frame takes.
type melScratch struct {
	spectrum
	edge  [NFFT]float32
	power [maxMels]float64
}

// logFrame sets row to log10 of the floored mel power of the frame of samples from… of pcm, which is followed by silence up to total samples,
// and returns its maximum.
func (e *Extractor) logFrame(s *melScratch, row, pcm []float32, from, total int) (highest float32, err error) {
	if from >= len(pcm) && from+NFFT <= total {
		// Only padding from here on, but for frames that reach the end and see it mirrored.
		for m := range row {
			row[m] = silenceLog
		}
		return silenceLog, nil
	}
	x := &s.edge
	if from >= 0 && from+NFFT <= len(pcm) {
		x = (*[NFFT]float32)(pcm[from:])
	} else {
		reflected(x, pcm, from, total)
	}
	e.dft.powerSpectrum(&s.spectrum, x)
	// A NaN or an infinity in the frame reaches every bin.
	if math.IsNaN(s.spectrum.power[0] - s.spectrum.power[0]) {
		return 0, ErrNotFinite
	}
	e.filters.apply(s.power[:e.nMels], &s.spectrum.power)
	highest = float32(math.Inf(-1))
	for m := range row {
		// Comparisons, not max: it spends more on NaN than the logarithm costs.
		power := s.power[m]
		if power < PowerFloor {
			power = PowerFloor
		}
		v := float32(log10(power))
		if v > highest {
			highest = v
		}
		row[m] = v
	}
	return highest, nil
}

// reflected sets x to the NFFT samples from sample from on, of pcm followed by silence up to total samples and mirrored about its first
// and last sample (torch.stft with center=True, pad_mode="reflect"). A clip of fewer samples than are mirrored, which upstream
// refuses, is mirrored repeatedly, as numpy.pad does.
func reflected(x *[NFFT]float32, pcm []float32, from, total int) {
	period := max(2*(total-1), 1)
	for i := range x {
		n := (from + i) % period
		if n < 0 {
			n += period
		}
		if n >= total {
			n = period - n
		}
		x[i] = 0
		if n < len(pcm) {
			x[i] = pcm[n]
		}
	}
}

// log10 is the decimal logarithm of a positive, normal x to an absolute error under 1e-9.
//
// x = 2^e·f with f in [√½, √2): log x = e·log 2 + log f, and log f = 2 artanh s = 2(s + s³/3 + s⁵/5 + …), s = (f-1)/(f+1),
// |s| < 0.1716, of which five terms suffice.
func log10(x float64) float64 {
	const (
		mantissaBits = 52
		rootHalfBits = 0x3fe6a09e667f3bcd // bits of √½
	)
	bits := int64(math.Float64bits(x)) - rootHalfBits
	exponent := bits >> mantissaBits
	f := math.Float64frombits(uint64(bits&(1<<mantissaBits-1) + rootHalfBits))
	s := (f - 1) / (f + 1)
	z := s * s
	series := s * (1 + z*(1.0/3+z*(1.0/5+z*(1.0/7+z*(1.0/9)))))
	return float64(exponent)*(math.Ln2/math.Ln10) + series*(2/math.Ln10)
}
