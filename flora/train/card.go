package train

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"glossa/eval"
	"glossa/flora"
	"glossa/whisper"
)

// card is what a model card tells, in the form that the Hugging Face hub shows.
type card struct {
	Name, Library, Base, BaseHash string
	Adapter                       *AdapterOptions // nil where a model was trained
	Hash                          string          // of a model; that of an adapter is known when it is written
	Languages                     []string
	Parameters, Frozen            int
	Steps, Best, Skipped, Seed    int
	Took                          time.Duration
	Data, Dev                     []cardData
	Before, After                 *Evaluation
	Options, Program, Use         string
}

// cardData is a data set on a card.
type cardData struct {
	Name       string
	Weight     float64
	Utterances int
	Hours      string
	SHA256     string
}

var cardTemplate = template.Must(template.New("card").Funcs(template.FuncMap{
	"percent": func(f float64) string { return fmt.Sprintf("%.1f%%", 100*f) },
	"loss":    func(f float64) string { return fmt.Sprintf("%.3f", f) },
	"language": func(codes []string) string {
		var names []string
		for _, c := range codes {
			names = append(names, fmt.Sprintf("%s (%s)", titled(whisper.LanguageName(c)), c))
		}
		return strings.Join(names, ", ")
	},
}).Parse(`---
library_name: {{.Library}}
{{if .Base}}base_model: {{.Base}}
{{end}}pipeline_tag: automatic-speech-recognition
language:
{{range .Languages}}- {{.}}
{{end}}tags:
- whisper
- automatic-speech-recognition
{{with .Adapter}}- {{.Kind}}
{{end}}- glossa
metrics:
- wer
---

# {{.Name}}

{{with .Adapter}}An adapter ({{.}}) of the Whisper model ` + "`{{$.Base}}`" + ` for {{language $.Languages}}.{{else}}A Whisper model for {{language .Languages}}{{if .Base}}, trained further from ` + "`{{.Base}}`" + `{{end}}.{{end}}

| | |
|:--|:--|
{{with .Adapter}}| kind | {{.Kind}} |
{{if .Rank}}| rank | {{.Rank}} |
{{end}}{{if .Alpha}}| alpha | {{.Alpha}} |
{{end}}| adapted linears | {{.Target}} |
{{end}}{{if .Base}}| base model | {{.Base}} |
{{end}}{{if .BaseHash}}| base model's hash | ` + "`{{.BaseHash}}`" + ` |
{{end}}| parameters | {{.Parameters}}{{if .Frozen}}, over {{.Frozen}} frozen ones{{end}} |
| steps | {{.Steps}}{{if .Best}}; these are the weights of step {{.Best}}, the best on dev{{end}} |
| seed | {{.Seed}} |
| time | {{.Took}} |
{{if .Hash}}| hash | ` + "`{{.Hash}}`" + ` |
{{end}}{{if .Program}}| made by | {{.Program}} |
{{end}}
## Use

    {{.Use}}

## Data

| data | weight | utterances | hours | sha256 |
|:--|--:|--:|--:|:--|
{{range .Data}}| {{.Name}} | {{.Weight}} | {{.Utterances}} | {{.Hours}} | ` + "`{{.SHA256}}`" + ` |
{{end}}{{range .Dev}}| {{.Name}} (dev) | - | {{.Utterances}} | {{.Hours}} | ` + "`{{.SHA256}}`" + ` |
{{end}}{{if .Skipped}}
{{.Skipped}} times an entry was drawn that could not be used, and left out.
{{end}}{{with .After}}
## Error rates on dev

| | loss | tokens right | WER |
|:--|--:|--:|--:|
{{with $.Before}}| without the adapter | {{loss .Loss}} | {{percent .TokenAccuracy}} | {{with .WER}}{{percent .}}{{else}}-{{end}} |
{{end}}| {{if $.Adapter}}with it{{else}}the model{{end}} | {{loss .Loss}} | {{percent .TokenAccuracy}} | {{with .WER}}{{percent .}}{{else}}-{{end}} |

The dev set chose among the steps of the training, if there was a choice: a test set of its own tells more.
{{end}}
## Options of the training

` + "```json\n{{.Options}}\n```" + `
`))

// saveWithCard writes the result with its model card to the new folder dir. An adapter's files tell its hash
// on the card.
func (t *trainer) saveWithCard(dir string) error {
	c, err := t.card()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := cardTemplate.Execute(&text, c); err != nil {
		return err
	}
	if a, ok := t.options.Trainable.(*adapter); ok {
		a.adapter.Card = text.String()
		return a.Save(dir)
	}
	if err := t.options.Trainable.Save(dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, flora.CardFile), text.Bytes(), 0o666)
}

