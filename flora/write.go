package flora

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// Write stores the adapter as a PEFT directory with factors in dtype, making dir where it does not
// exist. A LoRA adapter is stored with α = r, its scale being in U.
func (a *Adapter) Write(dir string, dtype safetensors.DType) error {
	if parts[a.Kind] == nil {
		return fmt.Errorf("%w: write an adapter of kind %s", ErrUnsupported, a.Kind)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	c := Config{PEFTType: strings.ToUpper(string(a.Kind)), Base: a.Base, BaseHash: a.BaseHash, Rank: a.Rank, InferMode: true}
	if a.Kind == LoRA {
		c.Alpha = float64(a.Rank)
	}
	var values []safetensors.Values
	for _, site := range a.sortedSites() {
		f, module := a.Sites[site], site.String()
		_, name, _ := strings.Cut(module, ".layers.")
		_, name, _ = strings.Cut(name, ".")
		if !slices.Contains(c.Targets.Names, name) {
			c.Targets.Names = append(c.Targets.Names, name)
		}
		for suffix, part := range parts[a.Kind] {
			m := map[string]tensor.Mat{"A": f.A, "B": f.B, "U": f.U, "V": f.V}[part]
			values = append(values, safetensors.Values{Name: prefix + module + suffix, Shape: []int{m.Rows, m.Cols}, Data: m.Data})
		}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	return writeTensors(filepath.Join(dir, TensorFile), values, dtype)
}

func writeTensors(path string, values []safetensors.Values, dtype safetensors.DType) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("flora: write: %w", closeErr)
		}
	}()
	if err := safetensors.Write(file, values, map[string]string{"format": "pt"}, dtype); err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	return nil
}
