package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
)

type transcribeCommand struct {
	Files     []string `arg:"" name:"file" help:"Sound files, told by their content: WAV, FLAC, MP3, and Opus or Vorbis in Ogg or WebM; with ffmpeg installed also M4A/AAC, MP4 and other sound and video. - is the standard input."`
	Server    string   `group:"Server" placeholder:"URL" help:"Have a server transcribe the files, such as http://127.0.0.1:8080, instead of this process."`
	serverKey `group:"Server"`
	modelFlags
	Language   string `default:"auto" placeholder:"auto|CODE" help:"The language spoken, or auto to detect it. (${default})"`
	Client     string `placeholder:"NAME" help:"The client whose routes hold."`
	Task       string `enum:"transcribe,translate" default:"transcribe" help:"Write what is said, or translate it into English. (${enum})"`
	Format     string `enum:"txt,json,srt,vtt,tsv" default:"txt" help:"The format of the output. (${enum})"`
	Timestamps bool   `help:"Find the times of segments. srt, vtt and tsv always do."`
	OutputDir  string `placeholder:"DIR" help:"Write the text of x/NAME.wav to DIR/NAME.FORMAT instead of the standard output."`

	Languages      []string  `placeholder:"CODE,…" help:"The languages that detection chooses from. (all that the model knows)"`
	SwitchLanguage bool      `help:"Detect the language of every window of 30 s, and take its adapter."`
	ClipTimestamps []float64 `placeholder:"START,END,…" help:"What is transcribed of each file, in seconds; a last start without an end lasts to the end. (all)"`
	decodingFlags
	subtitleFlags
	vadFlags `kong:"set='vad=auto',set='vad_kinds=auto|none|builtin|FILE',set='vad_auto= auto is builtin for models of single utterances, such as the embedded one, and none for all others.',set='max_speech=the window of the model',set='min_silence=160',set='speech_pad=400'"`
}

// Run transcribes the files in shared batches and writes their texts in the order of the files,
// each as soon as those before it are done. What is wrong with one file does not stop the others.
func (t *transcribeCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if err := t.check(); err != nil {
		return err
	}
	if t.Server != "" {
		return t.runRemote(ctx, c, parsed.Path)
	}
	request, err := t.request()
	if err != nil {
		return err
	}
	engine, err := t.engine()
	if err != nil {
		return err
	}
	if request.Speech, err = t.speech(ctx, engine.Model()); err != nil {
		return err
	}
	if err := checkLanguage(t.Language, engine.Model()); err != nil {
		return err
	}
	if err := engine.Check(request); err != nil {
		return err
	}
	if t.OutputDir != "" {
		if err := os.MkdirAll(t.OutputDir, 0o777); err != nil {
			return err
		}
	}
	files := newAhead(t.Files, maxUnread)
	defer files.close()
	defer context.AfterFunc(ctx, files.cancel)()
	requests := make([]asr.Request, len(t.Files))
	for i := range requests {
		requests[i] = request
		requests[i].Audio = func() ([]float32, error) { return files.take(i) }
	}
	failed := 0
	progress := newProgress(c, len(requests), "files")
	err = transcribe(ctx, engine, requests, progress, func(i int, r *asr.Result) error {
		if r.Err != nil {
			failed++
			c.report(fmt.Errorf("%s: %w", titleOf(t.Files[i]), r.Err))
			return nil
		}
		return t.write(c, t.Files[i], r)
	})
	if err == nil && failed > 0 {
		err = errReported
	}
	return err
}

// request returns what the flags ask for of every file.
func (t *transcribeCommand) request() (asr.Request, error) {
	d, err := t.decoding()
	return asr.Request{
		Language:       t.Language,
		Languages:      t.Languages,
		SwitchLanguage: t.SwitchLanguage,
		Adapter:        t.Adapter,
		Client:         t.Client,
		Task:           t.Task,
		Timestamps:     t.Timestamps || (timed[t.Format] || t.WordTimestamps) && !t.WithoutTimestamps,
		Words:          t.wordOptions(),
		Clips:          t.ClipTimestamps,
		Decoding:       d,
	}, err
}

