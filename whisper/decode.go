package whisper

import (
	"context"
	"errors"
	"fmt"

	"glossa/whisper/deflate"
	"glossa/whisper/tensor"
)

// ErrNotFinite is the error of a window whose logits hold NaN or nothing but -Inf.
var ErrNotFinite = errors.New("whisper: logits are not finite")

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

// Decode decodes windows together, in a [Batch] of their own. adapter may be nil. It fails as a
// whole where ctx is done or the device is at fault; what is wrong with one window is in its Err.
func (m *Model) Decode(ctx context.Context, o *tensor.Ops, adapter Adapter, us []Utterance) ([]Decoded, error) {
	out := make([]Decoded, len(us))
	if err := m.detectMissing(o, adapter, us, out); err != nil {
		return nil, err
	}
	b := m.NewBatch(o, adapter)
	defer b.Free()
	at := make(map[int]int, len(us)) // by ticket
	for i, u := range us {
		u.Options.Language = out[i].Language
		if ticket, err := b.Add(u); err != nil {
			out[i].Err = err
		} else {
			at[ticket] = i
		}
	}
	for b.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("whisper: decode: %w", err)
		}
		done, err := b.Step()
		if err != nil {
			return nil, err
		}
		for _, f := range done {
			d := &out[at[f.Ticket]]
			f.LanguageProb = d.LanguageProb
			*d = f.Decoded
		}
	}
	return out, nil
}

// CheckOptions reports what is wrong with the options of a window, apart from a language that is
// not given. The errors are ErrOptions, ErrLanguage and ErrTask.
func (m *Model) CheckOptions(o DecodeOptions) error {
	if o.Language == "" && m.Tokenizer.Multilingual() {
		o.Language = m.Tokenizer.languages[0]
	}
	_, err := m.begin(chooser{}, o)
	return err
}

// CompressionRatio returns the bytes of text over their zlib size, high where a text repeats
// itself (upstream compression_ratio).
func CompressionRatio(text string) float64 {
	return float64(len(text)) / float64(deflate.ZlibSize([]byte(text)))
}
