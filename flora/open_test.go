package flora_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

const (
	floraConfig = `{"peft_type": "FLORA", "base_model_name_or_path": "tiny", "r": 2, "target_modules": ["q_proj"]}`
	loraConfig  = `{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "modules_to_save": null}`
	queryName   = "base_model.model.model.encoder.layers.0.self_attn.q_proj"
)

// file is a file of tensors of the given names, all (2, 48) but those that end in lora_B.weight.
func file(t testing.TB, value float32, names ...string) []byte {
	t.Helper()
	var vs []safetensors.Values
	for _, n := range names {
		shape := []int{2, 48}
		if strings.HasSuffix(n, "lora_B.weight") {
			shape = []int{48, 2}
		}
		vs = append(vs, safetensors.Values{Name: n, Shape: shape, Data: slices.Repeat([]float32{value}, 96)})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, vs, nil, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dir(config string, tensors []byte) fstest.MapFS {
	return fstest.MapFS{
		flora.ConfigFile: {Data: []byte(config)},
		flora.TensorFile: {Data: tensors},
	}
}

func TestOpenRejects(t *testing.T) {
	pair := file(t, 1, queryName+".flora_A", queryName+".flora_B")
	loraPair := file(t, 1, queryName+".lora_A.weight", queryName+".lora_B.weight")
	with := func(config, more string) string { return strings.TrimSuffix(config, "}") + ", " + more + "}" }
	nan := file(t, 1, queryName+".flora_A", queryName+".flora_B")
	copy(nan[len(nan)-4:], []byte{0, 0, 0xc0, 0x7f})
	for name, c := range map[string]struct {
		fsys fs.FS
		want error
		word string // in the message
	}{
		"no files":               {fstest.MapFS{}, flora.ErrInvalid, flora.ConfigFile},
		"no tensors":             {fstest.MapFS{flora.ConfigFile: {Data: []byte(floraConfig)}}, flora.ErrInvalid, flora.TensorFile},
		"not JSON":               {dir("{", pair), flora.ErrInvalid, flora.ConfigFile},
		"unknown kind":           {dir(strings.Replace(floraConfig, "FLORA", "VERA", 1), pair), flora.ErrUnsupported, "VERA"},
		"rank zero":              {dir(strings.Replace(floraConfig, `"r": 2`, `"r": 0`, 1), pair), flora.ErrInvalid, "r is 0"},
		"other rank":             {dir(strings.Replace(floraConfig, `"r": 2`, `"r": 3`, 1), pair), flora.ErrInvalid, "rank 2"},
		"DoRA":                   {dir(with(loraConfig, `"use_dora": true`), loraPair), flora.ErrUnsupported, "use_dora"},
		"bias":                   {dir(with(loraConfig, `"bias": "all"`), loraPair), flora.ErrUnsupported, "bias"},
		"LoRA bias":              {dir(with(loraConfig, `"lora_bias": true`), loraPair), flora.ErrUnsupported, "lora_bias"},
		"modules to save":        {dir(strings.Replace(loraConfig, "null", `["proj_out"]`, 1), loraPair), flora.ErrUnsupported, "modules_to_save"},
		"layer replication":      {dir(with(loraConfig, `"layer_replication": [[0,1]]`), loraPair), flora.ErrUnsupported, "layer_replication"},
		"no alpha":               {dir(strings.Replace(loraConfig, `"lora_alpha": 4`, `"lora_alpha": 0`, 1), loraPair), flora.ErrInvalid, "lora_alpha"},
		"one factor":             {dir(floraConfig, file(t, 1, queryName+".flora_A")), flora.ErrInvalid, "one factor"},
		"tensor of another kind": {dir(floraConfig, loraPair), flora.ErrUnsupported, "lora_A"},
		"unknown module":         {dir(floraConfig, file(t, 1, "base_model.model.model.encoder.conv1.flora_A")), flora.ErrUnsupported, "conv1"},
		"not targeted":           {dir(strings.Replace(floraConfig, "q_proj", "v_proj", 1), pair), flora.ErrInvalid, "target_modules"},
		"broken pattern":         {dir(with(loraConfig, `"rank_pattern": {"(": 2}`), loraPair), flora.ErrUnsupported, "pattern"},
		"NaN":                    {dir(floraConfig, nan), flora.ErrInvalid, "flora_"},
		"truncated":              {dir(floraConfig, pair[:len(pair)-8]), flora.ErrInvalid, flora.TensorFile},
		"huge configuration":     {dir(floraConfig+strings.Repeat(" ", 2<<20), pair), flora.ErrInvalid, "bytes"},
	} {
		_, err := flora.OpenFS(c.fsys, "a")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.word) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line of %v with %q", name, err, c.want, c.word)
		}
	}
}

