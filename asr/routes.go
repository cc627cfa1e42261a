package asr

import (
	"fmt"
	"maps"
	"slices"

	"glossa/whisper"
)

// Routes say which adapter a window is given whose request leaves it to its language: the first that
// there is of
//
//  1. that of the language for the request's client,
//  2. the client's default,
//  3. that of the language for everybody,
//  4. the one that is named after the language, with ByName,
//
// and otherwise the base model. A route to [None] is one to the base model; one to an adapter that is not
// there fails the request with ErrNotFound.
type Routes struct {
	// Languages are names of adapters by the language that they are for. The default value is nil.
	Languages map[string]string `json:"languages"`

	// ByName gives a language the adapter that is named by its code, if there is one then.
	ByName bool `json:"by_name"`

	// Clients are the rules of clients, beside which those for everybody hold for a client as far as
	// its own leave room. The default value is nil.
	Clients map[string]ClientRoutes `json:"clients"`
}

// ClientRoutes are the rules of one client.
type ClientRoutes struct {
	// Languages are names of adapters by language. The default value is nil.
	Languages map[string]string `json:"languages"`

	// Default is the adapter in all other languages. The default value is "": those of everybody.
	Default string `json:"default"`

	// Allowed are the adapters that the client may have, by name in its requests or by the routes of
	// everybody, which are passed over otherwise; beside those of its own routes. Others are ErrNotFound,
	// as if they did not exist. The default value is nil: all.
	Allowed []string `json:"allowed"`
}

// Names returns the names of all adapters that the routes lead to, sorted.
func (r *Routes) Names() []string {
	names := slices.Collect(maps.Values(r.Languages))
	for _, c := range r.Clients {
		names = append(slices.AppendSeq(names, maps.Values(c.Languages)), c.Default)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" || name == None })
	slices.Sort(names)
	return slices.Compact(names)
}

// check makes codes of the languages. The error is whisper.ErrLanguage.
func (r Routes) check() (Routes, error) {
	var err error
	if r.Languages, err = byCode(r.Languages); err != nil {
		return r, err
	}
	r.Clients = maps.Clone(r.Clients)
	for client, c := range r.Clients {
		if c.Languages, err = byCode(c.Languages); err != nil {
			return r, fmt.Errorf("client %s: %w", client, err)
		}
		r.Clients[client] = c
	}
	return r, nil
}

// byCode returns a map by languages as one by their codes.
func byCode(m map[string]string) (map[string]string, error) {
	codes := make(map[string]string, len(m))
	for name, adapter := range m {
		code, ok := whisper.LanguageCode(name)
		if !ok {
			return nil, fmt.Errorf("route of a language: %w: %q", whisper.ErrLanguage, name)
		}
		codes[code] = adapter
	}
	return codes, nil
}

// of returns the name of the adapter of a language for a client, "" for the base model. has reports
// whether there is an adapter of a name.
func (r *Routes) of(client, language string, has func(name string) bool) string {
	c := r.Clients[client]
	name, ok := c.Languages[language]
	if !ok && c.Default != "" {
		name, ok = c.Default, true
	}
	if !ok {
		if name, ok = r.Languages[language]; !ok && r.ByName && has(language) {
			name = language
		}
		if !c.allows(name) {
			name = ""
		}
	}
	if name == None {
		return ""
	}
	return name
}

// own reports whether a language has an adapter of its own for a client: not the client's default, which is any language's.
func (r *Routes) own(client, language string, has func(name string) bool) bool {
	name, ok := r.Clients[client].Languages[language]
	if !ok {
		name, ok = r.Languages[language]
	}
	if !ok {
		return r.ByName && has(language)
	}
	return name != None
}

// allows reports whether a client may have an adapter that its own routes do not give it.
func (c *ClientRoutes) allows(name string) bool {
	return c.Allowed == nil || slices.Contains(c.Allowed, name)
}

// mayName reports whether a request of a client may name an adapter.
func (r *Routes) mayName(client, name string) bool {
	c := r.Clients[client]
	if c.allows(name) || name == c.Default {
		return true
	}
	for _, own := range c.Languages {
		if own == name {
			return true
		}
	}
	return false
}
