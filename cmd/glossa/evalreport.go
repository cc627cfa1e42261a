package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"glossa/audio"
	"glossa/eval"
	"glossa/eval/page"
	"glossa/eval/transcript"
)

// evalReport is what an evaluation prints as JSON.
type evalReport struct {
	*eval.Report
	NonSpeech []eval.Row  `json:"non_speech,omitempty"` // of sound in which nothing is said, which counts in no rate
	Live      []*liveRow  `json:"live,omitempty"`
	Run       evalFigures `json:"run"`
}

// evalFigures tell how an evaluation went.
type evalFigures struct {
	Server      string  `json:"server,omitempty"`
	Model       string  `json:"model"`
	Sound       float64 `json:"sound_seconds"` // that was recognised, under each adapter
	Seconds     float64 `json:"seconds"`       // that it took
	RTFx        float64 `json:"rtfx"`
	Concurrency int     `json:"concurrency"`       // utterances at a time: with more than one, latencies are of waiting, too
	Resumed     int     `json:"resumed,omitempty"` // trials of an earlier run, which are in no time
}

// figures returns how the evaluation went. Its times are of what was recognised now.
func (r *evalRun) figures() evalFigures {
	f := evalFigures{Server: r.flags.Server, Model: r.testee.identity()["model"], Sound: r.recognised, Seconds: r.seconds, Concurrency: r.atOnce(), Resumed: r.resumed}
	if f.Seconds > 0 {
		f.RTFx = f.Sound / f.Seconds
	}
	return f
}

// String says how fast it was, and what latencies are of.
func (f evalFigures) String() string {
	latency := "one utterance at a time, so that latencies are of one alone"
	if f.Concurrency > 1 {
		latency = fmt.Sprintf("%d utterances at a time, so that latencies are mostly of waiting", f.Concurrency)
	}
	return fmt.Sprintf("%.1f: %.1f s of sound in %.1f s, %s", f.RTFx, f.Sound, f.Seconds, latency)
}

// deliver prints and writes what the trials came to. The error is errReported where
// a limit is passed, or something could not be delivered.
func (r *evalRun) deliver(live []*liveRow, gate *evalGate) error {
	report, silent := r.tally.report()
	beside(live, report)
	f := r.flags
	failed := false // which keeps nothing else from being delivered
	tell := func(err error) {
		if failed = failed || err != nil; err != nil && !errors.Is(err, errReported) {
			r.console.report(err)
		}
	}
	var comparisons []eval.Comparison
	var alone error
	if f.Compare != "" {
		comparisons, alone = r.compare(f.Compare)
		report.Comparisons = append(report.Comparisons, comparisons...)
	}
	all := evalReport{report, silent, live, r.figures()}
	if err := r.print(all); err != nil {
		return err
	}
	tell(alone)
	if f.lines() != resultLinesFormat {
		tell(r.writeTranscript(f.Hypotheses, transcript.Format(f.lines())))
	}
	if f.HTML != "" {
		tell(writePage(f.HTML, r.page(all)))
	}
	if alone == nil { // or what limits refer to is missing
		tell(gate.check(r.console, report, comparisons))
	}
	if failed {
		return errReported
	}
	return nil
}

// compare compares with the results of an earlier evaluation.
func (r *evalRun) compare(path string) ([]eval.Comparison, error) {
	was, err := adaptersOf(resultPairs(path))
	if err != nil {
		return nil, fmt.Errorf("--compare %w", err)
	}
	is := adaptersByLang(r.set.adapters)
	alone := deployedOf(was, is)
	comparisons, err := eval.Compare(
		deployedAlone(r.tally.outcomes(path, true), alone, was), deployedAlone(r.tally.outcomes(r.results.path, true), alone, is),
		eval.CompareOptions{Base: filepath.Base(path), System: "this"},
	)
	if err != nil {
		return nil, fmt.Errorf("--compare %s: %w", path, err)
	}
	return comparisons, nil
}

