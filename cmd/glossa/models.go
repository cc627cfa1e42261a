package main

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"text/tabwriter"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/hub"
	"glossa/whisper/safetensors"
)

type modelsCommand struct {
	JSON bool `name:"json" help:"Print one JSON object a line."`
}

// Help is shown by "glossa help models".
func (modelsCommand) Help() string {
	return `These are the models that --model takes and the adapters that --adapter-dir takes, by their names: what is embedded, and
what is in the cache of Hugging Face, be it from glossa pull or from others.

Examples:

    glossa models
    glossa models --json`
}

// modelRow is a model or an adapter as it is listed.
type modelRow struct {
	Name      string   `json:"name"`
	Kind      hub.Kind `json:"kind"`
	Size      int64    `json:"size"`           // bytes
	Languages []string `json:"languages"`      // codes; of an adapter, the language that it is named after
	Base      string   `json:"base,omitempty"` // the model of an adapter
	Revision  string   `json:"revision"`
	Commit    string   `json:"commit,omitempty"`
	Path      string   `json:"path,omitempty"`
}

// embedded is the revision of what is in the program.
const embedded = "embedded"

// Run lists the models and adapters that are embedded, and those in the cache.
func (m modelsCommand) Run(c *console) error {
	rows, err := embeddedRows()
	if err != nil {
		return err
	}
	cache, err := hub.DefaultCache()
	if err != nil {
		return err
	}
	items, err := cache.List()
	if err != nil {
		return err
	}
	for _, item := range items {
		row, err := describe(item)
		if errors.Is(err, whisper.ErrArchitecture) || errors.Is(err, flora.ErrUnsupported) {
			continue // the cache has models of other programs too
		}
		if err != nil {
			c.report(fmt.Errorf("%s: %w", item.Ref, err))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	if m.JSON {
		for _, row := range rows {
			if err := encodeLine(&b, row); err != nil {
				return err
			}
		}
		return c.print(b.String())
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tKIND\tSIZE\tLANGUAGES\tREVISION")
	for _, r := range rows {
		revision := r.Revision
		if r.Commit != "" {
			revision = formatRevision(r.Revision, r.Commit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Kind, formatBytes(r.Size), formatLanguages(r.Languages), revision)
	}
	t.Flush() // into memory
	return c.print(b.String())
}

// embeddedRows describes the embedded model and its adapters; their sizes are those of their tensors.
func embeddedRows() ([]modelRow, error) {
	checkpoint, adapters, _, err := openNano()
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	model := modelRow{Name: nanoName, Kind: hub.Model, Revision: embedded}
	if model.Languages, err = nanoLanguages(); err != nil {
		return nil, err
	}
	for _, name := range checkpoint.Names() {
		t, _ := checkpoint.Tensor(name)
		model.Size += t.End - t.Begin
	}
	rows := []modelRow{model}
	for _, a := range adapters {
		row := adapterRow(a)
		row.Revision = embedded
		_, mats := a.Params()
		for _, mat := range mats {
			row.Size += int64(mat.Rows) * int64(mat.Cols) * int64(safetensors.F32.Size())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// describe opens what is in the cache for what it tells of itself. The row is also returned with an error, and then does not
// know the languages.
func describe(i hub.Item) (modelRow, error) {
	row := modelRow{Languages: []string{}}
	var err error
	if i.Kind == hub.Adapter {
		var a *flora.Adapter
		if a, err = flora.Open(i.Path); err == nil {
			a.Name = path.Base(i.Ref.Repo)
			row = adapterRow(a)
		}
	} else {
		var checkpoint *whisper.Checkpoint
		if checkpoint, _, err = openModel(i.Path); err == nil {
			row.Languages = languagesOf(checkpoint)
			err = checkpoint.Close()
		}
	}
	row.Name, row.Kind, row.Size, row.Path = i.Ref.String(), i.Kind, i.Size, i.Path
	row.Revision, row.Commit = i.Ref.Revision, i.Commit
	return row, err
}

// adapterRow is what an adapter tells of itself.
func adapterRow(a *flora.Adapter) modelRow {
	row := modelRow{Name: a.Name, Kind: hub.Adapter, Languages: []string{}, Base: a.Base}
	if code, ok := whisper.LanguageCode(a.Name); ok {
		row.Languages = append(row.Languages, code)
	}
	return row
}

// languagesOf lists the languages that a model can be asked for.
func languagesOf(c *whisper.Checkpoint) []string {
	if c.Tokenizer == nil || !c.Tokenizer.Multilingual() {
		return []string{"en"}
	}
	return c.Tokenizer.LanguageCodes()
}

// maxCodes is the greatest number of languages that the table lists by their codes.
const maxCodes = 12

func formatLanguages(codes []string) string {
	switch {
	case len(codes) == 0:
		return "-"
	case len(codes) > maxCodes:
		return fmt.Sprint(len(codes))
	}
	return strings.Join(codes, " ")
}
