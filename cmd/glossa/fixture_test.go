package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/audio"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/safetensors"
)

// spoken are the words of the models that the tests make, and all that they write: no other token
// has a logit worth mentioning.
var spoken = []string{" red", " green", " blue", " black", " white", " yellow"}

// newSpeaker returns a model of random weights that writes spoken words, whatever it hears.
func newSpeaker(width int) (*whisper.Model, error) {
	const nAudioCtx = 100 // 2 s
	texts := slices.Repeat(spoken, 2)
	nLanguages := 1 + slices.IndexFunc(whisper.Languages(), func(l whisper.Language) bool { return l.Code == "cs" })
	tokenizer, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values(texts), 100), nLanguages, 1+nAudioCtx)
	if err != nil {
		return nil, err
	}
	d := whisper.Dims{
		NMels: 80, NAudioCtx: nAudioCtx, NAudioState: width, NAudioHead: 2, NAudioLayer: 1,
		NVocab: tokenizer.NVocab(), NTextCtx: 16, NTextState: width, NTextHead: 2, NTextLayer: 1,
		Unpadded: true,
	}
	m := whisper.New(d)
	m.Tokenizer, m.Generation = tokenizer, whisper.DefaultGeneration(d, tokenizer)
	train.Initialize(m, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	clear(m.Decoder.Tokens.Data)
	random := func(ids []int32, deviation float64) {
		for _, id := range ids {
			row := m.Decoder.Tokens.Row(int(id))
			for i := range row {
				row[i] = float32(deviation * rng.NormFloat64())
			}
		}
	}
	random(tokenizer.LanguageTokens(), 0.1)
	for _, w := range spoken {
		random(tokenizer.Encode(w), 4)
	}
	return m, nil
}

// writeModel writes such a model, with a fault unless that is "".
func writeModel(dir string, width int, fault string) error {
	m, err := newSpeaker(width)
	if err != nil {
		return err
	}
	var tensors []safetensors.Values
	for _, p := range m.Params() {
		v := safetensors.Values{Name: p.Name, Shape: p.Shape(), Data: p.Float32()}
		broken := strings.HasSuffix(p.Name, "encoder.layers.0.fc1.weight")
		if broken && fault == "missing" {
			continue
		}
		if broken && fault == "shape" {
			slices.Reverse(v.Shape)
		}
		tensors = append(tensors, v)
	}
	if err := whisper.WriteDir(dir, m.Dims, m.Tokenizer, m.Generation, tensors, safetensors.F32); err != nil {
		return err
	}
	if fault == "nan" {
		return spoil(filepath.Join(dir, "model.safetensors"))
	}
	return nil
}

// spoil makes the last element of a file of tensors a NaN.
func spoil(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(math.NaN())))
	return os.WriteFile(path, data, 0o666)
}

// writeAdapter writes an adapter of random factors of the model in base.
func writeAdapter(dir, base string, kind flora.Kind, rank int) error {
	c, err := whisper.OpenDir(base)
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := whisper.LoadPlain(c)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(3, 4))
	a, err := flora.New(m, filepath.Base(dir), kind, rank, flora.All, rng)
	if err != nil {
		return err
	}
	a.Base = filepath.Base(base)
	_, mats := a.Params()
	for _, mat := range mats {
		for i := range mat.Data {
			mat.Data[i] = float32(1 + 2*rng.NormFloat64())
		}
	}
	return a.Write(dir, safetensors.F32)
}

// writeTone writes a sine as a WAV file.
func writeTone(path string, hertz, seconds float64) error {
	pcm := make([]float32, int(seconds*audio.SampleRate))
	for i := range pcm {
		pcm[i] = 0.3 * float32(math.Sin(2*math.Pi*hertz*float64(i)/audio.SampleRate))
	}
	return writePCM(path, pcm)
}

// writePCM writes samples as a WAV file.
func writePCM(path string, pcm []float32) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := audio.WriteWAV(f, pcm); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

// clipTexts returns the texts of the test set by file.
func clipTexts() (map[string]string, error) {
	f, err := os.Open(filepath.Join(clipsDir, "manifest.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	texts := make(map[string]string)
	for d := json.NewDecoder(f); ; {
		var line struct {
			File string `json:"audio_filepath"`
			Text string `json:"text"`
		}
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return texts, nil
		} else if err != nil {
			return nil, err
		}
		texts[line.File] = line.Text
	}
}
