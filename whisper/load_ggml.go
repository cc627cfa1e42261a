package whisper

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"

	"glossa/whisper/ggml"
)

// openGGML opens a model of whisper.cpp. A file without tensors opens too, and Load then says which is missing.
// The errors are ErrDims, ErrArchitecture, ErrVocabulary, ErrCheckpoint and those of ggml.
func openGGML(r io.ReaderAt, size int64, name string) (*Checkpoint, error) {
	f, err := ggml.New(r, size)
	if err != nil {
		return nil, err
	}
	h := f.Header
	c := &Checkpoint{shards: []shard{{name: name}}}
	c.Dims = Dims{
		NMels: int(h.NMels), NAudioCtx: int(h.NAudioCtx), NAudioState: int(h.NAudioState), NAudioHead: int(h.NAudioHead), NAudioLayer: int(h.NAudioLayer),
		NVocab: int(h.NVocab), NTextCtx: int(h.NTextCtx), NTextState: int(h.NTextState), NTextHead: int(h.NTextHead), NTextLayer: int(h.NTextLayer),
	}
	if err := c.Dims.Validate(); err != nil {
		return nil, err
	}
	if want := fftLength/2 + 1; f.NMel != c.Dims.NMels || f.NFFT != want {
		return nil, fmt.Errorf("%w: mel filters (%d, %d), want (%d, %d)", ErrArchitecture, f.NMel, f.NFFT, c.Dims.NMels, want)
	}
	for _, t := range f.Tensors() {
		if err := c.addUpstream(source{t.Tensor, name, t.ReadFloat32}); err != nil {
			return nil, err
		}
	}
	if err := restoreBytes(f.Tokens, c.Dims.NVocab); err != nil {
		return nil, err
	}
	return c, c.finishUpstream(f.Tokens)
}

// restoreBytes puts upstream's tokens in the place of those that an early converter of whisper.cpp passed through UTF-8, so that
// bytes which are no whole character became U+FFFD.
func restoreBytes(tokens [][]byte, nVocab int) error {
	upstream, err := upstreamTokens(nVocab)
	if err != nil {
		return err
	}
	for id, token := range tokens[:min(len(tokens), len(upstream))] {
		if bytes.ContainsRune(token, utf8.RuneError) && string(token) == replaceInvalid(upstream[id]) {
			tokens[id] = upstream[id]
		}
	}
	return nil
}