// card collects what the card tells.
func (t *trainer) card() (*card, error) {
	o := &t.options
	c := &card{
		Name: filepath.Base(o.Out), Library: "transformers", Base: o.Base, Languages: t.loader.maker.data.languages(),
		Steps: t.step, Skipped: t.skipped, Seed: int(o.Seed), Took: time.Duration(t.seconds()) * time.Second, Program: o.Program,
		Use: "glossa transcribe --model DIR recording.wav",
	}
	for _, p := range o.Trainable.Params() {
		c.Parameters += len(p.Mat.Data)
	}
	if a, ok := o.Trainable.(*adapter); ok {
		c.Adapter, c.Library, c.Base, c.BaseHash = t.adapterOptions(), "peft", a.adapter.Base, a.adapter.BaseHash
		for _, p := range o.Model.Params() {
			c.Frozen += len(p.Mat.Data)
		}
		c.Use = fmt.Sprintf("glossa transcribe --model %s --adapter-dir %s=DIR recording.wav", cmp.Or(c.Base, "MODEL"), c.Languages[0])
	} else {
		c.Hash = o.Model.Fingerprint()
	}
	if t.best != nil {
		c.Best = t.best.Step
	}
	if err := errors.Join(t.tellData(c), t.tellRates(c)); err != nil {
		return nil, err
	}
	var err error
	c.Options, err = t.tellOptions()
	return c, err
}

// titled returns a name with a capital.
func titled(name string) string {
	if name == "" {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// tellData describes the data sets.
func (t *trainer) tellData(c *card) error {
	for _, s := range t.loader.maker.data.sources {
		d, err := t.tellSource(s.Path, s.utterances)
		if err != nil {
			return err
		}
		d.Weight = s.Weight
		if s.Weight == 0 {
			d.Weight = 1
		}
		c.Data = append(c.Data, d)
	}
	for _, path := range t.options.Dev {
		utterances, err := ReadUtterances(path, t.options.Language, nil)
		if err != nil {
			return err
		}
		utterances = slices.DeleteFunc(utterances, func(u eval.Utterance) bool { return !slices.Contains(c.Languages, u.Lang) })
		d, err := t.tellSource(path, utterances)
		if err != nil {
			return err
		}
		c.Dev = append(c.Dev, d)
	}
	return nil
}

// tellSource describes a data set. Where it does not tell all lengths, the clips that were heard do, and
// stand for those that were not.
func (t *trainer) tellSource(path string, utterances []eval.Utterance) (cardData, error) {
	d := cardData{Name: filepath.Base(path), Utterances: len(utterances), Hours: "-"}
	var seconds float64
	known := 0
	for _, u := range utterances {
		length, ok := u.Duration, u.Duration > 0
		if !ok {
			length, ok = t.loader.maker.clips.seconds(u.AudioFilepath)
		}
		if ok {
			seconds += length
			known++
		}
	}
	const hour = 3600
	if known > 0 {
		d.Hours = fmt.Sprintf("%.2f", seconds/hour*float64(len(utterances))/float64(known))
		if known < len(utterances) {
			d.Hours = "about " + d.Hours
		}
	}
	sum, err := dataSum(path, utterances)
	d.SHA256 = sum
	return d, err
}

// dataSum returns the sha256 of a file, or of the paths, languages and texts of a folder's utterances.
func dataSum(path string, utterances []eval.Utterance) (string, error) {
	h := sha256.New()
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		for _, u := range utterances {
			rel, err := filepath.Rel(path, u.AudioFilepath)
			if err != nil {
				rel = u.AudioFilepath
			}
			fmt.Fprintf(h, "%s\t%s\t%s\n", filepath.ToSlash(rel), u.Lang, u.Text)
		}
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// tellRates takes the evaluations before the training and of the result from the log.
func (t *trainer) tellRates(c *card) error {
	log, err := readLog(filepath.Join(t.options.Out, logFile))
	if err != nil {
		return err
	}
	for _, p := range log {
		switch {
		case p.Evaluation == nil || p.Step > t.step:
		case p.Step == 0:
			c.Before = p.Evaluation
		case c.Best == 0 || p.Step == c.Best:
			c.After = p.Evaluation
		}
	}
	return nil
}

// tellOptions returns the options as JSON, without the data, which has a table of its own.
func (t *trainer) tellOptions() (string, error) {
	text, err := json.Marshal(&t.options)
	var fields map[string]any
	if err = errors.Join(err, json.Unmarshal(text, &fields)); err != nil {
		return "", err
	}
	delete(fields, "Data")
	text, err = json.MarshalIndent(fields, "", "  ")
	return string(text), err
}
