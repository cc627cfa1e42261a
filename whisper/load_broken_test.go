package whisper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/whisper/safetensors"
)

// edit replaces a member of a JSON file.
func edit(t *testing.T, files fstest.MapFS, name, member string, value any) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(files[name].Data, &all); err != nil {
		t.Fatal(err)
	}
	all[member] = value
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	files[name] = &fstest.MapFile{Data: text}
}

// rewrite replaces the tensors by what change makes of them.
func rewrite(t *testing.T, files fstest.MapFS, d Dims, change func([]safetensors.Values) []safetensors.Values) {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, change(tinyTensors(d)), nil, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	files[fileTensors] = &fstest.MapFile{Data: b.Bytes()}
}

func TestBrokenDirectoriesAreRefusedByFileAndReason(t *testing.T) {
	appendTo := func(extra safetensors.Values) func([]safetensors.Values) []safetensors.Values {
		return func(v []safetensors.Values) []safetensors.Values { return append(v, extra) }
	}
	for _, c := range []struct {
		name   string
		mutate func(t *testing.T, files fstest.MapFS, d Dims)
		want   error // nil: any
		says   string
	}{
		{"no config", func(t *testing.T, f fstest.MapFS, d Dims) { delete(f, fileConfig) }, fs.ErrNotExist, fileConfig},
		{"config is no JSON", func(t *testing.T, f fstest.MapFS, d Dims) { f[fileConfig].Data = []byte("{") }, nil, fileConfig},
		{"another model", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "model_type", "wav2vec2") }, ErrArchitecture, "wav2vec2"},
		{"another activation", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "activation_function", "relu") }, ErrArchitecture, "relu"},
		{"huge state", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "d_model", 1<<40) }, ErrDims, "d_model"},
		{"no layers", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "encoder_layers", 0) }, ErrDims, "encoder_layers"},
		{"heads do not divide", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "decoder_attention_heads", 3) }, ErrDims, "decoder_attention_heads 3"},
		{"vocabulary too small", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "vocab_size", 200) }, ErrVocabulary, "200"},
		{"fewer layers than tensors", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileConfig, "decoder_layers", 1) }, nil, "layer"},
		{"no tensors", func(t *testing.T, f fstest.MapFS, d Dims) { delete(f, fileTensors) }, fs.ErrNotExist, fileTensors},
		{"tensors cut", func(t *testing.T, f fstest.MapFS, d Dims) { f[fileTensors].Data = f[fileTensors].Data[:900] }, safetensors.ErrTruncated, fileTensors},
		{"untied output", func(t *testing.T, f fstest.MapFS, d Dims) {
			rewrite(t, f, d, appendTo(safetensors.Values{Name: outputLayer, Shape: []int{d.NVocab, d.NTextState}, Data: make([]float32, d.NVocab*d.NTextState)}))
		}, ErrArchitecture, outputLayer},
		{"output of another shape", func(t *testing.T, f fstest.MapFS, d Dims) {
			rewrite(t, f, d, appendTo(safetensors.Values{Name: outputLayer, Shape: []int{1}, Data: make([]float32, 1)}))
		}, ErrTensorShape, outputLayer},
		{"tensor twice", func(t *testing.T, f fstest.MapFS, d Dims) {
			rewrite(t, f, d, appendTo(safetensors.Values{Name: "encoder.conv1.bias", Shape: []int{1}, Data: make([]float32, 1)}))
		}, ErrCheckpoint, "encoder.conv1.bias"},
		{"shard outside", func(t *testing.T, f fstest.MapFS, d Dims) {
			delete(f, fileTensors)
			f[fileTensorIndex] = &fstest.MapFile{Data: []byte(`{"weight_map":{"a":"../other/model.safetensors"}}`)}
		}, ErrCheckpoint, "../other"},
		{"shard without its tensor", func(t *testing.T, f fstest.MapFS, d Dims) {
			f["a.safetensors"] = f[fileTensors]
			delete(f, fileTensors)
			f[fileTensorIndex] = &fstest.MapFile{Data: []byte(`{"weight_map":{"absent.weight":"a.safetensors"}}`)}
		}, ErrMissingTensor, "absent.weight"},
		{"no merges", func(t *testing.T, f fstest.MapFS, d Dims) { delete(f, fileMerges) }, fs.ErrNotExist, fileMerges},
		{"merge of three", func(t *testing.T, f fstest.MapFS, d Dims) { f[fileMerges].Data = []byte("#version: 0.2\na b c\n") }, ErrVocabulary, "line 2"},
		{"merge of no token", func(t *testing.T, f fstest.MapFS, d Dims) { f[fileMerges].Data = []byte("xyz a\n") }, ErrVocabulary, "xyz"},
		{"merge into no token", func(t *testing.T, f fstest.MapFS, d Dims) { f[fileMerges].Data = []byte("q q\n") }, ErrVocabulary, `"q"`},
		{"hole in the vocabulary", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, fileVocab, "!", 70000) }, ErrVocabulary, `"!"`},
		{"byte without token", func(t *testing.T, f fstest.MapFS, d Dims) {
			f[fileVocab].Data = bytes.Replace(f[fileVocab].Data, []byte(`"!"`), []byte(`"!!"`), 1)
		}, ErrVocabulary, "0x21"},
		{"spelling outside the alphabet", func(t *testing.T, f fstest.MapFS, d Dims) {
			f[fileVocab].Data = bytes.Replace(f[fileVocab].Data, []byte(`"!"`), []byte(`"日"`), 1)
		}, ErrVocabulary, "日"},
		{"no start of transcript", func(t *testing.T, f fstest.MapFS, d Dims) {
			f[fileAddedTokens].Data = bytes.Replace(f[fileAddedTokens].Data, []byte("startoftranscript"), []byte("begin"), 1)
		}, ErrVocabulary, "startoftranscript"},
		{"timestamp out of place", func(t *testing.T, f fstest.MapFS, d Dims) {
			f[fileAddedTokens].Data = bytes.Replace(f[fileAddedTokens].Data, []byte("<|0.04|>"), []byte("<|9.04|>"), 1)
		}, ErrVocabulary, "0.04"},
		{"suppressed token outside", func(t *testing.T, f fstest.MapFS, d Dims) {
			edit(t, f, fileGeneration, "suppress_tokens", []int{1, d.NVocab})
		}, ErrCheckpoint, fileGeneration},
		{"alignment head outside", func(t *testing.T, f fstest.MapFS, d Dims) {
			edit(t, f, fileGeneration, "alignment_heads", [][2]int{{0, 4}})
		}, ErrCheckpoint, "[0 4]"},
		{"language at another token", func(t *testing.T, f fstest.MapFS, d Dims) {
			edit(t, f, fileGeneration, "lang_to_id", map[string]int{"<|en|>": 5})
		}, ErrCheckpoint, "<|en|>"},
		{"language without a token", func(t *testing.T, f fstest.MapFS, d Dims) {
			edit(t, f, fileGeneration, "lang_to_id", map[string]int{"<|yue|>": 5})
		}, ErrCheckpoint, "<|yue|>"},
		{"other features", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, filePreprocessor, "sampling_rate", 8000) }, ErrArchitecture, "8000"},
		{"other channels", func(t *testing.T, f fstest.MapFS, d Dims) { edit(t, f, filePreprocessor, "feature_size", 128) }, ErrArchitecture, "feature_size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, d := tinyDir(t)
			c.mutate(t, files, d)
			_, err := OpenFS(files)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %v with %q", err, c.want, c.says)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
		})
	}
}

func TestFloat32NamesFileTensorWantAndGot(t *testing.T) {
	files, d := tinyDir(t)
	rewrite(t, files, d, func(v []safetensors.Values) []safetensors.Values {
		v[1].Shape = []int{2, len(v[1].Data) / 2}
		return v[1:]
	})
	c, err := OpenFS(files)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	specs := tinyTensors(d)
	if _, err := c.Float32(specs[0].Name, specs[0].Shape...); !errors.Is(err, ErrMissingTensor) || !strings.Contains(err.Error(), specs[0].Name) {
		t.Errorf("missing: %v", err)
	}
	_, err = c.Float32(specs[1].Name, specs[1].Shape...)
	got, want := fmt.Sprint([]int{2, len(specs[1].Data) / 2}), fmt.Sprint(specs[1].Shape)
	if !errors.Is(err, ErrTensorShape) {
		t.Fatalf("shape: %v", err)
	}
	for _, part := range []string{fileTensors, specs[1].Name, got, want} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	if _, err := OpenDir(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}
