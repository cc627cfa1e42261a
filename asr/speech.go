package asr

import (
	"sort"

	"glossa/audio"
)

// speechWindow is what the model hears at once of a recording: stretches of speech, one right behind the other.
type speechWindow struct {
	parts  []audio.Span // of the recording, in order
	starts []int        // sample of the window at which each part starts
	length int          // samples
}

// packSpeech packs spans of speech, in order, into windows of at most maxSamples each: together as many as it holds (collect_chunks of
// faster-whisper), or else each by itself. A span that is longer alone is cut into equal parts.
func packSpeech(spans []audio.Span, maxSamples int, together bool) []speechWindow {
	var windows []speechWindow
	for _, span := range spans {
		n := (span.Len() + maxSamples - 1) / maxSamples
		for i := range n {
			part := audio.Span{Start: span.Start + i*span.Len()/n, End: span.Start + (i+1)*span.Len()/n}
			if !together || len(windows) == 0 || windows[len(windows)-1].length+part.Len() > maxSamples {
				windows = append(windows, speechWindow{})
			}
			windows[len(windows)-1].add(part)
		}
	}
	return windows
}

func (w *speechWindow) add(part audio.Span) {
	w.parts = append(w.parts, part)
	w.starts = append(w.starts, w.length)
	w.length += part.Len()
}

// pcm returns the window's samples. It shares the recording's memory where they are one part of it.
func (w *speechWindow) pcm(recording []float32) []float32 {
	if len(w.parts) == 1 {
		return recording[w.parts[0].Start:w.parts[0].End]
	}
	pcm := make([]float32, 0, w.length)
	for _, p := range w.parts {
		pcm = append(pcm, recording[p.Start:p.End]...)
	}
	return pcm
}

// segmentTimes takes the times of a segment in the window to those in the recording, in seconds: a
// start between two parts is that of the latter, an end that of the former. Times behind the
// window are its end.
func (w *speechWindow) segmentTimes(start, end float64) (float64, float64) {
	first := w.partAt(start)
	last := max(sort.Search(len(w.starts), func(i int) bool { return w.second(i) >= end })-1, first)
	return w.recordingTime(first, start), w.recordingTime(last, end)
}

// wordTimes takes the times of a word to those in the recording: both in the part that its middle
// is in, since no word lasts from one part into another (restore_speech_timestamps of
// faster-whisper).
func (w *speechWindow) wordTimes(start, end float64) (float64, float64) {
	i := w.partAt((start + end) / 2)
	return w.recordingTime(i, start), w.recordingTime(i, end)
}

// second is the time in the window at which a part starts.
func (w *speechWindow) second(part int) float64 {
	return float64(w.starts[part]) / audio.SampleRate
}

// partAt is the last part that starts at a time in the window, or before.
func (w *speechWindow) partAt(t float64) int {
	return max(sort.Search(len(w.starts), func(i int) bool { return w.second(i) > t })-1, 0)
}

// recordingTime takes a time in the window to that in the recording, within a part.
func (w *speechWindow) recordingTime(part int, t float64) float64 {
	start, end := w.parts[part].Seconds()
	return min(max(start+t-w.second(part), start), end)
}
