package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"glossa/whisper/hub/hubtest"
)

const (
	commit      = "0123456789abcdef0123456789abcdef01234567"
	otherCommit = "89abcdef0123456789abcdef0123456789abcdef"
)

// weights are bytes that are nowhere alike.
func weights(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256(fmt.Append(nil, i))
		b.Write(sum[:])
	}
	return b.Bytes()[:n]
}

func modelRepo() *hubtest.Repo {
	return &hubtest.Repo{Commit: commit, Files: map[string][]byte{
		"README.md": []byte("# A model"), "config.json": []byte(`{"model_type": "whisper"}`), "vocab.json": []byte("{}"),
		"merges.txt": {}, "model.safetensors": weights(3 << 20), "pytorch_model.bin": weights(2000),
	}}
}

// modelFiles are those of modelRepo that make the model.
var modelFiles = []string{"config.json", "merges.txt", "model.safetensors", "vocab.json"}

// rig is a hub, a client and what the client waited.
type rig struct {
	*hubtest.Hub
	*Client
	waited []time.Duration
}

// newRig serves repo as a/b to a client with a cache of its own.
func newRig(t *testing.T, repo *hubtest.Repo, token string) *rig {
	t.Helper()
	r := &rig{Hub: hubtest.New(map[string]*hubtest.Repo{"a/b": repo})}
	t.Cleanup(r.Hub.Close)
	r.Client = r.newClient(t, token, Cache{filepath.Join(t.TempDir(), "cache", "hub")})
	return r
}

func (r *rig) newClient(t *testing.T, token string, cache Cache) *Client {
	t.Helper()
	c, err := NewClient(r.URL, token, cache)
	if err != nil {
		t.Fatal(err)
	}
	c.sleep = func(ctx context.Context, d time.Duration) error {
		r.waited = append(r.waited, d)
		return ctx.Err()
	}
	return c
}

func (r *rig) pull(ctx context.Context, t *testing.T, name string) (Item, error) {
	t.Helper()
	ref, err := ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	return r.Pull(ctx, ref, func(Progress) {})
}

// mustPull pulls a/b and checks it.
func (r *rig) mustPull(t *testing.T, repo *hubtest.Repo) Item {
	t.Helper()
	item, err := r.pull(t.Context(), t, "a/b")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range modelFiles {
		got, err := os.ReadFile(filepath.Join(item.Path, name))
		if err != nil || !bytes.Equal(got, repo.Files[name]) {
			t.Fatalf("%s: %v, %d bytes, want %d", name, err, len(got), len(repo.Files[name]))
		}
	}
	return item
}

// blobPath is where the blob of large content is, or will be.
func (r *rig) blobPath(content []byte) string {
	return filepath.Join(r.cache.dir("a/b"), blobs, fmt.Sprintf("%x", sha256.Sum256(content)))
}

// ranges are the ranges that were asked of the host of large files.
func (r *rig) ranges() (ranges []string) {
	for _, q := range r.Requests() {
		if q.Elsewhere {
			ranges = append(ranges, q.Range)
		}
	}
	return ranges
}

// large makes a fault of the first n answers of the host of large files; n < 0 for all.
func large(n int, answer func(w http.ResponseWriter, r *http.Request) bool) func(http.ResponseWriter, *http.Request, hubtest.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, q hubtest.Request) bool {
		if !q.Elsewhere {
			return false
		}
		mu.Lock()
		fault := n != 0
		n--
		mu.Unlock()
		return fault && answer(w, r)
	}
}

// status makes a fault of the first n answers with a status.
func status(n, code int, header ...string) func(http.ResponseWriter, *http.Request, hubtest.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ hubtest.Request) bool {
		if n == 0 {
			return false
		}
		n--
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		return true
	}
}
