package whisper

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"glossa/whisper/tensor"
)

// ErrNotFinite is the error of a window whose logits hold NaN or nothing but -Inf.
var ErrNotFinite = errors.New("whisper: logits are not finite")

// DecodeOptions say how one window is decoded (upstream DecodingOptions). The zero value detects
// the language and transcribes with timestamps.
type DecodeOptions struct {
	// Language is a code such as "cs". The default value is "": detected by the decoder, among
	// all that the model knows.
	Language string

	// Task is "transcribe", or "translate" into English. The default value is "", transcribe.
	Task string

	// WithoutTimestamps asks for text tokens alone.
	WithoutTimestamps bool

	// Prompt are tokens of the text before, at most NTextCtx/2-1 of which are used, the last.
	Prompt []int32

	// Prefix are tokens that the window's text begins with.
	Prefix []int32

	// SampleLen is the greatest number of tokens to decode. The default value is 0: NTextCtx/2.
	SampleLen int

	// AllowBlank lets a text begin with a space or be empty.
	AllowBlank bool

	// AllowSymbols allows the tokens of non-speech symbols, upstream's "-1" in suppress_tokens.
	AllowSymbols bool

	// Suppress are more tokens that are never chosen. Where it is empty and symbols are allowed,
	// special tokens are allowed too, as upstream has it.
	Suppress []int32

	// MaxInitialStamp is the greatest first timestamp, in seconds; AnyFirstTime allows any. The
	// default value is 0: 1 s.
	MaxInitialStamp float64
	AnyFirstTime    bool
}

// maxInitialStamp is upstream's default of max_initial_timestamp, in seconds.
const maxInitialStamp = 1.0

// Utterance is one window ready to be decoded.
type Utterance struct {
	Cross   *CrossKV
	Adapter int32 // index in the step's adapter that Cross was computed under
	Options DecodeOptions
}

// Decoded is the result of one window (upstream DecodingResult).
type Decoded struct {
	Language         string
	LanguageProb     float64 // where the language was detected, else 0
	Tokens           []int32 // after the initial ones, without the end
	Text             string
	AvgLogProb       float64 // natural logarithm, mean over Tokens and the end
	NoSpeechProb     float64
	CompressionRatio float64 // UTF-8 bytes of Text over their zlib size

	// Err is the reason why this window alone failed.
	Err error
}

// hypothesis is one row of the decoding loop.
type hypothesis struct {
	at         int // index of its utterance
	tokens     []int32
	begin      int // number of initial tokens
	sot        int // index of <|startoftranscript|> in tokens
	sampleLen  int
	filters    []Filter
	cache      *Cache
	sumLogProb float64
	noSpeech   float64
	done       bool
}

// Decode decodes windows greedily, all in one batch of packed rows that a finished one leaves: a
// window's result is bitwise the same alone and in any batch. adapter may be nil. It fails as a
// whole where ctx is done or the device is at fault; what is wrong with one window is in its Err.
func (m *Model) Decode(ctx context.Context, o *tensor.Ops, adapter Adapter, us []Utterance) ([]Decoded, error) {
	out := make([]Decoded, len(us))
	if err := m.detectMissing(o, adapter, us, out); err != nil {
		return nil, err
	}
	var live []*hypothesis
	for i, u := range us {
		h, err := m.begin(u.Options, out[i].Language)
		if err != nil {
			out[i].Err = err
			continue
		}
		h.at = i
		live = append(live, h)
	}
	for len(live) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("whisper: decode: %w", err)
		}
		if err := m.decodeStep(o, adapter, us, live, out); err != nil {
			return nil, err
		}
		live = slices.DeleteFunc(live, func(h *hypothesis) bool {
			if h.done {
				m.finish(h, &out[h.at])
			}
			return h.done
		})
	}
	return out, nil
}

// begin returns a hypothesis that holds the initial tokens (upstream _get_initial_tokens).
func (m *Model) begin(o DecodeOptions, language string) (*hypothesis, error) {
	t, half := m.Tokenizer, m.Dims.NTextCtx/2
	start, err := t.SOTSequence(language, o.Task)
	if err != nil {
		return nil, err
	}
	if o.WithoutTimestamps {
		start = append(start, t.NoTimestamps())
	}
	h := &hypothesis{sampleLen: half, cache: m.Decoder.NewCache()}
	prefix := o.Prefix
	if o.SampleLen > 0 {
		h.sampleLen = o.SampleLen
		if limit := half - o.SampleLen; limit > 0 {
			prefix = prefix[max(0, len(prefix)-limit):]
		}
	}
	if len(o.Prompt) > 0 {
		h.tokens = append(h.tokens, t.SOTPrev())
		h.tokens = append(h.tokens, o.Prompt[max(0, len(o.Prompt)-(half-1)):]...)
	}
	h.sot = len(h.tokens)
	h.tokens = append(append(h.tokens, start...), prefix...)
	h.begin = len(h.tokens)
	if h.begin > m.Dims.NTextCtx {
		return nil, fmt.Errorf("whisper: %d initial tokens, the model takes %d", h.begin, m.Dims.NTextCtx)
	}
	for _, id := range append(slices.Clone(h.tokens), o.Suppress...) {
		if id < 0 || int(id) >= m.Dims.NVocab {
			return nil, fmt.Errorf("whisper: token %d of a vocabulary of %d", id, m.Dims.NVocab)
		}
	}
	h.filters = m.filters(o, h.begin)
	return h, nil
}

