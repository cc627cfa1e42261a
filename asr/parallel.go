package asr

import (
	"fmt"
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

	// Of checkpoints.
	done         []int  // samples of each window
	language     string // that of the first window in those of others, "" where they do not say
	languageProb float64
}

// newParallel finds the speech in the samples of a recording that has not been loaded. There may be none.
func newParallel(r *recording, pcm []float32) (*parallel, error) {
	spans, err := r.request.Speech(pcm)
	if err != nil {
		return nil, err
	}
	spans = slices.DeleteFunc(slices.Clone(spans), func(s audio.Span) bool { return s.Len() < audio.HopLength })
	d := &r.model.Dims // an unpadded model was trained on single utterances, and is the faster the shorter they are
	p := &parallel{checked: r, samples: pcm, windows: packSpeech(spans, d.WindowFrames()*audio.HopLength, !d.Unpadded)}
	p.ended, p.done = make([]bool, len(p.windows)), make([]int, len(p.windows))
	for i := range p.windows {
		part := *r
		part.prompt.tokens = slices.Clone(r.prompt.tokens) // which the window's text is added to
		part.whole, part.part = p, i
		p.parts = append(p.parts, &part)
	}
	return p, p.goOn(r.job.keep)
}

// goOn recalls what checkpoints say of the windows. The error is ErrInvalid.
func (p *parallel) goOn(k *keeping) error {
	if k == nil {
		return nil
	}
	if err := k.hear(soundFingerprint(p.samples, p.windows)); err != nil {
		return err
	}
	for part, list := range k.past {
		if part >= len(p.parts) {
			return fmt.Errorf("%w: a checkpoint is of window %d of %d", ErrInvalid, part, len(p.parts))
		}
		r := p.parts[part]
		r.recall(list)
		r.clips = [][2]int{{0, p.windows[part].length / audio.HopLength}} // as they will be when it is loaded
		if err := r.place(); err != nil {
			return err
		}
		p.note(r)
		if p.ended[part] = r.finished(); p.ended[part] {
			p.finished++
		}
		if !r.request.SwitchLanguage {
			p.language, p.languageProb = r.result.Language, r.result.LanguageProb
		}
	}
	if len(k.past[0]) > 0 && p.language != "" {
		for _, r := range p.parts {
			r.result.Language, r.result.LanguageProb = p.language, p.languageProb
		}
	}
	for ; p.told < len(p.parts) && p.ended[p.told]; p.told++ {
		p.segments += len(p.parts[p.told].result.Segments)
	}
	return nil
}

// note notes how much of a window is done.
func (p *parallel) note(r *recording) {
	done, all := r.doneFrames()
	p.done[r.part] = p.windows[r.part].length * done / all
}

// doneSeconds returns how much of the recording is accounted for.
func (p *parallel) doneSeconds() float64 {
	done, all := 0, 0
	for i, w := range p.windows {
		done, all = done+p.done[i], all+w.length
	}
	return float64(done) / float64(all) * p.duration()
}

// first returns the first window that has not ended, nil where all have.
func (p *parallel) first() *recording {
	for i, r := range p.parts {
		if !p.ended[i] {
			return r
		}
	}
	return nil
}

// rest returns the windows behind the first that have not ended.
func (p *parallel) rest() (rest []*recording) {
	for i, r := range p.parts {
		if !p.ended[i] {
			rest = append(rest, r)
		}
	}
	return rest[1:]
}

// pcm returns the samples of a window.
func (p *parallel) pcm(r *recording) []float32 { return p.windows[r.part].pcm(p.samples) }

// finish notes that a window is finished. The segments of windows before which all others are finished are told.
func (p *parallel) finish(r *recording) {
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
}

// segmentsOf returns the segments of a window, of which the first is number id in the recording.
func (p *parallel) segmentsOf(part, id int) []Segment {
	segments := slices.Clone(p.parts[part].result.Segments)
	for i := range segments {
		segments[i].ID = id + i
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
