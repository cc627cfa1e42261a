package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed assets
var assets embed.FS

// Options say what the pages show.
type Options struct {
	// About is what the page to speak into says of the server.
	About About

	// History is what the status page shows. It must be there.
	History *History
}

// About is what does not change while a server runs, and may be told to everybody.
type About struct {
	Model     string     `json:"model"`     // its name
	Version   string     `json:"version"`   // of the program
	Languages []Language `json:"languages"` // that the model writes, in the order to list them
	Key       bool       `json:"key"`       // requests need an API key
}

// Language is a language by its code and its English name.
type Language struct {
	Code string `json:"code"`
	Name string `json:"name"`
}

// listed returns a with languages that are a list in JSON, not null.
func (a About) listed() About {
	a.Languages = append([]Language{}, a.Languages...)
	return a
}

// contentTypes are those of the embedded files. The machine's own table is not asked: it may lack or change them.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// policy lets a page load from its own server alone, and run nothing that stands in the page itself. A websocket to the
// same server is 'self' too (Content Security Policy Level 3, section 6.7.2.8).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves GET and HEAD of /, /status, /status.json, /about.json and /assets/.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", file("index.html"))
	about := o.About.listed()
	mux.HandleFunc("GET /about.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, about) })
	mux.Handle("GET /status", file("status.html"))
	mux.Handle("GET /status.json", statusJSON(about, o.History))
	for _, name := range names() {
		if path.Ext(name) != ".html" {
			mux.Handle("GET /assets/"+name, file(name))
		}
	}
	return secured(mux)
}

// Patterns returns what Handler serves as patterns of [http.ServeMux], for a mux that serves other things beside it.
func Patterns() []string {
	return []string{"GET /{$}", "GET /about.json", "GET /assets/", "GET /status", "GET /status.json"}
}

// names lists the embedded files.
func names() []string {
	entries, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err))
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// file serves an embedded file. Its ETag is the hash of its content: a browser keeps it, and asks each time whether it
// is still the same, since the pages of one version must not meet the modules of another.
func file(name string) http.Handler {
	content, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err))
	}
	kind, ok := contentTypes[path.Ext(name)]
	if !ok {
		panic(fmt.Sprintf("web: no content type for %s", name))
	}
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	})
}

// secured sets the headers that keep a page to itself.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "microphone=(self), camera=(), geolocation=()")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// writeJSON answers with what changes from request to request.
func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil { // of our own structs: a number that JSON lacks
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b)
}
