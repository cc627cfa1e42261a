package httpapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/flora"
)

// model is a model or an adapter, in the shape of OpenAI's list with vLLM's root and parent.
type model struct {
	ID      string  `json:"id"`
	Object  string  `json:"object"`
	Created int64   `json:"created"` // when the server began
	OwnedBy string  `json:"owned_by"`
	Root    string  `json:"root"`
	Parent  *string `json:"parent"` // of an adapter, the model

	Adapter *flora.AdapterInfo `json:"adapter,omitempty"`
}

// models returns the model and the adapters that a client may have.
func (s *Server) models(client string) []model {
	base := s.options.Models[0]
	list := []model{{ID: base, Object: "model", Created: s.created.Unix(), OwnedBy: "glossa", Root: base}}
	for _, a := range s.engine.Adapters() {
		if !a.Retired && s.engine.Allows(client, a.Name) {
			list = append(list, model{ID: a.Name, Object: "model", Created: s.created.Unix(), OwnedBy: "glossa", Root: a.Name, Parent: &base, Adapter: &a})
		}
	}
	return list
}

// listModels answers GET /v1/models.
func (s *Server) listModels(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": s.models(asr.ClientOf(r.Context()))})
}

// showModel answers GET /v1/models/{id}.
func (s *Server) showModel(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	list := s.models(asr.ClientOf(r.Context()))
	if s.isModel(id) {
		list[0].ID = id
		return writeJSON(w, http.StatusOK, list[0])
	}
	for _, m := range list[1:] {
		if m.ID == id {
			return writeJSON(w, http.StatusOK, m)
		}
	}
	return noModel(id)
}

// Admin says whether clients may load and unload adapters.
type Admin struct {
	// Enabled lets them. The default value is false.
	Enabled bool

	// Dirs are the folders in which adapters to be loaded have to be, none of which a symbolic link may lead out of.
	Dirs []string

	// Clients are the names of those who may. The default value is nil: all who have a key.
	Clients []string
}

// mayAdminister reports why a request may not load or unload adapters.
func (s *Server) mayAdminister(r *http.Request) error {
	refuse := func(code, message string) error {
		return &apiError{status: http.StatusForbidden, code: code, message: message}
	}
	a := s.options.Admin
	if !a.Enabled {
		return refuse("admin_disabled", "adapters cannot be loaded or unloaded here: the server's configuration has to turn it on, and name the folders that adapters may be in")
	}
	if a.Clients != nil && !slices.Contains(a.Clients, asr.ClientOf(r.Context())) {
		return refuse("not_admin", "this client may not load or unload adapters")
	}
	return nil
}

// loadAdapter answers POST /v1/load_lora_adapter, as vLLM does.
func (s *Server) loadAdapter(w http.ResponseWriter, r *http.Request) error {
	if err := s.mayAdminister(r); err != nil {
		return err
	}
	var q struct {
		Name    string `json:"lora_name"`
		Path    string `json:"lora_path"`
		InPlace bool   `json:"load_inplace"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	switch {
	case q.Name == "":
		return invalid("lora_name", "the name of the adapter is missing")
	case q.Path == "":
		return invalid("lora_path", "the folder of the adapter is missing")
	case s.isModel(q.Name):
		return invalid("lora_name", "%q is the name of the model: requests for it would never get the adapter", params.Clip(q.Name))
	}
	if _, err := s.engine.Adapter(q.Name); err == nil && !q.InPlace {
		return invalid("lora_name", "the adapter %q is there already; load_inplace replaces it", params.Clip(q.Name))
	}
	dir, err := s.confined(q.Path)
	if err != nil {
		return err
	}
	info, err := s.engine.LoadAdapterDir(q.Name, dir)
	if err != nil {
		return err
	}
	s.options.Logger.InfoContext(r.Context(), "adapter loaded", "request_id", RequestID(r.Context()), "client", asr.ClientOf(r.Context()), "adapter", info.Name, "hash", info.Hash, "dir", dir)
	return writeBody(w, http.StatusOK, "text/plain; charset=utf-8", fmt.Appendf(nil, "Success: LoRA adapter '%s' added successfully.\n", q.Name))
}

// unloadAdapter answers POST /v1/unload_lora_adapter, as vLLM does.
func (s *Server) unloadAdapter(w http.ResponseWriter, r *http.Request) error {
	if err := s.mayAdminister(r); err != nil {
		return err
	}
	var q struct {
		Name string `json:"lora_name"`
		ID   any    `json:"lora_int_id"` // vLLM's number of it, which nothing here has
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	if q.Name == "" {
		return invalid("lora_name", "the name of the adapter is missing")
	}
	if err := s.engine.UnloadAdapter(q.Name); err != nil {
		return err
	}
	s.options.Logger.InfoContext(r.Context(), "adapter unloaded", "request_id", RequestID(r.Context()), "client", asr.ClientOf(r.Context()), "adapter", q.Name)
	return writeBody(w, http.StatusOK, "text/plain; charset=utf-8", fmt.Appendf(nil, "Success: LoRA adapter '%s' removed successfully.\n", q.Name))
}

// confined returns a folder without symbolic links, which has to be in one of Admin.Dirs. A relative path is one in any of them. What is
// not in them is refused, be it there or not.
func (s *Server) confined(path string) (string, error) {
	outside := &apiError{status: http.StatusForbidden, param: "lora_path", code: "path_not_allowed", message: "the folder is in none of those that adapters may be in"}
	missing := false
	for _, dir := range s.dirs {
		p := path
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		if !within(dir, filepath.Clean(p)) {
			continue
		}
		real, err := filepath.EvalSymlinks(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = true
		case err == nil && within(dir, real):
			return real, nil
		}
	}
	if missing {
		return "", invalid("lora_path", "there is no such folder")
	}
	return "", outside
}

// within reports whether a path is one in dir.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
