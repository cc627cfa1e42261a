package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"glossa/whisper/hub/hubtest"
)

// TestALyingServer checks that a server that does not keep its word is an error, and that nothing of what it sent is taken.
func TestALyingServer(t *testing.T) {
	content := modelRepo().Files["model.safetensors"]
	listing := func(text string) func(http.ResponseWriter, *http.Request, hubtest.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request, q hubtest.Request) bool {
			if !strings.HasPrefix(q.Path, "/api/models/") {
				return false
			}
			io.WriteString(w, text)
			return true
		}
	}
	head := func(header ...string) func(http.ResponseWriter, *http.Request, hubtest.Request) bool {
		f := status(-1, http.StatusOK, header...)
		return func(w http.ResponseWriter, r *http.Request, q hubtest.Request) bool {
			return q.Method == http.MethodHead && f(w, r, q)
		}
	}
	const sum = `"0123456789abcdef0123456789abcdef01234567"`
	for _, c := range []struct {
		name  string
		fault func(http.ResponseWriter, *http.Request, hubtest.Request) bool
		want  error
		text  string
	}{
		{"another content", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Write(make([]byte, len(content)))
			return true
		}), ErrChecksum, "model.safetensors"},
		{"a page", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "<html>Log in first</html>")
			return true
		}), ErrServer, "25 bytes of 3145728"},
		{"too much", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)+1))
			w.Write(make([]byte, len(content)+1))
			return true
		}), ErrServer, "3145729 bytes"},
		{"endless", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return true
				}
			}
		}), ErrChecksum, "model.safetensors"},
		{"a range not asked for", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes 7-3145727/3145728")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(content[7:])
			return true
		}), ErrServer, "came from 7"},
		{"a range that is none", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Range", "bytes -1-3/99999999999999999999")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}), ErrServer, "Content-Range"},
		{"a refusal elsewhere", large(-1, func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}), ErrServer, "403 Forbidden from 127.0.0.1"},
		{"redirects for ever", func(w http.ResponseWriter, r *http.Request, q hubtest.Request) bool {
			http.Redirect(w, r, q.Path+"x", http.StatusFound)
			return true
		}, ErrServer, "more than 5 redirects"},
		{"a redirect to a file", func(w http.ResponseWriter, r *http.Request, q hubtest.Request) bool {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
			return true
		}, ErrServer, "file://"},
		{"a commit that is a path", listing(`{"sha": "../../../x", "siblings": []}`), ErrServer, "the commit is"},
		{"files that are paths", listing(`{"sha": "` + commit + `", "siblings": [{"rfilename": "../../config.json"}, {"rfilename": "/etc/model.safetensors"}, {"rfilename": "ggml-\u0000.bin"}]}`), ErrFiles, "lacks"},
		{"no list", listing(`[1`), ErrServer, "list of files"},
		{"an endless list", listing(`{"sha": "` + strings.Repeat("x", maxListingBytes) + `"}`), ErrServer, "more than"},
		{"no hash", head("Content-Length", "5", "ETag", `"../../../x"`), ErrServer, "no hash"},
		{"no size", head("ETag", sum, "X-Linked-Size", "-5"), ErrServer, "the size is -5"},
		{"a size beyond measure", head("ETag", sum, "X-Linked-Size", "9999999999999999999999"), ErrServer, "the size is"},
		{"another commit", head("ETag", sum, "Content-Length", "5", "X-Repo-Commit", otherCommit), ErrServer, "it is of commit"},
	} {
		r := newRig(t, modelRepo(), "")
		r.Fault = c.fault
		_, err := r.pull(t.Context(), t, "a/b")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %.300v, want %v, %q", c.name, err, c.want, c.text)
		}
		if _, err := r.cache.Find(Ref{"a/b", "main", ""}); !errors.Is(err, ErrNotPulled) {
			t.Errorf("%s: something is in the cache: %v", c.name, err)
		}
		if _, err := os.Stat(r.blobPath(content)); err == nil {
			t.Errorf("%s: the blob was taken", c.name)
		}
	}
}

