package flora

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// allLinear is the value of target_modules for every linear but the output layer, in any case.
const allLinear = "all-linear"

// moduleList is a list of module names or one regular expression over whole names.
type moduleList struct {
	Names []string
	Regex string

	re *regexp.Regexp // of Regex
}

// IsZero reports whether the list names nothing, and is left out of a file.
func (l moduleList) IsZero() bool { return l.Regex == "" && len(l.Names) == 0 }

// String returns the expression, or the names.
func (l moduleList) String() string {
	if l.Regex != "" {
		return l.Regex
	}
	return strings.Join(l.Names, " ")
}

// UnmarshalJSON reads a list of strings, one string or null.
func (l *moduleList) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &l.Regex)
	}
	return json.Unmarshal(text, &l.Names)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (l moduleList) MarshalJSON() ([]byte, error) {
	if l.Regex != "" {
		return json.Marshal(l.Regex)
	}
	return json.Marshal(l.Names)
}

// compile makes the expression ready. what names the list.
func (l *moduleList) compile(what string) (err error) {
	if l.Regex != "" {
		l.re, err = compile(what, `\A(?:`+l.Regex+`)\z`)
	}
	return err
}

// has reports whether module is one of the list: it ends with a name of it, or the expression matches it whole.
func (l *moduleList) has(module string) bool {
	if l.re != nil {
		return l.re.MatchString(module)
	}
	return slices.ContainsFunc(l.Names, func(name string) bool {
		return module == name || strings.HasSuffix(module, "."+name)
	})
}

// layerList is a list of layer numbers; one number stands for the list of it.
type layerList []int

// IsZero reports whether all layers are meant.
func (l layerList) IsZero() bool { return len(l) == 0 }

// UnmarshalJSON reads a list of integers, one integer or null.
func (l *layerList) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) || string(text) == "null" {
		return json.Unmarshal(text, (*[]int)(l))
	}
	var n int
	err := json.Unmarshal(text, &n)
	*l = layerList{n}
	return err
}

// pattern gives modules whose names match the value.
type pattern[V int | float64] struct {
	Key   string
	Value V

	re *regexp.Regexp // of Key
}

// patternList is a JSON object whose members keep their order: the first that matches counts (PEFT's get_pattern_key).
type patternList[V int | float64] []pattern[V]

// maxPatterns bounds the patterns of a file, all of which are tried on all modules.
const maxPatterns = 4096

// IsZero reports whether there are no patterns.
func (p patternList[V]) IsZero() bool { return len(p) == 0 }

// UnmarshalJSON reads an object of numbers or null.
func (p *patternList[V]) UnmarshalJSON(text []byte) error {
	var values map[string]V
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	seen := make(map[string]bool)
	for {
		token, err := d.Token()
		if err != nil {
			return nil // the end: the object is well formed
		}
		key, ok := token.(string)
		if !ok || seen[key] {
			continue
		}
		seen[key] = true
		*p = append(*p, pattern[V]{Key: key, Value: values[key]})
	}
}

// MarshalJSON writes what UnmarshalJSON reads.
func (p patternList[V]) MarshalJSON() ([]byte, error) {
	values := make(map[string]V, len(p)) // which are written in the order of their keys
	for _, one := range p {
		values[one.Key] = one.Value
	}
	return json.Marshal(values)
}

// compile makes the patterns ready: each matches the end of a name, "(.*\.)?(pattern)$".
func (p patternList[V]) compile(what string) (err error) {
	if len(p) > maxPatterns {
		return fmt.Errorf("%w: %s has %d patterns, at most %d are read", ErrUnsupported, what, len(p), maxPatterns)
	}
	for i := range p {
		if p[i].re, err = compile(what, `\A(?:.*\.)?(?:`+p[i].Key+`)\z`); err != nil {
			return err
		}
	}
	return nil
}

// first returns the value of the first pattern that matches module.
func (p patternList[V]) first(module string) (value V, ok bool) {
	for _, one := range p {
		if one.re.MatchString(module) {
			return one.Value, true
		}
	}
	return value, false
}

// compile compiles an expression of a configuration. Python has some that Go has not, such as lookaheads.
func compile(what, expression string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(expression)
	if err != nil {
		return nil, fmt.Errorf("%w: pattern of %s: %w", ErrUnsupported, what, err)
	}
	return re, nil
}

// compile makes all expressions ready.
func (c *Config) compile() error {
	for _, l := range []struct {
		what string
		list *moduleList
	}{{"target_modules", &c.Targets}, {"exclude_modules", &c.Excluded}, {"feedforward_modules", &c.FeedFwd}} {
		if err := l.list.compile(l.what); err != nil {
			return err
		}
	}
	if err := c.RankPattern.compile("rank_pattern"); err != nil {
		return err
	}
	return c.AlphaPattern.compile("alpha_pattern")
}

// targets reports whether the adapter is one of module (PEFT's check_target_module_exists).
func (c *Config) targets(module string) bool {
	switch {
	case c.Excluded.has(module):
		return false
	case strings.EqualFold(c.Targets.Regex, allLinear):
		return true
	}
	return c.Targets.has(module) && c.transforms(module)
}

// transforms reports whether layers_to_transform has the layer of module: the number behind a name of layers_pattern, or
// behind any name where there is none.
func (c *Config) transforms(module string) bool {
	if c.Layers.IsZero() {
		return true
	}
	names := c.LayersOf.Names
	if c.LayersOf.Regex != "" {
		names = []string{c.LayersOf.Regex}
	}
	path := strings.Split(module, ".")
	for i := 2; i < len(path)-1; i++ {
		layer, err := strconv.Atoi(path[i])
		if err == nil && (len(names) == 0 || slices.Contains(names, path[i-1])) {
			return slices.Contains(c.Layers, layer)
		}
	}
	return false
}

// feedForward reports whether IA3 scales what goes into module. Unlike PEFT's other lists this one is of the ends of
// names, whatever stands before them (PEFT's IA3Model._check_target_module_feedforward).
func (c *Config) feedForward(module string) bool {
	if c.FeedFwd.re != nil {
		return c.FeedFwd.re.MatchString(module)
	}
	return slices.ContainsFunc(c.FeedFwd.Names, func(name string) bool { return strings.HasSuffix(module, name) })
}
