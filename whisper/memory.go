package whisper

// WindowBytes returns the greatest memory that a window of log-mel frames of 10 ms takes while it is
// decoded, but for what rounds it up: its cross-attention keys and values, and for each of its
// hypotheses a cache of all that it may come to hold and a row of logits.
func (m *Model) WindowBytes(frames int, o DecodeOptions) int {
	const float = 4
	half := m.Dims.NTextCtx / 2
	row := 2 * float * m.Dims.NTextState * m.Dims.NTextLayer
	sampleLen := o.SampleLen
	if sampleLen == 0 {
		sampleLen = half
	}
	const start = 5 // <|startofprev|>, and at most four tokens of the start sequence
	tokens := min(start+min(len(o.Prompt), half)+len(o.Prefix)+sampleLen, m.Dims.NTextCtx)
	tokens = (tokens + cacheRows - 1) / cacheRows * cacheRows
	nKey := (frames + convStride - 1) / convStride
	cross := nKey * row
	if a := m.Decoder.Blocks[0].Cross; a.PackKV {
		layer := m.packer.PackedKVSize(nKey, m.Dims.NTextState, a.NHead, a.KV)
		cross = float * m.Dims.NTextLayer * roundToLine(layer)
	}
	return cross + o.hypotheses()*(tokens*row+float*m.Dims.NVocab)
}
