package hub

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a reference turned out to name.
type Kind string

const (
	Model   Kind = "model"
	Adapter Kind = "adapter"
	File    Kind = "file"
)

// The files that are looked for: those of a model beside its weights, and those of an adapter, as PEFT writes it.
const (
	config      = "config.json"
	tensors     = "model.safetensors"
	tensorIndex = "model.safetensors.index.json"
	tokenizer   = "tokenizer.json"
	vocabulary  = "vocab.json"
	merges      = "merges.txt"
)

var (
	modelTexts = []string{
		config, "generation_config.json", "preprocessor_config.json", vocabulary, merges, tokenizer, "tokenizer_config.json",
		"special_tokens_map.json", "added_tokens.json", "normalizer.json",
	}
	adapterFiles = []string{"adapter_config.json", "adapter_model.safetensors"}
)

// shardName is a part of the weights and the number of parts. Weights in another precision, model.fp16-00001-of-00002 and the
// like, have other names.
var shardName = regexp.MustCompile(`^model-(\d{5})-of-(\d{5})\.safetensors$`)

// maxShards bounds the parts of a model.
const maxShards = 1000

// choose returns which of the files of a repository make a model, or else an adapter, the weights last; no files where they
// make neither. Of a repository that holds both, both are taken.
func choose(names []string) (Kind, []string) {
	has := func(name string) bool { return slices.Contains(names, name) }
	var kind Kind
	var files []string
	weights := weightFiles(names)
	if len(weights) > 0 && has(config) && (has(tokenizer) || has(vocabulary) && has(merges)) {
		kind = Model
		for _, name := range modelTexts {
			if has(name) {
				files = append(files, name)
			}
		}
	} else {
		weights = nil
	}
	if has(adapterFiles[0]) && has(adapterFiles[1]) {
		if kind == "" {
			kind = Adapter
		}
		files = append(files, adapterFiles...)
	}
	return kind, append(files, weights...)
}

// weightFiles returns the file of a model's weights or, where they are in several, the files and their index; nothing where
// any is missing.
func weightFiles(names []string) []string {
	if slices.Contains(names, tensors) {
		return []string{tensors}
	}
	if !slices.Contains(names, tensorIndex) {
		return nil
	}
	files := []string{tensorIndex}
	parts := 0
	for _, name := range names {
		if m := shardName.FindStringSubmatch(name); m != nil {
			parts, _ = strconv.Atoi(m[2]) // five digits
			break
		}
	}
	if parts > maxShards {
		return nil
	}
	for i := range parts {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, parts)
		if !slices.Contains(names, name) {
			return nil
		}
		files = append(files, name)
	}
	if parts == 0 {
		return nil
	}
	return files
}

// isSingle says whether a file is a model in itself: whisper.cpp's ggml, or OpenAI's pt.
func isSingle(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, "ggml-") && strings.HasSuffix(base, ".bin") || strings.HasSuffix(base, ".pt")
}

// maxSuggestions bounds the files that an error names.
const maxSuggestions = 12

// errFiles tells what is missing of a repository of these files, and what there is instead.
func errFiles(r Ref, names []string) error {
	var single []string
	for _, name := range names {
		if isSingle(name) && validFile(name) {
			single = append(single, name)
		}
	}
	slices.Sort(single)
	hint := ""
	switch {
	case len(single) > 0:
		more := ""
		if len(single) > maxSuggestions {
			single, more = single[:maxSuggestions], " …"
		}
		hint = fmt.Sprintf("; it has single files: %s:FILE takes one of %s%s", r, strings.Join(single, " "), more)
	case slices.Contains(names, "pytorch_model.bin") || slices.Contains(names, "adapter_model.bin"):
		hint = "; its weights are pickles of torch, which are not read"
	}
	return fmt.Errorf("%w: %s lacks some of config.json, model.safetensors and a tokenizer, or of adapter_config.json and adapter_model.safetensors%s", ErrFiles, r, hint)
}
