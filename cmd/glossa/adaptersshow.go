package main

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"glossa/flora"
	"glossa/whisper"
)

type adaptersShow struct {
	Name  string `arg:"" name:"dir|name" help:"A folder in PEFT layout, an adapter that is embedded, or one that glossa pull has brought."`
	Model string `placeholder:"nano|DIR|FILE|NAME" help:"Tell whether it fits this model."`
	JSON  bool   `name:"json" help:"Print one JSON object."`
}

// Help is shown by "glossa help adapters show".
func (adaptersShow) Help() string {
	return `Examples:

    glossa adapters show cs
    glossa adapters show adapters/lv --model openai/whisper-small
    glossa adapters show adapters/lv --json`
}

// adapterDetails are all that is told of an adapter.
type adapterDetails struct {
	adapterLine
	Fingerprint string             `json:"base_fingerprint,omitempty"`
	Linears     int                `json:"linears"`
	Ranks       map[string]int     `json:"ranks,omitempty"` // of linears that have another
	Scale       float64            `json:"scale,omitempty"` // of LoRA's product, at most linears
	Scales      map[string]float64 `json:"scales,omitempty"`
	Encoder     int                `json:"encoder_parameters"`
	Decoder     int                `json:"decoder_parameters"`
	Config      *flora.Config      `json:"config,omitempty"`
	Card        string             `json:"card,omitempty"` // its beginning
}

// Run prints everything of an adapter.
func (s *adaptersShow) Run(c *console) error {
	a, err := openAdapter(s.Name)
	if err != nil {
		return err
	}
	m, err := openFor(s.Model)
	if err != nil {
		return err
	}
	d := detailsOf(a, m)
	var b strings.Builder
	if s.JSON {
		if err := encodeLine(&b, d); err != nil {
			return err
		}
		return c.print(b.String())
	}
	d.write(&b)
	return c.print(b.String())
}

// detailsOf describes an adapter, and whether it fits m where that is not nil.
func detailsOf(a *storedAdapter, m *whisper.Model) adapterDetails {
	d := adapterDetails{
		adapterLine: lineOf(a, m), Fingerprint: a.BaseHash, Linears: len(a.Sites), Config: a.Config,
		Ranks: make(map[string]int), Scales: make(map[string]float64),
	}
	d.Encoder, d.Decoder = a.Parameters()
	for site := range a.Sites {
		if r := a.RankAt(site); r != a.Rank {
			d.Ranks[site.String()] = r
		}
		if scale := a.ScaleAt(site); scale != 0 {
			d.Scales[site.String()] = scale
		}
	}
	d.Scale = mostFrequent(d.Scales)
	maps.DeleteFunc(d.Scales, func(_ string, scale float64) bool { return scale == d.Scale })
	if a.dir != "" {
		d.Card = cardHead(a.dir)
	}
	return d
}

// mostFrequent returns the value that most have, 0 of none.
func mostFrequent(values map[string]float64) (most float64) {
	count := make(map[float64]int)
	for _, v := range values {
		count[v]++
	}
	for _, v := range slices.Sorted(maps.Keys(count)) {
		if count[v] > count[most] {
			most = v
		}
	}
	return most
}

// maxCard is how many lines of a card are shown.
const maxCard = 12

// cardHead returns the first lines of an adapter's card without the metadata before them, "" where it has none.
func cardHead(dir string) string {
	f, err := os.Open(filepath.Join(dir, flora.CardFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	const fence = "---" // around metadata
	var lines []string
	metadata := false
	scanner := bufio.NewScanner(f)
	for n := 0; len(lines) < maxCard && scanner.Scan(); n++ {
		line := strings.TrimRight(scanner.Text(), " \t\r")
		switch {
		case line == fence && (n == 0 || metadata):
			metadata = !metadata
		case metadata, line == "" && len(lines) == 0:
		default:
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// write writes the details one a line.
func (d adapterDetails) write(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("name", "%s", d.Name)
	line("path", "%s", cmp.Or(d.Path, embedded))
	line("language", "%s", cmp.Or(d.Language, "-"))
	line("kind", "%s", d.Kind)
	if d.Rank > 0 {
		line("rank", "%d%s", d.Rank, others(d.Ranks, strconv.Itoa))
	}
	if d.Scale != 0 {
		line("scale", "%.4g%s", d.Scale, others(d.Scales, func(v float64) string { return fmt.Sprintf("%.4g", v) }))
	}
	line("target", "%s", d.Target)
	line("linears", "%d", d.Linears)
	line("parameters", "%d: encoder %d, decoder %d", d.Parameters, d.Encoder, d.Decoder)
	line("size", "%s", formatBytes(d.Size))
	line("hash", "%s", d.Hash)
	line("base", "%s", cmp.Or(d.Base, "-"))
	line("base fingerprint", "%s", cmp.Or(d.Fingerprint, "-"))
	if d.Config != nil {
		line("target_modules", "%s", d.Config.Targets)
	}
	switch {
	case d.Fits == nil:
	case *d.Fits:
		line("fits", "yes")
	default:
		line("fits", "no: %s", d.Misfit)
	}
	t.Flush() // into memory
	if d.Card != "" {
		fmt.Fprintf(b, "\n%s\n", d.Card)
	}
}

// maxOthers is how many linears are named that have another rank or scale.
const maxOthers = 4

// others lists values that differ from what most linears have.
func others[V any](values map[string]V, format func(V) string) string {
	var b strings.Builder
	names := slices.Sorted(maps.Keys(values))
	for _, name := range names[:min(len(names), maxOthers)] {
		fmt.Fprintf(&b, ", %s at %s", format(values[name]), name)
	}
	if n := len(names) - maxOthers; n > 0 {
		fmt.Fprintf(&b, ", and others at %d more", n)
	}
	return b.String()
}
