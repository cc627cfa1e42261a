package flora

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
)

// Names of the files of a PEFT directory.
const (
	ConfigFile = "adapter_config.json"
	TensorFile = "adapter_model.safetensors"
	PickleFile = "adapter_model.bin" // read where there is no TensorFile
	CardFile   = "README.md"
)

// Config is adapter_config.json of a PEFT directory, as far as it says what an adapter of linears
// computes; neutral.go has the members that do not, and how all others are refused.
type Config struct {
	PEFTType string `json:"peft_type"` // FLORA, HIRA, LORA or IA3
	Base     string `json:"base_model_name_or_path"`
	BaseHash string `json:"base_fingerprint,omitempty"` // ours: whisper.Model.Fingerprint
	Rank     int    `json:"r,omitempty"`                // not of IA3

	Targets   moduleList `json:"target_modules"`
	Excluded  moduleList `json:"exclude_modules,omitzero"`
	Layers    layerList  `json:"layers_to_transform,omitzero"`
	LayersOf  moduleList `json:"layers_pattern,omitzero"`      // names of what holds the layers; none: any
	FeedFwd   moduleList `json:"feedforward_modules,omitzero"` // of IA3
	InferMode bool       `json:"inference_mode"`

	Alpha      float64 `json:"lora_alpha,omitempty"`
	RankStable bool    `json:"use_rslora,omitempty"`
	DoRA       bool    `json:"use_dora,omitempty"`
	Bias       string  `json:"bias,omitempty"`
	LoRABias   bool    `json:"lora_bias,omitempty"`

	RankPattern  patternList[int]     `json:"rank_pattern,omitzero"`
	AlphaPattern patternList[float64] `json:"alpha_pattern,omitzero"`
}

// maxConfig is the greatest size of adapter_config.json, in bytes.
const maxConfig = 1 << 20

// maxRank is the greatest rank that is believed.
const maxRank = 4096

// readConfig reads and checks adapter_config.json.
func readConfig(fsys fs.FS) (*Config, error) {
	f, err := fsys.Open(ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, ConfigFile, err)
	}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrInvalid, ConfigFile, maxConfig)
	}
	return parseConfig(text)
}

func parseConfig(text []byte) (*Config, error) {
	c := new(Config)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, ConfigFile, err)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	if err := checkMembers(text); err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	return c, nil
}

// check refuses what PEFT refuses, and what would change the adapter's product and is not computed here.
func (c *Config) check() error {
	k := c.Kind()
	switch {
	case k == "":
		return fmt.Errorf("%w: peft_type %q; FLORA, HIRA, LORA and IA3 are known", ErrUnsupported, c.PEFTType)
	case c.Bias != "" && c.Bias != "none":
		return fmt.Errorf("%w: bias %q: the biases of the base model were trained too", ErrUnsupported, c.Bias)
	case k != IA3 && (c.Rank < 1 || c.Rank > maxRank):
		return fmt.Errorf("%w: r is %d", ErrInvalid, c.Rank)
	case !isFinite(c.Alpha) || k.isLoRA() && c.Alpha == 0:
		return fmt.Errorf("%w: lora_alpha is %v", ErrInvalid, c.Alpha)
	case c.DoRA && c.LoRABias:
		return fmt.Errorf("%w: lora_bias with use_dora, which PEFT does not have", ErrInvalid)
	case c.Targets.IsZero():
		return fmt.Errorf("%w: no target_modules", ErrInvalid)
	case c.Targets.Regex != "" && !(c.Layers.IsZero() && c.LayersOf.IsZero()):
		return fmt.Errorf("%w: layers_to_transform or layers_pattern with target_modules of one expression", ErrInvalid)
	case c.Layers.IsZero() && !c.LayersOf.IsZero():
		return fmt.Errorf("%w: layers_pattern without layers_to_transform", ErrInvalid)
	}
	for _, p := range c.RankPattern {
		if p.Value < 1 || p.Value > maxRank {
			return fmt.Errorf("%w: rank_pattern %q is %d", ErrInvalid, p.Key, p.Value)
		}
	}
	for _, p := range c.AlphaPattern {
		if !isFinite(p.Value) {
			return fmt.Errorf("%w: alpha_pattern %q is %v", ErrInvalid, p.Key, p.Value)
		}
	}
	return c.compile()
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Kind returns the adapter's kind, "" where it is not known.
func (c *Config) Kind() Kind {
	switch strings.ToUpper(c.PEFTType) {
	case "FLORA":
		return FLoRA
	case "HIRA":
		return HiRA
	case "IA3":
		return IA3
	case "LORA":
		switch {
		case c.DoRA:
			return DoRA
		case c.RankStable:
			return RSLoRA
		}
		return LoRA
	}
	return ""
}

// rank returns the rank of module: that of the first pattern that matches it, or r.
func (c *Config) rank(module string) int {
	if r, ok := c.RankPattern.first(module); ok {
		return r
	}
	return c.Rank
}

// Scale returns the scale of module's product B A: α/r, or α/√r with rank stabilisation (PEFT's LoraLayer.update_layer).
func (c *Config) Scale(module string) float64 {
	alpha, ok := c.AlphaPattern.first(module)
	if !ok {
		alpha = c.Alpha
	}
	r := float64(c.rank(module))
	if c.RankStable {
		r = math.Sqrt(r)
	}
	return alpha / r
}

// nameOf returns the adapter's name where only its directory is known.
func nameOf(dir string) string { return path.Base(strings.ReplaceAll(dir, `\`, "/")) }