// speech returns what finds speech, nil where nothing is to. Speech is cut where the model's window
// ends, unless the flags want it shorter. A model that was trained on single utterances hears speech alone.
func (t *transcribeCommand) speech(ctx context.Context, m *whisper.Model) (func([]float32) ([]audio.Span, error), error) {
	flags := t.vadFlags
	if flags.VAD == vadAuto {
		if flags.VAD = vadNone; m.Dims.Unpadded && t.ClipTimestamps == nil {
			flags.VAD = vadBuiltin
		}
	}
	if flags.VAD == vadNone {
		return nil, nil
	}
	v, err := flags.open()
	if err != nil {
		return nil, err
	}
	window := time.Duration(m.Dims.WindowSeconds() * float64(time.Second))
	v.options.MaxSpeech = min(cmp.Or(v.options.MaxSpeech, window), window)
	return func(pcm []float32) ([]audio.Span, error) { return v.speech(ctx, pcm) }, nil
}

// timed are the formats that hold times.
var timed = map[string]bool{"srt": true, "vtt": true, "tsv": true}

// check finds what is wrong with the flags before any work is done.
func (t *transcribeCommand) check() error {
	if err := t.checkSubtitles(); err != nil {
		return err
	}
	stdin := 0
	for _, file := range t.Files {
		if file == stdinName {
			stdin++
		}
	}
	if stdin > 1 {
		return errors.New("the standard input can be transcribed once")
	}
	if t.OutputDir == "" {
		if timed[t.Format] && len(t.Files) > 1 {
			return fmt.Errorf("--format %s of several files needs --output-dir", t.Format)
		}
		return nil
	}
	source := make(map[string]string) // file by the name of its output
	for _, file := range t.Files {
		out := t.outputName(file)
		if other, ok := source[out]; ok {
			return fmt.Errorf("%s and %s would both be written to %s", other, file, out)
		}
		source[out] = file
	}
	return nil
}

// checkLanguage reports whether a model can be asked for a language.
func checkLanguage(name string, m *whisper.Model) error {
	if name == asr.Auto {
		return nil
	}
	code, ok := whisper.LanguageCode(name)
	if !ok {
		return fmt.Errorf("unknown language %q", name)
	}
	if !m.Tokenizer.Knows(code) {
		return fmt.Errorf("the model does not know the language %q", name)
	}
	return nil
}

// titleOf returns how a file is called in results and errors.
func titleOf(file string) string {
	if file == stdinName {
		return "stdin"
	}
	return file
}

// outputName returns the path that the text of a file is written to.
func (t *transcribeCommand) outputName(file string) string {
	base := filepath.Base(titleOf(file))
	return filepath.Join(t.OutputDir, strings.TrimSuffix(base, filepath.Ext(base))+"."+t.Format)
}

// fileResult is a line of JSON.
type fileResult struct {
	File string `json:"file"`
	*asr.Result
}

// write writes the text of a file to where the flags say.
func (t *transcribeCommand) write(c *console, file string, r *asr.Result) error {
	var b strings.Builder
	switch {
	case t.Format == "json":
		if r.Segments == nil {
			r.Segments = []asr.Segment{} // a list in JSON too
		}
		if err := encodeLine(&b, fileResult{titleOf(file), r}); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	case t.Format == "txt" && t.OutputDir == "" && len(t.Files) > 1:
		fmt.Fprintf(&b, "%s: %s\n", titleOf(file), r.Text)
	default:
		if err := asr.Write(&b, t.Format, r, t.subtitleOptions()); err != nil {
			return err
		}
	}
	if t.OutputDir == "" {
		return c.print(b.String())
	}
	return os.WriteFile(t.outputName(file), []byte(b.String()), 0o666)
}
