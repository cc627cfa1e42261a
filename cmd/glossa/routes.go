package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"glossa/asr"
	"glossa/whisper"
)

// routeFlags say which adapter is for which language and client.
type routeFlags struct {
	Route  []string `group:"Routes" sep:"none" placeholder:"[CLIENT:]LANG=NAME" help:"The adapter of a language, for everybody or for one client, whose LANG * is the adapter of its other languages; none is the base model. Repeatable."`
	Routes string   `group:"Routes" placeholder:"FILE" help:"A JSON file of such routes: {\"languages\": {LANG: NAME}, \"clients\": {CLIENT: {\"languages\": {LANG: NAME}, \"default\": NAME, \"allowed\": [NAME]}}}. --route goes before it."`
}

// routes returns the routes of the file and of the flags. A language of which they have none has the
// adapter of its name.
func (f *routeFlags) routes() (asr.Routes, error) {
	routes := asr.Routes{ByName: true}
	if f.Routes != "" {
		text, err := os.ReadFile(f.Routes)
		if err != nil {
			return routes, fmt.Errorf("--routes %s: %w", f.Routes, reason(err))
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&routes); err != nil {
			return routes, fmt.Errorf("--routes %s: %w", f.Routes, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return routes, fmt.Errorf("--routes %s: there is more than one JSON object", f.Routes)
		}
	}
	for _, arg := range f.Route {
		if err := addRoute(&routes, arg); err != nil {
			return routes, fmt.Errorf("--route %s: %w", arg, err)
		}
	}
	return routes, nil
}

// addRoute adds the route [CLIENT:]LANG=NAME.
func addRoute(r *asr.Routes, arg string) error {
	from, name, ok := strings.Cut(arg, "=")
	if !ok || name == "" {
		return errors.New("want [CLIENT:]LANG=NAME")
	}
	client, lang, ofClient := strings.Cut(from, ":")
	if !ofClient {
		client, lang = "", from
	}
	code, known := whisper.LanguageCode(lang)
	switch {
	case ofClient && client == "":
		return errors.New("the client has no name")
	case lang == "*" && !ofClient:
		return errors.New("* is for a client; --adapter is for everybody")
	case lang != "*" && !known:
		return fmt.Errorf("unknown language %q", lang)
	}
	set := func(m *map[string]string) {
		if *m == nil {
			*m = make(map[string]string)
		}
		(*m)[code] = name
	}
	if !ofClient {
		set(&r.Languages)
		return nil
	}
	if r.Clients == nil {
		r.Clients = make(map[string]asr.ClientRoutes)
	}
	c := r.Clients[client]
	if lang == "*" {
		c.Default = name
	} else {
		set(&c.Languages)
	}
	r.Clients[client] = c
	return nil
}
