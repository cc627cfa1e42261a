package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper/safetensors"
)

// writeSpeech writes a recording of the test set as a WAV file, between so many seconds of silence.
func writeSpeech(path string, before, after float64) error {
	speech, err := audio.DecodeFile(filepath.Join("..", "..", "testdata", "multilingual", "en", "00.flac"))
	if err != nil {
		return err
	}
	pcm := slices.Concat(make([]float32, int(before*audio.SampleRate)), speech.Samples, make([]float32, int(after*audio.SampleRate)))
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := audio.WriteWAV(f, pcm); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return f.Close()
}

// sileroTensors are random weights of the shapes of Silero's network.
func sileroTensors() []safetensors.Values {
	r := rand.New(rand.NewPCG(1, 2))
	var tensors []safetensors.Values
	put := func(name string, shape ...int) []float32 {
		count := 1
		for _, n := range shape {
			count *= n
		}
		data := make([]float32, count)
		for i := range data {
			data[i] = float32(0.1 * r.NormFloat64())
		}
		tensors = append(tensors, safetensors.Values{Name: "_model." + name, Shape: shape, Data: data})
		return data
	}
	for i, c := range [][2]int{{129, 128}, {128, 64}, {64, 64}, {64, 128}} {
		put(fmt.Sprintf("encoder.%d.reparam_conv.weight", i), c[1], c[0], 3)
		put(fmt.Sprintf("encoder.%d.reparam_conv.bias", i), c[1])
	}
	for _, name := range []string{"ih", "hh"} {
		put("decoder.rnn.weight_"+name, 512, 128)
		put("decoder.rnn.bias_"+name, 512)
	}
	put("decoder.decoder.2.weight", 1, 128, 1)
	put("decoder.decoder.2.bias", 1)
	basis := put("stft.forward_basis_buffer", 258, 1, 256)
	for i := range basis[:len(basis)/2] {
		k, n := float64(i/256), float64(i%256)
		w := 0.5 - 0.5*math.Cos(2*math.Pi*n/256)
		basis[i] = float32(w * math.Cos(2*math.Pi*k*n/256))
		basis[len(basis)/2+i] = float32(-w * math.Sin(2*math.Pi*k*n/256))
	}
	return tensors
}

// writeSilero writes the same weights for whisper.cpp and as safetensors.
func writeSilero(ggml, tensorsFile string) error {
	tensors := sileroTensors()
	var b bytes.Buffer
	ints := func(values ...int) {
		for _, v := range values {
			binary.Write(&b, binary.LittleEndian, int32(v))
		}
	}
	ints(audio.GGMLMagic, len("silero-16k"))
	b.WriteString("silero-16k")
	ints(6, 2, 0, 512, 64, 4, 129, 128, 3, 128, 64, 3, 64, 64, 3, 64, 128, 3, 128, 128, 128, 1)
	for _, t := range tensors {
		shape := slices.Clone(t.Shape)
		slices.Reverse(shape)
		ints(len(shape), len(t.Name), 0)
		ints(shape...)
		b.WriteString(t.Name)
		binary.Write(&b, binary.LittleEndian, t.Data)
	}
	if err := os.WriteFile(ggml, b.Bytes(), 0o666); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := safetensors.Write(&file, tensors, nil, safetensors.F32); err != nil {
		return err
	}
	return os.WriteFile(tensorsFile, file.Bytes(), 0o666)
}

// TestVADEndsWhenInterrupted checks that a command whose context is done finds no more speech.
func TestVADEndsWhenInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(path, 300, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if status := run(ctx, []string{"vad", path}, &stdout, &stderr); status != statusInterrupted || stdout.Len() > 0 {
		t.Errorf("status %d, stdout %q, stderr %q", status, &stdout, &stderr)
	}
	v := &vad{audio.NewLongTermDetector, audio.DefaultSpeechOptions()}
	if _, err := v.speech(ctx, make([]float32, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
