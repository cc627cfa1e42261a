package whisper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/whisper/safetensors"
)

// tinyDims are the sizes of a model that a test can write in no time: 2.5 s windows, three languages.
func tinyDims(tok *Tokenizer) Dims {
	return Dims{
		NMels: 8, NAudioCtx: 125, NAudioState: 8, NAudioHead: 2, NAudioLayer: 1,
		NVocab: tok.NVocab(), NTextCtx: 16, NTextState: 8, NTextHead: 4, NTextLayer: 2, NTextFFN: 12, Unpadded: true,
	}
}

// tinyTokenizer has a vocabulary learnt from a few words.
func tinyTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := NewTokenizer(TrainBPE(slices.Values([]string{"one two three", "two three", "three"}), 10), 3, 126)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// tinyTensors are the tensors of a model of these sizes with numbers that F16 holds.
func tinyTensors(d Dims) (list []safetensors.Values) {
	for i, p := range New(d).Params() {
		v := safetensors.Values{Name: p.Name, Shape: p.Shape(), Data: make([]float32, len(p.Mat.Data))}
		for j := range v.Data {
			v.Data[j] = float32((i*31+j)%17-8) / 16
		}
		list = append(list, v)
	}
	return list
}

// tinyDir writes a tiny model and returns its directory as a file system in memory, for tests to break.
func tinyDir(t testing.TB) (fstest.MapFS, Dims) {
	t.Helper()
	tok := tinyTokenizer(t)
	d := tinyDims(tok)
	dir := t.TempDir()
	if err := WriteDir(dir, d, tok, DefaultGeneration(d, tok), tinyTensors(d), safetensors.F16); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = &fstest.MapFile{Data: text}
	}
	return files, d
}

