package eval

import (
	"cmp"
	"slices"
)

// maxGroups bounds the groups of utterances that are told apart, and so the memory and time that a bootstrap takes.
//
// Where there are more, they are gathered in so many blocks, each group in a block of its hash's choice, and blocks are drawn instead (the
// method of random groups: Wolter 2007, "Introduction to Variance Estimation", chapter 2). A block is a sum of independent groups, so that
// the variance of blocks tells that of groups without bias, and the interval of a rate over thousands of groups is that of its variance.
// An estimate of a standard error from 2048 blocks is off by 1/√(2·2047) = 1.6% (one standard deviation); for comparison, that of the 2.5%
// quantile of a normal law from 10,000 resamples is off by √(0.025·0.975/10,000)/φ(1.96)/1.96 = 1.4%.
const maxGroups = 1 << blockBits

const blockBits = 11

// tally is what is known of a group: the sums of words and characters of one system in the first, or the words of two systems in the first
// and their characters in the second.
type tally [2]sums

// groupSums adds tallies up by group, or by block once there are more than maxGroups groups. The zero value is ready to use.
type groupSums struct {
	at     map[uint64]int // index in keys and list of each group; nil once blocks are used
	keys   []uint64
	list   []tally
	blocks bool
	all    tally
}

// add adds t to the group of the given hash.
func (g *groupSums) add(key uint64, t tally) {
	for i := range t {
		g.all[i].add(t[i])
	}
	if !g.blocks {
		if _, known := g.at[key]; !known && len(g.list) == maxGroups {
			g.gather()
		}
	}
	var to *tally
	if g.blocks {
		to = &g.list[key>>(64-blockBits)]
	} else {
		i, known := g.at[key]
		if !known {
			if g.at == nil {
				g.at = make(map[uint64]int)
			}
			i = len(g.list)
			g.at[key] = i
			g.keys, g.list = append(g.keys, key), append(g.list, tally{})
		}
		to = &g.list[i]
	}
	for i := range t {
		to[i].add(t[i])
	}
}

// gather sums groups up to blocks.
func (g *groupSums) gather() {
	list := make([]tally, maxGroups)
	for i, key := range g.keys {
		for j := range list[0] {
			list[key>>(64-blockBits)][j].add(g.list[i][j])
		}
	}
	g.at, g.keys, g.list, g.blocks = nil, nil, list, true
}

// sums returns the i-th sums of each group, in an order that does not depend on that of the utterances.
func (g *groupSums) sums(i int) []sums {
	out := make([]sums, len(g.list))
	order := make([]int, len(g.list))
	for k := range order {
		order[k] = k
	}
	if !g.blocks {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(g.keys[a], g.keys[b]) })
	}
	for k, from := range order {
		out[k] = g.list[from][i]
	}
	return out
}

// unit is what a group of utterances is made of.
type unit uint8

// The units, in the order of choice.
const (
	bySpeaker unit = iota
	byRecording
	byUtterance
	numUnits
)

func (u unit) String() string { return [...]string{"speaker", "recording", "utterance"}[u] }

// groupOf returns the hash of the group that an utterance is of, and its kind: the speaker's where one is known, else the file's that the
// utterance is cut from, else its own. number tells utterances without a name apart.
func groupOf(p Pair, number int) (uint64, unit) {
	switch {
	case p.Speaker != "":
		return hash("speaker", p.Speaker), bySpeaker
	case p.Audio != "":
		return hash("audio", p.Audio), byRecording
	case p.ID != "":
		return hash("id", p.ID), byUtterance
	}
	return mixed(uint64(number)), byUtterance
}

// hash returns a hash of texts that is the same in each run: 64 bits of FNV-1a (Fowler, Noll and Vo), whose bits are then mixed.
func hash(texts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, text := range texts {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // a byte that is in no UTF-8 text ends one
	}
	return mixed(h)
}

// mixed returns a value of which each bit depends on all of x (the finaliser of SplitMix64: Steele, Lea and Flood 2014).
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
