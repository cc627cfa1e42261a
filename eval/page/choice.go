package page

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"glossa/eval"
)

// maxOutcomes is the most outcomes of one utterance that a page holds: as many systems as can be read under one another.
const maxOutcomes = 32

// choice chooses which utterances a page holds, in memory that grows with what it holds alone.
type choice struct {
	complete set // all utterances, while there is room for them
	worst    set // those with the most errors
	sample   set // those with the least hashes
	seen     int // outcomes
}

// newChoice returns a choice of so many utterances, of texts of so many bytes.
func newChoice(utterances, text int) *choice {
	half, halfText := utterances/2, text/2
	return &choice{
		complete: newSet(utterances, text),
		worst:    newSet(utterances-half, text-halfText),
		sample:   newSet(half, halfText),
	}
}

// add takes an outcome into account.
func (c *choice) add(o eval.Outcome) {
	key, size := keyOf(o, c.seen), sizeOf(o)
	c.seen++
	hash := hashOf(key)
	if !c.complete.evicted {
		c.complete.add(key, hash, 0, size)
	}
	c.worst.add(key, ^hash, editsOf(o), size) // of equal ones not those of the sample
	c.sample.add(key, hash, 0, size)
}

// utterance is the outcomes of one utterance.
type utterance struct {
	outcomes []eval.Outcome
	edits    int // the most of an outcome
}

// selection is what a page holds.
type selection struct {
	utterances    []*utterance // in the order of the outcomes
	worst, sample int          // how many were chosen for either reason; both 0 where nothing was left out
	seen, kept    int          // outcomes
}

// collect returns the chosen utterances with their outcomes.
func (c *choice) collect(outcomes iter.Seq2[eval.Outcome, error]) (*selection, error) {
	s := &selection{seen: c.seen}
	chosen := make(map[string]*utterance)
	if !c.complete.evicted {
		for key := range c.complete.members {
			chosen[key] = nil
		}
	} else {
		for key := range c.worst.members {
			chosen[key] = nil
		}
		s.worst = len(chosen)
		for key := range c.sample.members {
			chosen[key] = nil
		}
		s.sample = len(chosen) - s.worst
	}
	at := 0
	for o, err := range outcomes {
		if err != nil {
			return nil, err
		}
		key := keyOf(o, at)
		at++
		u, ok := chosen[key]
		if !ok {
			continue
		}
		if u == nil {
			u = new(utterance)
			chosen[key] = u
			s.utterances = append(s.utterances, u)
		}
		u.edits = max(u.edits, editsOf(o))
		if len(u.outcomes) < maxOutcomes {
			u.outcomes = append(u.outcomes, o)
			s.kept++
		}
	}
	if at != c.seen || len(s.utterances) != len(chosen) {
		return nil, fmt.Errorf("%w: first %d of them, then %d", ErrOnce, c.seen, at)
	}
	return s, nil
}

// keyOf names the utterance of outcome number i.
func keyOf(o eval.Outcome, i int) string {
	switch {
	case o.ID != "":
		return "id\x00" + o.Lang + "\x00" + o.ID
	case o.Audio != "":
		return "audio\x00" + o.Lang + "\x00" + o.Audio + "\x00" + strconv.FormatFloat(o.Start, 'g', -1, 64)
	}
	return "number\x00" + strconv.Itoa(i)
}

// editsOf returns the errors of an outcome: none where there is no hypothesis.
func editsOf(o eval.Outcome) int {
	if o.Err != "" {
		return 0
	}
	return o.Words.Edits()
}

// hashOf returns a number that is as good as random, and the same for the same key.
func hashOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.LittleEndian.Uint64(sum[:])
}

// sizeOf returns about how many bytes an outcome takes in a page.
func sizeOf(o eval.Outcome) int {
	n := 100 + len(o.ID) + len(o.Audio) + len(o.Reference) + len(o.Hypothesis) + len(o.Ops)
	for _, words := range [][]string{o.Ref, o.Hyp} {
		for _, word := range words {
			n += len(word) + 3
		}
	}
	return n
}

// set keeps the members of the highest ranks, and of equal ranks those of the least hashes, within a number and a sum of sizes. The rank of a
// member is the highest that it was added with. What is kept does not depend on the order of the outcomes, but where the sizes decide.
type set struct {
	members map[string]*member
	least   ranking
	size    int
	evicted bool // whether anything was left out

	most, mostSize int
}

func newSet(most, size int) set {
	return set{members: make(map[string]*member), most: most, mostSize: size}
}

// member is an utterance in a set.
type member struct {
	key  string
	hash uint64
	rank int
	size int
	at   int // in the heap
}

// add adds an outcome of an utterance.
func (s *set) add(key string, hash uint64, rank, size int) {
	if m := s.members[key]; m != nil {
		m.rank, m.size = max(m.rank, rank), m.size+size
		heap.Fix(&s.least, m.at)
	} else {
		m = &member{key: key, hash: hash, rank: rank, size: size}
		s.members[key] = m
		heap.Push(&s.least, m)
	}
	s.size += size
	for len(s.members) > s.most || s.size > s.mostSize {
		m := heap.Pop(&s.least).(*member)
		s.size -= m.size
		delete(s.members, m.key)
		s.evicted = true
	}
}

// ranking is a heap of members, the one to leave out first at its top.
type ranking []*member

func (r ranking) Len() int { return len(r) }

func (r ranking) Less(i, j int) bool {
	if r[i].rank != r[j].rank {
		return r[i].rank < r[j].rank
	}
	return r[i].hash > r[j].hash
}

func (r ranking) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	r[i].at, r[j].at = i, j
}

// Push adds a *member.
func (r *ranking) Push(x any) {
	m := x.(*member)
	m.at = len(*r)
	*r = append(*r, m)
}

// Pop removes the last member.
func (r *ranking) Pop() any {
	m := (*r)[len(*r)-1]
	*r = slices.Delete(*r, len(*r)-1, len(*r))
	return m
}
