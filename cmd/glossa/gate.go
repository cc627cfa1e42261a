package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"glossa/eval"
)

// gateFile is a file of limits, YAML or JSON. Rates are fractions.
type gateFile struct {
	Total     gateLimit            `yaml:"total"`
	Each      gateLimit            `yaml:"each"` // of languages that have none of their own
	Languages map[string]gateLimit `yaml:"languages"`
	Adapter   string               `yaml:"adapter"`
	Failed    int                  `yaml:"failed"`
	Baseline  string               `yaml:"baseline"` // a report of --json, from the folder of the file
}

// gateLimit bounds the rates of a language: by themselves, and by how much worse they may be than those of the baseline.
type gateLimit struct {
	WER      *float64 `yaml:"wer"`
	CER      *float64 `yaml:"cer"`
	WorseWER *float64 `yaml:"worse_wer"`
	WorseCER *float64 `yaml:"worse_cer"`
}

// readGate reads a file of limits, and the report that relative ones refer to, nil where it names none.
func readGate(path string) (gate eval.Gate, earlier *eval.Report, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return gate, nil, err
	}
	var file gateFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		var wrong *yaml.TypeError // whose text is of Go's types
		if errors.As(err, &wrong) && wrong.Token != nil {
			return gate, nil, fmt.Errorf("%s:%d: %q is of another kind than what belongs there; limits are fractions such as 0.12", path, wrong.Token.Position.Line, wrong.Token.Value)
		}
		return gate, nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, false))
	}
	gate = eval.Gate{Total: eval.Limit(file.Total), Each: eval.Limit(file.Each), Langs: make(map[string]eval.Limit), Adapter: file.Adapter, Failed: file.Failed}
	for lang, limit := range file.Languages {
		gate.Langs[lang] = eval.Limit(limit)
	}
	if err := gate.Validate(); err != nil {
		return gate, nil, fmt.Errorf("%s: %w", path, err)
	}
	if file.Baseline == "" {
		return gate, nil, nil
	}
	baseline := filepath.FromSlash(file.Baseline)
	if !filepath.IsAbs(baseline) {
		baseline = filepath.Join(filepath.Dir(path), baseline)
	}
	earlier, err = readReport(baseline)
	return gate, earlier, err
}

// readReport reads what eval --json or score --json has printed.
func readReport(path string) (*eval.Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r eval.Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: it is no report of --json: %w", path, err)
	}
	if len(r.Rows) == 0 {
		return nil, fmt.Errorf("%s: it is no report of --json: it has no rows", path)
	}
	return &r, nil
}
