package audio

import (
	"context"
	"slices"
)

import "time"

// Detector tells, frame by frame of a stream of samples at SampleRate, how probably each is speech: voice activity detection (VAD).
// However the stream is cut into pushes, the probabilities are bitwise the same. A sample that is not finite, or beyond ±1e6, counts as
// silence. A Detector serves one stream at a time; it is not safe for concurrent use.
type Detector interface {
	// FrameSamples is the number of samples of a frame: probability i is about samples i·FrameSamples to (i+1)·FrameSamples-1.
	FrameSamples() int
	// Push appends to probs the probabilities, 0 to 1, of the frames that pcm makes known, in order. They may lag behind the samples.
	Push(probs, pcm []float32) []float32
	// Flush appends those of all frames that are left, the last of them padded with silence: ceil(samples / FrameSamples) have then
	// been told. The Detector is ready for another stream.
	Flush(probs []float32) []float32
}

// SpeechProbs is the probabilities of the frames of a whole recording, ceil(len(pcm) / d.FrameSamples()) of them. d must be new or flushed.
func SpeechProbs(d Detector, pcm []float32) []float32 {
	probs := make([]float32, 0, len(pcm)/d.FrameSamples()+1)
	return d.Flush(d.Push(probs, pcm))
}

// FindSpeech is the speech in a whole recording as d hears it, in order (get_speech_timestamps of Silero VAD). It is what a SpeechStream
// tells of pcm, in any chunks. d must be new or flushed.
func FindSpeech(d Detector, pcm []float32, o SpeechOptions) []Span {
	return SpeechSpans(SpeechProbs(d, pcm), d.FrameSamples(), len(pcm), o)
}

// FindSpeechContext is FindSpeech until ctx is done, whose error it then returns.
func FindSpeechContext(ctx context.Context, d Detector, pcm []float32, o SpeechOptions) ([]Span, error) {
	const chunk = 60 * SampleRate
	var probs []float32
	for part := range slices.Chunk(pcm, chunk) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		probs = d.Push(probs, part)
	}
	return SpeechSpans(d.Flush(probs), d.FrameSamples(), len(pcm), o), nil
}

// SpeechStream finds where speech starts and ends while it is spoken (VADIterator of Silero VAD). It serves one stream, and is not safe
// for concurrent use.
type SpeechStream struct {
	detector Detector
	cutter   *speechCutter
	samples  int
	probs    []float32
}

// NewSpeechStream returns the stream of what d hears. d must be new or flushed, and serves the stream until Close.
func NewSpeechStream(d Detector, o SpeechOptions) *SpeechStream {
	return &SpeechStream{detector: d, cutter: newSpeechCutter(d.FrameSamples(), o)}
}

// Push appends to events what pcm makes known. Starts and ends alternate, a start first, and their places never decrease. A start is told
// once its speech is sure to last MinSpeech, an end once MinSilence has passed, or where MaxSpeech cuts.
func (s *SpeechStream) Push(events []SpeechEvent, pcm []float32) []SpeechEvent {
	s.samples += len(pcm)
	s.probs = s.detector.Push(s.probs[:0], pcm)
	return s.cutter.push(events, s.probs)
}

// SetMinSilence changes how long silence must last from now on to end speech.
func (s *SpeechStream) SetMinSilence(d time.Duration) { s.cutter.minSilence = samplesOf(d) }

// Close appends to events those that are left, with which every start has its end, and ends the stream.
func (s *SpeechStream) Close(events []SpeechEvent) []SpeechEvent {
	s.probs = s.detector.Flush(s.probs[:0])
	events = s.cutter.push(events, s.probs)
	return s.cutter.close(events, s.samples)
}

// framer cuts a stream of samples into windows that overlap. What lies before the stream is silence.
type framer struct {
	buf  []float32 // the window that is being filled
	have int       // samples in it
	hop  int       // samples from window to window
}

// maxSample is beyond what any format calls full scale, and so small that no sum of powers overflows.
const maxSample = 1e6

// newFramer returns a framer whose first window begins lead samples before the stream.
func newFramer(window, hop, lead int) framer {
	return framer{buf: make([]float32, window), have: lead, hop: hop}
}

// push calls each with every window that pcm completes. The window is valid during the call.
func (f *framer) push(pcm []float32, each func(window []float32)) {
	for len(pcm) > 0 {
		added := f.buf[f.have:]
		added = added[:copy(added, pcm)]
		for i, v := range added {
			if !(v > -maxSample && v < maxSample) {
				added[i] = 0
			}
		}
		pcm = pcm[len(added):]
		if f.have += len(added); f.have == len(f.buf) {
			each(f.buf)
			f.have = copy(f.buf, f.buf[f.hop:])
		}
	}
}
