package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// publicEndpoint is the hub itself.
const publicEndpoint = "https://huggingface.co"

// DefaultCache is the cache that the environment names: HF_HUB_CACHE, or else the folder hub in HF_HOME, which is
// ~/.cache/huggingface unless it is set, on every system.
func DefaultCache() (Cache, error) {
	if dir := firstEnv("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"); dir != "" {
		dir, err := expandHome(dir)
		return Cache{dir}, err
	}
	home, err := homeDir()
	return Cache{filepath.Join(home, "hub")}, err
}

// DefaultClient is a client of the hub HF_ENDPOINT, or the public one, into the default cache. Its token is HF_TOKEN or, for
// the public hub alone, the one that "hf auth login" has stored. The error ErrOffline is that HF_HUB_OFFLINE forbids it.
func DefaultClient() (*Client, error) {
	if v := strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")); slices.Contains([]string{"1", "ON", "YES", "TRUE"}, v) {
		return nil, fmt.Errorf("%w: HF_HUB_OFFLINE is set", ErrOffline)
	}
	cache, err := DefaultCache()
	if err != nil {
		return nil, err
	}
	endpoint := firstEnv("HF_ENDPOINT")
	if endpoint == "" {
		endpoint = publicEndpoint
	}
	token := firstEnv("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
	if token == "" && endpoint == publicEndpoint {
		if token, err = storedToken(); err != nil {
			return nil, err
		}
	}
	return NewClient(endpoint, token, cache)
}

// storedToken reads the token of "hf auth login", "" where there is none.
func storedToken() (string, error) {
	path := firstEnv("HF_TOKEN_PATH")
	if path == "" {
		home, err := homeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, "token")
	}
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("hub: stored token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// homeDir is the folder of all that belongs to Hugging Face.
func homeDir() (string, error) {
	if dir := firstEnv("HF_HOME"); dir != "" {
		return expandHome(dir)
	}
	if dir := firstEnv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	return expandHome(filepath.Join("~", ".cache", "huggingface"))
}

// expandHome replaces a leading ~, which no shell has done where the environment comes from elsewhere.
func expandHome(dir string) (string, error) {
	rest, ok := strings.CutPrefix(filepath.ToSlash(dir), "~/")
	if !ok {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hub: cache: %w", err)
	}
	return filepath.Join(home, rest), nil
}

// firstEnv is the first of these environment variables that is not empty.
func firstEnv(names ...string) string {
	for _, name := range names {
		if v := strings.TrimSpace(os.Getenv(name)); v != "" {
			return v
		}
	}
	return ""
}
