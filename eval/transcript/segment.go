package transcript

import (
	"cmp"
	"io"
	"slices"
	"strings"
)

// gather has the reference yield the segments of a channel of a recording together.
func (j *join) gather() error {
	st := j.sources[0]
	st.parser = &gatherer{parser: st.parser, ahead: j.heads[0]}
	st.regroup = func(p parser) parser { return &gatherer{parser: p} }
	head, err := st.next()
	j.heads[0] = head
	return err
}

// gatherer reads segments and yields those of a channel of a recording as one record.
type gatherer struct {
	parser parser
	ahead  *Record // the first segment of the next recording
}

func (g *gatherer) next(l *lines) (*Record, error) {
	first := g.ahead
	g.ahead = nil
	if first == nil {
		var err error
		if first, err = g.parser.next(l); err != nil {
			return nil, err
		}
	}
	r := &Record{Place: first.Place, Channel: first.Channel}
	r.ID, r.Audio = first.Audio, first.Audio
	for s := first; ; {
		if s.Audio != r.Audio || s.Channel != r.Channel {
			g.ahead = s
			break
		}
		r.segments = append(r.segments, s)
		var err error
		if s, err = g.parser.next(l); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(r.segments, func(a, b *Record) int { return cmp.Compare(a.Start, b.Start) })
	return r, nil
}

// emitSegments yields the segments of a channel of a recording with the words that each system has in them.
func (j *join) emitSegments(segments []*Record, systems []*Record) error {
	texts := make([][]string, len(systems)) // of each system the text of each segment
	for i, h := range systems {
		if h != nil {
			texts[i] = divide(segments, h.Words)
		}
	}
	for k, s := range segments {
		if s.Ignored {
			continue
		}
		for i := range systems {
			p := j.pair(i, s, nil)
			if texts[i] != nil {
				p.Hypothesis = texts[i][k]
			}
			if !j.yield(p, nil) {
				return errStopped
			}
		}
	}
	return nil
}

// divide returns the words of each segment, both in order of their times.
//
// A word is of the first segment that ends behind its middle, the last segment takes those behind it (segment_hyp_for_utt of sclite's stm2ctm.c). A word between
// two segments is thus of the second, where it counts as inserted: nothing that was recognised goes uncounted, unless by a segment that is ignored.
func divide(segments []*Record, words []Word) []string {
	texts := make([]string, len(segments))
	var text []string
	for i, s := range segments {
		text = text[:0]
		for len(words) > 0 && (i == len(segments)-1 || words[0].Middle() < s.until) {
			text = append(text, words[0].Text)
			words = words[1:]
		}
		texts[i] = strings.Join(text, " ")
	}
	return texts
}
