package hub

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	for name, want := range map[string]Ref{
		"tiny":                      {"openai/whisper-tiny", "main", ""},
		"turbo@v1.0":                {"openai/whisper-large-v3-turbo", "v1.0", ""},
		"large":                     {"openai/whisper-large-v3", "main", ""},
		"large-v1":                  {"openai/whisper-large", "main", ""},
		"distil-large-v3":           {"distil-whisper/distil-large-v3", "main", ""},
		"a/b":                       {"a/b", "main", ""},
		"a/b@refs/pr/1":             {"a/b", "refs/pr/1", ""},
		"a.x/b-c:ggml-tiny.en.bin":  {"a.x/b-c", "main", "ggml-tiny.en.bin"},
		"a/b@0123:models/ggml-x.pt": {"a/b", "0123", "models/ggml-x.pt"},
	} {
		if got, err := ParseRef(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{
		"", "nano", "a", "a/b/c", "/a/b", "../b", "a/..", "a/b..c", "a/b--c", "a--b/c", "a/b@", "a/b@../x", "a/b@/x", "a/b@x/",
		"a/b@a..b", "a/b:", "a/b:/etc/passwd", "a/b:../x", "a/b:x/../../y", "a/b:.", `a/b:x\y`, "a/b:x\x00", "a /b", "a/b c", "./a",
		"a/" + strings.Repeat("b", 200),
	} {
		if got, err := ParseRef(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %+v, %v, want ErrName", name, got, err)
		}
	}
}

// FuzzParseRef checks that what a reference makes of a path stays in the folder of the cache, and that its text names it.
func FuzzParseRef(f *testing.F) {
	for _, name := range []string{"tiny", "a/b", "a/b@refs/pr/1", "a/b@x:y/z.bin", "a/..:../x", "a/b:C:x", "a/b:nul"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, err := ParseRef(name)
		if err != nil {
			if !errors.Is(err, ErrName) {
				t.Fatalf("%v", err)
			}
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v is %q, which is %+v, %v", name, r, r, again, err)
		}
		paths := []string{folder(r.Repo), refs + "/" + r.Revision}
		if r.File != "" {
			paths = append(paths, r.File)
		}
		if strings.Contains(paths[0], "/") {
			t.Errorf("%q: folder %q", name, paths[0])
		}
		for _, p := range paths {
			if !fs.ValidPath(p) || !filepath.IsLocal(filepath.FromSlash(p)) {
				t.Errorf("%q: path %q", name, p)
			}
		}
	})
}

func TestChoose(t *testing.T) {
	texts := "config.json vocab.json merges.txt "
	for _, c := range []struct {
		name, files string
		kind        Kind
		want        string
	}{
		{"a model", "README.md " + texts + "pytorch_model.bin model.safetensors flax_model.msgpack tf_model.h5", Model,
			"config.json vocab.json merges.txt model.safetensors"},
		{"the other tokenizer", "config.json tokenizer.json model.safetensors generation_config.json", Model,
			"config.json generation_config.json tokenizer.json model.safetensors"},
		{"one precision", texts + "model.fp16.safetensors model.safetensors model.fp32-00001-of-00002.safetensors model.fp32-00002-of-00002.safetensors model.safetensors.index.fp32.json", Model,
			"config.json vocab.json merges.txt model.safetensors"},
		{"shards", texts + "model.safetensors.index.json model-00002-of-00002.safetensors model-00001-of-00002.safetensors", Model,
			"config.json vocab.json merges.txt model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors"},
		{"a shard too few", texts + "model.safetensors.index.json model-00001-of-00003.safetensors model-00003-of-00003.safetensors", "", ""},
		{"an index alone", texts + "model.safetensors.index.json", "", ""},
		{"shards beyond counting", texts + "model.safetensors.index.json model-00001-of-99999.safetensors", "", ""},
		{"no tokenizer", "config.json model.safetensors", "", ""},
		{"an adapter", "adapter_config.json adapter_model.safetensors tokenizer.json optimizer.pt", Adapter,
			"adapter_config.json adapter_model.safetensors"},
		{"both", texts + "model.safetensors adapter_config.json adapter_model.safetensors", Model,
			"config.json vocab.json merges.txt adapter_config.json adapter_model.safetensors model.safetensors"},
		{"hostile names", "../config.json /vocab.json ../../merges.txt x/model.safetensors config.json/..", "", ""},
		{"nothing", "", "", ""},
	} {
		kind, files := choose(strings.Fields(c.files))
		if got := strings.Join(files, " "); kind != c.kind || got != c.want {
			t.Errorf("%s: %s %q, want %s %q", c.name, kind, got, c.kind, c.want)
		}
	}
}