// print prints the report in the format that the flags name.
func (r *evalRun) print(e evalReport) error {
	if r.flags.JSON {
		return r.console.printJSON(e)
	}
	text, table, heading := "", eval.Table.Text, "%s\n"
	if r.flags.Markdown {
		table, heading = eval.Table.Markdown, "### %s\n\n"
	}
	switch {
	case len(e.Rows) == 0:
	case r.flags.Markdown:
		text = e.Markdown()
	default:
		text = e.Text()
	}
	section := func(title string, t eval.Table) {
		if len(t.Cells) > 1 {
			text += strings.Repeat("\n", min(1, len(text))) + fmt.Sprintf(heading, title) + table(t)
		}
	}
	section("Where nothing is said", silenceTable(e.NonSpeech))
	section("Live, in seconds", liveRatesTable(e.Live))
	if e.Run.Sound > 0 {
		text += "\nRTFx " + e.Run.String() + ".\n"
	}
	return r.console.print(text)
}

// silenceTable returns what was heard where nothing is said.
func silenceTable(rows []eval.Row) eval.Table {
	t := eval.Table{Names: 1, Cells: [][]string{{"adapter", "clips", "sound", "words", "words a minute"}}}
	for _, r := range rows {
		rate := "-"
		if r.InsertedPerMinute != nil {
			rate = fmt.Sprintf("%.2f", *r.InsertedPerMinute)
		}
		t.Cells = append(t.Cells, []string{
			nameOrDash(adapterOfRow(&r)), strconv.Itoa(r.Utterances), fmt.Sprintf("%.1f min", r.SilentSound/60), strconv.Itoa(r.Insertions), rate,
		})
	}
	return t
}

// writeTranscript writes what was recognised under the last adapter of each language.
func (r *evalRun) writeTranscript(path string, format transcript.Format) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriter(file)
	w, err := transcript.NewWriter(out, format, transcript.Hypothesis)
	if err != nil {
		return err
	}
	for p, err := range resultPairs(r.results.path) {
		if err == nil && p.Lang != nonSpeech && r.set.deployed(&p) {
			err = w.Write(p)
		}
		if err != nil {
			return fmt.Errorf("--hypotheses %s: %w", path, err)
		}
	}
	return out.Flush()
}

// page returns the report as a page, with the sound of utterances.
func (r *evalRun) page(e evalReport) page.Data {
	d := page.Data{
		Title: "glossa eval: " + e.Run.Model, Report: e.Report, Outcomes: r.tally.outcomes(r.results.path, false), Sound: r.set.soundOf(r.sounds),
		Tables: []page.Table{
			{Title: "Where nothing is said", Table: silenceTable(e.NonSpeech)},
			{Title: "Live sessions", Note: "Latencies in seconds: of the first text, of words that are committed, and of final texts.", Table: liveRatesTable(e.Live)},
		},
	}
	if e.Run.Server != "" {
		d.Settings = append(d.Settings, page.Setting{Name: "Server", Value: e.Run.Server})
	}
	if e.Run.Sound > 0 {
		d.Settings = append(d.Settings, page.Setting{Name: "RTFx", Value: e.Run.String()})
	}
	return d
}

// maxPlayed is the longest sound of an utterance that a page has, in seconds.
const maxPlayed = 60

// soundOf returns what gives the sound of outcomes: files as they are, parts of them, noise and what browsers do not play as WAV.
func (s *testSet) soundOf(sounds *sounds) func(eval.Outcome) ([]byte, string, error) {
	byID := make(map[string]*eval.Utterance, len(s.utterances))
	for i := range s.utterances {
		byID[s.utterances[i].ID] = &s.utterances[i]
	}
	return func(o eval.Outcome) ([]byte, string, error) {
		u := byID[o.ID]
		if u == nil || o.Duration > maxPlayed {
			return nil, "", errors.New("there is no sound")
		}
		if !u.Part {
			if data, kind, err := clipOf(u.AudioFilepath); err == nil {
				return data, kind, nil
			}
		}
		pcm, release, err := sounds.take(context.Background(), u)
		if err != nil {
			return nil, "", err
		}
		defer release()
		if len(pcm) > maxPlayed*audio.SampleRate {
			return nil, "", errors.New("the sound is too long for a page")
		}
		data, err := audio.EncodeWAV(pcm)
		return data, "audio/wav", err
	}
}
