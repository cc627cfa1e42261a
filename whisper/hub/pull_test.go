package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/whisper/hub/hubtest"
)

func TestPullBringsWhatAModelNeeds(t *testing.T) {
	repo := modelRepo()
	r := newRig(t, repo, "")
	var seen []Progress
	item, err := r.Pull(t.Context(), Ref{"a/b", "main", ""}, func(p Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range modelFiles {
		size += int64(len(repo.Files[name]))
	}
	want := Item{Ref{"a/b", "main", ""}, commit, Model, filepath.Join(r.cache.Dir, "models--a--b", "snapshots", commit), size}
	if item != want {
		t.Errorf("%+v, want %+v", item, want)
	}
	if last := seen[len(seen)-1]; last != (Progress{"model.safetensors", size, size}) {
		t.Errorf("the last progress is %+v, want all of %d", last, size)
	}
	if !slices.IsSortedFunc(seen, func(a, b Progress) int { return int(a.Done - b.Done) }) {
		t.Errorf("progress goes back: %v", seen)
	}
	entries, err := os.ReadDir(item.Path)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Name() != modelFiles[i] {
			t.Errorf("%s is in the snapshot, want %s", e.Name(), modelFiles)
		}
		target, err := os.Readlink(filepath.Join(item.Path, e.Name()))
		if err != nil || !strings.HasPrefix(target, "../../blobs/") {
			t.Errorf("%s links to %q, %v", e.Name(), target, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(r.cache.Dir, "models--a--b", "refs", "main")); string(text) != commit {
		t.Errorf("refs/main is %q, %v", text, err)
	}
	r.Requests()
	r.mustPull(t, repo)
	if again := r.ranges(); len(again) > 0 {
		t.Errorf("pulled again, %d requests for what is there", len(again))
	}
}

func TestPullOfAnAdapterAndOfAFile(t *testing.T) {
	repo := &hubtest.Repo{Commit: commit, Revisions: []string{"main", "refs/pr/1"}, Files: map[string][]byte{
		"adapter_config.json": []byte("{}"), "adapter_model.safetensors": weights(5000), "x/ggml-tiny.bin": weights(4000),
	}}
	r := newRig(t, repo, "")
	item, err := r.pull(t.Context(), t, "a/b@refs/pr/1")
	if err != nil || item.Kind != Adapter || item.Size != 5002 {
		t.Errorf("%+v, %v", item, err)
	}
	item, err = r.pull(t.Context(), t, "a/b:x/ggml-tiny.bin")
	if err != nil || item.Kind != File || item.Size != 4000 {
		t.Errorf("%+v, %v", item, err)
	}
	if got, err := os.ReadFile(item.Path); err != nil || !bytes.Equal(got, weights(4000)) {
		t.Errorf("%s: %v, %d bytes", item.Path, err, len(got))
	}
	if _, err := r.pull(t.Context(), t, "a/b@"+commit); err != nil {
		t.Error(err)
	}
	items, err := r.cache.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range items {
		names = append(names, i.Ref.String())
	}
	want := []string{"a/b", "a/b:x/ggml-tiny.bin", "a/b@refs/pr/1", "a/b@refs/pr/1:x/ggml-tiny.bin"}
	if !slices.Equal(names, want) {
		t.Errorf("the cache has %q, want %q", names, want)
	}
}

func TestTheTokenGoesToTheHubAlone(t *testing.T) {
	repo := modelRepo()
	repo.Token = "hf_secret"
	r := newRig(t, repo, "hf_secret")
	r.mustPull(t, repo)
	elsewhere := 0
	for _, q := range r.Requests() {
		if q.Elsewhere {
			elsewhere++
			if q.Authorization != "" {
				t.Errorf("%s %s elsewhere had the token", q.Method, q.Path)
			}
		} else if q.Authorization != "Bearer hf_secret" {
			t.Errorf("%s %s had %q", q.Method, q.Path, q.Authorization)
		}
	}
	if elsewhere == 0 {
		t.Error("no request went to the other host")
	}
}

func TestWhatIsRefused(t *testing.T) {
	private, gated, pickled := modelRepo(), modelRepo(), modelRepo()
	private.Token, gated.Gated = "hf_other", true
	delete(pickled.Files, "model.safetensors")
	single := &hubtest.Repo{Commit: commit, Files: map[string][]byte{"ggml-tiny.bin": weights(10), "ggml-base.bin": weights(10)}}
	for _, c := range []struct {
		repo        *hubtest.Repo
		name, token string
		want        error
		text        string
	}{
		{modelRepo(), "a/c", "", ErrDenied, "needs HF_TOKEN (401"},
		{private, "a/b", "", ErrDenied, "needs HF_TOKEN (401"},
		{private, "a/b", "hf_mine", ErrDenied, "the token is not valid"},
		{gated, "a/b", "hf_mine", ErrDenied, "accept its conditions"},
		{modelRepo(), "a/b@v9", "", ErrNotFound, "no such revision (404"},
		{modelRepo(), "a/b:ggml-tiny.bin", "", ErrNotFound, "no such file"},
		{pickled, "a/b", "", ErrFiles, "pickles"},
		{single, "a/b", "", ErrFiles, "a/b:FILE takes one of ggml-base.bin ggml-tiny.bin"},
	} {
		r := newRig(t, c.repo, c.token)
		_, err := r.pull(t.Context(), t, c.name)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %v, want %v, %q", c.name, err, c.want, c.text)
		}
		if len(r.waited) > 0 {
			t.Errorf("%s: tried again", c.name)
		}
		if strings.Contains(fmt.Sprint(err), "hf_") {
			t.Errorf("%s: the error tells a token: %v", c.name, err)
		}
	}
}

func TestTriesAgain(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  func(http.ResponseWriter, *http.Request, hubtest.Request) bool
		waited []time.Duration
	}{
		{"busy, in seconds", status(1, http.StatusTooManyRequests, "Retry-After", "42"), []time.Duration{42 * time.Second}},
		{"busy, by its limits", status(1, http.StatusTooManyRequests, "RateLimit", `"api";r=0;t=55`), []time.Duration{55 * time.Second}},
		{"broken", status(3, http.StatusBadGateway), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
	} {
		repo := modelRepo()
		r := newRig(t, repo, "")
		r.Fault = c.fault
		r.mustPull(t, repo)
		if !slices.Equal(r.waited, c.waited) {
			t.Errorf("%s: waited %v, want %v", c.name, r.waited, c.waited)
		}
	}
}

func TestTriesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request, hubtest.Request) bool
		waits int
	}{
		{"unavailable", status(-1, http.StatusServiceUnavailable), maxTries - 1},
		{"a long wait", status(-1, http.StatusTooManyRequests, "Retry-After", "86400"), 0},
		{"never satisfied with a range", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}), maxTries - 1},
		{"ignores ranges and cuts", large(-1, func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(3<<20))
			w.Write(weights(2 << 20))
			panic(http.ErrAbortHandler)
		}), maxTries - 1},
	} {
		r := newRig(t, modelRepo(), "")
		r.Fault = c.fault
		_, err := r.pull(t.Context(), t, "a/b")
		// One more where the first connection brought so little that the second got further.
		if err == nil || len(r.waited) < c.waits || len(r.waited) > c.waits+1 {
			t.Errorf("%s: waited %v, want %d times, and %v", c.name, r.waited, c.waits, err)
		}
		if strings.Contains(fmt.Sprint(err), "signature") {
			t.Errorf("%s: the error tells the signed URL: %v", c.name, err)
		}
	}
}

