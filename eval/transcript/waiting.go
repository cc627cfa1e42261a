package transcript

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// waiting holds the records of utterances that not all sources have told of. Of a million records there may be as many as that, so that
// they wait packed: each utterance is one text, of its records one after the other, each behind the number of its source.
type waiting struct {
	packed  map[uint64]string // by the hash of the utterance's key
	sources int
	files   []string // names in Record.Place
	buffer  []byte
}

func newWaiting(sources int) *waiting {
	return &waiting{packed: make(map[uint64]string), sources: sources}
}

// take returns the records of an utterance by their sources, nil where there is none yet.
func (w *waiting) take(hash uint64) (records []*Record, filled int) {
	records = make([]*Record, w.sources)
	u := unpacker{files: w.files, rest: w.packed[hash]}
	for ; u.rest != ""; filled++ {
		source := u.number()
		records[source] = u.record()
	}
	return records, filled
}

// add adds the record of one more source.
func (w *waiting) add(hash uint64, source int, r *Record) {
	w.buffer = append(w.buffer[:0], w.packed[hash]...)
	w.buffer = binary.AppendUvarint(w.buffer, uint64(source))
	w.buffer = w.pack(w.buffer, r)
	w.packed[hash] = string(w.buffer)
}

func (w *waiting) drop(hash uint64) { delete(w.packed, hash) }

// ordered returns what still waits, by the first source that has told of an utterance, in the order of its lines.
func (w *waiting) ordered() []uint64 {
	type place struct {
		hash         uint64
		source, file int
		line         int
	}
	places := make([]place, 0, len(w.packed))
	for hash, packed := range w.packed {
		least := place{source: w.sources}
		for u := (unpacker{files: w.files, rest: packed}); u.rest != ""; {
			source := u.number()
			file, line := u.number(), u.number()
			if u.fields(); source < least.source {
				least = place{hash, source, file, line}
			}
		}
		places = append(places, least)
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	hashes := make([]uint64, len(places))
	for i, p := range places {
		hashes[i] = p.hash
	}
	return hashes
}

// texts and numbers are the fields of a record that are packed, in their order.
func (r *Record) texts() [11]*string {
	return [...]*string{
		&r.ID, &r.Lang, &r.Detected, &r.Adapter, &r.Speaker, &r.Audio, &r.Reference, &r.Hypothesis, &r.Err, &r.Channel, &r.Labels,
	}
}

func (r *Record) numbers() [4]*float64 {
	return [...]*float64{&r.Start, &r.Duration, &r.Latency, &r.until}
}

// pack appends a record. Of its words it leaves out the confidence, which is of no pair.
func (w *waiting) pack(b []byte, r *Record) []byte {
	file := slices.Index(w.files, r.Place.File)
	if file < 0 {
		file = len(w.files)
		w.files = append(w.files, strings.Clone(r.Place.File))
	}
	b = binary.AppendUvarint(b, uint64(file))
	b = binary.AppendUvarint(b, uint64(r.Place.Line))
	for _, text := range r.texts() {
		b = packText(b, *text)
	}
	for _, x := range r.numbers() {
		b = packFloat(b, *x)
	}
	ignored := byte(0)
	if r.Ignored {
		ignored = 1
	}
	b = append(b, ignored)
	b = binary.AppendUvarint(b, uint64(len(r.Words)))
	for _, word := range r.Words {
		b = packText(packFloat(packFloat(b, word.Start), word.Duration), word.Text)
	}
	b = binary.AppendUvarint(b, uint64(len(r.segments)))
	for _, s := range r.segments {
		b = w.pack(b, s)
	}
	return b
}

func packText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// packFloat appends a number in one byte where it is 0, and in few where it has few bits.
func packFloat(b []byte, x float64) []byte {
	return binary.AppendUvarint(b, bits.ReverseBytes64(math.Float64bits(x)))
}

// unpacker reads what was packed. The texts that it returns are parts of what it reads.
type unpacker struct {
	files []string
	rest  string
}

func (u *unpacker) uvarint() (n uint64) {
	for shift := 0; ; shift += 7 {
		c := u.rest[0]
		u.rest = u.rest[1:]
		if n |= uint64(c&0x7f) << shift; c < 0x80 {
			return n
		}
	}
}

func (u *unpacker) number() int { return int(u.uvarint()) }

func (u *unpacker) text() string {
	n := u.number()
	text := u.rest[:n]
	u.rest = u.rest[n:]
	return text
}

func (u *unpacker) float() float64 { return math.Float64frombits(bits.ReverseBytes64(u.uvarint())) }

// record returns the next record.
func (u *unpacker) record() *Record {
	file, line := u.number(), u.number()
	r := u.fields()
	r.Place = Place{u.files[file], line}
	return r
}

// fields returns a record but for its place, which stands before.
func (u *unpacker) fields() *Record {
	r := new(Record)
	for _, text := range r.texts() {
		*text = u.text()
	}
	for _, x := range r.numbers() {
		*x = u.float()
	}
	r.Ignored = u.number() == 1
	if n := u.number(); n > 0 {
		r.Words = make([]Word, n)
		for i := range r.Words {
			r.Words[i] = Word{Start: u.float(), Duration: u.float(), Text: u.text(), Confidence: math.NaN()}
		}
	}
	for range u.number() {
		r.segments = append(r.segments, u.record())
	}
	return r
}
