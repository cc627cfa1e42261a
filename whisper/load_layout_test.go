package whisper

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/formattest"
	"glossa/whisper/ggml"
	"glossa/whisper/safetensors"
)

// published are upstream's models and what was counted in their files.
var published = []struct {
	name       string
	parameters int // as the hub counts them
	heads      int // of alignment
}{
	{"tiny.en", 37_760_256, 8},
	{"tiny", 37_760_640, 6},
	{"base.en", 72_593_408, 5},
	{"base", 72_593_920, 8},
	{"small.en", 241_734_144, 19},
	{"small", 241_734_912, 10},
	{"medium.en", 763_856_896, 18},
	{"medium", 763_857_920, 6},
	{"large-v1", 1_543_304_960, 9},
	{"large-v2", 1_543_304_960, 23},
	{"large-v3", 1_543_490_560, 10},
	{"large-v3-turbo", 808_878_080, 6},
}

// publishedDims are the sizes of published[i].
func publishedDims(i int) Dims {
	d, ok := Geometry(published[i].name)
	if !ok {
		panic(published[i].name)
	}
	return d
}

// checkLayout opens a model whose numbers are zeros, and checks sizes, names and shapes without reading more than two tensors.
func checkLayout(t *testing.T, path string, i int, open func(path string) (*Checkpoint, error)) *Checkpoint {
	t.Helper()
	const limit = 512 << 20 // the vocabulary, mostly; large-v3 in F16 has 3 GB
	var c *Checkpoint
	var err error
	if n := allocated(func() { c, err = open(path) }); n > limit {
		t.Errorf("%s: opening allocates %d MB", published[i].name, n>>20)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d, want := c.Dims, publishedDims(i)
	if d.AudioFFN() != want.AudioFFN() || d.TextFFN() != want.TextFFN() {
		t.Errorf("%s: MLPs of %d and %d, want %d", published[i].name, d.AudioFFN(), d.TextFFN(), want.AudioFFN())
	}
	if d.NAudioFFN, d.NTextFFN = 0, 0; d != want {
		t.Errorf("%s: %+v, want %+v", published[i].name, d, want)
	}
	total := 0
	params := outline(want).Params()
	for _, p := range params {
		x, ok := c.Tensor(p.Name)
		if !ok || !slices.Equal(x.Shape, p.Shape()) {
			t.Errorf("%s: %s of shape %v, want %v", published[i].name, p.Name, x.Shape, p.Shape())
		}
		total += x.Len()
	}
	if total != published[i].parameters || len(c.Names()) != len(params) {
		t.Errorf("%s: %d parameters in %d tensors, want %d in %d", published[i].name, total, len(c.Names()), published[i].parameters, len(params))
	}
	for _, p := range []Param{params[0], params[len(params)-1]} {
		if _, err := c.Float32(p.Name, p.Shape()...); err != nil {
			t.Error(err)
		}
	}
	return c
}

// writeLayout writes a Hugging Face directory of the model's true layout, its numbers holes, in so many shards.
func writeLayout(t testing.TB, dir string, d Dims, tok *Tokenizer, dtype safetensors.DType, shards int) {
	t.Helper()
	files, err := textFiles(d, tok, DefaultGeneration(d, tok))
	if err != nil {
		t.Fatal(err)
	}
	params := outline(d).Params()
	index := map[string]string{}
	for shard, part := range slices.Collect(slices.Chunk(params, (len(params)+shards-1)/shards)) {
		name := fileTensors
		if shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", shard+1, shards)
		}
		header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
		end := 0
		for _, p := range part {
			begin := end
			end += p.Mat.Rows * p.Mat.Cols * dtype.Size()
			header[p.Name] = map[string]any{"dtype": dtype, "shape": p.Shape(), "data_offsets": []int{begin, end}}
			index[p.Name] = name
		}
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		text = append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
		files = append(files, textFile{name, text})
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, name), int64(len(text)+end)); err != nil {
			t.Fatal(err)
		}
	}
	if shards > 1 {
		text, err := json.Marshal(map[string]any{"weight_map": index})
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, textFile{fileTensorIndex, text})
	}
	for _, f := range files {
		if strings.HasSuffix(f.name, ".safetensors") {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryPublishedModelOpensFromHuggingFace(t *testing.T) {
	dtypes := []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16}
	seen := map[int]*Tokenizer{}
	for i := range published {
		dir := t.TempDir()
		open := Open
		nVocab := publishedDims(i).NVocab
		tok := seen[nVocab]
		if tok != nil { // its files were read before
			open = openWithoutVocabulary
		} else {
			tok = openUpstreamTokenizer(t, nVocab)
			seen[nVocab] = tok
		}
		writeLayout(t, dir, publishedDims(i), tok, dtypes[i%len(dtypes)], 1+i%2)
		checkLayout(t, dir, i, open)
	}
}

// openWithoutVocabulary is OpenDir but for the files of text that do not depend on the model's sizes.
func openWithoutVocabulary(dir string) (c *Checkpoint, err error) {
	c = &Checkpoint{}
	fsys := os.DirFS(dir)
	err = parseFile(fsys, fileConfig, func(text []byte) (err error) {
		c.Dims, err = parseDims(text)
		return err
	})
	if err != nil {
		return nil, err
	}
	shards, err := openShards(fsys)
	if err != nil {
		return nil, err
	}
	return c, c.index(shards)
}

// upstreamTensors are the parameters of a model under upstream's names, as zeros.
func upstreamTensors(d Dims, dtype safetensors.DType) (list []formattest.Tensor) {
	toUpstream := map[string]string{}
	for theirs, ours := range upstreamModules {
		toUpstream[ours] = theirs
	}
	for _, p := range outline(d).Params() {
		name := strings.TrimPrefix(p.Name, modelPrefix)
		stack, rest, _ := strings.Cut(name, ".")
		dot := strings.LastIndexByte(rest, '.')
		module, kind := rest[:dot], rest[dot:]
		block := ""
		if inBlock, ok := strings.CutPrefix(module, "layers."); ok {
			number, inner, _ := strings.Cut(inBlock, ".")
			block, module = "blocks."+number+".", inner
		}
		theirs := toUpstream[module]
		switch {
		case module == "layer_norm":
			theirs = map[string]string{"encoder": "ln_post", "decoder": "ln"}[stack]
		case module == "embed_positions":
			kind = ""
		}
		list = append(list, formattest.Tensor{Name: stack + "." + block + theirs + kind, DType: dtype, Shape: p.Shape()})
	}
	return list
}

// writeUpstream writes a file of a few bytes and many holes.
func writeUpstream(t *testing.T, path string, write func(w formattest.Sparse) error) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := write(formattest.Sparse{File: f}); err != nil {
		t.Fatal(err)
	}
}

