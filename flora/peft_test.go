package flora_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/formattest"
	"glossa/whisper/goldentest"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// shapes are the tensors of a file.
type shapes map[string][]int

const (
	fc2Name = "base_model.model.model.decoder.layers.1.fc2"
	keyName = "base_model.model.model.decoder.layers.0.encoder_attn.k_proj"
)

// kindFiles have a file of each kind, with the names and shapes that PEFT gives them.
var kindFiles = map[string]struct {
	kind    flora.Kind
	config  string
	tensors shapes
}{
	"fLoRA": {flora.FLoRA, floraConfig, shapes{queryName + ".flora_A": {2, 48}, queryName + ".flora_B": {2, 48}}},
	"fLoRA with bias": {flora.FLoRA, floraConfig, shapes{
		queryName + ".flora_A": {2, 48}, queryName + ".flora_B": {2, 48}, queryName + ".flora_bias": {48},
	}},
	"HiRA": {
		flora.HiRA, `{"peft_type": "HIRA", "r": 2, "target_modules": ["q_proj"], "hira_dropout": 0.1, "init_weights": "gaussian"}`,
		shapes{queryName + ".hira_A": {2, 48}, queryName + ".hira_B": {48, 2}},
	},
	"LoRA":   {flora.LoRA, loraConfig, loraShapes},
	"rsLoRA": {flora.RSLoRA, with(loraConfig, `"use_rslora": true`), loraShapes},
	"LoRA with bias": {flora.LoRA, with(loraConfig, `"lora_bias": true`), shapes{
		queryName + ".lora_A.weight": {2, 48}, queryName + ".lora_B.weight": {48, 2}, queryName + ".lora_B.bias": {48},
	}},
	"DoRA": {flora.DoRA, with(loraConfig, `"use_dora": true`), shapes{
		queryName + ".lora_A.weight": {2, 48}, queryName + ".lora_B.weight": {48, 2}, queryName + ".lora_magnitude_vector": {48},
	}},
	"DoRA by the module's name": {flora.DoRA, with(loraConfig, `"use_dora": true, "use_rslora": true`), shapes{
		queryName + ".lora_A.weight": {2, 48}, queryName + ".lora_B.weight": {48, 2}, queryName + ".lora_magnitude_vector.weight": {48},
	}},
	"IA3": {
		flora.IA3, `{"peft_type": "IA3", "target_modules": ["k_proj", "fc2"], "feedforward_modules": ["fc2"], "init_ia3_weights": true}`,
		shapes{keyName + ".ia3_l": {48, 1}, fc2Name + ".ia3_l": {1, 192}},
	},
}

var loraShapes = shapes{queryName + ".lora_A.weight": {2, 48}, queryName + ".lora_B.weight": {48, 2}}

// with adds members to a configuration.
func with(config, more string) string { return strings.TrimSuffix(config, "}") + ", " + more + "}" }

