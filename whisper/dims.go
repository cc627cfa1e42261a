package whisper

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// Errors of a model's files. Each is wrapped with the file, the tensor or field, what was wanted and what was found.
var (
	ErrDims         = errors.New("whisper: invalid dimensions")
	ErrArchitecture = errors.New("whisper: not a Whisper model of a known kind")
)

// Rates of the model, from section 2.2 of Radford et al. 2022 and upstream's audio.py.
const (
	// TokensPerSecond is the number of encoder rows, and of timestamp steps, in a second: hops of 10 ms through a stride of 2.
	TokensPerSecond = 50
	// FramesPerToken is the number of mel frames that the strided convolution turns into one encoder row.
	FramesPerToken = 2
	// ffnFactor is the width of a block's MLP over its state where the configuration gives none.
	ffnFactor = 4
)

// Bounds that no Whisper model comes near; they keep a lying configuration from sizing an allocation.
const (
	maxState  = 1 << 14
	maxLayers = 1 << 8
	maxCtx    = 1 << 16
	maxVocab  = 1 << 20
	maxMels   = 1 << 10
)

// Dims are the sizes of a model. The names are those of upstream's ModelDimensions: n_mels, n_audio_ctx, n_audio_state,
// n_audio_head, n_audio_layer, n_vocab, n_text_ctx, n_text_state, n_text_head, n_text_layer.
type Dims struct {
	NMels       int // mel channels
	NAudioCtx   int // encoder rows of a whole window, 20 ms each
	NAudioState int
	NAudioHead  int
	NAudioLayer int
	NVocab      int // rows of the token embedding
	NTextCtx    int // decoder positions
	NTextState  int // equal to NAudioState
	NTextHead   int
	NTextLayer  int

	// NAudioFFN and NTextFFN are the inner widths of the MLPs. The default value, 0, is 4 times the state, as in every
	// published model.
	NAudioFFN int
	NTextFFN  int

	// Unpadded says that the model was trained on windows that end where their audio ends, so that shorter audio must not be
	// padded to a whole window. The default value is false, as for every model of upstream.
	Unpadded bool
}

// AudioFFN is the inner width of the encoder's MLPs.
func (d Dims) AudioFFN() int { return cmp.Or(d.NAudioFFN, ffnFactor*d.NAudioState) }

// TextFFN is the inner width of the decoder's MLPs.
func (d Dims) TextFFN() int { return cmp.Or(d.NTextFFN, ffnFactor*d.NTextState) }

// WindowSeconds is the length of a whole window: NAudioCtx tokens of 20 ms, 30 s for upstream's models.
func (d Dims) WindowSeconds() float64 { return float64(d.NAudioCtx) / TokensPerSecond }

// WindowFrames is the number of mel frames of 10 ms in a whole window, 3000 for upstream's models.
func (d Dims) WindowFrames() int { return d.NAudioCtx * FramesPerToken }

// Validate returns ErrDims, naming the first field that is out of bounds or does not fit another.
func (d Dims) Validate() error {
	for _, f := range []struct {
		name       string
		value, max int
	}{
		{"num_mel_bins", d.NMels, maxMels}, {"max_source_positions", d.NAudioCtx, maxCtx}, {"d_model", d.NAudioState, maxState},
		{"d_model", d.NTextState, maxState}, {"encoder_attention_heads", d.NAudioHead, maxState}, {"encoder_layers", d.NAudioLayer, maxLayers},
		{"vocab_size", d.NVocab, maxVocab}, {"max_target_positions", d.NTextCtx, maxCtx}, {"decoder_attention_heads", d.NTextHead, maxState},
		{"decoder_layers", d.NTextLayer, maxLayers}, {"encoder_ffn_dim", d.AudioFFN(), ffnFactor * maxState}, {"decoder_ffn_dim", d.TextFFN(), ffnFactor * maxState},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%w: %s is %d, not in 1..%d", ErrDims, f.name, f.value, f.max)
		}
	}
	if d.NAudioState != d.NTextState {
		return fmt.Errorf("%w: encoder state %d and decoder state %d differ", ErrDims, d.NAudioState, d.NTextState)
	}
	if d.NAudioState%d.NAudioHead != 0 {
		return fmt.Errorf("%w: encoder_attention_heads %d do not divide d_model %d", ErrDims, d.NAudioHead, d.NAudioState)
	}
	if d.NTextState%d.NTextHead != 0 {
		return fmt.Errorf("%w: decoder_attention_heads %d do not divide d_model %d", ErrDims, d.NTextHead, d.NTextState)
	}
	if d.NAudioState%2 != 0 {
		return fmt.Errorf("%w: d_model %d is odd, sinusoids need pairs", ErrDims, d.NAudioState)
	}
	return nil
}