func TestACutConnectionIsResumed(t *testing.T) {
	repo := modelRepo()
	r := newRig(t, repo, "")
	content := repo.Files["model.safetensors"]
	r.Fault = large(1, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:1<<20])
		panic(http.ErrAbortHandler)
	})
	r.mustPull(t, repo)
	ranges := r.ranges()
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("asked for %q, want all and then the rest", ranges)
	}
}

func TestAConnectionThatStallsIsResumed(t *testing.T) {
	repo := modelRepo()
	r := newRig(t, repo, "")
	r.stall = 100 * time.Millisecond
	content := repo.Files["model.safetensors"]
	r.Fault = large(1, func(w http.ResponseWriter, q *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:1<<20])
		<-q.Context().Done()
		return true
	})
	r.mustPull(t, repo)
	if ranges := r.ranges(); len(ranges) < 2 || len(r.waited) == 0 {
		t.Errorf("asked for %q, waited %v", ranges, r.waited)
	}
}

func TestAnInterruptedPullIsResumed(t *testing.T) {
	repo := modelRepo()
	r := newRig(t, repo, "")
	content := repo.Files["model.safetensors"]
	r.Fault = large(1, func(w http.ResponseWriter, q *http.Request) bool { // the rest does not come before the interrupt
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:2<<20])
		<-q.Context().Done()
		return true
	})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Pull(ctx, Ref{"a/b", "main", ""}, func(p Progress) {
		if p.File == "model.safetensors" && p.Done > 1<<20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want context.Canceled", err)
	}
	if _, err := r.cache.Find(Ref{"a/b", "main", ""}); !errors.Is(err, ErrNotPulled) {
		t.Errorf("half a model is found: %v", err)
	}
	info, err := os.Stat(r.blobPath(repo.Files["model.safetensors"]) + incomplete)
	if err != nil || info.Size() < 1<<20 {
		t.Fatalf("no partial file: %v", err)
	}
	r.Requests()
	r.mustPull(t, repo)
	if ranges, want := r.ranges(), fmt.Sprintf("bytes=%d-", info.Size()); !slices.Equal(ranges, []string{want}) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
}