// filters returns the logit filters of upstream's DecodingTask, in its order.
func (m *Model) filters(o DecodeOptions, begin int) []Filter {
	t := m.Tokenizer
	var fs []Filter
	if !o.AllowBlank {
		fs = append(fs, suppressBlank{begin, t.BeginSuppressTokens()})
	}
	suppress := append(suppressTokens(nil), o.Suppress...)
	if !o.AllowSymbols {
		suppress = append(suppress, t.NonSpeechTokens()...)
	}
	if len(suppress) > 0 {
		fs = append(fs, append(suppress, t.promptTokens()...))
	}
	if !o.WithoutTimestamps {
		r := timestampRules{begin: begin, eot: t.EOT(), none: t.NoTimestamps(), first: t.TimestampBegin(), maxInitial: -1}
		if !o.AnyFirstTime {
			limit := o.MaxInitialStamp
			if limit == 0 {
				limit = maxInitialStamp
			}
			r.maxInitial = int(math.Round(limit * TokensPerSecond))
		}
		fs = append(fs, r)
	}
	return fs
}

// decodeStep feeds each live hypothesis what its cache has not seen, and appends the likeliest
// token that its filters leave (upstream GreedyDecoder.update at temperature 0).
func (m *Model) decodeStep(o *tensor.Ops, adapter Adapter, us []Utterance, live []*hypothesis, out []Decoded) error {
	o.Reset()
	s := &Step{Ops: o, Adapter: adapter, Seg: tensor.Segments{0}}
	var tokens, rows []int32 // rows whose logits are wanted: the last of each, and at first the start's
	for _, h := range live {
		fresh := h.tokens[h.cache.Len():]
		if h.cache.Len() == 0 {
			rows = append(rows, int32(len(tokens)+h.sot))
		}
		tokens = append(tokens, fresh...)
		rows = append(rows, int32(len(tokens)-1))
		s.Seg = append(s.Seg, int32(len(tokens)))
		s.Cache = append(s.Cache, h.cache)
		s.Cross = append(s.Cross, us[h.at].Cross)
		s.AdapterOf = append(s.AdapterOf, us[h.at].Adapter)
	}
	first := make([]bool, len(live))
	for i, h := range live {
		first[i] = h.cache.Len() == 0
	}
	x := s.Ops.Embed(m.Decoder.Forward(s, tokens), rows)
	y := m.Decoder.Logits(s, x)
	logits := make([]float32, y.Rows*y.Cols)
	if err := o.Read(logits, y); err != nil {
		return err
	}
	next := func() []float32 {
		row := logits[:m.Dims.NVocab]
		logits = logits[m.Dims.NVocab:]
		return row
	}
	for i, h := range live {
		if first[i] {
			row := next()
			h.noSpeech = math.Exp(float64(row[m.Tokenizer.NoSpeech()]) - logSumExp(row))
		}
		if err := h.choose(next(), m.Tokenizer.EOT(), m.Dims.NTextCtx); err != nil {
			out[h.at].Err = err
			h.done = true
		}
	}
	return nil
}

// choose appends the likeliest token and its log probability, and marks the end.
func (h *hypothesis) choose(logits []float32, eot int32, nTextCtx int) error {
	for _, f := range h.filters {
		f.Apply(logits, h.tokens)
	}
	id := argmax(logits)
	logProb := float64(logits[id]) - logSumExp(logits)
	if math.IsNaN(logProb) || math.IsInf(logProb, 0) {
		return fmt.Errorf("%w after %d tokens", ErrNotFinite, len(h.tokens))
	}
	h.sumLogProb += logProb
	h.tokens = append(h.tokens, id)
	h.done = id == eot || len(h.tokens)-h.begin >= h.sampleLen || len(h.tokens) > nTextCtx
	return nil
}

// finish fills the result of a hypothesis that ended.
func (m *Model) finish(h *hypothesis, d *Decoded) {
	if d.Err != nil {
		return
	}
	d.Tokens = h.tokens[h.begin:]
	if n := len(d.Tokens); n > 0 && d.Tokens[n-1] == m.Tokenizer.EOT() {
		d.Tokens = d.Tokens[:n-1]
	}
	d.Text = strings.TrimSpace(m.Tokenizer.Decode(d.Tokens))
	d.AvgLogProb = h.sumLogProb / float64(len(d.Tokens)+1)
	d.NoSpeechProb = h.noSpeech
	d.CompressionRatio = CompressionRatio(d.Text)
}

// CompressionRatio returns the bytes of text over their zlib size, high where a text repeats
// itself (upstream compression_ratio).
func CompressionRatio(text string) float64 {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		panic(err) // the level is valid
	}
	w.Write([]byte(text)) // a bytes.Buffer takes all
	w.Close()
	return float64(len(text)) / float64(zlibFrame+len(lastBlock(b.Bytes())))
}

// zlibFrame is the size of zlib's header and checksum.
const zlibFrame = 2 + 4

// lastBlock cuts off the empty stored block that Go's compressor ends with: the bits 1 00, zeros up
// to a byte, and four bytes of length. zlib marks its last block instead.
func lastBlock(deflated []byte) []byte {
	d := bytes.TrimRight(deflated[:len(deflated)-4], "\x00")
	return bytes.TrimSuffix(d, []byte{1})
}
