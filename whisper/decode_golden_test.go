package whisper_test

import (
	"context"
	"math"
	"strconv"
	"testing"

	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// decodeCases decodes the cases of a model that are wanted and draw no random numbers, in one batch.
func decodeCases(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model, want func(c goldentest.DecodeCase) bool) (ran []goldentest.DecodeCase, got []whisper.Decoded) {
	t.Helper()
	var cases []goldentest.DecodeCase
	k.JSON(t, name+"/decode.json", &cases)
	o := tensor.NewOps(k.Backend)
	var us []whisper.Utterance
	for _, c := range cases {
		options, ok := c.DecodeOptions(t, m.Tokenizer)
		if !ok || !want(c) || !k.Takes(c.Clip, len(c.Result.Tokens)) {
			continue
		}
		us, ran = append(us, whisper.Utterance{Cross: k.Encode(t, m, c.Clip).Cross, Options: options}), append(ran, c)
	}
	if len(ran) == 0 {
		t.Fatal("no such case in decode.json")
	}
	got, err := m.Decode(context.Background(), o, nil, us)
	if err != nil {
		t.Fatal(err)
	}
	return ran, got
}

// TestGoldenDecode decodes all cases of the kit, greedy and beam search, in one batch of rows.
func TestGoldenDecode(t *testing.T) { testGoldenDecode(t, openKit(t)) }

func testGoldenDecode(t *testing.T, k *goldentest.Kit) {
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		ran, got := decodeCases(t, k, name, m, func(goldentest.DecodeCase) bool { return true })
		for i, c := range ran {
			c.Check(t, got[i])
		}
		t.Logf("%d cases; the others draw random numbers", len(ran))
	})
}

// TestGoldenCompressionRatio holds zlib's size of the kit's texts.
func TestGoldenCompressionRatio(t *testing.T) {
	k := openKit(t)
	var texts struct {
		Ratios []struct {
			Text  string
			Ratio float64
		} `json:"compression_ratio"`
	}
	k.JSON(t, "tokenizer.json", &texts)
	if len(texts.Ratios) == 0 {
		t.Fatal("no compression_ratio in tokenizer.json")
	}
	for _, c := range texts.Ratios {
		goldentest.Within(t, "compression_ratio", strconv.Quote(c.Text), math.Abs(whisper.CompressionRatio(c.Text)-c.Ratio), 0)
	}
}