func TestOtherBase(t *testing.T) {
	m := goldentest.Tiny(t, backend(t), 1)
	narrow, err := flora.OpenFS(dir(floraConfig, narrowFile(t)), "narrow")
	if err != nil {
		t.Fatal(err)
	}
	deep := strings.Replace(queryName, "layers.0", "layers.7", 1)
	lost, err := flora.OpenFS(dir(floraConfig, file(t, 1, deep+".flora_A", deep+".flora_B")), "deep")
	if err != nil {
		t.Fatal(err)
	}
	trained := randomAdapters(t, goldentest.Tiny(t, backend(t), 2), 9)[0]
	for _, a := range []*flora.Adapter{narrow, lost, trained} {
		if _, err := flora.NewBatch(m, backend(t), a); !errors.Is(err, flora.ErrBase) {
			t.Errorf("adapter %s of another base: %v", a.Name, err)
		}
	}
}

// narrowFile holds factors of a linear that is narrower than the tiny model's.
func narrowFile(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	values := []safetensors.Values{
		{Name: queryName + ".flora_A", Shape: []int{2, 16}, Data: make([]float32, 32)},
		{Name: queryName + ".flora_B", Shape: []int{2, 16}, Data: make([]float32, 32)},
	}
	if err := safetensors.Write(&b, values, nil, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWriteOpen holds that an adapter survives its file, and that its hash follows its content.
func TestWriteOpen(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 1)
	o := tensor.NewOps(b)
	rng := rand.New(rand.NewPCG(8, 8))
	mels, tokens := []audio.Mel{goldentest.RandomMel(rng, 40)}, [][]int32{{1, 2, 3}}
	hashes := make(map[string]bool)
	for _, a := range randomAdapters(t, m, 9) {
		path := filepath.Join(t.TempDir(), a.Name)
		err := a.Write(path, safetensors.F32)
		if errors.Is(err, flora.ErrUnsupported) {
			t.Logf("%v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		read, err := flora.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := flora.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if read.Name != a.Name || read.Hash != again.Hash || hashes[read.Hash] {
			t.Errorf("%s: read as %s, hash %s, then %s", a.Name, read.Name, read.Hash, again.Hash)
		}
		hashes[read.Hash] = true
		var got [2][][]float32
		for i, a := range []*flora.Adapter{a, read} {
			batch, err := flora.NewBatch(m, backend(t), a)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = goldentest.Logits(t, m, o, batch, mels, []int32{1}, tokens)
		}
		if !slices.Equal(got[0][0], got[1][0]) {
			t.Errorf("%s: logits differ after writing and reading", a.Name)
		}
	}
}

func TestOpenPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + "-absent"} {
		if _, err := flora.Open(p); !errors.Is(err, flora.ErrInvalid) || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(floraConfig), file(f, 1, queryName+".flora_A", queryName+".flora_B"))
	f.Add([]byte(loraConfig), file(f, 1, queryName+".lora_A.weight", queryName+".lora_B.weight"))
	f.Add([]byte(strings.Replace(loraConfig, `["q_proj"]`, `".*q_proj"`, 1)), file(f, 1, queryName+".lora_A.weight"))
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":1e999}`), []byte{})
	f.Fuzz(func(t *testing.T, config, tensors []byte) {
		a, err := flora.OpenFS(dir(string(config), tensors), "fuzz")
		if err != nil {
			return
		}
		for site, factors := range a.Sites {
			if _, ok := whisper.ParseSite(site.String()); !ok {
				t.Errorf("site %v of no linear", site)
			}
			for _, m := range []tensor.Mat{factors.A, factors.B, factors.U, factors.V} {
				for _, v := range m.Data {
					if math.IsNaN(float64(v)) {
						t.Fatalf("%s holds NaN", site)
					}
				}
			}
		}
	})
}
