package asr

import (
	"math"
	"slices"
	"strings"

	"glossa/audio"
)

// parallel is a recording whose speech is packed into windows that are decoded side by side, each as
// a recording of its own with its own fallback (BatchedInferencePipeline of faster-whisper).
type parallel struct {
	checked  *recording // the request, without sound: what each window begins as
	samples  []float32
	windows  []speechWindow
	parts    []*recording // of the windows
	finished int
	ended    []bool // of the windows
	told     int    // windows, from the first on, whose segments Request.Segment was told
	segments int    // in them
}

// newParallel finds the speech in the samples of a recording that has not been loaded. There may be none.
func newParallel(r *recording, pcm []float32) (*parallel, error) {
	spans, err := r.request.Speech(pcm)
	if err != nil {
		return nil, err
	}
	spans = slices.DeleteFunc(slices.Clone(spans), func(s audio.Span) bool { return s.Len() < audio.HopLength })
	p := &parallel{checked: r, samples: pcm, windows: packSpeech(spans, r.model.Dims.WindowFrames()*audio.HopLength)}
	p.ended = make([]bool, len(p.windows))
	for i := range p.windows {
		part := *r
		part.prompt.tokens = slices.Clone(r.prompt.tokens) // which the window's text is added to
		part.whole, part.part = p, i
		p.parts = append(p.parts, &part)
	}
	return p, nil
}

// pcm returns the samples of a window.
func (p *parallel) pcm(r *recording) []float32 { return p.windows[r.part].pcm(p.samples) }

// finish notes that a window is finished, and reports whether that was the last. The segments of windows before which all
// others are finished are told.
func (p *parallel) finish(r *recording) (last bool) {
	p.finished++
	p.ended[r.part] = true
	for p.told < len(p.parts) && p.ended[p.told] {
		for _, s := range p.segmentsOf(p.told, p.segments) {
			p.segments++
			if r.request.Segment != nil {
				r.request.Segment(s)
			}
		}
		p.told++
	}
	return p.finished == len(p.parts)
}

// segmentsOf returns the segments of a window with their times in the recording, in which the first of them is number id.
func (p *parallel) segmentsOf(part, id int) []Segment {
	var segments []Segment
	for _, s := range p.parts[part].result.Segments {
		s = p.windows[part].inRecording(s)
		s.ID = id + len(segments)
		segments = append(segments, s)
	}
	return segments
}

// duration returns that of the recording in seconds.
func (p *parallel) duration() float64 { return float64(len(p.samples)) / audio.SampleRate }

// failed returns the result of a recording one of whose windows failed.
func (p *parallel) failed(err error) *Result {
	return &Result{Language: p.parts[0].result.Language, Duration: p.duration(), Err: err}
}

// result joins the results of the windows, with their times in the recording. Language and adapter
// are those of the first.
func (p *parallel) result() *Result {
	out := Result{Language: p.checked.result.Language, Duration: p.duration()}
	var tokens []int32
	for i, r := range p.parts {
		if i == 0 {
			out.Language, out.LanguageProb = r.result.Language, r.result.LanguageProb
			out.Adapter, out.AdapterHash = r.result.Adapter, r.result.AdapterHash
		}
		out.Encodes += r.result.Encodes
		out.Segments = append(out.Segments, p.segmentsOf(i, len(out.Segments))...)
		tokens = append(tokens, r.spokenTokens()...)
	}
	out.Text = strings.TrimSpace(p.checked.model.Tokenizer.Decode(tokens))
	return &out
}

// inRecording returns a segment of the window with its times in the recording. It begins and ends
// with its words, if it has any.
func (w *speechWindow) inRecording(s Segment) Segment {
	seek := frameTime(s.Seek)
	seek, _ = w.segmentTimes(seek, seek)
	s.Seek = int(math.Round(seek * framesPerSecond))
	s.Start, s.End = w.segmentTimes(s.Start, s.End)
	s.Words = slices.Clone(s.Words)
	for i, word := range s.Words {
		s.Words[i].Start, s.Words[i].End = w.wordTimes(word.Start, word.End)
	}
	if n := len(s.Words); n > 0 {
		s.Start, s.End = s.Words[0].Start, s.Words[n-1].End
	}
	return s
}
