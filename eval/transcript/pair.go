package transcript

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"slices"
	"strconv"

	"glossa/eval"
)

// ErrUnpaired is wrapped by errors about what one source has and another has not, or one has twice.
var ErrUnpaired = errors.New("transcript: sources do not match")

// Policy says what is to be done about an utterance that a source lacks.
type Policy string

// The policies.
const (
	Fail  Policy = "fail"
	Skip  Policy = "skip"  // the utterance is left out, for all systems
	Empty Policy = "empty" // nothing was recognised in it
)

// Options say how sources are put together. The zero value is ready to use.
type Options struct {
	// Missing says what comes of a reference without a hypothesis. The default value is Empty: all its words are deleted, as sclite has it for a ctm. Of a
	// trn sclite leaves out such references, which is Skip, and flatters a system that gave up.
	Missing Policy
	// Extra says what comes of a hypothesis without a reference: Fail, the default value, or Skip.
	Extra Policy
	// Warn is told at the end of what was missing and extra, a line for each source and kind. The default value is nil: nobody is.
	Warn func(message string)
}

// Pairs yields each utterance of ref with what each of the systems recognised in it: a pair for each of hyps, in their order, its Adapter the name of
// the source. An error is the last that it yields.
//
// Utterances are told by what the files name them by: their identifiers; or their sound files, as written, where no file has identifiers; or else by
// identifiers and names of sound files without folder and ending. Plain text goes by the line, whatever the others are; without Source.Format
// it is taken for Kaldi's form beside a source of that. Words of a ctm go to the segments
// of an stm by time (see segments). Any order will do: sources are read together, and an utterance comes when all have told of it, what some lack at the end.
// Memory is that of the utterances between, their texts and some 60 bytes each, and a hash of 64 bits for each identifier that has come, which may not come
// again: among n identifiers two are taken for the same by a chance of n²/2⁶⁵.
func Pairs(ref Source, hyps []Source, o Options) iter.Seq2[eval.Pair, error] {
	ref.Role = Reference
	o.Missing, o.Extra = cmp.Or(o.Missing, Empty), cmp.Or(o.Extra, Fail)
	return func(yield func(eval.Pair, error) bool) {
		j := newJoin(len(hyps), o, yield)
		defer j.close()
		for i, h := range hyps {
			j.systems[i].name = h.Name
		}
		if err := j.open(ref, hyps); err != nil {
			yield(eval.Pair{}, err)
			return
		}
		if err := j.run(); err != nil && err != errStopped {
			yield(eval.Pair{}, err)
		}
	}
}

// errStopped ends a join whose consumer has enough.
var errStopped = errors.New("stopped")

// join reads sources side by side. The first one is the reference.
type join struct {
	options Options
	systems []system
	yield   func(eval.Pair, error) bool

	sources []*stream
	heads   []*Record // read while the way of pairing was chosen
	key     func(*join, int, *Record) (string, error)
	byLine  bool  // the key is the place among the records of a source
	counts  []int // records of each source

	pending *waiting
	done    map[uint64]struct{} // hashes of the keys that have come
	seed    maphash.Seed
}

// newJoin returns a join of a reference and a number of systems.
func newJoin(systems int, o Options, yield func(eval.Pair, error) bool) *join {
	return &join{
		options: o, systems: make([]system, systems), yield: yield,
		pending: newWaiting(1 + systems), done: make(map[uint64]struct{}), seed: maphash.MakeSeed(),
	}
}

// system is what is known of one.
type system struct {
	name    string
	missing tally
	extra   tally
}

// tally counts what is told in one warning.
type tally struct {
	n     int
	first *Record
}

func (t *tally) add(r *Record) {
	if t.n++; t.first == nil || r.Place.File == t.first.Place.File && r.Place.Line < t.first.Place.Line {
		t.first = r
	}
}

// open opens the sources and finds out how their utterances are told.
func (j *join) open(ref Source, hyps []Source) error {
	for i, s := range append([]Source{ref}, hyps...) {
		if i > 0 && s.Role != Results {
			s.Role = Hypothesis
		}
		st, err := s.open()
		if err != nil {
			return err
		}
		j.sources = append(j.sources, st)
	}
	j.besideKaldi()
	for _, st := range j.sources {
		head, err := st.next()
		if err != nil && err != io.EOF {
			return err
		}
		j.heads = append(j.heads, head)
	}
	j.counts = make([]int, len(j.sources))
	if j.heads[0] == nil {
		return fmt.Errorf("%s: %w: no references", j.sources[0].name(), ErrUnpaired)
	}
	var err error
	j.key, err = j.chooseKey()
	return err
}

// besideKaldi takes files that look like plain text for Kaldi's where another source is of Kaldi's form: a look cannot tell the two apart, and of a pair
// one is seldom the one and one the other.
func (j *join) besideKaldi() {
	if !slices.ContainsFunc(j.sources, func(s *stream) bool { return s.format == Kaldi }) {
		return
	}
	for _, s := range j.sources {
		if guessed := cmp.Or(s.source.Format, Auto) == Auto; guessed && s.format == Text {
			s.source.Format, s.format, s.parser = Kaldi, Kaldi, kaldiParser{s.source.Role}
		}
	}
}

// close closes all sources.
func (j *join) close() {
	for _, s := range j.sources {
		s.close()
	}
}

// next returns the next record of a source, nil behind the last.
func (j *join) next(source int) (*Record, error) {
	if head := j.heads[source]; head != nil {
		j.heads[source] = nil
		return head, nil
	}
	r, err := j.sources[source].next()
	if err == io.EOF {
		return nil, nil
	}
	return r, err
}

