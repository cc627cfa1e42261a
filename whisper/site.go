package whisper

import (
	"fmt"
	"strconv"
	"strings"
)

// Stack is one of the two halves of the model.
type Stack uint8

const (
	EncoderStack Stack = iota
	DecoderStack
)

// Role is what a linear does within its block.
type Role uint8

const (
	Query Role = iota
	Key
	Value
	Out
	CrossQuery
	CrossKey
	CrossValue
	CrossOut
	FC1
	FC2
)

// roleName holds the module names of a block in Hugging Face checkpoints and PEFT adapters.
var roleName = [...]string{
	Query: "self_attn.q_proj", Key: "self_attn.k_proj", Value: "self_attn.v_proj", Out: "self_attn.out_proj",
	CrossQuery: "encoder_attn.q_proj", CrossKey: "encoder_attn.k_proj", CrossValue: "encoder_attn.v_proj", CrossOut: "encoder_attn.out_proj",
	FC1: "fc1", FC2: "fc2",
}

// stackName holds the module names of the stacks.
var stackName = [...]string{EncoderStack: "model.encoder", DecoderStack: "model.decoder"}

// Site names one Linear of a model: {DecoderStack, 3, CrossQuery}. It is what adapters attach to.
type Site struct {
	Stack Stack
	Layer int
	Role  Role
}

// String returns the module name in Hugging Face checkpoints, such as
// "model.decoder.layers.3.encoder_attn.q_proj".
func (s Site) String() string {
	return fmt.Sprintf("%s.layers.%d.%s", stackName[s.Stack], s.Layer, roleName[s.Role])
}

// ParseSite is the inverse of [Site.String].
func ParseSite(module string) (Site, bool) {
	for stack, prefix := range stackName {
		rest, ok := strings.CutPrefix(module, prefix+".layers.")
		if !ok {
			continue
		}
		number, name, _ := strings.Cut(rest, ".")
		layer, err := strconv.Atoi(number)
		if err != nil || layer < 0 || strconv.Itoa(layer) != number {
			return Site{}, false
		}
		for role, n := range roleName {
			if n == name && (Stack(stack) == DecoderStack || !Role(role).cross()) {
				return Site{Stack(stack), layer, Role(role)}, true
			}
		}
	}
	return Site{}, false
}

// cross reports whether the role belongs to cross-attention, which only the decoder has.
func (r Role) cross() bool { return CrossQuery <= r && r <= CrossOut }