// config is config.json of a Hugging Face Whisper model: the fields that size it, and those that would change its equations.
type config struct {
	Architectures      []string `json:"architectures"`
	ModelType          string   `json:"model_type"`
	NumMelBins         int      `json:"num_mel_bins"`
	MaxSourcePositions int      `json:"max_source_positions"`
	DModel             int      `json:"d_model"`
	EncoderHeads       int      `json:"encoder_attention_heads"`
	EncoderLayers      int      `json:"encoder_layers"`
	EncoderFFN         int      `json:"encoder_ffn_dim"`
	VocabSize          int      `json:"vocab_size"`
	MaxTargetPositions int      `json:"max_target_positions"`
	DecoderHeads       int      `json:"decoder_attention_heads"`
	DecoderLayers      int      `json:"decoder_layers"`
	DecoderFFN         int      `json:"decoder_ffn_dim"`
	Activation         string   `json:"activation_function"`
	ScaleEmbedding     bool     `json:"scale_embedding"`
	IsEncoderDecoder   *bool    `json:"is_encoder_decoder,omitempty"`
	TieWordEmbeddings  *bool    `json:"tie_word_embeddings,omitempty"`
	Unpadded           bool     `json:"glossa_unpadded,omitempty"`
}

const (
	modelType         = "whisper"
	modelArchitecture = "WhisperForConditionalGeneration"
	modelActivation   = "gelu"
)

// parseDims reads config.json. The errors are ErrArchitecture, ErrDims and those of JSON.
func parseDims(text []byte) (Dims, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return Dims{}, err
	}
	switch {
	case c.ModelType != modelType:
		return Dims{}, fmt.Errorf("%w: model_type is %q, want %q", ErrArchitecture, c.ModelType, modelType)
	case c.Activation != modelActivation && c.Activation != "":
		return Dims{}, fmt.Errorf("%w: activation_function is %q, want %q", ErrArchitecture, c.Activation, modelActivation)
	case c.ScaleEmbedding:
		return Dims{}, fmt.Errorf("%w: scale_embedding is true, want false", ErrArchitecture)
	case c.IsEncoderDecoder != nil && !*c.IsEncoderDecoder:
		return Dims{}, fmt.Errorf("%w: is_encoder_decoder is false, want true", ErrArchitecture)
	case c.TieWordEmbeddings != nil && !*c.TieWordEmbeddings:
		return Dims{}, fmt.Errorf("%w: tie_word_embeddings is false, want true", ErrArchitecture)
	}
	d := Dims{
		NMels: c.NumMelBins, NAudioCtx: c.MaxSourcePositions, NAudioState: c.DModel, NAudioHead: c.EncoderHeads, NAudioLayer: c.EncoderLayers,
		NVocab: c.VocabSize, NTextCtx: c.MaxTargetPositions, NTextState: c.DModel, NTextHead: c.DecoderHeads, NTextLayer: c.DecoderLayers,
		NAudioFFN: c.EncoderFFN, NTextFFN: c.DecoderFFN, Unpadded: c.Unpadded,
	}
	return d, d.Validate()
}

// config is the inverse of parseDims.
func (d Dims) config() config {
	yes := true
	return config{
		IsEncoderDecoder: &yes, TieWordEmbeddings: &yes,
		Architectures: []string{modelArchitecture}, ModelType: modelType, Activation: modelActivation,
		NumMelBins: d.NMels, MaxSourcePositions: d.NAudioCtx, DModel: d.NAudioState,
		EncoderHeads: d.NAudioHead, EncoderLayers: d.NAudioLayer, EncoderFFN: d.AudioFFN(),
		VocabSize: d.NVocab, MaxTargetPositions: d.NTextCtx,
		DecoderHeads: d.NTextHead, DecoderLayers: d.NTextLayer, DecoderFFN: d.TextFFN(), Unpadded: d.Unpadded,
	}
}
