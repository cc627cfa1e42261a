package httpapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

//go:embed openapi.json
var openapi []byte

// document returns openapi.json with the mounts that have a summary.
func document(mounts map[string]Mount) ([]byte, error) {
	var d map[string]any
	if err := json.Unmarshal(openapi, &d); err != nil {
		return nil, fmt.Errorf("httpapi: openapi.json: %w", err)
	}
	paths := d["paths"].(map[string]any)
	for pattern, m := range mounts {
		if m.Summary == "" {
			continue
		}
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodGet, pattern
		}
		operation := map[string]any{
			"summary":   m.Summary,
			"responses": map[string]any{"default": map[string]any{"description": m.Summary}},
		}
		if m.Public {
			operation["security"] = []any{}
		}
		path = strings.TrimSuffix(path, "{$}")
		item, _ := paths[path].(map[string]any)
		if item == nil {
			item = make(map[string]any)
		}
		item[strings.ToLower(method)] = operation
		paths[path] = item
	}
	return json.Marshal(d)
}

// showOpenAPI answers GET /openapi.json.
func (s *Server) showOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	return writeBody(w, http.StatusOK, "application/json", s.openapi)
}
