package transcript

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"glossa/eval"
)

// chooseKey returns how the utterances of the sources are told, from their formats and first records.
func (j *join) chooseKey() (func(*join, int, *Record) (string, error), error) {
	for _, s := range j.sources {
		if s.format == Text {
			j.byLine = true
			return byLine, nil
		}
	}
	if j.sources[0].format == STM {
		timed := 0
		for _, s := range j.sources[1:] {
			if s.format == CTM {
				timed++
			}
		}
		switch {
		case timed == len(j.sources)-1:
			return byRecording, j.gather()
		case timed > 0:
			return nil, fmt.Errorf("%w: references of an stm take hypotheses that are all of ctm, or none", ErrUnpaired)
		}
	}
	named, sound := 0, 0
	var first *Record // of the reference
	same := true
	for i, r := range j.heads {
		if r == nil {
			continue
		}
		if r.ID != "" {
			named++
		} else if r.Audio != "" {
			sound++
		}
		if i == 0 {
			first = r
		} else if strings.HasSuffix(r.Audio, "/"+first.Audio) || strings.HasSuffix(first.Audio, "/"+r.Audio) {
			same = false // the files name one sound from different folders
		}
	}
	switch {
	case sound == 0:
		return byID, nil
	case named == 0 && same:
		return bySound, nil
	}
	return byStem, nil
}

// timed reports whether words go to segments by time.
func (j *join) timed() bool {
	return j.sources[0].format == STM && len(j.sources) > 1 && j.sources[1].format == CTM
}

// byLine tells utterances by their place among those of the source.
func byLine(j *join, source int, r *Record) (string, error) {
	return strconv.Itoa(j.counts[source]), nil
}

// byID tells utterances by their identifiers.
func byID(_ *join, _ int, r *Record) (string, error) {
	if r.ID == "" {
		return "", fmt.Errorf("%w: the line has no identifier, as those before it have", ErrSyntax)
	}
	return r.ID, nil
}

// bySound tells utterances by their sound files, and the beginnings of pieces of them.
func bySound(_ *join, _ int, r *Record) (string, error) {
	if r.Audio == "" {
		return "", fmt.Errorf("%w: the line names no sound, as those before it do", ErrSyntax)
	}
	return path.Clean(r.Audio) + pieceOf(r), nil
}

// byStem tells utterances by their identifiers or, where there is none, the names of their sound files.
func byStem(_ *join, _ int, r *Record) (string, error) {
	switch {
	case r.ID != "" && !strings.ContainsAny(r.ID, `/\`):
		return r.ID, nil
	case r.ID != "":
		return stem(r.ID), nil
	case r.Audio != "":
		return stem(r.Audio) + pieceOf(r), nil
	}
	return "", fmt.Errorf("%w: the line has neither an identifier nor a sound file, as those before it have", ErrSyntax)
}

// pieceOf tells apart the pieces of one sound file.
func pieceOf(r *Record) string {
	if r.Start == 0 {
		return ""
	}
	return "\x00" + strconv.FormatFloat(r.Start, 'f', 3, 64)
}

// byRecording tells channels of recordings.
func byRecording(_ *join, _ int, r *Record) (string, error) { return r.Audio + "\x00" + r.Channel, nil }

// emit yields an utterance, or the segments of a recording, for each system.
func (j *join) emit(records []*Record) error {
	ref := records[0]
	if ref.segments != nil {
		return j.emitSegments(ref.segments, records[1:])
	}
	if ref.Ignored {
		return nil
	}
	for i, h := range records[1:] {
		if !j.yield(j.pair(i, ref, h), nil) {
			return errStopped
		}
	}
	return nil
}

// pair returns the pair of a reference and a hypothesis, nil for an empty one. What the reference does not know of the utterance is the hypothesis's.
func (j *join) pair(system int, ref, hyp *Record) eval.Pair {
	p := ref.Pair
	p.Adapter, p.Detected, p.Latency, p.Err, p.Hypothesis = j.systems[system].name, "", 0, "", ""
	if j.byLine && p.ID == "" {
		p.ID = strconv.Itoa(ref.Place.Line)
	}
	if hyp == nil {
		return p
	}
	p.Hypothesis, p.Detected, p.Latency, p.Err = hyp.Hypothesis, hyp.Detected, hyp.Latency, hyp.Err
	if p.ID == "" {
		p.ID = hyp.ID
	}
	if p.Lang == "" {
		p.Lang = hyp.Lang
	}
	if p.Speaker == "" {
		p.Speaker = hyp.Speaker
	}
	if p.Audio == "" {
		p.Audio, p.Start = hyp.Audio, hyp.Start
	}
	if p.Duration == 0 {
		p.Duration = hyp.Duration
	}
	return p
}
