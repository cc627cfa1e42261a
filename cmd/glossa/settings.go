package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// settings are where the flags of the server have their values from when the command line does not say: of
// GLOSSA_* variables and the file of settings the first that has one. It is a kong.Resolver for the commands in
// configured alone, so that no other command depends on either.
type settings struct {
	file    *settingsFile // nil before it was looked for
	sources map[string]string
}

// scope says which settings hold for a command.
type scope int

const (
	unset  scope = iota // none
	shared              // the variables of the flags whose tag setting is shared
	named               // all variables, and the file that is named
	whole               // that, or the file that is found
)

// configured are the commands whose flags may be set by variables and by the file.
var configured = map[string]scope{"serve": whole, "config": whole, "worker": named, "submit": shared, "jobs": shared}

// scopeOf returns the scope of a flag of a command.
func scopeOf(node *kong.Node, flag *kong.Flag) scope {
	if node == nil || node.Type != kong.CommandNode {
		return unset
	}
	for node.Parent.Type != kong.ApplicationNode {
		node = node.Parent
	}
	s := configured[node.Name]
	if s == shared && flag.Tag.Get("setting") != "shared" {
		return unset
	}
	return s
}

// variableOf returns the name of the variable of a flag.
func variableOf(flag string) string {
	switch flag {
	case "data":
		return "GLOSSA_DATA_DIR" // GLOSSA_DATA is where tests look for recordings
	case "api-key":
		return "GLOSSA_SERVER_API_KEY" // GLOSSA_API_KEY is the key that a client sends
	}
	return "GLOSSA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Sources of values, beside names of variables and FILE:LINE.
const (
	fromFlag    = "the command line"
	fromDefault = "default"
)

// source tells where the value of a flag is from.
func (s *settings) source(flag string) string { return cmp.Or(s.sources[flag], fromFlag) }

// Validate is a part of kong.Resolver.
func (*settings) Validate(*kong.Application) error { return nil }

// Resolve returns the value of a flag that is not on the command line, nil where it has its default.
func (s *settings) Resolve(ctx *kong.Context, path *kong.Path, flag *kong.Flag) (any, error) {
	node := path.Node()
	scope := scopeOf(node, flag)
	if scope == unset {
		return nil, nil
	}
	if s.sources == nil {
		s.sources = make(map[string]string)
	}
	if flag.Name == configFlag {
		return s.resolveFile(flag)
	}
	if s.file == nil {
		if err := s.open(ctx, node, scope); err != nil {
			return nil, &settingsError{err}
		}
	}
	name := variableOf(flag.Name)
	if value := os.Getenv(name); value != "" {
		s.sources[flag.Name] = name
		return value, parses(flag, value, name)
	}
	if v, ok := s.file.values[flag.Name]; ok {
		where := fmt.Sprintf("%s:%d", s.file.name, v.line)
		s.sources[flag.Name] = where
		value, err := v.forFlag(flag)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		return value, parses(flag, value, where)
	}
	s.sources[flag.Name] = fromDefault
	return nil, nil
}

// configFlag is the name of the flag of the file of settings.
const configFlag = "config"

// resolveFile resolves the flag of the file itself.
func (s *settings) resolveFile(flag *kong.Flag) (any, error) {
	s.sources[flag.Name] = fromDefault
	name := variableOf(flag.Name)
	if value := os.Getenv(name); value != "" {
		s.sources[flag.Name] = name
		return value, nil
	}
	return nil, nil
}

// settingsError is what is wrong with the file of settings, whatever flag was to be resolved.
type settingsError struct{ error }

func (e *settingsError) Unwrap() error { return e.error }

// open reads the file of settings: that of --config or GLOSSA_CONFIG, which must be there, or the first that
// is there of those in settingsPlaces where the scope has it looked for. All commands take one file: a key of another is passed over.
func (s *settings) open(ctx *kong.Context, node *kong.Node, scope scope) error {
	known := make(map[string]bool)
	for name, of := range configured {
		for _, command := range ctx.Model.Children {
			if command.Name != name || of < named {
				continue
			}
			settingFlags(command, func(f *kong.Flag) { known[f.Name] = true })
		}
	}
	var name string
	for _, f := range node.Flags {
		if f.Name == configFlag {
			name, _ = ctx.FlagValue(f).(string)
		}
	}
	s.file = &settingsFile{}
	if scope == shared {
		return nil
	}
	name = cmp.Or(name, os.Getenv(variableOf(configFlag)))
	if name != "" || scope == named {
		var err error
		if name != "" {
			s.file, err = readSettings(name, known)
		}
		return err
	}
	for _, place := range settingsPlaces() {
		file, err := readSettings(place, known)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s.file = file
		return err
	}
	return nil
}

// settingsPlaces are where the file of settings is looked for.
func settingsPlaces() []string {
	const name = "glossa.yaml"
	places := []string{name}
	if dir, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "glossa", name))
	}
	return places
}

// parses reports whether a flag takes a value, which is from somewhere.
func parses(flag *kong.Flag, value any, from string) error {
	if value == nil {
		return nil
	}
	text, isText := value.(string)
	if flag.Enum != "" && isText && !slices.Contains(flag.EnumSlice(), text) {
		return fmt.Errorf("%s: %q is none of %s", from, text, strings.Join(flag.EnumSlice(), ", "))
	}
	scan := kong.Scan().PushTyped(value, kong.FlagValueToken)
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, reflect.New(flag.Target.Type()).Elem()); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}
