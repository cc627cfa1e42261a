package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/alecthomas/kong"

	"glossa/asr"
)

// remoteRequests is the number of files that are on their way to a server at a time.
const remoteRequests = 8

// sentFlags are the flags of transcribe that hold with --server. What others ask for, a server is not asked for.
var sentFlags = namesOf(sentDecoding, []string{
	"server", "api-key", "language", "languages", "switch-language", "adapter", "task", "format", "timestamps", "output-dir",
	"word-timestamps", "max-line-width", "max-line-count", "max-words-per-line", "highlight-words", "vad",
})

// namesOf returns the set of names.
func namesOf(lists ...[]string) map[string]bool {
	set := make(map[string]bool)
	for _, name := range slices.Concat(lists...) {
		set[name] = true
	}
	return set
}

// runRemote has a server transcribe the files, and writes their texts as Run does.
func (t *transcribeCommand) runRemote(ctx context.Context, c *console, given []*kong.Path) error {
	server, err := checkServer(t.Server)
	if err != nil {
		return err
	}
	if name := givenBeside(given, sentFlags); name != "" {
		return fmt.Errorf("--%s: it cannot be asked of a server", name)
	}
	fields, err := t.remoteFields()
	if err != nil {
		return err
	}
	if t.OutputDir != "" {
		if err := os.MkdirAll(t.OutputDir, 0o777); err != nil {
			return err
		}
	}
	remote := newRemoteClient(server, t.serverKey)
	results := make([]chan *asr.Result, len(t.Files))
	for i := range results {
		results[i] = make(chan *asr.Result, 1)
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	next := make(chan int)
	for range min(remoteRequests, len(t.Files)) {
		workers.Go(func() {
			for i := range next {
				results[i] <- t.send(ctx, remote, t.Files[i], fields)
			}
		})
	}
	workers.Go(func() {
		defer close(next)
		for i := range t.Files {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	return t.collect(ctx, c, results)
}

// send has one file transcribed.
func (t *transcribeCommand) send(ctx context.Context, remote *remoteClient, file string, fields url.Values) *asr.Result {
	q := remoteRequest{name: titleOf(file), fields: fields, plain: t.plain(), translate: t.Task == "translate"}
	q.open = func() (io.ReadCloser, error) { return os.Open(file) }
	if file == stdinName {
		sound, err := io.ReadAll(os.Stdin)
		if err != nil {
			return &asr.Result{Err: err}
		}
		q.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sound)), nil }
	}
	r, err := remote.transcribe(ctx, q)
	if err != nil {
		return &asr.Result{Err: err}
	}
	if !t.SwitchLanguage {
		for i := range r.Segments {
			r.Segments[i].Language = "" // as here, where each is that of the recording
		}
	}
	return r
}

// collect writes results in the order of the files, each when it is there.
func (t *transcribeCommand) collect(ctx context.Context, c *console, results []chan *asr.Result) error {
	progress := newProgress(c, len(results), "files")
	defer progress.finish()
	failed := false
	for i, result := range results {
		var r *asr.Result
		select {
		case r = <-result:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		progress.add(r)
		if r.Err != nil {
			failed = true
			c.report(fmt.Errorf("%s: %w", titleOf(t.Files[i]), r.Err))
			continue
		}
		if err := t.write(c, t.Files[i], r); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// plain reports whether text alone is wanted.
func (t *transcribeCommand) plain() bool { return t.Format == "txt" && !t.Timestamps }

// remoteFields returns what the flags ask for as fields of a form. All that has a default value here is sent, so that a
// server does what this program would.
func (t *transcribeCommand) remoteFields() (url.Values, error) {
	f := make(url.Values)
	if t.Language != asr.Auto {
		f.Set("language", t.Language)
	}
	for _, l := range t.Languages {
		f.Add("languages[]", l)
	}
	if t.SwitchLanguage {
		f.Set("switch_language", "true")
	}
	f.Set("adapter", t.Adapter)
	switch t.VAD {
	case vadAuto:
	case vadNone:
		f.Set("vad_filter", "false")
	case vadBuiltin:
		f.Set("vad_filter", "true")
	default:
		return nil, errors.New("--vad: with --server it is auto, none or builtin, which is the detector of the server")
	}
	if !t.plain() {
		f.Add("timestamp_granularities[]", "segment")
		if t.WordTimestamps {
			f.Add("timestamp_granularities[]", "word")
		}
	}
	return f, t.remoteDecoding(f)
}

// sentDecoding are the flags of decoding that a server can be asked for.
var sentDecoding = []string{
	"beam-size", "patience", "best-of", "length-penalty", "seed", "temperature", "compression-ratio-threshold", "logprob-threshold",
	"no-speech-threshold", "condition-on-previous-text", "initial-prompt", "hotwords",
}

// remoteDecoding adds how windows are decoded.
func (t *decodingFlags) remoteDecoding(f url.Values) error {
	if len(t.Temperature) != 1 {
		return errors.New("--temperature: a server takes one")
	}
	f.Set("beam_size", strconv.Itoa(t.BeamSize))
	f.Set("best_of", strconv.Itoa(t.BestOf))
	if t.Patience != 0 {
		f.Set("patience", formatNumber(t.Patience))
	}
	if t.LengthPenalty != nil {
		f.Set("length_penalty", t.LengthPenalty.field())
	}
	f.Set("seed", strconv.FormatUint(t.Seed, 10))
	f.Set("temperature", formatNumber(t.Temperature[0]))
	f.Set("compression_ratio_threshold", t.CompressionRatioThreshold.field())
	f.Set("logprob_threshold", t.LogprobThreshold.field())
	f.Set("no_speech_threshold", t.NoSpeechThreshold.field())
	f.Set("condition_on_previous_text", strconv.FormatBool(t.ConditionOnPreviousText))
	if t.InitialPrompt != "" {
		f.Set("prompt", t.InitialPrompt)
	}
	if t.Hotwords != "" {
		f.Set("hotwords", t.Hotwords)
	}
	return nil
}