// upstreamSizes are the dims of a .pt.
func upstreamSizes(d Dims) []formattest.Size {
	return []formattest.Size{
		{Name: "n_mels", Value: d.NMels}, {Name: "n_vocab", Value: d.NVocab}, {Name: "n_audio_ctx", Value: d.NAudioCtx}, {Name: "n_audio_state", Value: d.NAudioState},
		{Name: "n_audio_head", Value: d.NAudioHead}, {Name: "n_audio_layer", Value: d.NAudioLayer}, {Name: "n_text_ctx", Value: d.NTextCtx},
		{Name: "n_text_state", Value: d.NTextState}, {Name: "n_text_head", Value: d.NTextHead}, {Name: "n_text_layer", Value: d.NTextLayer},
	}
}

// ggmlHeader are the sizes of a ggml file.
func ggmlHeader(d Dims) ggml.Header {
	return ggml.Header{
		NVocab: int32(d.NVocab), NAudioCtx: int32(d.NAudioCtx), NAudioState: int32(d.NAudioState), NAudioHead: int32(d.NAudioHead), NAudioLayer: int32(d.NAudioLayer),
		NTextCtx: int32(d.NTextCtx), NTextState: int32(d.NTextState), NTextHead: int32(d.NTextHead), NTextLayer: int32(d.NTextLayer), NMels: int32(d.NMels), FType: 1,
	}
}