// tensorsOf is a file of tensors of one value.
func tensorsOf(t testing.TB, value float32, s shapes) []byte {
	t.Helper()
	var vs []safetensors.Values
	for name, shape := range s {
		n := 1
		for _, d := range shape {
			n *= d
		}
		vs = append(vs, safetensors.Values{Name: name, Shape: shape, Data: slices.Repeat([]float32{value}, n)})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, vs, nil, safetensors.F32); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOpenReadsEachKind reads a file of each kind in both formats, writes it, and reads it again.
func TestOpenReadsEachKind(t *testing.T) {
	for name, c := range kindFiles {
		a, err := flora.OpenFS(dir(c.config, tensorsOf(t, 0.5, c.tensors)), name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.Kind != c.kind {
			t.Errorf("%s is a %s", name, a.Kind)
		}
		p, err := flora.OpenFS(fstest.MapFS{flora.ConfigFile: {Data: []byte(c.config)}, flora.PickleFile: {Data: pickled(t, 0.5, c.tensors)}}, name)
		if err != nil {
			t.Fatalf("%s as %s: %v", name, flora.PickleFile, err)
		}
		if p.Hash != a.Hash {
			t.Errorf("%s is another as %s", name, flora.PickleFile)
		}
		path := filepath.Join(t.TempDir(), "a")
		if err := a.Write(path, safetensors.F32); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := flora.Open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again.Hash != a.Hash {
			t.Errorf("%s is another after writing", name)
		}
	}
}

// pickled is the same as torch.save writes it.
func pickled(t *testing.T, value float32, s shapes) []byte {
	t.Helper()
	var p formattest.Pickle
	p.Op("\x80\x02}(")
	var tensors []formattest.Tensor
	for i, name := range slices.Sorted(maps.Keys(s)) {
		n := 1
		for _, d := range s[name] {
			n *= d
		}
		var data []byte
		for range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
		}
		one := formattest.Tensor{Name: name, Shape: s[name], DType: safetensors.F32, Data: data}
		p.Text(name).Tensor(fmt.Sprint(i), one)
		tensors = append(tensors, one)
	}
	var b bytes.Buffer
	if err := formattest.Archive(&b, p.Op("u.").Bytes(), tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestScalesOfPatterns holds the scales that PEFT gives: the first pattern of the file counts, for ranks and for α apart.
func TestScalesOfPatterns(t *testing.T) {
	at := func(layer, rank int, role string) shapes {
		name := fmt.Sprintf("base_model.model.model.encoder.layers.%d.%s", layer, role)
		nOut, nIn := 48, 48
		if role == "fc1" {
			nOut = 192
		}
		return shapes{name + ".lora_A.weight": {rank, nIn}, name + ".lora_B.weight": {nOut, rank}}
	}
	all := shapes{}
	for _, s := range []shapes{at(0, 3, "fc1"), at(1, 2, "fc1"), at(11, 2, "fc1"), at(1, 4, "self_attn.q_proj")} {
		maps.Copy(all, s)
	}
	for _, c := range []struct {
		more string
		want map[string]float64 // α over r or √r
	}{
		{``, map[string]float64{"0.fc1": 8. / 3, "1.fc1": 4, "11.fc1": 4, "1.self_attn.q_proj": 2}},
		{`, "use_rslora": true`, map[string]float64{"0.fc1": 8 / math.Sqrt(3), "1.fc1": 8 / math.Sqrt(2), "11.fc1": 8 / math.Sqrt(2), "1.self_attn.q_proj": 4}},
		{`, "alpha_pattern": {"layers.1.fc1": 16, "fc1": 6}`, map[string]float64{"0.fc1": 2, "1.fc1": 8, "11.fc1": 3, "1.self_attn.q_proj": 2}},
		{`, "alpha_pattern": {"fc1": 6, "layers.1.fc1": 16}`, map[string]float64{"0.fc1": 2, "1.fc1": 3, "11.fc1": 3, "1.self_attn.q_proj": 2}},
	} {
		config := `{"peft_type": "LORA", "r": 2, "lora_alpha": 8, "target_modules": "all-linear",
			"rank_pattern": {"^model\\.encoder\\.layers\\.0\\.fc1": 3, ".*q_proj": 4}` + c.more + `}`
		a, err := flora.OpenFS(dir(config, tensorsOf(t, 1, all)), "a")
		if err != nil {
			t.Fatal(err)
		}
		for module, want := range c.want {
			site, _ := whisper.ParseSite("model.encoder.layers." + module)
			if got := a.Sites[site].U.Data[0]; got != float32(want) {
				t.Errorf("%s with%s: scale %v, want %v", module, c.more, got, want)
			}
		}
	}
}

// TestTargets holds which modules a configuration targets, as PEFT has it.
func TestTargets(t *testing.T) {
	for _, c := range []struct {
		members string
		ok      bool
	}{
		{`"target_modules": ["q_proj"]`, true},
		{`"target_modules": ["self_attn.q_proj", "fc2"]`, true},
		{`"target_modules": ["model.encoder.layers.0.self_attn.q_proj"]`, true},
		{`"target_modules": ["proj"]`, false},
		{`"target_modules": "all-linear"`, true},
		{`"target_modules": "All-Linear"`, true},
		{`"target_modules": ".*\\.(q|v)_proj"`, true},
		{`"target_modules": "q_proj"`, false},
		{`"target_modules": ".*decoder.*"`, false},
		{`"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]`, false},
		{`"target_modules": "all-linear", "exclude_modules": ".*encoder.*"`, false},
		{`"target_modules": ["q_proj"], "exclude_modules": ["fc1"]`, true},
		{`"target_modules": ["q_proj"], "layers_to_transform": [0, 1]`, true},
		{`"target_modules": ["q_proj"], "layers_to_transform": 1`, false},
		{`"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"`, true},
		{`"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": ["h", "layers"]`, true},
		{`"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": ["h"]`, false},
		{`"target_modules": ["q_proj"], "layers_to_transform": [], "layers_pattern": null`, true},
	} {
		_, err := flora.OpenFS(dir(`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, `+c.members+`}`, tensorsOf(t, 1, loraShapes)), "a")
		if ok := err == nil; ok != c.ok || !ok && !errors.Is(err, flora.ErrInvalid) {
			t.Errorf("%s: %v", c.members, err)
		}
	}
}

// TestBareModuleNames reads an adapter of the encoder-decoder without its output layer.
func TestBareModuleNames(t *testing.T) {
	bare := shapes{}
	for name, shape := range loraShapes {
		bare[strings.Replace(name, "model.model.model.", "model.model.", 1)] = shape
	}
	config := strings.Replace(loraConfig, `["q_proj"]`, `["encoder.layers.0.self_attn.q_proj"]`, 1)
	a, err := flora.OpenFS(dir(config, tensorsOf(t, 1, bare)), "a")
	if err != nil {
		t.Fatal(err)
	}
	if a.Sites[whisper.Site{Stack: whisper.EncoderStack, Role: whisper.Query}] == nil {
		t.Errorf("sites %v", a.Sites)
	}
}

// TestIA3ScalesTheBias holds what PEFT does: l ∘ (W x + bias).
func TestIA3ScalesTheBias(t *testing.T) {
	b := backend(t)
	m := goldentest.Tiny(t, b, 5)
	config := `{"peft_type": "IA3", "target_modules": ["v_proj"], "feedforward_modules": []}`
	name := "base_model.model.model.encoder.layers.0.self_attn.v_proj"
	a, err := flora.OpenFS(dir(config, tensorsOf(t, 3, shapes{name + ".ia3_l": {48, 1}})), "a")
	if err != nil {
		t.Fatal(err)
	}
	batch, err := flora.NewBatch(m, b, a)
	if err != nil {
		t.Fatal(err)
	}
	l := &m.Encoder.Blocks[0].Attn.Value
	x := tensor.Zeros(1, 48)
	x.Data[7] = 1
	s := &whisper.Step{Ops: tensor.NewOps(b), Adapter: batch, AdapterOf: []int32{1}, Seg: tensor.NewSegments(1)}
	got := l.Forward(s, x)
	for i, y := range got.Data {
		if want := 3 * (l.Weight.Row(i)[7] + l.Bias.Data[i]); math.Abs(float64(y-want)) > 1e-5 {
			t.Errorf("output %d is %v, want %v", i, y, want)
		}
	}
}

func TestWriteCard(t *testing.T) {
	a, err := flora.OpenFS(dir(loraConfig, tensorsOf(t, 0.3, loraShapes)), "a")
	if err != nil {
		t.Fatal(err)
	}
	a.Card = "# Czech\n"
	path := t.TempDir()
	if err := a.Write(path, safetensors.F16); err != nil {
		t.Fatal(err)
	}
	read, err := flora.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile(filepath.Join(path, flora.CardFile))
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Czech\n\nHash of the content: `" + read.Hash + "`\n"; string(card) != want || read.Hash == a.Hash {
		t.Errorf("card %q, want %q; before rounding the hash was %s", card, want, a.Hash)
	}
}

// TestFingerprintOfPEFTKinds holds that the base model is known by its fingerprint in files that PEFT reads too.
func TestFingerprintOfPEFTKinds(t *testing.T) {
	for name, c := range kindFiles {
		a, err := flora.OpenFS(dir(c.config, tensorsOf(t, 0.5, c.tensors)), name)
		if err != nil {
			t.Fatal(err)
		}
		a.BaseHash = "0123"
		path := t.TempDir()
		if err := a.Write(path, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		read, err := flora.Open(path)
		if err != nil || read.BaseHash != "0123" {
			t.Errorf("%s: fingerprint %q, %v", name, read.BaseHash, err)
		}
		config, err := os.ReadFile(filepath.Join(path, flora.ConfigFile))
		if err != nil {
			t.Fatal(err)
		}
		if own := strings.Contains(string(config), "base_fingerprint"); own != (c.kind == flora.FLoRA) {
			t.Errorf("%s: its configuration has the fingerprint: %v", name, own)
		}
	}
}
