package main

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

type configCommand struct {
	serverFlags
	Example bool `setting:"-" help:"Print a file of all settings with their default values and what they mean, all commented out."`
}

// Help is shown by "glossa help config".
func (configCommand) Help() string {
	return `Prints what "glossa serve" with the same flags would go by, as a file of settings, and behind each value where it is from.
` + settingsHelp + `

Examples:

    glossa config
    glossa config --example >glossa.yaml
    GLOSSA_LIMIT_SESSIONS=100 glossa config --config /etc/glossa.yaml`
}

// settingsHelp explains where settings are from.
const settingsHelp = `
A setting is, the first that there is: a flag such as --limit-sessions; the variable GLOSSA_LIMIT_SESSIONS; the key limit-sessions
in the file of settings; its default. The file is that of --config or GLOSSA_CONFIG, or glossa.yaml in the current folder, or
glossa/glossa.yaml in the user's configuration folder. Two variables have other names: --data is GLOSSA_DATA_DIR, and --api-key is
GLOSSA_SERVER_API_KEY, for GLOSSA_API_KEY is the key that listen and transcribe --server send.`

// Run prints the settings.
func (g *configCommand) Run(c *console, ctx *kong.Context, s *settings) error {
	if g.Example {
		return c.print(exampleSettings(ctx.Selected()))
	}
	if err := g.check(); err != nil {
		return err
	}
	return c.print(settingsInForce(ctx.Selected(), s))
}

// settingFlags calls each with the flags of a command that are settings.
func settingFlags(command *kong.Node, each func(*kong.Flag)) {
	for _, f := range command.Flags {
		if f.Tag.Get("setting") != "-" && f.Name != configFlag && f.Name != "help" {
			each(f)
		}
	}
}

// settingsInForce returns the settings as YAML, each with a comment that tells its source. One without a value, and
// one that is secret, is a comment itself.
func settingsInForce(command *kong.Node, s *settings) string {
	var b strings.Builder
	settingFlags(command, func(f *kong.Flag) {
		value, secret := settingYAML(f.Target)
		switch source := s.source(f.Name); {
		case secret && value != "":
			fmt.Fprintf(&b, "# %s: %s # %s; keys are not shown\n", f.Name, value, source)
		case value == "":
			fmt.Fprintf(&b, "# %s: # %s\n", f.Name, source)
		default:
			fmt.Fprintf(&b, "%s: %s # %s\n", f.Name, value, source)
		}
	})
	return b.String()
}

// exampleSettings returns a file of all settings, commented out.
func exampleSettings(command *kong.Node) string {
	var b strings.Builder
	b.WriteString("# Settings of glossa serve. Each line is commented out and shows the default value, or what a value looks like.\n# \"glossa config\" prints what is in force.\n")
	settingFlags(command, func(f *kong.Flag) {
		b.WriteByte('\n')
		for _, line := range wrap(f.Help, 98) {
			b.WriteString("# " + line + "\n")
		}
		value, _ := settingYAML(f.Target)
		if value == "" {
			value = exampleValue(f)
		}
		fmt.Fprintf(&b, "#%s: %s\n", f.Name, value)
	})
	return b.String()
}

// wrap breaks a text into lines of at most so many characters, where its words allow that.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// exampleValue returns what a value without default looks like.
func exampleValue(f *kong.Flag) string {
	if f.IsSlice() {
		return fmt.Sprintf("[%q]", strings.TrimSuffix(f.PlaceHolder, ",…"))
	}
	return f.PlaceHolder
}

// settingYAML returns a value in YAML's flow style, "" where it says nothing, and whether it is secret.
func settingYAML(v reflect.Value) (text string, secret bool) {
	if v.Kind() == reflect.Slice {
		var items []string
		for i := range v.Len() {
			item, s := settingYAML(v.Index(i))
			items, secret = append(items, item), secret || s
		}
		if len(items) == 0 {
			return "", false
		}
		return "[" + strings.Join(items, ", ") + "]", secret
	}
	switch value := v.Interface().(type) {
	case interface{ secret() bool }:
		if text = fmt.Sprint(value); text == "" {
			return "", false
		}
		secret = value.secret()
	case natsSync:
		if value == 0 { // the broker's
			return "", false
		}
	case byteSize:
		if value == 0 { // no limit
			return "", false
		}
	case int, bool:
		return fmt.Sprint(value), false
	case string:
		if value == "" {
			return "", false
		}
	}
	return quoteYAML(settingText(v.Interface())), secret
}

// zeroUnits matches what a duration of whole hours or minutes ends with.
var zeroUnits = regexp.MustCompile(`([hm])(0m)?(0s)$`)

// settingText returns a value as flags have it.
func settingText(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return zeroUnits.ReplaceAllString(v.String(), "$1")
	case fmt.Stringer:
		return v.String()
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(value)
}

// quoteYAML returns text as a YAML scalar on one line.
func quoteYAML(text string) string {
	if plain, err := yaml.Marshal(text); err == nil {
		if line := strings.TrimSuffix(string(plain), "\n"); !strings.ContainsAny(line, "\n,[]{}") || strings.HasPrefix(line, `"`) {
			return line
		}
	}
	return fmt.Sprintf("%q", text)
}
