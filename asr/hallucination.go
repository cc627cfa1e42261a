package asr

import (
	"math"
	"strings"
)

// Thresholds of upstream's transcribe for hallucinations.
const (
	improbable   = 0.15  // probability of a word
	shortWord    = 0.133 // seconds
	shortWeight  = 15    // of each second below shortWord
	longWord     = 2.0   // seconds
	firstWords   = 8     // of a segment, which are looked at
	anomalyScore = 3.0   // of all of them together
	anomalySlack = 0.01  // below a score of 1 for each word
	windowEdge   = 2.0   // seconds from a window's edge, beyond which there may be silence
	leastAdvance = 1.0   // seconds from one window to the next
)

// wordWindow is a decoded window whose segments have their words, in log-mel frames of 10 ms.
type wordWindow struct {
	seek      int  // its first frame
	size      int  // its frames of audio
	full      int  // frames of a whole window
	content   int  // frames of audio in the recording
	singleEnd bool // its tokens end with one timestamp: there is no speech behind it
}

// frameTime returns when frame i of the recording begins, in seconds.
func frameTime(i int) float64 { return float64(i) / framesPerSecond }

// frameAt returns the frame nearest to a time in seconds.
func frameAt(seconds float64) int { return int(math.RoundToEven(seconds * framesPerSecond)) }

// speechEnd returns where the words of segments end, !ok where the window's timestamps say better
// where the next one begins.
func (w wordWindow) speechEnd(segments []Segment) (end float64, ok bool) {
	end, ok = speechEnd(segments)
	return end, ok && !w.singleEnd && end > frameTime(w.seek)
}

// next returns the first frame of the next window: where the last word ends, or byTimestamps, what
// the timestamps say.
func (w wordWindow) next(segments []Segment, byTimestamps int) int {
	if end, ok := w.speechEnd(segments); ok {
		return frameAt(end)
	}
	return byTimestamps
}

// skipSilence passes over silence, in seconds longer than threshold, around segments that may be
// hallucinations (upstream hallucination_silence_threshold). It returns the segments that are kept
// and the first frame of the next window, next where nothing is passed over. With again, the window
// is taken for silence up to there and has no result at all: not even the text that the next window
// continues changes. lastSpeech is where the words before the window end.
func (w wordWindow) skipSilence(segments []Segment, next int, threshold, lastSpeech float64) (kept []Segment, seek int, again bool) {
	if end, ok := w.speechEnd(segments); ok && frameTime(w.seek+w.full)-end <= threshold {
		next = w.seek + w.size
	}
	if first := firstWithWords(segments); first.anomalous() {
		if gap := first.Start - frameTime(w.seek); gap > threshold {
			return nil, w.seek + frameAt(gap), true
		}
	}
	for i := range segments {
		s := &segments[i]
		if len(s.Words) == 0 {
			continue
		}
		if s.anomalous() && w.surrounded(segments[i:], threshold, lastSpeech) {
			next = frameAt(max(frameTime(w.seek)+leastAdvance, s.Start))
			if frameTime(w.content)-s.End < threshold {
				next = w.content
			}
			return segments[:i], next, false
		}
		lastSpeech = s.End
	}
	return segments, next, false
}

// surrounded reports whether there is silence, or another anomaly, on both sides of segments[0].
func (w wordWindow) surrounded(segments []Segment, threshold, lastSpeech float64) bool {
	s, following := segments[0], firstWithWords(segments[1:])
	start, end := frameTime(w.seek), frameTime(w.seek+w.full)
	nextStart := start + frameTime(w.size)
	if following != nil {
		nextStart = following.Words[0].Start
	}
	before := s.Start-lastSpeech > threshold || s.Start < threshold || s.Start-start < windowEdge
	after := nextStart-s.End > threshold || following.anomalous() || end-s.End < windowEdge
	return before && after
}

// firstWithWords returns the first segment that has words, nil where none has (upstream
// next_words_segment).
func firstWithWords(segments []Segment) *Segment {
	for i := range segments {
		if len(segments[i].Words) > 0 {
			return &segments[i]
		}
	}
	return nil
}

// anomalous reports whether the first words of a segment are so short, long or improbable that it
// may be a hallucination (upstream is_segment_anomaly). No segment, or one without words, is not.
func (s *Segment) anomalous() bool {
	if s == nil || len(s.Words) == 0 {
		return false
	}
	score, n := 0.0, 0
	for _, w := range s.Words {
		if n < firstWords && !strings.Contains(DefaultPrepended+DefaultAppended, w.Word) {
			score += w.anomaly()
			n++
		}
	}
	return score >= anomalyScore || score+anomalySlack >= float64(n)
}

// anomaly returns how short, long and improbable a word is (upstream word_anomaly_score).
func (w Word) anomaly() float64 {
	duration, score := w.End-w.Start, 0.0
	if w.Probability < improbable {
		score++
	}
	if duration < shortWord {
		score += (shortWord - duration) * shortWeight
	}
	if duration > longWord {
		score += duration - longWord
	}
	return score
}