func TestWriteDirThenOpenGivesTheSameModel(t *testing.T) {
	tok := tinyTokenizer(t)
	d := tinyDims(tok)
	g := DefaultGeneration(d, tok)
	g.SuppressTokens, g.AlignmentHeads, g.MaxInitialTimestampIndex = nil, [][2]int{{1, 3}}, 7
	tensors := tinyTensors(d)
	for _, dtype := range []safetensors.DType{safetensors.F32, safetensors.F16} {
		dir := filepath.Join(t.TempDir(), "made", "on", "demand")
		for range 2 { // the second call replaces the first's files
			if err := WriteDir(dir, d, tok, g, tensors, dtype); err != nil {
				t.Fatal(err)
			}
		}
		c, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := d
		want.NAudioFFN = d.AudioFFN()
		if c.Dims != want {
			t.Errorf("dims %+v, want %+v", c.Dims, want)
		}
		if len(c.Generation.SuppressTokens) != 0 {
			t.Errorf("suppressed %v, want none", c.Generation.SuppressTokens)
		}
		c.Generation.SuppressTokens = nil
		if !reflect.DeepEqual(c.Generation, g) {
			t.Errorf("generation %+v, want %+v", c.Generation, g)
		}
		if !reflect.DeepEqual(c.Tokenizer, tok) {
			t.Errorf("tokenizer %+v, want %+v", c.Tokenizer, tok)
		}
		if len(c.Names()) != len(tensors) {
			t.Errorf("%d tensors, want %d", len(c.Names()), len(tensors))
		}
		for _, v := range tensors {
			got, err := c.Float32(v.Name, v.Shape...)
			if err != nil || !slices.Equal(got, v.Data) {
				t.Errorf("%s: %v %v, want %v", v.Name, got, err, v.Data)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 9 {
			t.Errorf("files %v, %v", entries, err)
		}
	}
}

func TestWriteDirRefusesWhatWouldNotOpen(t *testing.T) {
	tok := tinyTokenizer(t)
	d := tinyDims(tok)
	g := DefaultGeneration(d, tok)
	dir := t.TempDir()
	wrong := d
	wrong.NVocab++
	if err := WriteDir(dir, wrong, tok, g, nil, safetensors.F32); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another vocabulary: %v", err)
	}
	wrong = d
	wrong.NTextHead = 3
	if err := WriteDir(dir, wrong, tok, g, nil, safetensors.F32); !errors.Is(err, ErrDims) {
		t.Errorf("heads that do not divide: %v", err)
	}
	tensors := tinyTensors(d)
	if err := WriteDir(dir, d, tok, g, tensors, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	tensors[3].Data[0] = float32(math.NaN())
	if err := WriteDir(dir, d, tok, g, tensors, safetensors.F32); !errors.Is(err, safetensors.ErrNotFinite) || !strings.Contains(err.Error(), tensors[3].Name) {
		t.Errorf("NaN: %v", err)
	}
	if _, err := OpenDir(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an interrupted directory opens: %v", err)
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, ".*.safetensors.*")); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestOpenReadsShardsBareNamesAndTokenizerJSON(t *testing.T) {
	files, d := tinyDir(t)
	tensors := tinyTensors(d)
	bare := slices.Clone(tensors)
	for i := range bare {
		bare[i].Name = strings.TrimPrefix(bare[i].Name, modelPrefix)
	}
	var shards [2]bytes.Buffer
	index := map[string]string{}
	half := len(bare) / 2
	for i, part := range [][]safetensors.Values{bare[:half], bare[half:]} {
		if err := safetensors.Write(&shards[i], part, nil, safetensors.BF16); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("model-%05d-of-00002.safetensors", i+1)
		files[name] = &fstest.MapFile{Data: shards[i].Bytes()}
		for _, v := range part {
			index[v.Name] = name
		}
	}
	text, _ := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": index})
	files[fileTensorIndex] = &fstest.MapFile{Data: text}
	delete(files, fileTensors)

	var vocab, added map[string]int32
	json.Unmarshal(files[fileVocab].Data, &vocab)
	json.Unmarshal(files[fileAddedTokens].Data, &added)
	merges := strings.Split(strings.TrimSpace(string(files[fileMerges].Data)), "\n")[1:]
	pairs := make([]any, len(merges))
	for i, m := range merges {
		pairs[i] = strings.Fields(m)
		if i%2 == 0 {
			pairs[i] = m
		}
	}
	list := []map[string]any{}
	for name, id := range added {
		list = append(list, map[string]any{"content": name, "id": id, "special": true})
	}
	text, _ = json.Marshal(map[string]any{"added_tokens": list, "model": map[string]any{"type": "BPE", "vocab": vocab, "merges": pairs}})
	files[fileTokenizer] = &fstest.MapFile{Data: text}
	for _, name := range []string{fileVocab, fileMerges, fileAddedTokens, fileGeneration, filePreprocessor} {
		delete(files, name)
	}

	c, err := OpenFS(files)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, v := range tensors {
		got, err := c.Float32(v.Name, v.Shape...)
		if err != nil || !slices.Equal(got, v.Data) {
			t.Errorf("%s: %v %v, want %v", v.Name, got, err, v.Data)
		}
	}
	if !reflect.DeepEqual(c.Tokenizer, tinyTokenizer(t)) {
		t.Errorf("tokenizer %+v", c.Tokenizer)
	}
	if want := DefaultGeneration(d, c.Tokenizer); !reflect.DeepEqual(c.Generation, want) {
		t.Errorf("generation %+v, want %+v", c.Generation, want)
	}
}

func TestGoldenWriteDirReproducesTheKitsFiles(t *testing.T) {
	for name, c := range kitCheckpoints(t) {
		dir := t.TempDir()
		var tensors []safetensors.Values
		for _, n := range c.Names() {
			info, _ := c.Tensor(n)
			data, err := c.Float32(n, info.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, safetensors.Values{Name: n, Shape: info.Shape, Data: data, DType: info.DType})
		}
		if err := WriteDir(dir, c.Dims, c.Tokenizer, c.Generation, tensors, safetensors.F16); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(kitPath(t, "models", name, "hf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			want, err := os.ReadFile(kitPath(t, "models", name, "hf", e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, e.Name()))
			switch {
			case e.Name() == fileTokenizer: // its content is written as vocab.json, merges.txt and added_tokens.json
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case strings.HasSuffix(e.Name(), ".json"):
				compareJSON(t, name+"/"+e.Name(), got, want)
			case e.Name() == fileMerges && !bytes.Equal(got, want):
				t.Errorf("%s: %s differs", name, e.Name())
			}
		}
		again, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if !reflect.DeepEqual(again.Tokenizer, c.Tokenizer) || !reflect.DeepEqual(again.Generation, c.Generation) || again.Dims != c.Dims {
			t.Errorf("%s: the model reopened differs", name)
		}
		for _, v := range tensors {
			if got, err := again.Float32(v.Name, v.Shape...); err != nil || !slices.Equal(got, v.Data) {
				t.Errorf("%s: %s differs: %v", name, v.Name, err)
			}
		}
	}
}

// trainingOnly are members of the kit's files that nothing which reads a model depends on.
var trainingOnly = []string{
	"_name_or_path", "torch_dtype", "transformers_version", "dropout", "activation_dropout", "attention_dropout", "encoder_layerdrop",
	"decoder_layerdrop", "init_std", "apply_spec_augment", "forced_decoder_ids", "use_cache", "median_filter_width",
	"suppress_tokens@config", "begin_suppress_tokens@config", "return_attention_mask@tokenizer_config",
}

// compareJSON checks that each member of want, but for those of trainingOnly, has the same value in got.
func compareJSON(t *testing.T, name string, got, want []byte) {
	t.Helper()
	var g, w map[string]any
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal(want, &w)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	file := strings.TrimSuffix(filepath.Base(name), ".json")
	for member, value := range w {
		if slices.Contains(trainingOnly, member) || slices.Contains(trainingOnly, member+"@"+file) {
			continue
		}
		if !reflect.DeepEqual(g[member], value) {
			t.Errorf("%s: %s is %v, want %v", name, member, g[member], value)
		}
	}
}