// run reads a record of each source in turn until all are at their ends.
func (j *join) run() error {
	open := make([]bool, len(j.sources))
	for i := range open {
		open[i] = true
	}
	for slices.Contains(open, true) {
		for i := range j.sources {
			if !open[i] {
				continue
			}
			r, err := j.next(i)
			if err != nil {
				return err
			}
			if open[i] = r != nil; !open[i] {
				continue
			}
			j.counts[i]++
			if err := j.add(i, r); err != nil {
				return err
			}
		}
	}
	return j.finish()
}

// add adds a record of a source, and passes on the utterance that it completes.
func (j *join) add(source int, r *Record) error {
	key, err := j.key(j, source, r)
	if err != nil {
		return r.Place.wrap(err)
	}
	hash := maphash.String(j.seed, key)
	records, filled := j.pending.take(hash)
	if before := records[source]; before != nil {
		return r.Place.wrap(fmt.Errorf("%w: %s comes twice; before at %v%s", ErrUnpaired, nameOf(r), before.Place, j.hint(source)))
	}
	if _, twice := j.done[hash]; twice && !j.byLine {
		return r.Place.wrap(fmt.Errorf("%w: %s comes twice%s", ErrUnpaired, nameOf(r), j.hint(source)))
	}
	if filled+1 < len(j.sources) {
		j.pending.add(hash, source, r)
		return nil
	}
	records[source] = r
	j.pending.drop(hash)
	if !j.byLine {
		j.done[hash] = struct{}{}
	}
	return j.emit(records)
}

// hint tells a way out of an utterance that comes twice.
func (j *join) hint(source int) string {
	switch s := j.sources[source]; {
	case s.format == CTM || s.format == STM && j.timed():
		return "; the lines of a channel of a recording have to be together, as sort -s -k1,1 -k2,2 puts them"
	case source > 0 && s.format == JSONL && s.source.Adapter == nil:
		return "; of results of several adapters one has to be chosen"
	}
	return ""
}

// nameOf names an utterance in messages.
func nameOf(r *Record) string {
	switch {
	case r.Words != nil || r.Channel != "":
		return fmt.Sprintf("channel %s of recording %s", r.Channel, r.Audio)
	case r.ID != "":
		return fmt.Sprintf("utterance %s", r.ID)
	case r.Audio != "" && r.Start != 0:
		return fmt.Sprintf("%s from %s s", r.Audio, strconv.FormatFloat(r.Start, 'f', -1, 64))
	case r.Audio != "":
		return r.Audio
	}
	return "the line"
}

// finish passes on what some sources lack, in the order of the references, and tells of it.
func (j *join) finish() error {
	rest := j.pending.ordered()
	if err := j.checkRest(rest); err != nil {
		return err
	}
	for _, hash := range rest {
		records, _ := j.pending.take(hash)
		ref := records[0]
		for i, r := range records[1:] {
			switch {
			case ref == nil && r != nil:
				j.systems[i].extra.add(r)
			case ref != nil && r == nil:
				j.systems[i].missing.add(ref)
			}
		}
		if ref == nil || j.options.Missing == Skip {
			continue
		}
		if err := j.emit(records); err != nil {
			return err
		}
	}
	j.warn()
	return nil
}

// checkRest returns the error of what the policies do not allow.
func (j *join) checkRest(rest []uint64) error {
	if j.byLine && len(rest) > 0 {
		return j.unequal()
	}
	var first *Record // of the references
	for _, hash := range rest {
		records, _ := j.pending.take(hash)
		ref := records[0]
		if first == nil {
			first = ref
		}
		for i, r := range records[1:] {
			switch {
			case ref == nil && r != nil && j.options.Extra == Fail && len(j.done) == 0 && first != nil:
				return r.Place.wrap(fmt.Errorf("%w: nothing in %s is among the references: there it is %s, here %s", ErrUnpaired, j.label(i), nameOf(first), nameOf(r)))
			case ref == nil && r != nil && j.options.Extra == Fail:
				return r.Place.wrap(fmt.Errorf("%w: %s is not among the references", ErrUnpaired, nameOf(r)))
			case ref != nil && r == nil && j.options.Missing == Fail:
				return ref.Place.wrap(fmt.Errorf("%w: %s is not in %s", ErrUnpaired, nameOf(ref), j.label(i)))
			}
		}
	}
	return nil
}

// unequal returns the error of sources that are paired by the line and have different numbers of lines.
func (j *join) unequal() error {
	for i, n := range j.counts {
		if n != j.counts[0] {
			return fmt.Errorf("%w: %d references in %s, %d hypotheses in %s, where line is put to line",
				ErrUnpaired, j.counts[0], j.sources[0].name(), n, j.sources[i].name())
		}
	}
	return nil
}

// label names a system in messages.
func (j *join) label(i int) string {
	if j.systems[i].name != "" {
		return j.systems[i].name
	}
	return "the hypotheses"
}

// warn tells what was missing.
func (j *join) warn() {
	if j.options.Warn == nil {
		return
	}
	done := map[Policy]string{Empty: "count as empty", Skip: "are left out"}
	for i, s := range j.systems {
		if t := s.missing; t.n > 0 {
			j.options.Warn(fmt.Sprintf("%v: %d of %d references are not in %s and %s; the first is %s",
				t.first.Place, t.n, j.counts[0], j.label(i), done[j.options.Missing], nameOf(t.first)))
		}
		if t := s.extra; t.n > 0 {
			j.options.Warn(fmt.Sprintf("%v: %d of %d of %s are not among the references and are left out; the first is %s",
				t.first.Place, t.n, j.counts[i+1], j.label(i), nameOf(t.first)))
		}
	}
}
