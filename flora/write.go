package flora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// metaBaseHash is where the file of tensors has the base model's fingerprint if the configuration is PEFT's own:
// before 0.14 PEFT did not open one with members that it does not know.
const metaBaseHash = "base_fingerprint"

// Write stores the adapter as a PEFT directory with factors in dtype (F32, F16 or BF16), making dir where it does not
// exist. A LoRA adapter is stored with a scale of 1, its own being in U. The card, where there is one, is stored with
// the hash of what was written, which is not that of the adapter where dtype rounds it.
//
// Each file is complete before it takes its name, the configuration last. The errors are [ErrUnsupported] where the
// kind's files cannot hold the factors, safetensors.ErrNotFinite and those of the files.
func (a *Adapter) Write(dir string, dtype safetensors.DType) error {
	c, values, err := a.format()
	if err != nil {
		return fmt.Errorf("flora: write %s: %w", dir, err)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("flora: write %s: %w", dir, err)
	}
	metadata := map[string]string{"format": "pt"}
	if c.BaseHash == "" && a.BaseHash != "" {
		metadata[metaBaseHash] = a.BaseHash
	}
	var tensors bytes.Buffer
	if err := safetensors.Write(&tensors, values, metadata, dtype); err != nil {
		return fmt.Errorf("flora: write %s: %w", dir, err)
	}
	files := []file{{TensorFile, tensors.Bytes()}, {ConfigFile, append(text, '\n')}}
	if a.Card != "" {
		written, err := readBack(text, tensors.Bytes())
		if err != nil {
			return fmt.Errorf("flora: write %s: %w", dir, err)
		}
		card := strings.TrimRight(a.Card, "\n") + "\n\nHash of the content: `" + written.Hash + "`\n"
		files = append([]file{{CardFile, []byte(card)}}, files...)
	}
	return writeFiles(dir, files)
}

// readBack returns the adapter of a configuration and tensors in memory.
func readBack(config, tensors []byte) (*Adapter, error) {
	c, err := parseConfig(config)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.New(bytes.NewReader(tensors), int64(len(tensors)))
	if err != nil {
		return nil, err
	}
	return assemble(c, f, TensorFile, "")
}

// format returns the configuration and the tensors of a file.
func (a *Adapter) format() (*Config, []safetensors.Values, error) {
	c := &Config{PEFTType: strings.ToUpper(string(a.Kind)), Base: a.Base, Rank: a.Rank, InferMode: true}
	if a.Kind == FLoRA {
		c.BaseHash = a.BaseHash
	}
	if a.Kind.isLoRA() {
		c.PEFTType, c.RankStable, c.DoRA = "LORA", a.Kind == RSLoRA, a.Kind == DoRA
		c.Alpha, c.LoRABias = unitAlpha(a.Kind, a.Rank), a.addsBias()
	}
	c.Targets.Names = a.targetNames(func(whisper.Site) bool { return true })
	if a.Kind == IA3 {
		c.FeedFwd.Names = a.targetNames(func(s whisper.Site) bool { return a.Sites[s].A.IsZero() })
	}
	var values []safetensors.Values
	for _, site := range a.sortedSites() {
		f, module := a.Sites[site], site.String()
		vs, err := f.tensors(a.Kind, c.LoRABias, prefix+module)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", site, err)
		}
		values = append(values, vs...)
		if r := f.rank(); a.Kind != IA3 && r != a.Rank {
			c.RankPattern = append(c.RankPattern, pattern[int]{Key: module, Value: r})
			if a.Kind.isLoRA() {
				c.AlphaPattern = append(c.AlphaPattern, pattern[float64]{Key: module, Value: unitAlpha(a.Kind, r)})
			}
		}
	}
	return c, values, nil
}

// unitAlpha returns the α of scale 1.
func unitAlpha(k Kind, rank int) float64 {
	if k == RSLoRA {
		return math.Sqrt(float64(rank))
	}
	return float64(rank)
}

// addsBias reports whether anything is added to a bias.
func (a *Adapter) addsBias() bool {
	for _, f := range a.Sites {
		if !f.D.IsZero() {
			return true
		}
	}
	return false
}

// rank returns the rank of the terms or the product.
func (f *Factors) rank() int { return max(f.terms(), f.V.Rows) }

// tensors returns the tensors of a kind for a linear's factors; bias: LoRA's of what is added to the bias too.
func (f *Factors) tensors(k Kind, bias bool, module string) ([]safetensors.Values, error) {
	if err := f.isOf(k); err != nil {
		return nil, err
	}
	var values []safetensors.Values
	written := make(map[string]bool)
	for _, p := range parts[k] {
		if k == IA3 && f.A.IsZero() {
			p.factor, p.layout = "B", asIs
		}
		m := *f.factor(p.factor)
		if m.IsZero() && p == loraBias && bias {
			m = tensor.Zeros(1, f.U.Rows)
		}
		if m.IsZero() || written[p.factor] {
			continue
		}
		written[p.factor] = true
		shape, data := p.write(m)
		values = append(values, safetensors.Values{Name: module + p.suffix, Shape: shape, Data: data})
	}
	return values, nil
}

// isOf reports with [ErrUnsupported] what of the factors a file of the kind cannot hold.
func (f *Factors) isOf(k Kind) error {
	terms, product := !f.A.IsZero() || !f.B.IsZero(), !f.U.IsZero() && !f.V.IsZero()
	both := !f.A.IsZero() && !f.B.IsZero()
	var ok bool
	switch k {
	case FLoRA:
		ok = both && !product && f.M.IsZero() && !f.OnBias
	case HiRA:
		ok = both && !product && f.M.IsZero() && f.D.IsZero() && !f.OnBias
	case LoRA, RSLoRA:
		ok = product && !terms && f.M.IsZero()
	case DoRA:
		ok = product && !terms && !f.M.IsZero() && f.D.IsZero()
	case IA3:
		ok = terms && !both && f.terms() == 1 && !product && f.M.IsZero() && f.D.IsZero() && f.OnBias == f.B.IsZero()
	}
	if !ok || f.Base != k.addsTo() {
		return fmt.Errorf("%w: the factors are not those of a %s adapter", ErrUnsupported, k)
	}
	return nil
}

// file is a file to be written.
type file struct {
	name string
	text []byte
}

// writeFiles writes the files of a directory, each through a temporary file beside it.
func writeFiles(dir string, files []file) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("flora: write: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, ConfigFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("flora: write: %w", err)
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.name), bytes.NewReader(f.text)); err != nil {
			return fmt.Errorf("flora: write: %w", err)
		}
	}
	return nil
}

func writeFile(name string, r io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, r); err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
