package eval

import (
	"encoding/json"
	"fmt"
	"os"
)

// maxSpellings bounds the bytes of a file of spellings; that of the published models has some 50 KB.
const maxSpellings = 16 << 20

// ReadSpellings reads a map of spellings, one JSON object of word to word: the normalizer.json of a model's folder in the layout of
// Hugging Face, or whisper/normalizers/english.json of openai/whisper, British to American spellings. A file that does not exist is
// an error that wraps fs.ErrNotExist.
func ReadSpellings(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("eval: spellings: %w", err)
	}
	if info.Size() > maxSpellings {
		return nil, fmt.Errorf("eval: spellings: %s has %d bytes, more than %d", path, info.Size(), maxSpellings)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("eval: spellings: %w", err)
	}
	var spellings map[string]string
	if err := json.Unmarshal(text, &spellings); err != nil {
		return nil, fmt.Errorf("eval: spellings: %s is not one JSON object of word to word: %w", path, err)
	}
	if len(spellings) == 0 {
		return nil, fmt.Errorf("eval: spellings: %s has none", path)
	}
	return spellings, nil
}
