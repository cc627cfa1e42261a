package asr

import (
	"errors"
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper"
)

// TestRoutesInTheirOrder checks which of several routes is taken.
func TestRoutesInTheirOrder(t *testing.T) {
	routes, err := Routes{
		Languages: map[string]string{"Czech": "czech", "de": None, "fr": "french"},
		ByName:    true,
		Clients: map[string]ClientRoutes{
			"own":     {Languages: map[string]string{"cs": "own-cs", "fr": None}},
			"default": {Languages: map[string]string{"cs": "own-cs"}, Default: "own"},
			"base":    {Default: None},
			"strict":  {Languages: map[string]string{"pl": "polish"}, Allowed: []string{"french"}},
		},
	}.check()
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool { return slices.Contains([]string{"de", "fi", "czech"}, name) }
	for _, c := range []struct{ client, language, want string }{
		{"", "cs", "czech"}, {"", "de", ""}, {"", "fi", "fi"}, {"", "hi", ""}, {"", "fr", "french"}, {"nobody", "cs", "czech"},
		{"own", "cs", "own-cs"}, {"own", "fr", ""}, {"own", "fi", "fi"}, {"own", "de", ""},
		{"default", "cs", "own-cs"}, {"default", "fr", "own"}, {"default", "hi", "own"},
		{"base", "cs", ""}, {"strict", "pl", "polish"}, {"strict", "fr", "french"}, {"strict", "cs", ""}, {"strict", "fi", ""},
	} {
		if got := routes.of(c.client, c.language, has); got != c.want {
			t.Errorf("%s of client %q has %q, want %q", c.language, c.client, got, c.want)
		}
	}
	if got, want := routes.Names(), []string{"czech", "french", "own", "own-cs", "polish"}; !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
	for _, bad := range []Routes{{Languages: map[string]string{"zz": "x"}}, {Clients: map[string]ClientRoutes{"c": {Languages: map[string]string{"": "x"}}}}} {
		if _, err := bad.check(); !errors.Is(err, whisper.ErrLanguage) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestRequestGoesBeforeItsClient checks that what a request names goes before all routes, and that a
// client cannot name what it may not have.
func TestRequestGoesBeforeItsClient(t *testing.T) {
	e := newEngine(t, true, Options{Routes: Routes{Clients: map[string]ClientRoutes{"c": {Default: "de", Allowed: []string{"fr"}}}}})
	if _, err := e.LoadAdapter("fr", newAdapter(t, e.model, "f", flora.LoRA)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ client, adapter, want string }{
		{"c", "", "de"}, {"c", Auto, "de"}, {"c", None, ""}, {"c", "fr", "fr"}, {"c", "de", "de"}, {"c", "cs", "?"}, {"c", "hi", "?"}, {"", "cs", "cs"}, {"", "", "cs"},
	} {
		r := transcribe(t, e, chirp(300, 1, Request{Language: "cs", Client: c.client, Adapter: c.adapter}))[0]
		if c.want == "?" && !errors.Is(r.Err, ErrNotFound) || c.want != "?" && (r.Err != nil || r.Adapter != c.want) {
			t.Errorf("%+v: %q, %v", c, r.Adapter, r.Err)
		}
	}
}
