package eval

import "math"

// MAPSSWE is the matched-pairs test of sentence segments by word errors (Gillick and Cox 1989, "Some statistical issues in the comparison
// of speech recognition algorithms", section 4; Pallett, Fisher and Fiscus 1990). Sentences are cut at places where both systems have
// minGood words in a row right, since errors on either side of such a place hardly depend on each other. The segments between, which hold
// all errors, are the samples: of the difference in the number of errors, which is 0 on the average where the systems are alike.
//
// The rules are those of NIST's sc_stats -t mapsswe (sctk, src/sclite/mtchprs.c: test_comp_sents), and so are the numbers where the
// alignment is sclite's (Costs). The zero value has seen nothing.
type MAPSSWE struct {
	Segments int

	sum, squares int64 // of the errors of the base less those of the system
}

// minGood is how many words in a row both systems have right at the bounds of a segment, as sc_stats has it.
const minGood = 2

// Add adds the segments of one utterance, as two systems recognised it.
//
// The references have to be the same words. Where alternatives were chosen differently but in equal number, the words are taken in step,
// as sc_stats does; where in another number, the utterance is one segment.
func (m *MAPSSWE) Add(base, system []Op) {
	if words(base) != words(system) {
		if d := int64(errorsIn(base) - errorsIn(system)); errorsIn(base)+errorsIn(system) > 0 {
			m.add(d)
		}
		return
	}
	var difference int64
	open, good := false, 0 // whether a segment is open; how many words both have right since its last error
	for i, j := 0, 0; ; i, j = i+1, j+1 {
		for ; i < len(base) && base[i] == Insertion; i++ {
			difference++
			open, good = true, 0
		}
		for ; j < len(system) && system[j] == Insertion; j++ {
			difference--
			open, good = true, 0
		}
		if i == len(base) {
			break
		}
		if base[i] == Hit && system[j] == Hit {
			if good++; open && good == minGood {
				m.add(difference)
				difference, open = 0, false
			}
			continue
		}
		open, good = true, 0
		if base[i] != Hit {
			difference++
		}
		if system[j] != Hit {
			difference--
		}
	}
	if open {
		m.add(difference)
	}
}

// add adds a segment.
func (m *MAPSSWE) add(difference int64) {
	m.Segments++
	m.sum += difference
	m.squares += difference * difference
}

// plus adds the segments of other.
func (m *MAPSSWE) plus(other MAPSSWE) {
	m.Segments += other.Segments
	m.sum += other.sum
	m.squares += other.squares
}

// Z returns the mean difference over its standard error, positive where the system is better. It is 0 where the systems do not differ in
// any segment. ok is false where all segments differ alike, but not by 0: the standard error is 0 then, and the test cannot say anything.
// (sc_stats prints 0.)
func (m MAPSSWE) Z() (z float64, ok bool) {
	if m.squares == 0 {
		return 0, true
	}
	n := float64(m.Segments)
	mean := float64(m.sum) / n
	deviations := (float64(m.squares) - mean*float64(m.sum)) // the sum of squared deviations
	if int64(m.Segments)*m.squares == m.sum*m.sum {
		return 0, false
	}
	return mean / math.Sqrt(deviations/(n-1)/n), true
}

// P returns the two-sided p-value of Z by the normal law, as sc_stats does; with fewer than some 50 segments it is too small.
func (m MAPSSWE) P() (p float64, ok bool) {
	z, ok := m.Z()
	return math.Erfc(math.Abs(z) / math.Sqrt2), ok
}

// words returns the number of words of the reference, errorsIn that of errors.
func words(ops []Op) (n int) {
	for _, op := range ops {
		if op != Insertion {
			n++
		}
	}
	return n
}

func errorsIn(ops []Op) (n int) {
	for _, op := range ops {
		if op != Hit {
			n++
		}
	}
	return n
}
