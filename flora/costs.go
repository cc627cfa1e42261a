package flora

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// costsFormat is the version of the files and of what is measured for them.
const costsFormat = 1

// CostsKey says what costs are those of.
type CostsKey struct {
	Format    int    `json:"format"`
	Backend   string `json:"backend"`
	Threads   int    `json:"threads"`
	Processor string `json:"processor"`
	Geometry  string `json:"geometry"` // all that a model's speed depends on
	DType     string `json:"dtype"`
	Encode    string `json:"encode,omitempty"` // the load of encoding, and what else its speed depends on, where that is measured apart
}

// NewCostsKey returns the key of a model on a backend that computes with so many threads of a processor, and encodes with such a load: see [Calibrate].
func NewCostsKey(m *whisper.Model, b tensor.Backend, threads int, processor string, encode Load) CostsKey {
	d := m.Dims
	k := CostsKey{
		Format: costsFormat, Backend: b.Name(), Threads: threads, Processor: processor,
		Geometry: fmt.Sprintf("%d/%d/%d", d.NTextState, d.TextFFN(), d.NTextLayer), DType: modelDType(m).String(),
	}
	if encode.Adapters > 1 {
		k.Encode = fmt.Sprintf("%d/%d/%d", d.AudioFFN(), encode.Rows, encode.Adapters)
	}
	return k
}

// costsFile is what a file holds.
type costsFile struct {
	Key   CostsKey `json:"key"`
	Costs Costs    `json:"costs"`
}

// path returns the file of a key in a folder.
func (k CostsKey) path(dir string) string {
	text, _ := json.Marshal(k) // of strings and numbers
	sum := sha256.Sum256(text)
	return filepath.Join(dir, "strategies-"+hex.EncodeToString(sum[:8])+".json")
}

// CachedCosts returns the costs of a key that a file in dir holds. Where it holds none, or what is not a model's costs, it
// calls measure and writes the file; that it cannot be written is no error, the costs are measured again the next time.
func CachedCosts(dir string, k CostsKey, measure func() (*Costs, error)) (*Costs, error) {
	path := k.path(dir)
	if text, err := os.ReadFile(path); err == nil {
		var f costsFile
		if json.Unmarshal(text, &f) == nil && f.Key == k && f.Costs.Check() == nil {
			return &f.Costs, nil
		}
	}
	c, err := measure()
	if err != nil {
		return nil, err
	}
	if text, err := json.MarshalIndent(costsFile{k, *c}, "", "  "); err == nil {
		_ = replaceFile(path, append(text, '\n')) // see above
	}
	return c, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Check reports costs that cannot be those of a machine.
func (c *Costs) Check() error {
	for _, v := range []float64{c.Call, c.Scale, c.Copy, c.LowRank, c.Factor, c.FactorRow, c.Mix, c.MixRank} {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%w: %v seconds", ErrCosts, v)
		}
	}
	sorted := slices.IsSortedFunc(c.Linear, func(a, b RowCost) int { return a.Rows - b.Rows })
	if len(c.Linear) == 0 || !sorted {
		return fmt.Errorf("%w: linears of %v rows", ErrCosts, c.Linear)
	}
	for _, r := range c.Linear {
		if !(r.Rows > 0 && r.Seconds > 0 && r.Seconds < 1) {
			return fmt.Errorf("%w: %v seconds for %d rows", ErrCosts, r.Seconds, r.Rows)
		}
	}
	if c.Encode != nil {
		return c.Encode.Check()
	}
	return nil
}
