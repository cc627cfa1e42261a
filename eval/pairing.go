package eval

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// record is what is kept of an outcome until another system's comes: a hash of the reference, the counts, and where the errors are, in
// some 20 bytes. It does not hold the words.
type record string

// recordOf returns the record of an outcome.
func recordOf(o Outcome) record {
	b := make([]byte, 0, 32)
	b = binary.LittleEndian.AppendUint32(b, uint32(hash(o.Reference)))
	for _, n := range ofCounts(o.Words, o.Characters) {
		b = binary.AppendUvarint(b, uint64(n))
	}
	hits := uint64(0)
	for _, op := range o.Ops {
		if op == Hit {
			hits++
			continue
		}
		b = binary.AppendUvarint(b, hits<<2|uint64(op))
		hits = 0
	}
	return record(binary.AppendUvarint(b, hits<<2))
}

// decoded is a record that was read.
type decoded struct {
	reference uint32
	sums      sums // of words and characters
	ops       []Op
}

// decode reads a record. It uses the memory of ops.
func (r record) decode(ops []Op) decoded {
	b := []byte(r)
	d := decoded{reference: binary.LittleEndian.Uint32(b), ops: ops[:0]}
	b = b[4:]
	next := func() uint64 {
		n, size := binary.Uvarint(b)
		b = b[size:]
		return n
	}
	for i := range d.sums {
		d.sums[i] = int64(next())
	}
	for len(b) > 0 {
		n := next()
		for range n >> 2 {
			d.ops = append(d.ops, Hit)
		}
		if op := Op(n & 3); op != Hit {
			d.ops = append(d.ops, op)
		}
	}
	return d
}

// paired adds up what two systems made of the same utterances. The zero value is that of none.
type paired struct {
	utterances int
	unpaired   int // that one system alone has an outcome of, or that have another reference there
	groups     groupSums
	test       MAPSSWE

	base, system decoded // memory
}

// add adds an utterance of the group.
func (p *paired) add(group uint64, base, system record) {
	p.base, p.system = base.decode(p.base.ops), system.decode(p.system.ops)
	if p.base.reference != p.system.reference {
		p.unpaired++
		return
	}
	p.utterances++
	a, b := p.base.sums, p.system.sums
	p.groups.add(group, tally{{a[0], a[1], b[0], b[1]}, {a[2], a[3], b[2], b[3]}})
	p.test.Add(p.base.ops, p.system.ops)
}

// compared is a comparison that was drawn, with what a total over several is made of.
type compared struct {
	Comparison
	unpaired  int
	all       tally
	resamples [2][]sums
	groups    int
	strata    int
	test      MAPSSWE
}

// compare compares the two systems. The stream selects the draws, one for each comparison of a total.
func (p *paired) compare(b Bootstrap, stream uint64) compared {
	c := compared{unpaired: p.unpaired, all: p.groups.all, groups: len(p.groups.list), strata: 1, test: p.test}
	c.Utterances = p.utterances
	for i := range c.resamples {
		c.resamples[i] = b.resampled(p.groups.sums(i), stream)
	}
	c.fill(b)
	return c
}

// plus adds the comparison of another language, whose groups are drawn on their own.
func (c *compared) plus(other compared) {
	for i := range c.resamples {
		c.all[i].add(other.all[i])
		if c.resamples[i] == nil {
			c.resamples[i] = make([]sums, len(other.resamples[i]))
		}
		for k, s := range other.resamples[i] {
			c.resamples[i][k].add(s)
		}
	}
	c.Utterances += other.Utterances
	c.unpaired += other.unpaired
	c.groups += other.groups
	c.strata += other.strata
	c.test.plus(other.test)
}

// fill sets the numbers of the comparison from what it is made of.
func (c *compared) fill(b Bootstrap) {
	c.Unpaired, c.Groups = c.unpaired, c.groups
	words, characters := c.all[0], c.all[1]
	c.BaseWER, c.SystemWER, c.WER = words.first(), words.second(), words.difference()
	c.BaseCER, c.SystemCER, c.CER = characters.first(), characters.second(), characters.difference()
	c.Improvement = 0.5
	if c.groups <= c.strata {
		c.Groups = min(1, c.groups) // one in each language, of which none can be drawn
	} else {
		byWords := b.difference(words, c.resamples[0], c.groups, c.strata)
		byCharacters := b.difference(characters, c.resamples[1], c.groups, c.strata)
		c.Interval = [2]float64{byWords.Low, byWords.High}
		c.CERInterval = [2]float64{byCharacters.Low, byCharacters.High}
		c.Improvement = byWords.Improvement
	}
	if p, ok := c.test.P(); ok {
		c.MAPSSWE = &p
	}
	c.Segments = c.test.Segments
}

// holm sets the adjusted p-values of comparisons that were made together (Holm 1979, "A Simple Sequentially Rejective Multiple Test
// Procedure"): the k-th least of n is multiplied by n-k+1, and none is less than the one before.
func holm(family []*Comparison) {
	family = slices.DeleteFunc(slices.Clone(family), func(c *Comparison) bool { return c.MAPSSWE == nil })
	slices.SortStableFunc(family, func(a, b *Comparison) int { return cmp.Compare(*a.MAPSSWE, *b.MAPSSWE) })
	least := 0.0
	for k, c := range family {
		least = max(least, min(1, *c.MAPSSWE*float64(len(family)-k)))
		adjusted := least
		c.Holm = &adjusted
	}
}
