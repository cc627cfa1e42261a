// Package hubtest serves repositories by the routes of the Hugging Face hub, for tests.
//
// As there, a HEAD or GET of /ORGANISATION/NAME/resolve/COMMIT/FILE leads by a redirect to another path where the file is
// small, and to another host where it is large, whose own entity tags say nothing and which refuses an Authorization header.
package hubtest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Large is the size in bytes from which a file is on the other host.
const Large = 1000

// Repo is a repository that a Hub serves.
type Repo struct {
	Commit    string            // the only one
	Revisions []string          // branches and tags; none for main alone
	Files     map[string][]byte // by their paths
	Token     string            // without which it seems not to exist; "" for none
	Gated     bool              // refused to all
}

// Request is what a Hub was asked.
type Request struct {
	Elsewhere     bool // on the host of large files
	Method, Path  string
	Range         string
	Authorization string
}

// Hub serves repositories.
type Hub struct {
	URL string

	// Fault is called before each answer unless it is nil, and answers itself where it returns true.
	Fault func(w http.ResponseWriter, r *http.Request, q Request) bool

	repos          map[string]*Repo
	hub, elsewhere *httptest.Server
	mu             sync.Mutex
	requests       []Request
}

// New starts a hub of repositories by their names, until Close.
func New(repos map[string]*Repo) *Hub {
	h := &Hub{repos: repos}
	files, api := http.NewServeMux(), http.NewServeMux() // apart, as one's patterns match paths of the other
	files.HandleFunc("GET /{org}/{name}/resolve/{commit}/{file...}", h.resolve)
	api.HandleFunc("GET /api/models/{org}/{name}/revision/{revision}", h.list)
	api.HandleFunc("GET /api/resolve-cache/models/{org}/{name}/{commit}/{file...}", h.small)
	h.hub = httptest.NewServer(h.watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			api.ServeHTTP(w, r)
		} else {
			files.ServeHTTP(w, r)
		}
	}), false))
	h.elsewhere = httptest.NewServer(h.watch(http.HandlerFunc(h.large), true))
	h.URL = h.hub.URL
	return h
}

// Close stops the hub.
func (h *Hub) Close() {
	h.hub.CloseClientConnections()
	h.hub.Close()
	h.elsewhere.CloseClientConnections()
	h.elsewhere.Close()
}

// Requests are those since the last call.
func (h *Hub) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.requests
	h.requests = nil
	return requests
}

// watch notes the requests and calls Fault.
func (h *Hub) watch(next http.Handler, elsewhere bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := Request{elsewhere, r.Method, r.URL.Path, r.Header.Get("Range"), r.Header.Get("Authorization")}
		h.mu.Lock()
		h.requests = append(h.requests, q)
		h.mu.Unlock()
		if h.Fault == nil || !h.Fault(w, r, q) {
			next.ServeHTTP(w, r)
		}
	})
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Error-Code", code)
	w.WriteHeader(status)
}

// repo is the repository of a request, nil where it was refused.
func (h *Hub) repo(w http.ResponseWriter, r *http.Request) *Repo {
	repo := h.repos[r.PathValue("org")+"/"+r.PathValue("name")]
	switch {
	case repo == nil, repo.Token != "" && r.Header.Get("Authorization") != "Bearer "+repo.Token:
		fail(w, http.StatusUnauthorized, "RepoNotFound")
		return nil
	case repo.Gated:
		fail(w, http.StatusForbidden, "GatedRepo")
		return nil
	}
	return repo
}

func (h *Hub) list(w http.ResponseWriter, r *http.Request) {
	repo := h.repo(w, r)
	if repo == nil {
		return
	}
	revisions := repo.Revisions
	if len(revisions) == 0 {
		revisions = []string{"main"}
	}
	if at := r.PathValue("revision"); at != repo.Commit && !slices.Contains(revisions, at) {
		fail(w, http.StatusNotFound, "RevisionNotFound")
		return
	}
	type sibling struct {
		Name string `json:"rfilename"`
	}
	answer := struct {
		SHA      string    `json:"sha"`
		Siblings []sibling `json:"siblings"`
	}{SHA: repo.Commit}
	for _, name := range slices.Sorted(maps.Keys(repo.Files)) {
		answer.Siblings = append(answer.Siblings, sibling{name})
	}
	json.NewEncoder(w).Encode(answer) // to a client that may have gone
}

// file is the content that a request is for, ok is false where it was refused.
func (h *Hub) file(w http.ResponseWriter, r *http.Request) (content []byte, ok bool) {
	repo := h.repo(w, r)
	if repo == nil {
		return nil, false
	}
	if content, ok = repo.Files[r.PathValue("file")]; !ok || r.PathValue("commit") != repo.Commit {
		fail(w, http.StatusNotFound, "EntryNotFound")
		return nil, false
	}
	w.Header().Set("X-Repo-Commit", repo.Commit)
	return content, true
}

func (h *Hub) resolve(w http.ResponseWriter, r *http.Request) {
	content, ok := h.file(w, r)
	if !ok {
		return
	}
	if len(content) < Large {
		to := strings.Replace(r.URL.EscapedPath(), "/resolve/", "/", 1)
		w.Header().Set("Location", "/api/resolve-cache/models"+to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	w.Header().Set("X-Linked-Etag", `"`+sum+`"`)
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
	w.Header().Set("ETag", `"0123"`)
	w.Header().Set("Location", h.elsewhere.URL+"/"+sum+"?signature=secret")
	w.WriteHeader(http.StatusFound)
}

// small serves a file with the hash of its git blob for an entity tag.
func (h *Hub) small(w http.ResponseWriter, r *http.Request) {
	if content, ok := h.file(w, r); ok {
		sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sum))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

// large serves a file by its hash.
func (h *Hub) large(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		fail(w, http.StatusBadRequest, "")
		return
	}
	for _, repo := range h.repos {
		for _, content := range repo.Files {
			if r.URL.Path == fmt.Sprintf("/%x", sha256.Sum256(content)) {
				w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256([]byte(r.URL.Path))))
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
				return
			}
		}
	}
	fail(w, http.StatusNotFound, "")
}
