package train

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"glossa/eval"
	"glossa/whisper"
)

// ErrData is wrapped by the errors about examples: none to train on, or a language that the model
// has no token for.
var ErrData = errors.New("train: unusable data")

// entry is one line of a manifest.
type entry struct {
	path     string
	text     string
	lang     string
	identify bool // only the language is to be learnt
}

// pool is the entries of one language in one manifest. They are drawn without replacement, epoch
// by epoch, each in an order of its own.
type pool struct {
	name    string
	entries []entry
	weight  float64 // the share of draws, not normalised
	seed    uint64
	epoch   uint64
	order   []int // of the epoch; nil before the first draw
}

// dataset is what examples are drawn from.
type dataset struct {
	pools   []*pool
	sources []dataSource
	seed    uint64
}

// dataSource is what a data set holds, for the card.
type dataSource struct {
	Source
	utterances []eval.Utterance
}

// languages returns the languages of the entries, in the order of their pools.
func (d *dataset) languages() []string {
	var langs []string
	for _, p := range d.pools {
		if lang := p.entries[0].lang; !slices.Contains(langs, lang) {
			langs = append(langs, lang)
		}
	}
	return langs
}

// position is how far a dataset has been drawn: all that a resumed training needs to go on with
// the same examples.
type position struct {
	Next  uint64   `json:"next"`  // number of the next example
	Drawn []uint64 `json:"drawn"` // draws by pool
}

func (p position) clone() position { return position{p.Next, slices.Clone(p.Drawn)} }

// Streams of random numbers, all from one seed: what each is for.
const (
	streamDraw uint64 = iota + 1
	streamOrder
	streamExample
	streamBabble
)

// newRand returns the generator of item number n of a stream.
func newRand(seed, stream, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(mix(seed^mix(stream)), mix(n)))
}

// mix is the finaliser of splitmix64: neighbouring numbers become unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ReadUtterances reads a data set (see [eval.ReadData]) and makes codes of its languages, which must all
// be known. lang is the language of entries that do not tell theirs. The errors are those of
// eval.ReadData; warn, unless it is nil, is told of what is left out.
func ReadUtterances(path, lang string, warn func(string)) ([]eval.Utterance, error) {
	utterances, err := eval.ReadData(path, eval.DataOptions{Language: lang, Code: whisper.LanguageCode, Warn: warn})
	if err != nil {
		return nil, err
	}
	for i, u := range utterances {
		if _, ok := whisper.LanguageCode(u.Lang); !ok {
			hint := ""
			if u.Lang == "" {
				hint = "; --language tells that of entries that do not"
			}
			return nil, fmt.Errorf("%s: %w: utterance %d, %s: unknown language %q%s", path, eval.ErrManifest, i+1, u.AudioFilepath, u.Lang, hint)
		}
	}
	return utterances, nil
}

// openDataset reads the data sets. A pool with n of the N examples of its language is drawn in
// proportion to weight · n/N · N^(1/T). known tells the languages that the model has tokens for.
// The errors are those of ReadUtterances and ErrData.
func openDataset(o *Options, known func(string) bool) (*dataset, error) {
	seed := o.Seed
	d := &dataset{seed: seed}
	size := map[string]int{} // entries by language
	lang := map[*pool]string{}
	for i, s := range o.Data {
		utterances, err := ReadUtterances(s.Path, o.Language, o.Warn)
		if err != nil {
			return nil, err
		}
		if len(o.Languages) > 0 {
			utterances = slices.DeleteFunc(utterances, func(u eval.Utterance) bool { return !slices.Contains(o.Languages, u.Lang) })
		}
		if len(utterances) == 0 {
			continue
		}
		d.sources = append(d.sources, dataSource{s, utterances})
		byLang := map[string]*pool{}
		for _, u := range utterances {
			if !known(u.Lang) {
				return nil, fmt.Errorf("%w: %s: %s is in language %q, which the model has no token for", ErrData, s.Path, u.AudioFilepath, u.Lang)
			}
			p := byLang[u.Lang]
			if p == nil {
				p = &pool{name: fmt.Sprintf("%d %s", i, u.Lang), weight: s.Weight, seed: mix(seed + uint64(len(d.pools)))}
				if p.weight == 0 {
					p.weight = 1
				}
				byLang[u.Lang], lang[p] = p, u.Lang
				d.pools = append(d.pools, p)
			}
			p.entries = append(p.entries, entry{u.AudioFilepath, u.Text, u.Lang, slices.Contains(o.IdentifyOnly, u.Lang)})
			size[u.Lang]++
		}
	}
	if len(d.pools) == 0 {
		return nil, fmt.Errorf("%w: no entry is in %s", ErrNoExamples, strings.Join(o.Languages, " or "))
	}
	for _, p := range d.pools {
		n := float64(size[lang[p]])
		p.weight *= float64(len(p.entries)) / n * math.Pow(n, 1/o.Temperature)
	}
	return d, nil
}

// has reports whether there are entries of a language.
func (d *dataset) has(lang string) bool {
	return slices.ContainsFunc(d.pools, func(p *pool) bool { return p.entries[0].lang == lang })
}

// start returns the position before the first draw.
func (d *dataset) start() position { return position{Drawn: make([]uint64, len(d.pools))} }

// sizes returns the number of entries by pool, by which a changed manifest is noticed.
func (d *dataset) sizes() map[string]int {
	sizes := map[string]int{}
	for _, p := range d.pools {
		sizes[p.name] = len(p.entries)
	}
	return sizes
}

// draw returns the next example's entry and number, and moves the position on.
func (d *dataset) draw(at *position) (e entry, number uint64) {
	number = at.Next
	i := d.choose(newRand(d.seed, streamDraw, number))
	e = d.pools[i].at(at.Drawn[i])
	at.Next++
	at.Drawn[i]++
	return e, number
}

// choose returns a pool by weight.
func (d *dataset) choose(rng *rand.Rand) int {
	var total float64
	for _, p := range d.pools {
		total += p.weight
	}
	x := rng.Float64() * total
	for i, p := range d.pools {
		if x -= p.weight; x < 0 {
			return i
		}
	}
	return len(d.pools) - 1
}

// any returns an entry of any pool by weight, with replacement: for the voices of a babble.
func (d *dataset) any(rng *rand.Rand) entry {
	p := d.pools[d.choose(rng)]
	return p.entries[rng.IntN(len(p.entries))]
}

// another returns an entry of a language, with replacement: each of its entries as often as its pool's weight has it.
func (d *dataset) another(lang string, rng *rand.Rand) entry {
	of := dataset{pools: slices.DeleteFunc(slices.Clone(d.pools), func(p *pool) bool { return p.entries[0].lang != lang })}
	return of.any(rng)
}

// at returns the entry of a pool's draw number n.
func (p *pool) at(n uint64) entry {
	size := uint64(len(p.entries))
	if epoch := n / size; p.order == nil || epoch != p.epoch {
		p.epoch, p.order = epoch, newRand(p.seed, streamOrder, epoch).Perm(len(p.entries))
	}
	return p.entries[p.order[n%size]]
}
