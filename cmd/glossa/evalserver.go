package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"glossa/asr"
	"glossa/asr/ws"
	"glossa/audio"
	"glossa/eval"
)

// evalSent are the flags of eval that hold with --server.
var evalSent = namesOf(sentDecoding, []string{
	"server", "api-key", "adapter", "language", "language-from", "split", "limit", "non-speech", "hallucinations", "live", "policy", "concurrency",
	"hypotheses", "resume", "compare", "gate", "json", "markdown", "html", "normaliser", "alignment", "alternatives", "by", "confusions", "class", "spellings",
})

// serverTestee is a server.
type serverTestee struct {
	flags    *evalCommand
	remote   *remoteClient
	sounds   *sounds
	fields   url.Values // of every utterance
	model    string
	adapters []string
	windows  int // in its batches; 0 where it does not tell
}

// openServer asks a server what it has.
func (e *evalCommand) openServer(ctx context.Context, s *sounds, given []*kong.Path) (*serverTestee, error) {
	server, err := checkServer(e.Server)
	if err != nil {
		return nil, err
	}
	if name := givenBeside(given, evalSent); name != "" {
		return nil, fmt.Errorf("--%s: it cannot be asked of a server", name)
	}
	t := &serverTestee{flags: e, remote: newRemoteClient(server, e.serverKey), sounds: s, fields: make(url.Values)}
	if err := e.remoteDecoding(t.fields); err != nil {
		return nil, err
	}
	return t, t.ask(ctx)
}

// ask asks for the model, its adapters and the size of its batches.
func (s *serverTestee) ask(ctx context.Context) error {
	var models struct {
		Data []struct {
			ID     string  `json:"id"`
			Parent *string `json:"parent"`
		} `json:"data"`
	}
	if err := s.get(ctx, "/v1/models", &models); err != nil {
		return err
	}
	for _, m := range models.Data {
		if m.Parent == nil {
			s.model = m.ID
		} else {
			s.adapters = append(s.adapters, m.ID)
		}
	}
	slices.Sort(s.adapters)
	if a := s.flags.Adapter; a != asr.Auto && a != asr.None && !slices.Contains(s.adapters, a) {
		return fmt.Errorf("--adapter %s: %s has none of that name; it has: %s", a, s.remote.server, strings.Join(s.adapters, " "))
	}
	var status struct {
		Status struct {
			MaxWindows int `json:"max_windows"`
		} `json:"status"`
	}
	if err := s.get(ctx, "/status.json", &status); err == nil { // which is not for everybody
		s.windows = status.Status.MaxWindows
	}
	return nil
}

// get decodes what is at a path.
func (s *serverTestee) get(ctx context.Context, path string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.remote.server+path, nil)
	if err != nil {
		return err
	}
	request.Header = s.remote.header.Clone()
	response, err := s.remote.client.Do(request)
	if err != nil {
		return unreachable(s.remote.server, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	if err := json.NewDecoder(response.Body).Decode(to); err != nil {
		return fmt.Errorf("%s%s: %w", s.remote.server, path, err)
	}
	return nil
}

// recognise is a part of testee. Where the server is busy, restarts or is away for a while, it tries again.
func (s *serverTestee) recognise(ctx context.Context, t trial) (eval.Pair, error) {
	p := t.pair()
	q, err := s.request(ctx, t)
	if err != nil {
		p.Err = err.Error()
		return p, context.Cause(ctx)
	}
	var r *asr.Result
	var begin time.Time
	err = patiently(ctx, transient, func() (err error) {
		begin = time.Now()
		r, err = s.remote.transcribe(ctx, q)
		return err
	})
	switch {
	case err == nil:
		p.Latency = time.Since(begin).Seconds()
		p.Hypothesis = r.Text
		if r.Duration > 0 {
			p.Duration = r.Duration
		}
		if t.language(s.flags.LanguageFrom) == asr.Auto {
			p.Detected = r.Language
		}
		return p, nil
	case ctx.Err() != nil:
		return p, context.Cause(ctx)
	case transient(err):
		return p, err
	}
	p.Err = err.Error()
	return p, nil
}

// transient reports whether an error is one of the server or the way there, which may be well again later, and not one of the utterance.
func transient(err error) bool {
	var later *laterError
	var broken *url.Error
	var file *fs.PathError
	if errors.As(err, &file) {
		return false
	}
	return errors.As(err, &later) || errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF)
}

// request returns what is asked for a trial: files are sent as they are, parts of them and noise as WAV.
func (s *serverTestee) request(ctx context.Context, t trial) (q remoteRequest, err error) {
	detected := t.language(s.flags.LanguageFrom) == asr.Auto
	q = remoteRequest{name: filepath.Base(t.AudioFilepath), fields: make(url.Values), plain: !detected && t.Duration > 0}
	for name, values := range s.fields {
		q.fields[name] = values
	}
	if !detected {
		q.fields.Set("language", t.Lang)
	}
	q.fields.Set("adapter", t.adapterName())
	if !t.Part && !strings.HasPrefix(t.AudioFilepath, noisePrefix) {
		q.open = func() (io.ReadCloser, error) { return os.Open(t.AudioFilepath) }
		return q, nil
	}
	pcm, release, err := s.sounds.take(ctx, t.Utterance)
	if err != nil {
		return q, err
	}
	file, err := audio.EncodeWAV(pcm)
	release()
	if err != nil {
		return q, err
	}
	q.name = "part.wav"
	q.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }
	return q, nil
}

func (s *serverTestee) listen(ctx context.Context, t trial) (liveConn, error) {
	o := s.flags.listenOptions(t)
	config := ws.Config{
		Language: o.Language, Adapter: o.Adapter, Policy: string(o.Policy), Hotwords: []string{o.Hotwords}, Prompt: o.Prompt,
		SampleRate: fileFormat.rate, Encoding: fileFormat.encoding,
	}
	if o.Hotwords == "" {
		config.Hotwords = nil
	}
	return ws.Dial(ctx, s.remote.server, config, s.remote.header)
}

func (s *serverTestee) adapted() bool { return len(s.adapters) > 0 }

func (s *serverTestee) adapterOf(lang string) string {
	if slices.Contains(s.adapters, lang) {
		return lang
	}
	return ""
}

// atOnce is two of the server's batches, so that one waits while the other is computed.
func (s *serverTestee) atOnce() int {
	const usual = 16
	if s.windows > 0 {
		return 2 * s.windows
	}
	return 2 * usual
}

func (s *serverTestee) identity() map[string]string {
	return map[string]string{"server": s.remote.server, "model": s.model, "adapters": strings.Join(s.adapters, ", ")}
}

func (s *serverTestee) close() { s.remote.client.CloseIdleConnections() }
