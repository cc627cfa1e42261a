package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// serverFlags are all that a server is told: by flags, by GLOSSA_* variables, or by a file of settings. What
// resolves them is in settings.go.
type serverFlags struct {
	Config string `name:"config" placeholder:"FILE" help:"A YAML file of settings. (glossa.yaml here, or in glossa/ of the user's configuration folder, if there is one)"`

	HTTP    string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"The address to listen on; port 0 is any that is free. (${default})"`
	Data    string `placeholder:"DIR" help:"The folder that holds the server's state; it is made where it is not there. (glossa/ in the user's folder of states)"`
	Workers int    `default:"1" help:"Whether recordings and jobs are transcribed in this process: 0 is not at all, and requests for it are answered 503; jobs wait for workers elsewhere. (${default})"`

	modelFlags
	WatchAdapters bool   `help:"Load, replace and unload adapters as the subfolders of --adapters come, change and go."`
	VAD           string `name:"vad" default:"builtin" placeholder:"builtin|FILE" help:"What tells speech from silence in live sessions: the built-in detector, or the weights of Silero VAD. (${default})"`

	accessFlags
	jobFlags
	limitFlags

	LogFormat    string        `enum:"text,json" default:"text" help:"The format of log lines on the standard error. (${enum})"`
	LogLevel     slog.Level    `default:"info" placeholder:"LEVEL" help:"The least important lines that are logged: debug, info, warn or error. (${default})"`
	DrainTimeout time.Duration `default:"30s" help:"How long requests and live sessions may take to end after SIGTERM. (${default})"`
}

// accessFlags say who may do what.
type accessFlags struct {
	APIKey        []apiKey `name:"api-key" group:"Access" sep:"none" placeholder:"NAME=KEY" help:"A client's name, for --route and --routes, and its secret key; with any, requests need one. Repeatable; other users of this machine can see it, so that --api-keys is better."`
	APIKeys       string   `name:"api-keys" group:"Access" placeholder:"FILE" help:"A file of such lines; # begins a comment."`
	CORSOrigin    []string `name:"cors-origin" group:"Access" placeholder:"ORIGIN,…" help:"Sites whose pages may call the server from a browser, such as https://example.org, or *; a proxy on this machine that keeps its public Host needs it here too. (none but its own)"`
	TLSCert       string   `name:"tls-cert" group:"Access" placeholder:"FILE" help:"Serve HTTPS with this certificate chain, PEM."`
	TLSKey        string   `name:"tls-key" group:"Access" placeholder:"FILE" help:"The key of the certificate, PEM."`
	Admin         bool     `group:"Access" help:"Let clients load and unload adapters below --adapters."`
	MetricsPublic bool     `group:"Access" help:"Serve /metrics without a key."`
}

// apiKey is NAME=KEY. It never prints its key.
type apiKey struct{ name, key string }

// UnmarshalText reads NAME=KEY.
func (k *apiKey) UnmarshalText(text []byte) error {
	name, key, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	const least = 8 // characters; fewer are soon guessed
	switch {
	case !ok || name == "" || key == "":
		return errors.New("want NAME=KEY")
	case len(key) < least:
		return fmt.Errorf("the key of %s is shorter than %d characters; openssl rand -hex 24 makes a good one", name, least)
	}
	k.name, k.key = name, key
	return nil
}

func (apiKey) secret() bool { return true }

func (k apiKey) String() string { return k.name + "=(secret)" }

// keys returns the keys of clients by the clients' names, those of the flags and of the file.
func (f *accessFlags) keys() (map[string]string, error) {
	keys := make(map[string]string)
	add := func(k apiKey) error {
		if other, ok := keys[k.name]; ok && other != k.key {
			return fmt.Errorf("the client %s has two keys", k.name)
		}
		keys[k.name] = k.key
		return nil
	}
	for _, k := range f.APIKey {
		if err := add(k); err != nil {
			return nil, fmt.Errorf("--api-key: %w", err)
		}
	}
	if f.APIKeys == "" {
		return keys, nil
	}
	text, err := os.ReadFile(f.APIKeys)
	if err != nil {
		return nil, fmt.Errorf("--api-keys %s: %w", f.APIKeys, reason(err))
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var k apiKey
		err := k.UnmarshalText([]byte(line))
		if err == nil {
			err = add(k)
		}
		if err != nil {
			return nil, fmt.Errorf("--api-keys %s:%d: %w", f.APIKeys, n, err)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("--api-keys %s: there is no key", f.APIKeys)
	}
	return keys, nil
}

// check finds what is wrong with the flags before any work is done.
func (f *serverFlags) check() error {
	switch {
	case f.Workers < 0:
		return fmt.Errorf("--workers %d: at least 0 is needed", f.Workers)
	case f.WatchAdapters && f.Adapters == "":
		return errors.New("--watch-adapters needs --adapters")
	case (f.TLSCert == "") != (f.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case f.DrainTimeout <= 0:
		return fmt.Errorf("--drain-timeout %v: more than 0s is needed", f.DrainTimeout)
	}
	if err := f.jobFlags.check(); err != nil {
		return err
	}
	return f.limitFlags.check()
}

// dataDir returns the folder of the server's state, which it makes.
func (f *serverFlags) dataDir() (string, error) {
	dir := f.Data
	if dir == "" {
		dir = stateDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("--data %s: %w; name a folder that can be written", dir, reason(err))
	}
	return dir, nil
}

// stateDir returns the folder of a server that is told none: that which systemd gives it, or one in the
// user's folder of states, or of caches, or of temporary files.
func stateDir() string {
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	const name = "glossa"
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name)
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		return filepath.Join(home, ".local", "state", name)
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, name, "state")
	}
	return filepath.Join(os.TempDir(), name)
}

// logger returns what logs to w.
func (f *serverFlags) logger(w *console) *slog.Logger { return newLogger(w, f.LogFormat, f.LogLevel) }

// newLogger returns what logs to w in a format, text or json.
func newLogger(w *console, format string, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w.stderr(), options))
	}
	return slog.New(slog.NewTextHandler(w.stderr(), options))
}

// serverDefaults writes the default values of limits into the flags of the commands that have them.
func serverDefaults(k *kong.Kong) error {
	defaults := limitDefaults()
	for _, command := range k.Model.Leaves(false) {
		for _, f := range command.Flags {
			if value, ok := defaults[f.Name]; ok {
				f.Default, f.HasDefault = value, true
				f.Help = strings.ReplaceAll(f.Help, "LIMIT", value)
			}
		}
	}
	return nil
}
