package web_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"glossa/asr/web"
)

// files are the embedded ones.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	dir := os.DirFS("assets")
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(dir, name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func handler() http.Handler {
	return web.Handler(web.Options{About: fakeAbout, History: web.NewHistory(fakeSource{})})
}

func get(h http.Handler, method, address string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// address is where a file is served.
func address(name string) string {
	switch name {
	case "index.html":
		return "/"
	case "status.html":
		return "/status"
	}
	return "/assets/" + name
}

func TestEveryEmbeddedFileIsServed(t *testing.T) {
	kinds := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
		".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}
	h := handler()
	etags := make(map[string]string)
	for name, content := range files(t) {
		w := get(h, "GET", address(name))
		if w.Code != 200 || w.Body.String() != content {
			t.Errorf("%s: status %d, %d bytes of %d", name, w.Code, w.Body.Len(), len(content))
		}
		if got, want := w.Header().Get("Content-Type"), kinds[path.Ext(name)]; got != want {
			t.Errorf("%s: content type %q, want %q", name, got, want)
		}
		if w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: Cache-Control %q", name, w.Header().Get("Cache-Control"))
		}
		etag := w.Header().Get("ETag")
		if other, ok := etags[etag]; ok || etag == "" {
			t.Errorf("%s: ETag %s, which %s has too", name, etag, other)
		}
		etags[etag] = name
		if w := get(h, "GET", address(name), "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s: status %d where it is known, with %d bytes", name, w.Code, w.Body.Len())
		}
		if w := get(h, "HEAD", address(name)); w.Code != 200 || w.Body.Len() > 0 {
			t.Errorf("%s: HEAD has status %d and %d bytes", name, w.Code, w.Body.Len())
		}
	}
}

func TestEveryAnswerIsSecured(t *testing.T) {
	h := handler()
	for _, address := range []string{"/", "/status", "/status.json", "/about.json", "/assets/speak.js", "/assets/absent.js", "/assets/", "/absent"} {
		got := get(h, "GET", address).Header()
		csp := got.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
			t.Errorf("%s: policy %q", address, csp)
		}
		if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", address, got)
		}
	}
	if w := get(h, "POST", "/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
	if w := get(h, "GET", "/assets/../handler.go"); w.Code == 200 {
		t.Error("a file that is not embedded is served")
	}
}

var (
	htmlLink  = regexp.MustCompile(`(?:href|src)="([^"]*)"`)
	jsImport  = regexp.MustCompile(`(?:from '|new URL\(')([^']+)'`)
	external  = regexp.MustCompile(`(?i)(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]`)
	namespace = strings.NewReplacer(`xmlns="http://www.w3.org/2000/svg"`, "", `'http://www.w3.org/2000/svg'`, "")
)

func TestLinksResolveToEmbeddedFiles(t *testing.T) {
	h := handler()
	all := files(t)
	served := func(from, to string) {
		if w := get(h, "GET", to); w.Code != 200 {
			t.Errorf("%s links to %s, whose status is %d", from, to, w.Code)
		}
	}
	for name, content := range all {
		switch path.Ext(name) {
		case ".html":
			for _, m := range htmlLink.FindAllStringSubmatch(content, -1) {
				if id, ok := strings.CutPrefix(m[1], "#"); ok {
					if !strings.Contains(content, `id="`+id+`"`) {
						t.Errorf("%s links to #%s, which it lacks", name, id)
					}
					continue
				}
				served(name, path.Join("/", m[1]))
			}
		case ".js":
			for _, m := range jsImport.FindAllStringSubmatch(content, -1) {
				served(name, path.Join("/assets", m[1]))
			}
		}
	}
}

func TestNoFileNamesAnotherServer(t *testing.T) {
	for name, content := range files(t) {
		for line := range strings.Lines(namespace.Replace(content)) {
			if external.MatchString(line) || strings.Contains(line, "@import") || strings.Contains(line, "url(") && path.Ext(name) == ".css" {
				t.Errorf("%s: %s", name, strings.TrimSpace(line))
			}
		}
	}
}

func TestNothingInThePagesIsInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?:[^>]*)>[^<]|javascript:`)
	for name, content := range files(t) {
		if path.Ext(name) == ".html" && inline.MatchString(content) {
			t.Errorf("%s: %s, which the policy forbids", name, inline.FindString(content))
		}
	}
}

// void elements have no end tag.
var void = []string{"meta", "link", "input", "br", "hr", "img"}

// TestPagesAreValid holds the pages to what a reader of XML can see: elements nest, ids are there once, labels and
// descriptions name what exists, and controls have names.
func TestPagesAreValid(t *testing.T) {
	for name, content := range files(t) {
		if path.Ext(name) != ".html" {
			continue
		}
		d := xml.NewDecoder(strings.NewReader(content))
		d.Strict, d.AutoClose, d.Entity = false, void, xml.HTMLEntity
		ids, labelled := map[string]bool{}, map[string]bool{}
		var elements []xml.StartElement
		var open []string
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			switch e := token.(type) {
			case xml.StartElement:
				open = append(open, e.Name.Local)
				elements = append(elements, e.Copy())
				if id := attribute(e, "id"); id != "" {
					if ids[id] {
						t.Errorf("%s: id %s is there twice", name, id)
					}
					ids[id] = true
				}
				labelled[attribute(e, "for")] = true
			case xml.EndElement:
				if len(open) == 0 || open[len(open)-1] != e.Name.Local {
					t.Fatalf("%s: </%s> ends %v", name, e.Name.Local, open)
				}
				open = open[:len(open)-1]
			}
		}
		if len(open) > 0 {
			t.Errorf("%s: %v do not end", name, open)
		}
		for _, e := range elements {
			for _, a := range []string{"aria-labelledby", "aria-describedby", "for"} {
				for _, id := range strings.Fields(attribute(e, a)) {
					if !ids[id] {
						t.Errorf("%s: %s of %s names %s, which is not there", name, a, e.Name.Local, id)
					}
				}
			}
			if slices.Contains([]string{"input", "select", "textarea"}, e.Name.Local) && !labelled[attribute(e, "id")] && attribute(e, "aria-label") == "" {
				t.Errorf("%s: %s %s has no label", name, e.Name.Local, attribute(e, "id"))
			}
			if e.Name.Local == "button" && attribute(e, "type") == "" {
				t.Errorf("%s: button %s has no type", name, attribute(e, "id"))
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// TestIDsThatModulesUseExist looks for $('id') of the modules of each page in that page.
func TestIDsThatModulesUseExist(t *testing.T) {
	all := files(t)
	use := regexp.MustCompile(`\$\('([\w-]+)'\)`)
	imports := regexp.MustCompile(`from '\./([\w.]+)'`)
	for page, first := range map[string]string{"index.html": "speak.js", "status.html": "status.js"} {
		seen := map[string]bool{}
		var visit func(string)
		visit = func(module string) {
			if seen[module] {
				return
			}
			seen[module] = true
			for _, m := range use.FindAllStringSubmatch(all[module], -1) {
				if !strings.Contains(all[page], `id="`+m[1]+`"`) {
					t.Errorf("%s uses #%s, which %s lacks", module, m[1], page)
				}
			}
			for _, m := range imports.FindAllStringSubmatch(all[module], -1) {
				visit(m[1])
			}
		}
		visit(first)
		if len(seen) < 3 {
			t.Errorf("%s: modules %v", page, seen)
		}
	}
}

func TestAboutTellsOfTheServer(t *testing.T) {
	w := get(handler(), "GET", "/about.json")
	var got web.About
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Model != "nano" || len(got.Languages) != 10 || got.Languages[9].Name != "Marathi" || !got.Key {
		t.Errorf("about: %+v", got)
	}
	if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", w.Header())
	}
	bare := web.Handler(web.Options{History: web.NewHistory(fakeSource{})})
	if w := get(bare, "GET", "/about.json"); !strings.Contains(w.Body.String(), `"languages":[]`) {
		t.Errorf("no languages: %s", w.Body)
	}
}

func TestPatternsAreAllThatIsServed(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, p := range web.Patterns() {
		mux.Handle(p, handler())
	}
	for _, address := range []string{"/", "/status", "/status.json", "/about.json", "/assets/theme.js"} {
		if w := get(mux, "GET", address); w.Code != 200 {
			t.Errorf("%s: status %d", address, w.Code)
		}
	}
	if w := get(mux, "GET", "/v1/models"); w.Code != http.StatusTeapot {
		t.Errorf("/v1/models: status %d", w.Code)
	}
}
