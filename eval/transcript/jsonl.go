package transcript

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"glossa/eval"
)

// jsonParser reads objects, one a line: results of glossa eval, manifests of NeMo with or without pred_text, and what other programs write
// by the names below. Fields of other names are skipped.
type jsonParser struct{ role Role }

// The names of what a line may say; of several the first that is there counts.
var (
	idNames      = []string{"id", "utt_id", "utterance_id", "key"}          // key is WeNet's
	audioNames   = []string{"audio_filepath", "audio_path", "audio", "wav"} // NeMo's and ours first; audio is the Hugging Face hub's, also as {"path": …}
	langNames    = []string{"lang", "language", "locale"}                   // locale is Common Voice's, as are sentence and client_id
	speakerNames = []string{"speaker", "speaker_id", "client_id"}           //
	startNames   = []string{"start", "offset"}                              // offset is NeMo's
	refNames     = []string{"ref", "reference", "text", "sentence", "transcription", "transcript", "txt"}
	hypNames     = []string{"hyp", "hypothesis", "pred_text", "prediction", "predicted"} // pred_text is NeMo's
	eitherNames  = []string{"transcription", "transcript", "text", "txt"}                // of a file of hypotheses alone
)

func (p jsonParser) next(l *lines) (*Record, error) {
	line, err := l.nextEntry()
	if err != nil {
		return nil, err
	}
	if line[0] != '{' || line == "{" {
		return nil, l.fail("not a JSON object in one line; jq -c makes one line of each object, and jq -c '.[]' of each in an array")
	}
	if !json.Valid([]byte(line)) {
		var any json.RawMessage
		return nil, l.fail("%v", json.Unmarshal([]byte(line), &any))
	}
	o := jsonObject{fields: fieldsOf(line)}
	r := &Record{Place: l.place(), Pair: o.pair()}
	p.take(r, &o)
	if o.err == nil {
		o.err = checkTimes(r.Start, r.Duration, r.Latency)
	}
	if o.err != nil {
		return nil, l.place().wrap(o.err)
	}
	return r, nil
}

// take sets the texts of a record.
func (p jsonParser) take(r *Record, o *jsonObject) {
	if p.role != Hypothesis {
		text, ok := o.text(refNames)
		if !ok {
			o.fail("no reference: none of %s", strings.Join(refNames, ", "))
		}
		r.Reference = text
	}
	if p.role == Reference {
		r.Err = "" // of a system that is not asked after
		return
	}
	text, ok := o.text(hypNames)
	if !ok && p.role == Hypothesis {
		text, ok = o.text(eitherNames)
	}
	switch {
	case ok || r.Err != "":
		r.Hypothesis = text
	case p.role == Results:
		o.fail("no hypothesis beside the reference: none of %s", strings.Join(hypNames, ", "))
	default:
		o.fail("no hypothesis: none of %s, %s", strings.Join(hypNames, ", "), strings.Join(eitherNames, ", "))
	}
}

// jsonObject is an object of JSON with the first error that was met in it.
type jsonObject struct {
	fields []jsonField
	err    error
}

// jsonField is a field of an object, its value as it is written.
type jsonField struct{ name, value string }

// fail keeps an error.
func (o *jsonObject) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...))
	}
}

// pair returns all of a line but its texts.
func (o *jsonObject) pair() eval.Pair {
	return eval.Pair{
		ID: o.name(idNames...), Audio: o.name(audioNames...), Start: o.number(startNames...), Duration: o.number("duration"),
		Lang: o.name(langNames...), Detected: o.name("detected"), Adapter: o.name("adapter"), Speaker: o.name(speakerNames...),
		Latency: o.number("latency"), Err: o.name("error"),
	}
}

// find returns the first of the fields with one of the names, in the order of the names, that is not null.
func (o *jsonObject) find(names []string) (jsonField, bool) {
	for _, name := range names {
		for _, f := range o.fields {
			if f.name == name && f.value != "null" {
				return f, true
			}
		}
	}
	return jsonField{}, false
}

// name returns what names a thing, "" where it is not there: a string, a number, or the path of an object.
func (o *jsonObject) name(names ...string) string {
	f, ok := o.find(names)
	switch {
	case !ok:
		return ""
	case f.value[0] == '"':
		return unquote(f.value)
	case f.value[0] == '{':
		inner := jsonObject{fields: fieldsOf(f.value)}
		return inner.name("path")
	case f.value[0] == '-' || '0' <= f.value[0] && f.value[0] <= '9':
		return f.value
	}
	o.fail("%s: %.40s is no name", f.name, f.value)
	return ""
}

// number returns a number, 0 where it is not there.
func (o *jsonObject) number(names ...string) float64 {
	f, ok := o.find(names)
	if !ok {
		return 0
	}
	n, err := strconv.ParseFloat(f.value, 64)
	if err != nil {
		o.fail("%s: %.40s is no number", f.name, f.value)
	}
	return n
}

// text returns a text, if it is there.
func (o *jsonObject) text(names []string) (string, bool) {
	f, ok := o.find(names)
	if !ok {
		return "", false
	}
	if f.value[0] != '"' {
		o.fail("%s: %.40s is no text", f.name, f.value)
	}
	return unquote(f.value), true
}

// fieldsOf returns the fields of an object that is known to be JSON.
func fieldsOf(object string) []jsonField {
	fields := make([]jsonField, 0, 12)
	rest := strings.TrimLeft(object[1:], jsonSpace)
	for rest[0] == '"' {
		n := stringLength(rest)
		name := unquote(rest[:n])
		rest = strings.TrimLeft(rest[n:], jsonSpace)
		rest = strings.TrimLeft(rest[1:], jsonSpace) // the colon
		n = valueLength(rest)
		fields = append(fields, jsonField{name, strings.TrimRight(rest[:n], jsonSpace)})
		rest = rest[n:]
		if rest[0] == ',' {
			rest = strings.TrimLeft(rest[1:], jsonSpace)
		}
	}
	return fields
}

const jsonSpace = " \t\r\n"

// stringLength returns the length of the string that text begins with, quotes included.
func stringLength(text string) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
}

// valueLength returns the length of the value that text begins with, up to the comma or brace behind it.
func valueLength(text string) int {
	for i, depth := 0, 0; ; i++ {
		switch text[i] {
		case '"':
			i += stringLength(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
}

// unquote returns the text of a string, "" of what is none.
func unquote(quoted string) (text string) {
	if quoted[0] == '"' && strings.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	_ = json.Unmarshal([]byte(quoted), &text) // it was valid
	return text
}

// stem returns the name of a sound file without its folder and ending.
func stem(audio string) string {
	base := path.Base(strings.ReplaceAll(audio, `\`, "/"))
	return strings.TrimSuffix(base, path.Ext(base))
}
