package main

import (
	"reflect"
	"strings"
	"testing"

	"glossa/asr"
)

// TestEveryLimitIsASetting checks that each field of asr.Limits has a flag of its own, and is what the flag says.
func TestEveryLimitIsASetting(t *testing.T) {
	var f limitFlags
	flags := reflect.ValueOf(&f).Elem()
	for i := range flags.NumField() {
		flags.Field(i).SetInt(int64(i + 1))
	}
	limits := reflect.ValueOf(f.limits())
	if limits.NumField() != flags.NumField() {
		t.Errorf("%d limits, %d flags", limits.NumField(), flags.NumField())
	}
	for i := range limits.NumField() {
		field := limits.Type().Field(i)
		flag, ok := flags.Type().FieldByName(field.Name)
		if !ok {
			t.Errorf("no flag of %s", field.Name)
			continue
		}
		if got, want := limits.Field(i).Int(), flags.FieldByIndex(flag.Index).Int(); got != want {
			t.Errorf("%s: %d, want %d", field.Name, got, want)
		}
	}
	defaults := reflect.ValueOf(asr.Limits{}.WithDefaults())
	for i := range defaults.NumField() {
		if defaults.Field(i).IsZero() {
			t.Errorf("%s has no default value", defaults.Type().Field(i).Name)
		}
	}
}

// TestVariablesAreOfSettingsAlone checks that no setting has the variable of something else.
func TestVariablesAreOfSettingsAlone(t *testing.T) {
	isolate(t)
	others := map[string]bool{ // of tests, and of clients
		"GLOSSA_DATA": true, "GLOSSA_GOLDEN": true, "GLOSSA_CPU": true, "GLOSSA_EMULATE": true, "GLOSSA_CHART": true, "GLOSSA_SHOTS": true,
		"GLOSSA_SERVER": true, "GLOSSA_API_KEY": true,
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(settingsOf(t)) {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "# "), ":")
		name := variableOf(key)
		if others[name] || seen[name] {
			t.Errorf("%s: %s is taken", key, name)
		}
		seen[name] = true
	}
	if len(seen) < 30 {
		t.Errorf("%d settings", len(seen))
	}
}

// FuzzSettings reads any text as a file of settings.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{"http: a", "http: [a, 'b']\nlimit-idle: 3s", "- a", "a: &x {b: *x}", "http: |\n  x\n", "http: !!binary aa", "? [a]\n: b", "\x00"} {
		f.Add(text)
	}
	known := map[string]bool{"http": true, "limit-idle": true}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings("f", []byte(text), known)
		if err != nil {
			return
		}
		for key, v := range s.values {
			if !known[key] || v.line < 1 || !v.list && len(v.texts) != 1 {
				t.Errorf("%s: %+v", key, v)
			}
		}
	})
}