func TestPublishedModelsOpenFromOpenAI(t *testing.T) {
	for i, p := range published {
		if p.name != "tiny.en" && p.name != "large-v1" && p.name != "large-v3-turbo" {
			continue
		}
		path := filepath.Join(t.TempDir(), p.name+".pt")
		d := publishedDims(i)
		writeUpstream(t, path, func(w formattest.Sparse) error {
			return formattest.Torch(w, upstreamSizes(d), upstreamTensors(d, safetensors.F16))
		})
		if c := checkLayout(t, path, i, Open); len(c.Generation.AlignmentHeads) != p.heads {
			t.Errorf("%s: %d alignment heads, want %d", p.name, len(c.Generation.AlignmentHeads), p.heads)
		}
	}
}

func TestPublishedModelsOpenFromWhisperCPP(t *testing.T) {
	for i, p := range published {
		if p.name != "base.en" && p.name != "large-v2" && p.name != "large-v3" {
			continue
		}
		path := filepath.Join(t.TempDir(), "ggml-model.bin")
		d := publishedDims(i)
		tensors := upstreamTensors(d, safetensors.F16)
		for j, x := range tensors { // as whisper.cpp's quantize leaves them
			switch {
			case strings.HasSuffix(x.Name, "conv1.bias") || strings.HasSuffix(x.Name, "conv2.bias"):
				tensors[j].DType, tensors[j].Shape = safetensors.F32, append(x.Shape, 1)
			case len(x.Shape) == 1 || strings.HasSuffix(x.Name, "positional_embedding"):
				tensors[j].DType = safetensors.F32
			case len(x.Shape) == 2 && p.name != "large-v3":
				tensors[j].DType = "Q5_0"
			}
		}
		tokens, err := upstreamTokens(d.NVocab)
		if err != nil {
			t.Fatal(err)
		}
		if p.name == "base.en" { // as the converter of Hugging Face models writes them
			tokens = append(tokens, []byte(nameEOT))
		}
		writeUpstream(t, path, func(w formattest.Sparse) error { return formattest.GGML(w, ggmlHeader(d), tokens, tensors) })
		if c := checkLayout(t, path, i, Open); len(c.Generation.AlignmentHeads) != p.heads || c.Tokenizer.NVocab() != d.NVocab {
			t.Errorf("%s: %d alignment heads, want %d; %d tokens", p.name, len(c.Generation.AlignmentHeads), p.heads, c.Tokenizer.NVocab())
		}
	}
}

func TestAlignmentHeadsOfPublishedModels(t *testing.T) {
	for i, p := range published {
		d := publishedDims(i)
		heads := upstreamAlignmentHeads(d, "models/ggml-"+p.name+"-q5_0.bin")
		if len(heads) != p.heads {
			t.Errorf("%s: %d heads, want %d", p.name, len(heads), p.heads)
		}
		for _, h := range heads {
			if h[0] < 0 || h[0] >= d.NTextLayer || h[1] < 0 || h[1] >= d.NTextHead {
				t.Errorf("%s: head %v", p.name, h)
			}
		}
	}
	d := publishedDims(len(published) - 1)
	if got := upstreamAlignmentHeads(d, "x.pt"); !slices.Equal(got, [][2]int{{2, 4}, {2, 11}, {3, 3}, {3, 6}, {3, 11}, {3, 14}}) {
		t.Errorf("turbo: %v", got)
	}
	d.NTextHead = 10
	if got := upstreamAlignmentHeads(d, "large-v3-turbo.pt"); got != nil {
		t.Errorf("a model that was not published: %v", got)
	}
}
