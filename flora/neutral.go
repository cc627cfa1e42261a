package flora

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// neutral are the members of the configurations of PEFT, 0.0.1 to 0.20, that do not change what a saved adapter of
// linears computes: where it came from, how it was trained, what its factors began with, and fan_in_fan_out,
// which PEFT turns off for linears. A member that is neither here nor in [Config] must be off: null, false,
// zero or empty.
var neutral = []string{
	"auto_mapping", "revision", "task_type", "peft_version", "inference_mode",
	"lora_dropout", "hira_dropout", "fan_in_fan_out", "merge_weights",
	"init_weights", "init_ia3_weights", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
	"megatron_core", "qalora_group_size", "runtime_config", "ensure_weight_tying",
}

// refused are members that adapters may have and that are not computed here, with the reason.
var refused = map[string]string{
	"modules_to_save":         "whole modules were trained too; merge them into the base model",
	"layer_replication":       "it is of a model with more layers",
	"trainable_token_indices": "tokens were trained too; merge them into the base model",
}

// memberInit is how LoRA's factors began. Some ways take them out of the base model, so that what is saved
// adds to weights that the base model does not have (PEFT's LoraLayer.pissa_init and its like).
const memberInit = "init_lora_weights"

// leavesBase are the ways that do not.
var leavesBase = []string{"true", "false", "gaussian", "eva", "orthogonal", "mica"}

// checkMembers refuses members of a configuration that may change the adapter's product.
func checkMembers(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	known := knownMembers()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		switch {
		case name == memberInit:
			if s := strings.ToLower(strings.Trim(string(value), `"`)); !isOff(value) && !slices.Contains(leavesBase, s) {
				return fmt.Errorf("%w: %s %.40q changes the base model; save it by save_pretrained with path_initial_model_for_weight_conversion", ErrUnsupported, name, s)
			}
		case known[name] || isOff(value):
		case refused[name] != "":
			return fmt.Errorf("%w: %s %.100s: %s", ErrUnsupported, name, value, refused[name])
		default:
			return fmt.Errorf("%w: %.40s is %.100s, and may change what the adapter computes; it is not known here", ErrUnsupported, name, value)
		}
	}
	return nil
}

// knownMembers are those of Config and the neutral ones.
func knownMembers() map[string]bool {
	known := make(map[string]bool)
	for _, name := range neutral {
		known[name] = true
	}
	for f := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}

// isOff reports whether a JSON value turns its member off.
func isOff(text json.RawMessage) bool {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return false
	}
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case float64:
		return v == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
