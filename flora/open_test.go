package flora_test

import (
	"bytes"
	"errors"
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

// FuzzOpen holds that whatever opens is finite, of linears of Whisper, and survives being written.
func FuzzOpen(f *testing.F) {
	for _, c := range kindFiles {
		f.Add([]byte(c.config), tensorsOf(f, 0.5, c.tensors))
	}
	f.Add([]byte(strings.Replace(loraConfig, `["q_proj"]`, `".*q_proj"`, 1)), file(f, 1, queryName+".lora_A.weight"))
	f.Add([]byte(`{"peft_type":"LORA","r":1,"lora_alpha":1e999}`), []byte{})
	f.Add([]byte(`{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":"ALL-linear","rank_pattern":{"fc1":1,"fc1":2}}`), []byte{})
	f.Fuzz(func(t *testing.T, config, tensors []byte) {
		for _, name := range []string{flora.TensorFile, flora.PickleFile} {
			fsys := fstest.MapFS{flora.ConfigFile: {Data: config}, name: {Data: tensors}}
			a, err := flora.OpenFS(fsys, "fuzz")
			if err != nil {
				continue
			}
			_, mats := a.Params()
			for _, m := range mats {
				if err := safetensors.CheckFinite(m.Data); err != nil {
					t.Fatal(err)
				}
			}
			for site := range a.Sites {
				if _, ok := whisper.ParseSite(site.String()); !ok {
					t.Errorf("site %v of no linear", site)
				}
			}
			dir := t.TempDir()
			if err := a.Write(dir, safetensors.F32); err != nil {
				t.Fatal(err)
			}
			again, err := flora.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if again.Hash != a.Hash {
				t.Errorf("read back as %+v, was %+v", again, a)
			}
		}
	})
}
