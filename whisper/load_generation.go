package whisper

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Generation is generation_config.json: what decoding a particular model needs beside its weights. Where the file or a member is
// absent, it follows from the vocabulary as in upstream's decoding.py.
type Generation struct {
	IsMultilingual           bool
	LangToID                 map[string]int32 // by language code
	TaskToID                 map[string]int32 // by "transcribe" and "translate"
	NoTimestampsTokenID      int32
	SuppressTokens           []int32 // never chosen
	BeginSuppressTokens      []int32 // not chosen as the first token after the prompt
	MaxInitialTimestampIndex int     // the first timestamp is at most this many steps of 20 ms
	// AlignmentHeads are the (layer, head) pairs of cross-attention that follow the audio in time. The default value is every
	// head of the last half of the layers, as upstream's.
	AlignmentHeads [][2]int
}

// defaultMaxInitialTimestamp is 1.0 s, upstream's max_initial_timestamp, in timestamp steps.
const defaultMaxInitialTimestamp = TokensPerSecond

// generationFile is the JSON of generation_config.json; nil members are absent. config.json of older models has some of them.
type generationFile struct {
	IsMultilingual           *bool            `json:"is_multilingual,omitempty"`
	LangToID                 map[string]int32 `json:"lang_to_id,omitempty"`
	TaskToID                 map[string]int32 `json:"task_to_id,omitempty"`
	NoTimestampsTokenID      *int32           `json:"no_timestamps_token_id,omitempty"`
	PrevSOTTokenID           *int32           `json:"prev_sot_token_id,omitempty"`
	SuppressTokens           *[]int32         `json:"suppress_tokens,omitempty"`
	BeginSuppressTokens      *[]int32         `json:"begin_suppress_tokens,omitempty"`
	MaxInitialTimestampIndex *int             `json:"max_initial_timestamp_index,omitempty"`
	AlignmentHeads           *[][2]int        `json:"alignment_heads,omitempty"`

	DecoderStartTokenID *int32 `json:"decoder_start_token_id,omitempty"`
	BOSTokenID          *int32 `json:"bos_token_id,omitempty"`
	EOSTokenID          *int32 `json:"eos_token_id,omitempty"`
	PadTokenID          *int32 `json:"pad_token_id,omitempty"`
	MaxLength           int    `json:"max_length,omitempty"`
	ReturnTimestamps    *bool  `json:"return_timestamps,omitempty"`
}

// DefaultGeneration is what upstream would use for a model of these sizes and this tokenizer.
func DefaultGeneration(d Dims, t *Tokenizer) Generation {
	g := Generation{
		IsMultilingual:           t.Multilingual(),
		LangToID:                 map[string]int32{},
		TaskToID:                 map[string]int32{Transcribe: t.transcribe, Translate: t.translate},
		NoTimestampsTokenID:      t.noTimestamps,
		SuppressTokens:           t.SuppressTokens(),
		BeginSuppressTokens:      t.BeginSuppressTokens(),
		MaxInitialTimestampIndex: defaultMaxInitialTimestamp,
	}
	for i, code := range t.languages {
		g.LangToID[code] = t.sot + 1 + int32(i)
	}
	for layer := d.NTextLayer / 2; layer < d.NTextLayer; layer++ {
		for head := range d.NTextHead {
			g.AlignmentHeads = append(g.AlignmentHeads, [2]int{layer, head})
		}
	}
	return g
}

// parseGeneration reads generation_config.json over the defaults. Special tokens that it names must be those of the vocabulary,
// heads and tokens must exist. The errors are ErrCheckpoint and those of JSON.
func parseGeneration(text []byte, d Dims, t *Tokenizer) (Generation, error) {
	g := DefaultGeneration(d, t)
	var f generationFile
	if err := json.Unmarshal(text, &f); err != nil {
		return g, err
	}
	if err := f.checkSpecial(t); err != nil {
		return g, err
	}
	if f.IsMultilingual != nil {
		g.IsMultilingual = *f.IsMultilingual
	}
	if f.SuppressTokens != nil {
		g.SuppressTokens = *f.SuppressTokens
	}
	if f.BeginSuppressTokens != nil {
		g.BeginSuppressTokens = *f.BeginSuppressTokens
	}
	for _, id := range slices.Concat(g.SuppressTokens, g.BeginSuppressTokens) {
		if id < 0 || int(id) >= d.NVocab {
			return g, fmt.Errorf("%w: suppressed token %d, the model has %d", ErrCheckpoint, id, d.NVocab)
		}
	}
	if f.MaxInitialTimestampIndex != nil {
		g.MaxInitialTimestampIndex = *f.MaxInitialTimestampIndex
	}
	if g.MaxInitialTimestampIndex < 0 {
		return g, fmt.Errorf("%w: max_initial_timestamp_index is %d", ErrCheckpoint, g.MaxInitialTimestampIndex)
	}
	if f.AlignmentHeads != nil {
		g.AlignmentHeads = *f.AlignmentHeads
	}
	for _, h := range g.AlignmentHeads {
		if h[0] < 0 || h[0] >= d.NTextLayer || h[1] < 0 || h[1] >= d.NTextHead {
			return g, fmt.Errorf("%w: alignment head %v of %d layers with %d heads", ErrCheckpoint, h, d.NTextLayer, d.NTextHead)
		}
	}
	return g, nil
}

// checkSpecial compares every special token that the file names with the vocabulary's.
func (f *generationFile) checkSpecial(t *Tokenizer) error {
	named := map[string]int32{}
	maps.Copy(named, f.LangToID)
	for task, id := range f.TaskToID {
		named[specialName(task)] = id
	}
	for name, id := range map[string]*int32{nameNoTimestamps: f.NoTimestampsTokenID, nameSOTPrev: f.PrevSOTTokenID, nameSOT: f.DecoderStartTokenID} {
		if id != nil {
			named[name] = *id
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if want, ok := t.special[name]; !ok {
			return fmt.Errorf("%w: %s is %d, the vocabulary has no such token", ErrCheckpoint, name, named[name])
		} else if want != named[name] {
			return fmt.Errorf("%w: %s is %d, in the vocabulary %d", ErrCheckpoint, name, named[name], want)
		}
	}
	return nil
}

// format is the inverse of parseGeneration.
func (g Generation) format(d Dims, t *Tokenizer) ([]byte, error) {
	off := false
	f := generationFile{
		IsMultilingual: &g.IsMultilingual, LangToID: map[string]int32{}, TaskToID: g.TaskToID,
		NoTimestampsTokenID: &g.NoTimestampsTokenID, PrevSOTTokenID: &t.sotPrev,
		SuppressTokens: notNil(g.SuppressTokens), BeginSuppressTokens: notNil(g.BeginSuppressTokens),
		MaxInitialTimestampIndex: &g.MaxInitialTimestampIndex, AlignmentHeads: notNil(g.AlignmentHeads),
		DecoderStartTokenID: &t.sot, BOSTokenID: &t.eot, EOSTokenID: &t.eot, PadTokenID: &t.eot,
		MaxLength: d.NTextCtx, ReturnTimestamps: &off,
	}
	for code, id := range g.LangToID {
		f.LangToID[specialName(strings.ToLower(code))] = id
	}
	return marshalFile(f)
}

// notNil is list, or an empty list where it is nil: JSON's null would mean that the member is absent.
func notNil[T any](list []T) *[]T {
	if list == nil {
		list = []T{}
	}
	return &list
}
