package train

import (
	"math/rand/v2"
	"strings"

	"glossa/whisper"
)

// target is what the decoder is to say about an example.
type target struct {
	input  []int32    // tokens that the decoder sees
	output []int32    // the token that follows each
	weight []float32  // of each output in the loss: 0 for what the prompt gives at decode time
	text   []int32    // what CTC is to find, empty for none
	spans  [][2]int32 // of each output, the units of text that it spells: from and behind, equal for none
}

// push appends the step from the last token to the next.
func (t *target) push(from, to int32, weight float32) {
	t.input = append(t.input, from)
	t.output = append(t.output, to)
	t.weight = append(t.weight, weight)
	t.spans = append(t.spans, [2]int32{})
}

// timestampStep is the resolution of timestamps: one token for 20 ms, in seconds.
const timestampStep = 1.0 / whisper.TokensPerSecond

// targeter makes targets.
type targeter struct {
	tokenizer  *whisper.Tokenizer
	timestamps float64 // probability of timestamps
	dropout    float64 // of BPE merges
	speller    speller // of what CTC is to find
}

// spoken is an utterance in a window: its text, and when it is said (seconds).
type spoken struct {
	text       string
	start, end float64
}

// transcript returns the target of utterances in language lang, one after another,
//
//	<|startoftranscript|><|lang|><|transcribe|><|notimestamps|> text … <|endoftext|>
//	<|startoftranscript|><|lang|><|transcribe|><|start|> text <|end|> … <|endoftext|>
//
// the second with the probability of timestamps. The language must have a token.
func (g *targeter) transcript(said []spoken, lang string, rng *rand.Rand) target {
	k := g.tokenizer
	language, _ := k.LanguageToken(lang)
	var texts []string
	var words []int32
	ends := make([]int, len(said)) // of each utterance's words
	for i, s := range said {
		if text := strings.TrimSpace(s.text); text != "" {
			texts, words = append(texts, text), append(words, k.EncodeDropout(" "+text, g.dropout, rng)...)
		}
		ends[i] = len(words)
	}
	units, spans := g.speller.spell(strings.Join(texts, " "), words, k.Bytes)
	t := target{text: units}
	t.push(k.SOT(), language, 1)
	t.push(language, k.Transcribe(), 0)
	last := k.Transcribe()
	timed := rng.Float64() < g.timestamps && g.stamp(said[len(said)-1].end) >= 0
	if !timed {
		t.push(last, k.NoTimestamps(), 0)
		last = k.NoTimestamps()
	}
	say := func(id int32) {
		t.push(last, id, 1)
		last = id
	}
	from := 0
	for i, s := range said {
		if timed {
			say(g.stamp(s.start))
		}
		for ; from < ends[i]; from++ {
			say(words[from])
			t.spans[len(t.spans)-1] = spans[from]
		}
		if timed {
			say(g.stamp(s.end))
		}
	}
	say(k.EOT())
	return t
}

// stamp returns the timestamp token of a time in seconds, -1 where the model has none so late.
func (g *targeter) stamp(seconds float64) int32 {
	n := int(seconds/timestampStep + 0.5)
	if n >= g.tokenizer.NTimestamps() {
		return -1
	}
	return g.tokenizer.TimestampBegin() + int32(n)
}

// language returns the target of an utterance of which only the language is to be learnt.
func (g *targeter) language(lang string) target {
	id, _ := g.tokenizer.LanguageToken(lang)
	var t target
	t.push(g.tokenizer.SOT(), id, 1)
	return t
}

// noSpeech returns the target of sound without speech: <|nospeech|> in the language's place
// (Radford et al. 2022, §2.3).
func (g *targeter) noSpeech() target {
	var t target
	t.push(g.tokenizer.SOT(), g.tokenizer.NoSpeech(), 1)
	return t
}
