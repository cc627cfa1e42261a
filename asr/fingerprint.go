package asr

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"slices"

	"glossa/whisper"
)

// short returns as much of a sha256 as tells two things apart that were not made to be alike.
func short(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:8]) }

// modelFingerprint identifies a model and the format of its numbers.
func modelFingerprint(m *whisper.Model) string {
	format := "plain"
	if p := m.Decoder.Blocks[0].Attn.Query.Weight.Packed; p != nil {
		format = p.DType().String()
	}
	return fmt.Sprintf("%s %s %+v", m.Fingerprint(), format, m.Dims)
}

// fingerprint identifies what is asked of a recording, as far as its text hangs on it, and the model.
func (r *recording) fingerprint(model string) string {
	q, h := &r.request, sha256.New()
	fmt.Fprintf(h, "%s\n%q %q %t %q %q %q %t %#v %t %t %t\n", model, r.result.Language, q.Languages, q.SwitchLanguage, cmp.Or(q.Adapter, Auto), q.Client,
		cmp.Or(q.Task, "transcribe"), q.Timestamps, q.Clips, q.Speech != nil, q.Silent != nil, q.Mel != nil)
	if q.Words != nil {
		fmt.Fprintf(h, "%#v\n", *q.Words)
	}
	fmt.Fprintf(h, "%#v\n", r.decoding)
	return short(h)
}

// soundFingerprint identifies samples, or a log-mel, and the windows of speech in them.
func soundFingerprint(numbers []float32, windows []speechWindow) string {
	h := sha256.New()
	buf := make([]byte, 0, 1<<14)
	for part := range slices.Chunk(numbers, cap(buf)/4) {
		buf = buf[:0]
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		h.Write(buf)
	}
	for _, w := range windows {
		fmt.Fprintln(h, w.parts)
	}
	return short(h)
}
