package whisper

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// BenchmarkChoose chooses the next token of 16 rows of logits over the vocabulary of the
// multilingual checkpoints: filters, searches and log probabilities of one step.
func BenchmarkChoose(b *testing.B) {
	const nVocab, nRow, nStamp = 51865, 16, 1501
	tok, err := NewTokenizer(TrainBPE(slices.Values([]string{"a b"}), 0), 99, nStamp)
	if err != nil {
		b.Fatal(err)
	}
	m := &Model{Dims: Dims{NVocab: nVocab, NTextCtx: 448}, Tokenizer: tok}
	m.Decoder.Blocks = make([]Block, 1)
	rng := rand.New(rand.NewPCG(1, 1))
	base := make([]float32, nRow*nVocab)
	for i := range base {
		base[i] = float32(3 * rng.NormFloat64())
	}
	backend, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	for _, o := range []DecodeOptions{{}, {BeamSize: 4}, {Temperature: 0.6}} {
		b.Run(fmt.Sprintf("beams=%d/temperature=%v", o.BeamSize, o.Temperature), func(b *testing.B) {
			o.Language = "en"
			batch := m.NewBatch(tensor.NewOps(backend), nil)
			batch.rows = make([]int32, nRow)
			logits := tensor.NewMat(nRow, nVocab, slices.Clone(base))
			for b.Loop() {
				b.StopTimer()
				copy(logits.Data, base)
				batch.live = batch.live[:0]
				for range nRow / o.hypotheses() {
					if _, err := batch.Add(Utterance{Options: o}); err != nil {
						b.Fatal(err)
					}
				}
				for _, g := range batch.live {
					g.begun = true
					g.live[0].Tokens = append(g.live[0].Tokens, tok.TimestampBegin(), 5)
					g.live = slices.Repeat(g.live, o.hypotheses())
				}
				b.StartTimer()
				if err := batch.step.Pick(logits, batch.ask()); err != nil {
					b.Fatal(err)
				}
				batch.update()
			}
		})
	}
}
