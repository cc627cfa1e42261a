package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// remoteFlags name a server.
type remoteFlags struct {
	Server string `env:"GLOSSA_SERVER" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The server. (${default})"`
	serverKey
}

// serverKey is the flag of the key that a server knows its client by.
type serverKey struct {
	Key string `name:"api-key" env:"GLOSSA_API_KEY" placeholder:"KEY" help:"The key that the server knows this client by."`
}

// header returns what authorizes requests.
func (k serverKey) header() http.Header {
	h := make(http.Header)
	if k.Key != "" {
		h.Set("Authorization", "Bearer "+k.Key)
	}
	return h
}

// checkServer returns the address of a server without a slash at its end.
func checkServer(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("--server %s: want an address such as http://127.0.0.1:8080", server)
	}
	return strings.TrimRight(server, "/"), nil
}

// givenBeside returns the name of a flag on the command line that is not among some, "" where there is none.
func givenBeside(given []*kong.Path, names map[string]bool) string {
	for _, p := range given {
		if p.Flag != nil && !p.Resolved && !names[p.Flag.Name] {
			return p.Flag.Name
		}
	}
	return ""
}

// unreachable says what to do about a server that is not there.
func unreachable(server string, err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: nobody listens there; \"glossa serve\" starts a server, --server names another: %w", server, err)
	}
	return err
}
