package hub

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// write makes the files of a cache, links where the text begins with "->".
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if target, ok := cutLink(text); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Skipf("SKIP: symbolic links, absent: %v", err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func cutLink(text string) (string, bool) {
	if len(text) < 2 || text[:2] != "->" {
		return "", false
	}
	return text[2:], true
}

// TestACacheOfHuggingfaceHub checks what is found in a cache as huggingface_hub leaves it: with links, with copies where the
// system has no links, and with repositories of which some files are missing.
func TestACacheOfHuggingfaceHub(t *testing.T) {
	c := Cache{t.TempDir()}
	at := "/snapshots/" + commit + "/"
	write(t, c.Dir, map[string]string{
		"version.txt":              "1",
		"datasets--a--b/refs/main": commit,

		"models--o--linked/refs/main":                                 commit,
		"models--o--linked/blobs/1":                                   "{}",
		"models--o--linked/blobs/2":                                   "four",
		"models--o--linked" + at + "config.json":                      "->../../blobs/1",
		"models--o--linked" + at + "tokenizer.json":                   "->../../blobs/1",
		"models--o--linked" + at + "model.safetensors":                "->../../blobs/2",
		"models--o--linked/refs/v1":                                   commit + "\n",
		"models--o--linked/.no_exist/" + commit + "/x":                "",
		"models--o--linked/snapshots/.new/config.json":                "",
		"models--o--linked/snapshots/" + otherCommit + "/config.json": "{}",

		"models--o--copied" + at + "adapter_config.json":       "{}",
		"models--o--copied" + at + "adapter_model.safetensors": "four",

		"models--o--no-tokenizer/refs/main":                  commit,
		"models--o--no-tokenizer" + at + "config.json":       "{}",
		"models--o--no-tokenizer" + at + "model.safetensors": "four",

		"models--o--dangling/refs/main":                  commit,
		"models--o--dangling" + at + "config.json":       "{}",
		"models--o--dangling" + at + "tokenizer.json":    "{}",
		"models--o--dangling" + at + "model.safetensors": "->../../blobs/2",

		"models--o--broken/refs/main": "../../../etc",
		"models--gpt2/refs/main":      commit,
	})
	items, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	path := func(repo string) string { return filepath.Join(c.Dir, "models--o--"+repo, "snapshots", commit) }
	want := []Item{
		{Ref{"o/copied", commit, ""}, commit, Adapter, path("copied"), 6},
		{Ref{"o/linked", "main", ""}, commit, Model, path("linked"), 8},
		{Ref{"o/linked", "v1", ""}, commit, Model, path("linked"), 8},
	}
	if !slices.Equal(items, want) {
		t.Errorf("%+v\nwant %+v", items, want)
	}
	for _, i := range items {
		if found, err := c.Find(i.Ref); err != nil || found != i {
			t.Errorf("%s: %+v, %v", i.Ref, found, err)
		}
	}
	for _, r := range []Ref{
		{"o/none", "main", ""}, {"o/linked", "v2", ""}, {"o/linked", otherCommit, ""}, {"o/linked", "main", "ggml-tiny.bin"},
		{"o/no-tokenizer", "main", ""}, {"o/dangling", "main", ""}, {"o/broken", "main", ""}, {"o/copied", "main", ""},
	} {
		if found, err := c.Find(r); !errors.Is(err, ErrNotPulled) {
			t.Errorf("%s: %+v, %v, want ErrNotPulled", r, found, err)
		}
	}
	if _, err := c.Find(Ref{"../o", "main", ""}); !errors.Is(err, ErrName) {
		t.Errorf("%v, want ErrName", err)
	}
	if none, err := (Cache{filepath.Join(c.Dir, "none")}).List(); err != nil || len(none) > 0 {
		t.Errorf("no cache: %v, %v", none, err)
	}
}

func TestEnvironment(t *testing.T) {
	names := []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_ENDPOINT", "HF_TOKEN",
		"HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"}
	home := t.TempDir()
	write(t, home, map[string]string{"hf/token": "hf_stored\n"})
	for _, c := range []struct {
		name                   string
		set                    map[string]string
		cache, endpoint, token string
		err                    error
	}{
		{"nothing", nil, filepath.Join(home, ".cache/huggingface/hub"), publicEndpoint, "", nil},
		{"XDG", map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", publicEndpoint, "", nil},
		{"home", map[string]string{"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/x"}, filepath.Join(home, "hf/hub"), publicEndpoint, "hf_stored", nil},
		{"cache", map[string]string{"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}, "/c", publicEndpoint, "", nil},
		{"token", map[string]string{"HF_TOKEN": "hf_mine", "HF_HOME": "~/hf"}, filepath.Join(home, "hf/hub"), publicEndpoint, "hf_mine", nil},
		{"a mirror does not get the stored token", map[string]string{"HF_HOME": "~/hf", "HF_ENDPOINT": "https://mirror.test/hf/"},
			filepath.Join(home, "hf/hub"), "https://mirror.test/hf", "", nil},
		{"a mirror gets HF_TOKEN", map[string]string{"HF_HUB_CACHE": "/c", "HF_TOKEN": "hf_mine", "HF_ENDPOINT": "https://mirror.test"}, "/c", "https://mirror.test", "hf_mine", nil},
		{"offline", map[string]string{"HF_HUB_OFFLINE": "1"}, "", "", "", ErrOffline},
		{"no URL", map[string]string{"HF_ENDPOINT": "mirror.test"}, "", "", "", ErrServer},
		{"a token of two lines", map[string]string{"HF_TOKEN": "a\nb"}, "", "", "", ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range names {
				t.Setenv(name, c.set[name])
			}
			t.Setenv("HOME", home)
			client, err := DefaultClient()
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if err == nil && (client.cache.Dir != filepath.FromSlash(c.cache) || client.endpoint.String() != c.endpoint || client.token != c.token) {
				t.Errorf("cache %s, endpoint %s, token %q", client.cache.Dir, client.endpoint, client.token)
			}
		})
	}
}
