package whisper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/whisper/safetensors"
)

// WriteDir writes the model to the directory dir by the function of that name. One that [Load] made is refused with ErrCheckpoint.
func (m *Model) WriteDir(dir string, dtype safetensors.DType) error {
	var values []safetensors.Values
	for _, p := range m.Params() {
		if !p.HasNumbers() {
			return fmt.Errorf("%s: %w: the model was loaded to serve, and %s is packed", dir, ErrCheckpoint, p.Name)
		}
		values = append(values, safetensors.Values{Name: p.Name, Shape: p.Shape(), Data: p.Float32()})
	}
	return WriteDir(dir, m.Dims, m.Tokenizer, m.Generation, values, dtype)
}

// WriteDir writes a model to the directory dir, which it makes if it is absent, as OpenDir and Hugging Face's transformers read
// it. The tensors have the names of such checkpoints ("model.encoder.conv1.weight"); dtype is F32, F16 or BF16. Each file is
// complete before it takes its name, config.json last, so that an interrupted call leaves no directory that opens and is wrong.
//
// The errors are ErrDims, ErrCheckpoint if the tokenizer does not fit the sizes, safetensors.ErrNotFinite and those of the files.
func WriteDir(dir string, d Dims, t *Tokenizer, g Generation, tensors []safetensors.Values, dtype safetensors.DType) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if t.nVocab != d.NVocab {
		return fmt.Errorf("%s: %w: %d tokens, the model has %d", dir, ErrCheckpoint, t.nVocab, d.NVocab)
	}
	files, err := textFiles(d, t, g)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, fileConfig)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	metadata := map[string]string{"format": "pt"} // which transformers insists on
	err = writeFile(filepath.Join(dir, fileTensors), func(w io.Writer) error {
		return safetensors.Write(w, tensors, metadata, dtype)
	})
	if err != nil {
		return err
	}
	for _, f := range files {
		err := writeFile(filepath.Join(dir, f.name), func(w io.Writer) error {
			_, err := w.Write(f.text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// textFile is a file of JSON or text.
type textFile struct {
	name string
	text []byte
}

// textFiles are all files of a model but its tensors, config.json last.
func textFiles(d Dims, t *Tokenizer, g Generation) ([]textFile, error) {
	vocab, merges, added, err := t.formatTokenizer()
	if err != nil {
		return nil, err
	}
	generation, err := g.format(d, t)
	if err != nil {
		return nil, err
	}
	files := []textFile{{fileVocab, vocab}, {fileMerges, merges}, {fileAddedTokens, added}, {fileGeneration, generation}}
	special := specialTokensOf(t)
	for _, f := range []struct {
		name  string
		value any
	}{
		{filePreprocessor, preprocessorOf(d)},
		{fileSpecialTokens, special},
		{fileTokenizerConfig, tokenizerConfig{
			specialTokens: special, CleanUp: true, Errors: "replace", ModelMaxLength: d.NTextCtx, ProcessorClass: "WhisperProcessor", TokenizerClass: "WhisperTokenizer",
		}},
		{fileConfig, modelConfig{d.config(), configTokens{
			BOS: t.eot, EOS: t.eot, Pad: t.eot, DecoderStart: t.sot, MaxLength: d.NTextCtx, Layers: d.NAudioLayer,
		}}},
	} {
		text, err := marshalFile(f.value)
		if err != nil {
			return nil, err
		}
		files = append(files, textFile{f.name, text})
	}
	return files, nil
}

// modelConfig is config.json as written: the sizes, and tokens that transformers wants to find there.
type modelConfig struct {
	config
	configTokens
}

type configTokens struct {
	BOS          int32 `json:"bos_token_id"`
	EOS          int32 `json:"eos_token_id"`
	Pad          int32 `json:"pad_token_id"`
	DecoderStart int32 `json:"decoder_start_token_id"`
	MaxLength    int   `json:"max_length"`
	Layers       int   `json:"num_hidden_layers"`
}

// specialTokens is special_tokens_map.json.
type specialTokens struct {
	Additional []string `json:"additional_special_tokens"`
	BOS        string   `json:"bos_token"`
	EOS        string   `json:"eos_token"`
	Pad        string   `json:"pad_token"`
	Unknown    string   `json:"unk_token"`
}

// specialTokensOf names the special tokens of t in the order of their ids.
func specialTokensOf(t *Tokenizer) specialTokens {
	s := specialTokens{BOS: nameEOT, EOS: nameEOT, Pad: nameEOT, Unknown: nameEOT}
	for name := range t.special {
		s.Additional = append(s.Additional, name)
	}
	slices.SortFunc(s.Additional, func(a, b string) int { return int(t.special[a] - t.special[b]) })
	return s
}

// tokenizerConfig is tokenizer_config.json.
type tokenizerConfig struct {
	specialTokens
	AddBOS         bool   `json:"add_bos_token"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	CleanUp        bool   `json:"clean_up_tokenization_spaces"`
	Errors         string `json:"errors"`
	ModelMaxLength int    `json:"model_max_length"`
	ProcessorClass string `json:"processor_class"`
	TokenizerClass string `json:"tokenizer_class"`
}

// writeFile writes the file called name through a temporary file beside it.
func writeFile(name string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+strings.TrimPrefix(filepath.Base(name), ".")+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	if err = write(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
