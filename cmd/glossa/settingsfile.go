package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// settingsFile is a file of settings: a YAML mapping from names of flags to values, or lists of them.
type settingsFile struct {
	name   string
	values map[string]settingValue
}

// settingValue is the value of a key.
type settingValue struct {
	texts []string // one, unless it is a list
	list  bool
	line  int
}

// errSettings is the error of a file that is no file of settings.
var errSettings = errors.New("not a file of settings")

// maxSettingsBytes is the greatest size of a file of settings.
const maxSettingsBytes = 1 << 20

// readSettings reads a file whose keys have to be among those that are known.
func readSettings(name string, known map[string]bool) (*settingsFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxSettingsBytes {
		return nil, fmt.Errorf("%s: %w: it is no regular file of at most %s", name, errSettings, formatBytes(maxSettingsBytes))
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, reason(err))
	}
	return parseSettings(name, text, known)
}

// parseSettings is readSettings of a file's text.
func parseSettings(name string, text []byte, known map[string]bool) (*settingsFile, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	s := &settingsFile{name: name, values: make(map[string]settingValue)}
	if len(file.Docs) > 1 {
		return nil, fmt.Errorf("%s: %w: there is more than one document", name, errSettings)
	}
	for _, doc := range file.Docs {
		var pairs []*ast.MappingValueNode
		switch body := doc.Body.(type) {
		case nil:
		case *ast.MappingNode:
			pairs = body.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{body}
		default:
			return nil, fmt.Errorf("%s: %w: want lines of KEY: VALUE", name, errSettings)
		}
		for _, pair := range pairs {
			if err := s.add(pair, known); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// add adds a key and its value.
func (s *settingsFile) add(pair *ast.MappingValueNode, known map[string]bool) error {
	token := pair.Key.GetToken()
	key, where := token.Value, fmt.Sprintf("%s:%d", s.name, token.Position.Line)
	if !known[key] {
		if near := nearest(key, known); near != "" {
			return fmt.Errorf("%s: unknown key %q; did you mean %q?", where, key, near)
		}
		return fmt.Errorf("%s: unknown key %q; glossa config --example lists all", where, key)
	}
	if _, twice := s.values[key]; twice {
		return fmt.Errorf("%s: the key %q is there twice", where, key)
	}
	v := settingValue{line: token.Position.Line}
	nodes := []ast.Node{pair.Value}
	if list, ok := pair.Value.(*ast.SequenceNode); ok {
		v.list, nodes = true, list.Values
	}
	for _, n := range nodes {
		text, err := scalar(n)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", where, key, err)
		}
		v.texts = append(v.texts, text)
	}
	s.values[key] = v
	return nil
}

// scalar returns the text of a string, a number or a truth value, as it is written.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("it has no value")
	}
	return "", errors.New("want a value, or a list of values")
}

// forFlag returns the value as kong takes it from a resolver.
func (v settingValue) forFlag(flag *kong.Flag) (any, error) {
	switch {
	case !v.list:
		return v.texts[0], nil
	case !flag.IsSlice():
		return nil, errors.New("want one value, not a list")
	case flag.Tag.Sep < 0: // commas are a part of values
		list := make([]any, len(v.texts))
		for i, text := range v.texts {
			list[i] = text
		}
		return list, nil
	}
	return kong.JoinEscaped(v.texts, flag.Tag.Sep), nil
}
