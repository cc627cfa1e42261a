package simulate

import (
	"cmp"
	"slices"
	"time"
)

// prices are the costs of a model as a worker of a simulation looks them up.
type prices struct {
	*Model
	step  []stepCurve // by ascending rows
	table [][]float64 // of steps, by rows and adapters, as far as they were asked for
	slow  []Beside    // by loads, likewise
}

// stepCurve are the costs of steps of a number of rows, by ascending number of adapters.
type stepCurve struct {
	rows     int
	adapters []StepCost
}

func newPrices(m *Model) *prices {
	p := &prices{Model: m}
	points := slices.Clone(m.Step)
	slices.SortFunc(points, func(a, b StepCost) int {
		return cmp.Or(cmp.Compare(a.Rows, b.Rows), cmp.Compare(a.Adapters, b.Adapters))
	})
	for _, s := range points {
		n := len(p.step)
		if n == 0 || p.step[n-1].rows != s.Rows {
			p.step = append(p.step, stepCurve{rows: s.Rows})
			n++
		}
		c := &p.step[n-1]
		c.adapters = append(c.adapters, s)
	}
	p.step = slices.DeleteFunc(p.step, func(c stepCurve) bool { return c.adapters[0].Adapters > 0 })
	return p
}

// between returns the value at x of the line through two points.
func between(x, x0, y0, x1, y1 float64) float64 { return y0 + (y1-y0)*(x-x0)/(x1-x0) }

// at returns what a step of the curve's rows costs under so many adapters.
func (c *stepCurve) at(adapters int) float64 {
	i, found := slices.BinarySearchFunc(c.adapters, adapters, func(s StepCost, n int) int { return cmp.Compare(s.Adapters, n) })
	switch {
	case found:
		return c.adapters[i].Seconds
	case i == len(c.adapters):
		return c.adapters[i-1].Seconds
	}
	a, b := c.adapters[i-1], c.adapters[i]
	return between(float64(adapters), float64(a.Adapters), a.Seconds, float64(b.Adapters), b.Seconds)
}

// uniform returns what a step costs whose rows are all under so many adapters, each at least one. Beyond the rows that were measured it
// grows as it does before.
func (p *prices) uniform(rows, adapters int) float64 {
	of := func(c *stepCurve) float64 { return c.at(min(adapters, c.rows)) }
	i, found := slices.BinarySearchFunc(p.step, rows, func(c stepCurve, n int) int { return cmp.Compare(c.rows, n) })
	switch {
	case found:
		return of(&p.step[i])
	case i == 0, len(p.step) == 1:
		return of(&p.step[0])
	}
	i = min(i, len(p.step)-1)
	a, b := &p.step[i-1], &p.step[i]
	return max(of(a), between(float64(rows), float64(a.rows), of(a), float64(b.rows), of(b)))
}

// stepOf is uniform from a table.
func (p *prices) stepOf(rows, adapters int) float64 {
	for len(p.table) <= rows {
		p.table = append(p.table, nil)
	}
	for n := len(p.table[rows]); n <= adapters; n++ {
		p.table[rows] = append(p.table[rows], p.uniform(rows, n))
	}
	return p.table[rows][adapters]
}

// steps returns what a step costs: of rows, of which some are under adapters, and of windows that enter with so many tokens of text
// before them together.
func (p *prices) steps(rows, adapted, adapters, enter, prompt int) float64 {
	s := p.stepOf(rows, 0)
	if adapters > 0 {
		s += (p.stepOf(rows, adapters) - s) * float64(adapted) / float64(rows)
	}
	return s + p.Enter*float64(enter) + p.PromptToken*float64(prompt)
}

