package whisper

import (
	"fmt"
	"strings"

	"glossa/whisper/safetensors"
)

// upstreamModules are the modules of openai/whisper's model.py, which whisper.cpp's files name too, and their names in Hugging
// Face checkpoints; those of a block stand without "blocks.N.", those of a stack without "encoder." or "decoder.".
var upstreamModules = map[string]string{
	"conv1": "conv1", "conv2": "conv2", "token_embedding": "embed_tokens", "positional_embedding": "embed_positions",
	"ln_post": "layer_norm", "ln": "layer_norm",

	"attn_ln": "self_attn_layer_norm", "attn.query": roleName[Query], "attn.key": roleName[Key], "attn.value": roleName[Value], "attn.out": roleName[Out],
	"cross_attn_ln": "encoder_attn_layer_norm", "cross_attn.query": roleName[CrossQuery], "cross_attn.key": roleName[CrossKey],
	"cross_attn.value": roleName[CrossValue], "cross_attn.out": roleName[CrossOut],
	"mlp_ln": "final_layer_norm", "mlp.0": roleName[FC1], "mlp.2": roleName[FC2],
}

// fromUpstream is the name, without modelPrefix, of the parameter that upstream calls name, such as
// "decoder.blocks.3.cross_attn.query.weight"; ok is false if the model has none.
func fromUpstream(name string) (ours string, ok bool) {
	stack, rest, ok := strings.Cut(name, ".")
	if !ok || stack != "encoder" && stack != "decoder" {
		return "", false
	}
	layer := ""
	if inBlock, ok := strings.CutPrefix(rest, "blocks."); ok {
		if layer, rest, ok = strings.Cut(inBlock, "."); !ok {
			return "", false
		}
		layer = "layers." + layer + "."
	}
	kind := ".weight"
	if module, ok := strings.CutSuffix(rest, ".bias"); ok {
		rest, kind = module, ".bias"
	}
	module, ok := upstreamModules[strings.TrimSuffix(rest, ".weight")]
	return stack + "." + layer + module + kind, ok
}

// addUpstream adds a tensor under our name, without the axes of one element that whisper.cpp's converter puts after a bias.
// The error is ErrCheckpoint for one that no Whisper model has.
func (c *Checkpoint) addUpstream(s source) error {
	name, ok := fromUpstream(s.Name)
	if !ok {
		return fmt.Errorf("%w: tensor %.100q is none of Whisper's", ErrCheckpoint, s.Name)
	}
	if strings.HasSuffix(name, ".bias") && len(s.Shape) == 2 && s.Shape[1] == 1 {
		s.Shape = s.Shape[:1]
	}
	read := s.read
	s.read = func(dst []float32) error {
		err := read(dst)
		if err == nil {
			err = safetensors.CheckFinite(dst)
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w", s.Name, err)
		}
		return nil
	}
	return c.add(name, s)
}

// finishUpstream sets what follows from the sizes and the text tokens.
func (c *Checkpoint) finishUpstream(tokens [][]byte) (err error) {
	if c.Tokenizer, err = upstreamTokenizer(tokens, c.Dims.NVocab); err != nil {
		return err
	}
	c.Generation = DefaultGeneration(c.Dims, c.Tokenizer)
	if heads := upstreamAlignmentHeads(c.Dims, c.shards[0].name); heads != nil {
		c.Generation.AlignmentHeads = heads
	}
	return nil
}
