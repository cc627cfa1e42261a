package flora_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"glossa/flora"
)

// rejected is a directory that must be refused, with a word of the message.
type rejected struct {
	fsys fs.FS
	want error
	word string
}

func checkRejected(t *testing.T, cases map[string]rejected) {
	t.Helper()
	for name, c := range cases {
		_, err := flora.OpenFS(c.fsys, "a")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.word) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line of %v with %q", name, err, c.want, c.word)
		}
	}
}

func TestOpenRejectsConfigurations(t *testing.T) {
	lora, ia3 := tensorsOf(t, 1, loraShapes), tensorsOf(t, 1, kindFiles["IA3"].tensors)
	cases := map[string]rejected{
		"not JSON":          {dir("{", lora), flora.ErrInvalid, flora.ConfigFile},
		"unknown kind":      {dir(strings.Replace(loraConfig, "LORA", "VERA", 1), lora), flora.ErrUnsupported, "VERA"},
		"no kind":           {dir(`{"r": 2, "target_modules": ["q_proj"]}`, lora), flora.ErrUnsupported, "peft_type"},
		"rank zero":         {dir(strings.Replace(loraConfig, `"r": 2`, `"r": 0`, 1), lora), flora.ErrInvalid, "r is 0"},
		"rank of text":      {dir(strings.Replace(loraConfig, `"r": 2`, `"r": "2"`, 1), lora), flora.ErrInvalid, flora.ConfigFile},
		"no alpha":          {dir(strings.Replace(loraConfig, `"lora_alpha": 4`, `"lora_alpha": 0`, 1), lora), flora.ErrInvalid, "lora_alpha"},
		"no targets":        {dir(strings.Replace(loraConfig, `["q_proj"]`, `null`, 1), lora), flora.ErrInvalid, "target_modules"},
		"huge":              {dir(loraConfig+strings.Repeat(" ", 2<<20), lora), flora.ErrInvalid, "bytes"},
		"lookahead":         {dir(strings.Replace(loraConfig, `["q_proj"]`, `".*(?!fc)q_proj"`, 1), lora), flora.ErrUnsupported, "target_modules"},
		"no feed-forward":   {dir(`{"peft_type": "IA3", "target_modules": ["k_proj", "fc2"]}`, ia3), flora.ErrInvalid, "feedforward_modules"},
		"no module to save": {dir(strings.Replace(loraConfig, "null", `["proj_out"]`, 1), lora), flora.ErrUnsupported, "modules_to_save"},
	}
	for member, want := range map[string]error{
		`"bias": "all"`:                                      flora.ErrUnsupported,
		`"bias": "lora_only"`:                                flora.ErrUnsupported,
		`"use_dora": true, "lora_bias": true`:                flora.ErrInvalid,
		`"layer_replication": [[0,1]]`:                       flora.ErrUnsupported,
		`"trainable_token_indices": [1]`:                     flora.ErrUnsupported,
		`"target_parameters": ["fc1.weight"]`:                flora.ErrUnsupported,
		`"alora_invocation_tokens": [1]`:                     flora.ErrUnsupported,
		`"use_qalora": true`:                                 flora.ErrUnsupported,
		`"arrow_config": {"top_k": 1}`:                       flora.ErrUnsupported,
		`"kasa_config": {"beta": 1}`:                         flora.ErrUnsupported,
		`"init_lora_weights": "pissa"`:                       flora.ErrUnsupported,
		`"init_lora_weights": "pissa_niter_16"`:              flora.ErrUnsupported,
		`"init_lora_weights": "olora"`:                       flora.ErrUnsupported,
		`"init_lora_weights": "loftq"`:                       flora.ErrUnsupported,
		`"a_member_of_the_future": 1`:                        flora.ErrUnsupported,
		`"rank_pattern": {"(": 2}`:                           flora.ErrUnsupported,
		`"rank_pattern": {"q_proj": 0}`:                      flora.ErrInvalid,
		`"rank_pattern": {"q_proj": 3}`:                      flora.ErrInvalid,
		`"alpha_pattern": {"q_proj": 0}`:                     flora.ErrInvalid,
		`"lora_alpha": 1e300`:                                flora.ErrInvalid,
		`"lora_alpha": 1e-300`:                               flora.ErrInvalid,
		`"target_modules": ".*", "layers_to_transform": [0]`: flora.ErrInvalid,
		`"layers_pattern": ["layers"]`:                       flora.ErrInvalid,
	} {
		word, _, _ := strings.Cut(strings.TrimPrefix(member, `"`), `"`)
		if word == "rank_pattern" || word == "alpha_pattern" || word == "lora_alpha" || word == "target_modules" {
			word = "" // the message has what comes of it
		}
		cases[member] = rejected{dir(with(loraConfig, member), lora), want, strings.TrimPrefix(word, "use_dora")}
	}
	checkRejected(t, cases)
}