// encodeOne returns what a window costs in the encoder alone, and as a further one of a batch.
func (p *prices) encodeOne(frames int) (alone, more float64) {
	points := p.Encode
	i, found := slices.BinarySearchFunc(points, frames, func(e EncodeCost, n int) int { return cmp.Compare(e.Frames, n) })
	switch {
	case found:
		return points[i].Seconds, points[i].More
	case len(points) == 1:
		of := float64(frames) / float64(points[0].Frames)
		return points[0].Seconds * of, points[0].More * of
	}
	i = min(max(i, 1), len(points)-1)
	a, b, x := points[i-1], points[i], float64(frames)
	alone = between(x, float64(a.Frames), a.Seconds, float64(b.Frames), b.Seconds)
	more = between(x, float64(a.Frames), a.More, float64(b.Frames), b.More)
	return max(alone, 0), max(more, 0)
}

// encodeSum adds up an encoder batch.
type encodeSum struct {
	n          int
	more, once float64
}

// add adds a window, adapted or not.
func (s *encodeSum) add(p *prices, frames int, adapted bool) {
	alone, more := p.encodeOne(frames)
	once := alone - more
	if adapted && p.Adapted > 0 {
		more, once = more*p.Adapted, once*p.Adapted
	}
	s.n, s.more, s.once = s.n+1, s.more+more, s.once+once
}

// seconds returns what the batch costs: what each window adds, and once what a window has of its own beyond that.
func (s *encodeSum) seconds() float64 {
	if s.n == 0 {
		return 0
	}
	return max(0, s.more+s.once/float64(s.n))
}

// load returns what it takes to load a recording of so many seconds, log-mel included, with the silence behind it that windows which are
// always whole need.
func (p *prices) load(seconds float64, speech bool) float64 {
	l := p.Loading
	if speech {
		return l.Seconds + (l.Decode+l.Speech)*seconds
	}
	return l.Seconds + l.Decode*seconds + p.mel(seconds)
}

// mel returns what the log-mel of so many seconds takes.
func (p *prices) mel(seconds float64) float64 {
	if !p.Unpadded {
		seconds += float64(p.WindowFrames) / framesPerSecond
	}
	return p.Loading.Mel * seconds
}

const framesPerSecond = 100

// hasAdapter reports whether a language has an adapter.
func (p *prices) hasAdapter(language string) bool {
	return p.Adapters != nil && (p.Adapters.Languages == nil || slices.Contains(p.Adapters.Languages, language))
}

// bytes returns the memory of a window with so many hypotheses.
func (p *prices) bytes(hypotheses int) int { return p.WindowBytes + hypotheses*p.HypothesisBytes }

// beside returns how many times longer things take while so many recordings are loaded. Beyond what was measured it is as many times
// as long as there are more.
func (p *prices) beside(loads int) Beside {
	for n := len(p.slow); n <= loads; n++ {
		p.slow = append(p.slow, p.besideOf(n))
	}
	return p.slow[loads]
}

func (p *prices) besideOf(loads int) Beside {
	before := Beside{0, 1, 1, 1}
	for _, b := range p.Beside {
		b = Beside{b.Loads, max(1, b.Device), max(1, b.Loading), max(1, b.Others)}
		if b.Loads >= loads {
			x, x0, x1 := float64(loads), float64(before.Loads), float64(b.Loads)
			return Beside{
				loads, between(x, x0, before.Device, x1, b.Device), between(x, x0, before.Loading, x1, b.Loading), between(x, x0, before.Others, x1, b.Others),
			}
		}
		before = b
	}
	if before.Loads == 0 {
		return Beside{loads, 1, 1, max(1, float64(loads)/float64(p.Cores))}
	}
	more := float64(loads) / float64(before.Loads)
	return Beside{loads, before.Device * more, before.Loading * more, before.Others * more}
}

// wake returns how much more the device takes for the first thing behind a rest.
func (p *prices) wake(rest time.Duration) Wake {
	if rest == 0 || len(p.Wake) == 0 {
		return Wake{}
	}
	before := Wake{Often: p.Wake[0].often()}
	for _, w := range p.Wake {
		if x := rest.Seconds(); w.Rest >= x {
			return Wake{x, between(x, before.Rest, before.Device, w.Rest, w.Device), between(x, before.Rest, before.Often, w.Rest, w.often())}
		}
		before = w
		before.Often = w.often()
	}
	return before
}

func (w *Wake) often() float64 {
	if w.Often == 0 {
		return 1
	}
	return w.Often
}
