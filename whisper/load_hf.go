package whisper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"glossa/whisper/safetensors"
)

// The files of a Hugging Face Whisper directory.
const (
	fileConfig          = "config.json"
	fileTensors         = "model.safetensors"
	fileTensorIndex     = "model.safetensors.index.json"
	fileVocab           = "vocab.json"
	fileMerges          = "merges.txt"
	fileAddedTokens     = "added_tokens.json"
	fileTokenizer       = "tokenizer.json"
	fileTokenizerConfig = "tokenizer_config.json"
	fileSpecialTokens   = "special_tokens_map.json"
	fileGeneration      = "generation_config.json"
	filePreprocessor    = "preprocessor_config.json"
)

const (
	// maxTextBytes bounds the JSON and text files; the largest of a published model is 4 MB.
	maxTextBytes = 64 << 20
	maxShards    = 1000
)

// OpenDir opens the Hugging Face model directory dir. The errors are those of OpenFS.
func OpenDir(dir string) (*Checkpoint, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w: not a directory", dir, ErrCheckpoint)
	}
	c, err := OpenFS(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	c.where = dir
	return c, nil
}

// OpenFS opens the Hugging Face model directory fsys: config.json, model.safetensors or the shards that
// model.safetensors.index.json lists, vocab.json, merges.txt and added_tokens.json or tokenizer.json, and where they exist
// generation_config.json and preprocessor_config.json. Tensors are read when they are asked for.
//
// The errors are fs.ErrNotExist, ErrArchitecture, ErrDims, ErrVocabulary, ErrCheckpoint and those of safetensors and JSON, each
// with the file's name.
func OpenFS(fsys fs.FS) (*Checkpoint, error) {
	c := &Checkpoint{}
	err := parseFile(fsys, fileConfig, func(text []byte) (err error) {
		c.Dims, err = parseDims(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.Tokenizer, err = openTokenizer(fsys, c.Dims.NVocab); err != nil {
		return nil, err
	}
	if err := c.readSettings(fsys); err != nil {
		return nil, err
	}
	shards, err := openShards(fsys)
	if err == nil {
		err = c.index(shards)
	}
	if err == nil {
		err = c.checkTied()
	}
	if err != nil {
		c.shards = shards
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// readSettings reads the two optional files.
func (c *Checkpoint) readSettings(fsys fs.FS) error {
	source := fileGeneration
	if !exists(fsys, fileGeneration) {
		source = fileConfig // older models keep the lists of suppressed tokens there
	}
	err := parseFile(fsys, source, func(text []byte) (err error) {
		c.Generation, err = parseGeneration(text, c.Dims, c.Tokenizer)
		return err
	})
	if err != nil {
		return err
	}
	tokenizer := *c.Tokenizer
	tokenizer.multilingual = c.Generation.IsMultilingual
	c.Tokenizer = &tokenizer
	if !exists(fsys, filePreprocessor) {
		return nil
	}
	return parseFile(fsys, filePreprocessor, func(text []byte) error { return checkPreprocessor(text, c.Dims) })
}

// preprocessor is preprocessor_config.json.
type preprocessor struct {
	ChunkLength          float64 `json:"chunk_length"`
	FeatureExtractorType string  `json:"feature_extractor_type"`
	FeatureSize          int     `json:"feature_size"`
	HopLength            int     `json:"hop_length"`
	NFFT                 int     `json:"n_fft"`
	NSamples             int     `json:"n_samples"`
	NBMaxFrames          int     `json:"nb_max_frames"`
	PaddingSide          string  `json:"padding_side"`
	PaddingValue         float64 `json:"padding_value"`
	ProcessorClass       string  `json:"processor_class"`
	ReturnAttentionMask  bool    `json:"return_attention_mask"`
	SamplingRate         int     `json:"sampling_rate"`
}

// The log-mel front end of every Whisper model (upstream's audio.py).
const (
	samplingRate = 16000
	fftLength    = 400
	hopLength    = 160
)

// preprocessorOf is the preprocessor of a model of these sizes.
func preprocessorOf(d Dims) preprocessor {
	return preprocessor{
		ChunkLength: d.WindowSeconds(), FeatureExtractorType: "WhisperFeatureExtractor", FeatureSize: d.NMels, HopLength: hopLength,
		NFFT: fftLength, NSamples: d.WindowFrames() * hopLength, NBMaxFrames: d.WindowFrames(), PaddingSide: "right",
		ProcessorClass: "WhisperProcessor", SamplingRate: samplingRate,
	}
}

// checkPreprocessor returns an error if the model wants other features than Whisper's log-mel spectrogram; members that are
// absent are taken to agree.
func checkPreprocessor(text []byte, d Dims) error {
	want := preprocessorOf(d)
	got := want
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	for _, f := range []struct {
		name      string
		got, want int
	}{
		{"feature_size", got.FeatureSize, want.FeatureSize}, {"sampling_rate", got.SamplingRate, want.SamplingRate},
		{"n_fft", got.NFFT, want.NFFT}, {"hop_length", got.HopLength, want.HopLength},
	} {
		if f.got != f.want {
			return fmt.Errorf("%w: %s is %d, want %d", ErrArchitecture, f.name, f.got, f.want)
		}
	}
	return nil
}

// openTokenizer reads the vocabulary in whichever form the directory has it.
func openTokenizer(fsys fs.FS, nVocab int) (t *Tokenizer, err error) {
	slow := exists(fsys, fileVocab) && exists(fsys, fileMerges)
	if exists(fsys, fileTokenizer) && !(slow && exists(fsys, fileAddedTokens)) {
		err = parseFile(fsys, fileTokenizer, func(text []byte) (err error) {
			t, err = parseTokenizerJSON(text, nVocab)
			return err
		})
		return t, err
	}
	var texts [3][]byte
	for i, name := range []string{fileVocab, fileMerges, fileAddedTokens} {
		texts[i], err = readText(fsys, name)
		if err != nil && !(name == fileAddedTokens && errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	return parseTokenizer(texts[0], texts[1], texts[2], nVocab)
}

// openShards opens the files of tensors. On an error it closes what it opened.
func openShards(fsys fs.FS) (shards []shard, err error) {
	names := []string{fileTensors}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if !exists(fsys, fileTensors) && exists(fsys, fileTensorIndex) {
		err := parseFile(fsys, fileTensorIndex, func(text []byte) error { return json.Unmarshal(text, &index) })
		if err != nil {
			return nil, err
		}
		names = slices.Compact(slices.Sorted(maps.Values(index.WeightMap)))
		if len(names) > maxShards {
			return nil, fmt.Errorf("%s: %w: %d shards", fileTensorIndex, ErrCheckpoint, len(names))
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, (&Checkpoint{shards: shards}).Close())
			shards = nil
		}
	}()
	byName := map[string]*safetensors.File{}
	for _, name := range names {
		if !fs.ValidPath(name) || path.Base(name) != name {
			return shards, fmt.Errorf("%s: %w: shard %q is not in the directory", fileTensorIndex, ErrCheckpoint, name)
		}
		s, err := openShard(fsys, name)
		if err != nil {
			return shards, err
		}
		shards = append(shards, s)
		byName[name] = s.file
	}
	for tensor, name := range index.WeightMap {
		if _, ok := byName[name].Tensor(tensor); !ok {
			return shards, fmt.Errorf("%s: %w: %q, which %s places there", name, ErrMissingTensor, tensor, fileTensorIndex)
		}
	}
	return shards, nil
}

// openShard opens one file of tensors: in place where the file system lets it be read at an offset, else in memory.
func openShard(fsys fs.FS, name string) (shard, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return shard{}, err
	}
	s, err := newShard(f, name)
	if err != nil {
		return shard{}, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return s, nil
}

func newShard(f fs.File, name string) (shard, error) {
	info, err := f.Stat()
	if err != nil {
		return shard{}, err
	}
	if !info.Mode().IsRegular() {
		return shard{}, fmt.Errorf("%w: not a regular file", ErrCheckpoint)
	}
	r, ok := f.(io.ReaderAt)
	size := info.Size()
	if !ok {
		text, err := io.ReadAll(f)
		if err != nil {
			return shard{}, err
		}
		r, size = bytes.NewReader(text), int64(len(text))
	}
	file, err := safetensors.New(r, size)
	return shard{name: name, file: file, closer: f}, err
}

// exists says whether the directory has a file of that name.
func exists(fsys fs.FS, name string) bool {
	_, err := fs.Stat(fsys, name)
	return err == nil
}

// parseFile reads a text file and names it in the errors of parse.
func parseFile(fsys fs.FS, name string, parse func(text []byte) error) error {
	text, err := readText(fsys, name)
	if err != nil {
		return err
	}
	if err := parse(text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readText reads a file of at most maxTextBytes.
func readText(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTextBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxTextBytes {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrCheckpoint, maxTextBytes)
	}
	return text, nil
}

// marshalFile is v as the text of a JSON file.
func marshalFile(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	err := encoder.Encode(v)
	return text.Bytes(), err
}
