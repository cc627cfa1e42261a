package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"glossa/audio"
	"glossa/whisper/safetensors"
)

// vadFlags name a voice activity detector and say what it takes for speech, under Silero's names.
// A command that embeds them sets the variables vad, min_silence and speech_pad to its defaults, and
// vad_kinds, vad_auto and max_speech to what help says of them.
type vadFlags struct {
	VAD         string  `name:"vad" group:"Speech" default:"${vad}" placeholder:"${vad_kinds}" help:"What tells speech from all else: the built-in detector, or the weights of Silero VAD, as whisper.cpp or safetensors store them.${vad_auto} (${default})"`
	Threshold   float32 `group:"Speech" name:"vad-threshold" default:"0.5" help:"The probability from which on a frame is speech. (${default})"`
	NegThresh   float32 `group:"Speech" name:"vad-neg-threshold" placeholder:"P" help:"The probability below which speech ends. (threshold - 0.15)"`
	MinSpeech   int     `group:"Speech" name:"vad-min-speech-duration-ms" default:"250" placeholder:"MS" help:"Shorter speech is dropped. (${default})"`
	MaxSpeech   float64 `group:"Speech" name:"vad-max-speech-duration-s" placeholder:"S" help:"Longer speech is cut in its longest silence. (${max_speech})"`
	MinSilence  int     `group:"Speech" name:"vad-min-silence-duration-ms" default:"${min_silence}" placeholder:"MS" help:"How long silence lasts that ends speech. (${default})"`
	SpeechPad   int     `group:"Speech" name:"vad-speech-pad-ms" default:"${speech_pad}" placeholder:"MS" help:"What is added to speech at both ends. (${default})"`
	MinSilAtMax int     `group:"Speech" name:"vad-min-silence-at-max-speech-ms" default:"98" placeholder:"MS" help:"The shortest silence in which speech is cut that is too long. (${default})"`
}

// Values of --vad that are no files.
const (
	vadBuiltin = "builtin" // the detector without weights
	vadNone    = "none"    // all is taken for speech, where the command allows it
	vadAuto    = "auto"    // what suits the model, where the command allows it
)

// vad finds speech. It is safe for concurrent use.
type vad struct {
	newDetector func() audio.Detector
	options     audio.SpeechOptions
}

// open checks the flags and reads the weights that they name.
func (f *vadFlags) open() (*vad, error) {
	const limit = 24 * time.Hour // beyond it, a duration of a flag may overflow
	if s := limit.Seconds(); !(f.MaxSpeech <= s) || float64(max(f.MinSpeech, f.MinSilence, f.SpeechPad, f.MinSilAtMax)) > 1000*s {
		return nil, fmt.Errorf("a duration of --vad-… is longer than %v", limit)
	}
	milliseconds := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	o := audio.SpeechOptions{
		Threshold:             f.Threshold,
		NegThreshold:          f.NegThresh,
		MinSpeech:             milliseconds(f.MinSpeech),
		MaxSpeech:             time.Duration(f.MaxSpeech * float64(time.Second)),
		MinSilence:            milliseconds(f.MinSilence),
		SpeechPad:             milliseconds(f.SpeechPad),
		MinSilenceAtMaxSpeech: milliseconds(f.MinSilAtMax),
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	if f.VAD == vadBuiltin {
		return &vad{audio.NewLongTermDetector, o}, nil
	}
	s, err := openSilero(f.VAD)
	if err != nil {
		return nil, fmt.Errorf("--vad %s: %w", f.VAD, err)
	}
	return &vad{s.Detector, o}, nil
}

// maxVADBytes is the greatest size of a file of weights. Silero's have 1 to 3 MB.
const maxVADBytes = 16 << 20

// openSilero reads the weights of Silero VAD from a file of whisper.cpp or of safetensors, which the
// content tells. Its errors do not name the file.
func openSilero(name string) (*audio.Silero, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, reason(err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a file of weights")
	case info.Size() > maxVADBytes:
		return nil, fmt.Errorf("%d bytes are too many for weights of Silero VAD, the limit is %d", info.Size(), maxVADBytes)
	}
	r := bufio.NewReader(f)
	if start, err := r.Peek(4); err == nil && binary.LittleEndian.Uint32(start) == audio.GGMLMagic {
		return audio.ReadSilero(r)
	}
	tensors, err := safetensors.New(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("neither weights for whisper.cpp nor safetensors: %w", err)
	}
	return audio.NewSilero(tensors)
}

// speech returns the spans of speech in a recording, or the error of ctx once that is done.
func (v *vad) speech(ctx context.Context, pcm []float32) ([]audio.Span, error) {
	return audio.FindSpeechContext(ctx, v.newDetector(), pcm, v.options)
}