// TestLinksOutOfTheCacheAreNotFollowed checks that nothing is written through one.
func TestLinksOutOfTheCacheAreNotFollowed(t *testing.T) {
	for _, link := range []string{snapshots, refs, filepath.Join(snapshots, commit)} {
		repo := modelRepo()
		r := newRig(t, repo, "")
		outside := t.TempDir()
		path := filepath.Join(r.cache.dir("a/b"), link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.Symlink(outside, path)); err != nil {
			t.Skipf("SKIP: symbolic links, absent: %v", err)
		}
		if _, err := r.pull(t.Context(), t, "a/b"); err == nil || !strings.Contains(err.Error(), "hub: cache "+r.cache.Dir) {
			t.Errorf("%s: %v, want an error of the cache", link, err)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v was written outside, %v", link, entries, err)
		}
	}
}

func TestAnErrorOfTheDiskNamesTheCache(t *testing.T) {
	r := newRig(t, modelRepo(), "")
	if err := errors.Join(os.MkdirAll(filepath.Dir(r.cache.Dir), 0o777), os.WriteFile(r.cache.Dir, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pull(t.Context(), t, "a/b"); err == nil || !strings.Contains(err.Error(), "hub: cache "+r.cache.Dir) {
		t.Errorf("%v, want the cache's path", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		key, value string
		want       time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat), 0},
		{"Retry-After", "-7", 0},
		{"Retry-After", "99999999999999999999", 0},
		{"Retry-After", "soon", 0},
		{"RateLimit", `"resolvers";r=0;t=55`, 55 * time.Second},
		{"RateLimit", `"resolvers"`, 0},
		{"Nothing", "", 0},
	} {
		if got := retryAfter(http.Header{http.CanonicalHeaderKey(c.key): {c.value}}, now); got != c.want {
			t.Errorf("%s: %s: %v, want %v", c.key, c.value, got, c.want)
		}
	}
}

// roundTrip is a server in a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzServer checks that whatever a server answers, a pull ends, writes nowhere but in its cache, and takes only what has its
// hash.
func FuzzServer(f *testing.F) {
	list := `{"sha": "` + commit + `", "siblings": [{"rfilename": "adapter_config.json"}, {"rfilename": "adapter_model.safetensors"}]}`
	const empty = `"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"`
	f.Add(list, empty, "0", "", uint16(200), "", "")
	f.Add(list, `W/"8baef1b4abc478178b004d62031cf7fe6db6f903"`, "3", "", uint16(200), "abc", "https://x/y")
	f.Add(list, empty, "5", "bytes 2-4/5", uint16(206), "abc", "")
	f.Add(`{"sha": "`+commit+`", "siblings": [{"rfilename": "../x"}]}`, "", "", "", uint16(416), "", "/x")
	f.Add(`{"sha": null, "siblings": {}}`, "", "-1", "", uint16(302), "", "")
	f.Fuzz(func(t *testing.T, list, tag, size, contentRange string, status uint16, body, location string) {
		dir := t.TempDir()
		c, err := NewClient("http://hub.test", "", Cache{filepath.Join(dir, "hub")})
		if err != nil {
			t.Fatal(err)
		}
		c.sleep = func(context.Context, time.Duration) error { return nil }
		c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Request: r}
			text := list
			if !strings.HasPrefix(r.URL.Path, "/api/") {
				text = body
				if n, err := strconv.ParseInt(size, 10, 64); err == nil && r.Method == http.MethodHead {
					resp.ContentLength = n
				} else {
					resp.StatusCode = int(status)
				}
				for key, value := range map[string]string{"ETag": tag, "Content-Range": contentRange, "Location": location} {
					resp.Header.Set(key, value)
				}
			}
			resp.Status = fmt.Sprint(resp.StatusCode)
			resp.Body = io.NopCloser(strings.NewReader(text))
			return resp, nil
		})
		item, err := c.Pull(t.Context(), Ref{"a/b", "main", ""}, func(Progress) {})
		if entries, _ := os.ReadDir(dir); len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "hub" {
			t.Errorf("%v is beside the cache", entries)
		}
		if err != nil {
			return
		}
		text, err := os.ReadFile(filepath.Join(item.Path, "adapter_model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		h := remote{hash: strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), size: int64(len(text))}
		sum := h.hasher()
		if sum.Write(text); !bytes.Equal(fmt.Appendf(nil, "%x", sum.Sum(nil)), []byte(h.hash)) {
			t.Errorf("%q was taken for %s", text, h.hash)
		}
	})
}