// TestOpenIgnoresWhatChangesNothing reads configurations of several versions of PEFT.
func TestOpenIgnoresWhatChangesNothing(t *testing.T) {
	for _, members := range []string{
		`"bias": "none", "enable_lora": null, "fan_in_fan_out": true, "inference_mode": false, "merge_weights": true, "task_type": "SEQ_2_SEQ_LM"`,
		`"auto_mapping": {"base_model_class": "WhisperForConditionalGeneration", "parent_library": "transformers.models.whisper.modeling_whisper"}, "revision": "main"`,
		`"init_lora_weights": "gaussian", "loftq_config": {}, "megatron_config": null, "megatron_core": "megatron.core"`,
		`"eva_config": {"rho": 2.0}, "init_lora_weights": "EVA", "corda_config": null, "peft_version": "0.18.0", "qalora_group_size": 16, "use_qalora": false`,
		`"init_lora_weights": null, "trainable_token_indices": null, "layer_replication": [], "exclude_modules": null, "a_member_of_the_future": {}`,
	} {
		if _, err := flora.OpenFS(dir(with(loraConfig, members), tensorsOf(t, 1, loraShapes)), "a"); err != nil {
			t.Errorf("%s: %v", members, err)
		}
	}
}

func TestOpenRejectsTensors(t *testing.T) {
	pair := tensorsOf(t, 1, kindFiles["fLoRA"].tensors)
	changed := func(kind string, change func(s shapes)) fs.FS {
		s := maps.Clone(kindFiles[kind].tensors)
		change(s)
		return dir(kindFiles[kind].config, tensorsOf(t, 1, s))
	}
	nan, inf := tensorsOf(t, 1, loraShapes), tensorsOf(t, 1, loraShapes)
	copy(nan[len(nan)-4:], []byte{0, 0, 0xc0, 0x7f})
	copy(inf[len(inf)-4:], []byte{0, 0, 0x80, 0x7f})
	checkRejected(t, map[string]rejected{
		"no files":               {fstest.MapFS{}, flora.ErrInvalid, flora.ConfigFile},
		"no file of tensors":     {fstest.MapFS{flora.ConfigFile: {Data: []byte(floraConfig)}}, flora.ErrInvalid, flora.TensorFile},
		"a folder of tensors":    {fstest.MapFS{flora.ConfigFile: {Data: []byte(floraConfig)}, flora.TensorFile + "/x": {}}, flora.ErrInvalid, "regular"},
		"empty":                  {dir(floraConfig, nil), flora.ErrInvalid, flora.TensorFile},
		"no tensors":             {dir(floraConfig, tensorsOf(t, 1, nil)), flora.ErrInvalid, "no tensors"},
		"no pickle":              {fstest.MapFS{flora.ConfigFile: {Data: []byte(loraConfig)}, flora.PickleFile: {Data: []byte("pickle")}}, flora.ErrInvalid, flora.PickleFile},
		"truncated":              {dir(floraConfig, pair[:len(pair)-8]), flora.ErrInvalid, flora.TensorFile},
		"NaN":                    {dir(loraConfig, nan), flora.ErrInvalid, "lora_"},
		"infinite":               {dir(loraConfig, inf), flora.ErrInvalid, "lora_"},
		"tensor of another kind": {dir(floraConfig, tensorsOf(t, 1, loraShapes)), flora.ErrUnsupported, "lora_A"},
		"of an adapter's name":   {changed("LoRA", func(s shapes) { s[queryName+".lora_A.default.weight"] = []int{2, 48} }), flora.ErrUnsupported, "default"},
		"saved module":           {changed("LoRA", func(s shapes) { s["base_model.model.proj_out.weight"] = []int{9, 48} }), flora.ErrUnsupported, "proj_out"},
		"base layer":             {changed("LoRA", func(s shapes) { s[queryName+".base_layer.weight"] = []int{48, 48} }), flora.ErrUnsupported, "base_layer"},
		"unknown module":         {changed("LoRA", func(s shapes) { s["base_model.model.model.encoder.conv1.lora_A.weight"] = []int{2, 48} }), flora.ErrUnsupported, "conv1"},
		"embedding":              {changed("LoRA", func(s shapes) { s["base_model.model.model.decoder.embed_tokens.lora_embedding_A"] = []int{2, 48} }), flora.ErrUnsupported, "embed"},
		"one factor":             {changed("LoRA", func(s shapes) { delete(s, queryName+".lora_A.weight") }), flora.ErrInvalid, "no tensor lora_A.weight"},
		"no magnitude":           {changed("DoRA", func(s shapes) { delete(s, queryName+".lora_magnitude_vector") }), flora.ErrInvalid, "lora_magnitude_vector"},
		"magnitude without DoRA": {changed("LoRA", func(s shapes) { s[queryName+".lora_magnitude_vector"] = []int{48} }), flora.ErrUnsupported, "magnitude"},
		"two magnitudes":         {changed("DoRA", func(s shapes) { s[queryName+".lora_magnitude_vector.weight"] = []int{48} }), flora.ErrInvalid, "the same"},
		"magnitude of others":    {changed("DoRA", func(s shapes) { s[queryName+".lora_magnitude_vector"] = []int{47} }), flora.ErrInvalid, "outputs"},
		"magnitude of two rows":  {changed("DoRA", func(s shapes) { s[queryName+".lora_magnitude_vector"] = []int{1, 48} }), flora.ErrInvalid, "dimensions"},
		"bias without lora_bias": {changed("LoRA", func(s shapes) { s[queryName+".lora_B.bias"] = []int{48} }), flora.ErrInvalid, "lora_bias"},
		"no bias with lora_bias": {changed("LoRA with bias", func(s shapes) { delete(s, queryName+".lora_B.bias") }), flora.ErrInvalid, "lora_B.bias"},
		"twice under two names":  {changed("LoRA", func(s shapes) { s[strings.TrimPrefix(queryName, "base_model.model.")+".lora_A.weight"] = []int{2, 48} }), flora.ErrInvalid, "the same"},
		"twice, once bare": {changed("LoRA", func(s shapes) {
			s["base_model.model.encoder.layers.0.self_attn.q_proj.lora_A.weight"] = []int{2, 48}
		}), flora.ErrInvalid, "the same"},
		"other rank":            {dir(strings.Replace(loraConfig, `"r": 2`, `"r": 3`, 1), tensorsOf(t, 1, loraShapes)), flora.ErrInvalid, "rank 2"},
		"two ranks":             {changed("HiRA", func(s shapes) { s[queryName+".hira_B"] = []int{48, 3} }), flora.ErrInvalid, "ranks"},
		"convolution":           {changed("LoRA", func(s shapes) { s[queryName+".lora_A.weight"] = []int{2, 48, 1} }), flora.ErrInvalid, "dimensions"},
		"empty factor":          {changed("LoRA", func(s shapes) { s[queryName+".lora_A.weight"] = []int{0, 48} }), flora.ErrInvalid, "shape"},
		"IA3 of outputs":        {changed("IA3", func(s shapes) { s[fc2Name+".ia3_l"] = []int{48, 1} }), flora.ErrInvalid, "feedforward_modules"},
		"IA3 of inputs":         {changed("IA3", func(s shapes) { s[keyName+".ia3_l"] = []int{1, 48} }), flora.ErrInvalid, "feedforward_modules"},
		"not targeted":          {dir(strings.Replace(loraConfig, "q_proj", "v_proj", 1), tensorsOf(t, 1, loraShapes)), flora.ErrInvalid, "target_modules"},
		"scaled out of numbers": {dir(strings.Replace(loraConfig, `"lora_alpha": 4`, `"lora_alpha": 1e38`, 1), tensorsOf(t, 1e3, loraShapes)), flora.ErrInvalid, "finite"},
	})
}

func TestOpenRejectsHugeFiles(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, flora.ConfigFile), []byte(loraConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(path, flora.TensorFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(5<<30), f.Close()); err != nil { // a hole
		t.Fatal(err)
	}
	if _, err := flora.Open(path); !errors.Is(err, flora.ErrInvalid) || !strings.Contains(err.Error(), "5368709120 bytes") {
		t.Errorf("a file of 5 GiB: %v", err)
	}
}
