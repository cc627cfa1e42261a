package flora

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Names of the files of a PEFT directory.
const (
	ConfigFile = "adapter_config.json"
	TensorFile = "adapter_model.safetensors"
)

// Config is adapter_config.json of a PEFT directory. Fields that do not change what an adapter of
// linears computes are not listed (fan_in_fan_out is one: PEFT turns it off for them); those that
// do and are not supported are refused by name.
type Config struct {
	PEFTType   string     `json:"peft_type"` // FLORA or LORA
	Base       string     `json:"base_model_name_or_path"`
	BaseHash   string     `json:"base_fingerprint,omitempty"` // ours: whisper.Model.Fingerprint
	Rank       int        `json:"r"`
	Targets    targetList `json:"target_modules"`
	InferMode  bool       `json:"inference_mode"`
	Alpha      float64    `json:"lora_alpha,omitempty"`
	RankStable bool       `json:"use_rslora,omitempty"`

	RankPattern  map[string]int     `json:"rank_pattern,omitempty"`
	AlphaPattern map[string]float64 `json:"alpha_pattern,omitempty"`

	DoRA             bool            `json:"use_dora,omitempty"`
	Bias             string          `json:"bias,omitempty"`
	LoRABias         bool            `json:"lora_bias,omitempty"`
	ModulesToSave    json.RawMessage `json:"modules_to_save,omitempty"`
	LayerReplication json.RawMessage `json:"layer_replication,omitempty"`
	TrainableTokens  json.RawMessage `json:"trainable_token_indices,omitempty"`
}

// targetList is a list of module names or one regular expression over whole names.
type targetList struct {
	Names []string
	Regex string
}

// UnmarshalJSON reads a list of strings or one string.
func (t *targetList) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &t.Regex)
	}
	return json.Unmarshal(text, &t.Names)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (t targetList) MarshalJSON() ([]byte, error) {
	if t.Regex != "" {
		return json.Marshal(t.Regex)
	}
	return json.Marshal(t.Names)
}

// maxConfig is the greatest size of adapter_config.json, in bytes.
const maxConfig = 1 << 20

// maxRank is the greatest rank that is believed.
const maxRank = 4096

// readConfig reads and checks adapter_config.json.
func readConfig(fsys fs.FS) (*Config, error) {
	info, err := fs.Stat(fsys, ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if info.Size() > maxConfig {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d are read", ErrInvalid, ConfigFile, info.Size(), maxConfig)
	}
	text, err := fs.ReadFile(fsys, ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, ConfigFile, err)
	}
	return c, c.check()
}

// check refuses what would change the adapter's product and is not computed here.
func (c *Config) check() error {
	unsupported := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrUnsupported, ConfigFile, fmt.Sprintf(format, args...))
	}
	switch {
	case c.kind() == "":
		return unsupported("peft_type %q; FLORA and LORA are known", c.PEFTType)
	case c.DoRA:
		return unsupported("use_dora")
	case c.LoRABias:
		return unsupported("lora_bias")
	case c.Bias != "" && c.Bias != "none":
		return unsupported("bias %q", c.Bias)
	case c.Rank < 1 || c.Rank > maxRank:
		return fmt.Errorf("%w: %s: r is %d", ErrInvalid, ConfigFile, c.Rank)
	case !isFinite(c.Alpha) || c.kind() == LoRA && c.Alpha == 0:
		return fmt.Errorf("%w: %s: lora_alpha is %v", ErrInvalid, ConfigFile, c.Alpha)
	}
	for name, raw := range map[string]json.RawMessage{
		"modules_to_save": c.ModulesToSave, "layer_replication": c.LayerReplication, "trainable_token_indices": c.TrainableTokens,
	} {
		if s := string(raw); s != "" && s != "null" && s != "[]" {
			return unsupported("%s %s", name, s)
		}
	}
	for key, r := range c.RankPattern {
		if r < 1 || r > maxRank {
			return fmt.Errorf("%w: %s: rank_pattern %q is %d", ErrInvalid, ConfigFile, key, r)
		}
	}
	return nil
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// kind returns the adapter's kind, "" where it is not known.
func (c *Config) kind() Kind {
	switch strings.ToUpper(c.PEFTType) {
	case "FLORA":
		return FLoRA
	case "LORA":
		return LoRA
	}
	return ""
}

// rank returns the rank of module: that of the pattern that matches it, or r. PEFT matches a
// pattern as the end of the name, `(.*\.)?(pattern)$`.
func (c *Config) rank(module string) (int, error) {
	r, ok, err := match(c.RankPattern, module)
	if !ok {
		r = c.Rank
	}
	return r, err
}

// scale returns the scale of module's product B A: α/r, or α/√r with rank stabilisation.
func (c *Config) scale(module string) (float32, error) {
	r, err := c.rank(module)
	if err != nil {
		return 0, err
	}
	alpha, ok, err := match(c.AlphaPattern, module)
	if !ok {
		alpha = c.Alpha
	}
	if c.RankStable {
		return float32(alpha / math.Sqrt(float64(r))), err
	}
	return float32(alpha / float64(r)), err
}

// targets reports whether module is among target_modules: PEFT takes a name that ends with a listed
// one, or that the regular expression matches whole.
func (c *Config) targets(module string) (bool, error) {
	if c.Targets.Regex != "" {
		if c.Targets.Regex == "all-linear" {
			return true, nil
		}
		re, err := regexp.Compile("^(?:" + c.Targets.Regex + ")$")
		if err != nil {
			return false, fmt.Errorf("%w: target_modules: %w", ErrUnsupported, err)
		}
		return re.MatchString(module), nil
	}
	return slices.ContainsFunc(c.Targets.Names, func(name string) bool {
		return module == name || strings.HasSuffix(module, "."+name)
	}), nil
}

// match returns the value of the pattern that matches module; the longest pattern, where several do.
func match[V any](patterns map[string]V, module string) (value V, ok bool, err error) {
	best := -1
	for pattern, v := range patterns {
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + pattern + `)$`)
		if err != nil {
			return value, false, fmt.Errorf("%w: pattern %q: %w", ErrUnsupported, pattern, err)
		}
		if re.MatchString(module) && len(pattern) > best {
			best, value, ok = len(pattern), v, true
		}
	}
	return value, ok, nil
}

// nameOf returns the adapter's name where only its directory is known.
func nameOf(dir string) string { return path.Base(strings.ReplaceAll(dir, `\`, "/")) }