// TestAPartialFileIsNotTrusted checks that the beginning of a file that is of another, whole or too long is repaired, and so is
// a blob that the disk has spoiled.
func TestAPartialFileIsNotTrusted(t *testing.T) {
	repo := modelRepo()
	content := repo.Files["model.safetensors"]
	for _, c := range []struct {
		name, suffix string
		there        []byte
		ranges       []string
	}{
		{"another's", incomplete, make([]byte, 1000), []string{"bytes=1000-", ""}},
		{"whole", incomplete, content, nil},
		{"another's, whole", incomplete, make([]byte, len(content)), []string{""}},
		{"too long", incomplete, append(slices.Clone(content), 0), []string{""}},
		{"spoiled", "", make([]byte, len(content)), []string{""}},
		{"cut", "", content[:10], []string{""}},
	} {
		r := newRig(t, repo, "")
		s, err := r.cache.open("a/b")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Close(), os.WriteFile(r.blobPath(content)+c.suffix, c.there, 0o666)); err != nil {
			t.Fatal(err)
		}
		r.mustPull(t, repo)
		if ranges := r.ranges(); !slices.Equal(ranges, c.ranges) {
			t.Errorf("%s: asked for %q, want %q", c.name, ranges, c.ranges)
		}
	}
}

func TestAServerWithoutRanges(t *testing.T) {
	repo := modelRepo()
	content := repo.Files["model.safetensors"]
	r := newRig(t, repo, "")
	r.Fault = large(-1, func(_ http.ResponseWriter, q *http.Request) bool {
		q.Header.Del("Range")
		return false
	})
	s, err := r.cache.open("a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), os.WriteFile(r.blobPath(content)+incomplete, content[:1000], 0o666)); err != nil {
		t.Fatal(err)
	}
	r.mustPull(t, repo)
}

func TestTwoPullsAtOnce(t *testing.T) {
	repo := modelRepo()
	r := newRig(t, repo, "")
	var wait sync.WaitGroup
	for range 3 {
		c := r.newClient(t, "", r.cache)
		wait.Go(func() {
			if _, err := c.Pull(t.Context(), Ref{"a/b", "main", ""}, func(Progress) {}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if ranges := r.ranges(); len(ranges) != 1 {
		t.Errorf("the weights were downloaded %d times", len(ranges))
	}
	r.mustPull(t, repo)
}
