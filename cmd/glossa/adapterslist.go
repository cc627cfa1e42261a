package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/hub"
)

type adaptersList struct {
	Model    string `placeholder:"nano|DIR|FILE|NAME" help:"Tell whether each fits this model."`
	Adapters string `placeholder:"DIR" help:"A folder whose subfolders are adapters. (those that are embedded, and those that glossa pull has brought)"`
	JSON     bool   `name:"json" help:"Print one JSON object a line."`
}

// Help is shown by "glossa help adapters list".
func (adaptersList) Help() string {
	return `Examples:

    glossa adapters list
    glossa adapters list --adapters adapters --model small
    glossa adapters list --json`
}

// adapterLine is an adapter as it is listed.
type adapterLine struct {
	Name       string `json:"name"`
	Language   string `json:"language,omitempty"` // the code that it is named after
	Kind       string `json:"kind"`
	Rank       int    `json:"rank,omitempty"` // not of ia3
	Target     string `json:"target"`
	Parameters int    `json:"parameters"`
	Size       int64  `json:"size"` // bytes
	Hash       string `json:"hash"`
	Base       string `json:"base,omitempty"`
	Path       string `json:"path,omitempty"` // not of one that is embedded
	Fits       *bool  `json:"fits,omitempty"` // the model that was asked for
	Misfit     string `json:"misfit,omitempty"`
}

// Run lists adapters. One that cannot be opened is reported, and the others are listed.
func (l *adaptersList) Run(c *console) error {
	m, err := openFor(l.Model)
	if err != nil {
		return err
	}
	adapters, err := l.find(c)
	if err != nil && !errors.Is(err, errReported) {
		return err
	}
	failed := err
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if !l.JSON {
		fmt.Fprint(t, "NAME\tLANGUAGE\tKIND\tRANK\tTARGET\tPARAMETERS\tSIZE\tHASH\tBASE")
		if m != nil {
			fmt.Fprint(t, "\tFITS")
		}
		fmt.Fprintln(t)
	}
	for _, a := range adapters {
		line := lineOf(a, m)
		if !l.JSON {
			line.write(t)
		} else if err := encodeLine(&b, line); err != nil {
			return err
		}
	}
	t.Flush() // into memory
	return errors.Join(c.print(b.String()), failed)
}

// find returns the adapters to list. The error is errReported where some were reported.
func (l *adaptersList) find(c *console) ([]*storedAdapter, error) {
	var failed error
	report := func(err error) {
		c.report(err)
		failed = errReported
	}
	if l.Adapters != "" {
		dirs, err := (&modelFlags{Adapters: l.Adapters}).subfolders()
		if err != nil {
			return nil, err
		}
		var adapters []*storedAdapter
		for _, dir := range dirs {
			a, err := openAdapter(dir)
			if err != nil {
				report(err)
				continue
			}
			adapters = append(adapters, a)
		}
		return adapters, failed
	}
	adapters, err := embeddedAdapters()
	if err != nil {
		return nil, err
	}
	cache, err := hub.DefaultCache()
	if err != nil {
		return nil, err
	}
	items, err := cache.List()
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if item.Kind != hub.Adapter {
			continue
		}
		a, err := flora.Open(item.Path)
		switch {
		case errors.Is(err, flora.ErrUnsupported): // the cache has adapters of other programs too
		case err != nil:
			report(fmt.Errorf("%s: %w", item.Ref, err))
		default:
			a.Name = item.Ref.String()
			adapters = append(adapters, &storedAdapter{a, item.Path, item.Size})
		}
	}
	return adapters, failed
}

// lineOf describes an adapter, and whether it fits m where that is not nil.
func lineOf(a *storedAdapter, m *whisper.Model) adapterLine {
	encoder, decoder := a.Parameters()
	line := adapterLine{
		Name: a.Name, Kind: string(a.Kind), Rank: a.Rank, Target: a.Targets(), Parameters: encoder + decoder, Size: a.size, Hash: a.Hash,
		Base: a.Base, Path: a.dir,
	}
	line.Language, _ = whisper.LanguageCode(a.Name)
	if m != nil {
		err := a.Check(m)
		fits := err == nil
		line.Fits = &fits
		if err != nil {
			line.Misfit = err.Error()
		}
	}
	return line
}

// write writes the line into a table.
func (l adapterLine) write(t *tabwriter.Writer) {
	dash := func(s string) string {
		if s == "" || s == "0" {
			return "-"
		}
		return s
	}
	fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s", l.Name, dash(l.Language), l.Kind, dash(fmt.Sprint(l.Rank)), l.Target, l.Parameters,
		formatBytes(l.Size), shortHash(l.Hash), dash(l.Base))
	if l.Fits != nil {
		fmt.Fprintf(t, "\t%s", map[bool]string{true: "yes", false: "no"}[*l.Fits])
	}
	fmt.Fprintln(t)
}
