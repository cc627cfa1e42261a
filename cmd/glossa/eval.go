package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"glossa/eval"
)

type evalCommand struct {
	Data      []string `arg:"" optional:"" name:"data" placeholder:"DATA" help:"${data} Or a trn or stm beside its sound files."`
	Server    string   `group:"Server" placeholder:"URL" help:"Evaluate a server, such as http://127.0.0.1:8080, instead of a model in this process."`
	serverKey `group:"Server"`
	modelFlags
	dataFlags
	Split        string `default:"test" placeholder:"NAME" help:"Which table of a folder that holds several is meant: test.tsv for test. (${default})"`
	Limit        int    `placeholder:"N" help:"Utterances of each language, at most, evenly spread. (all)"`
	LanguageFrom string `enum:"manifest,auto" default:"manifest" help:"Tell the model the language, or let it detect it. (${enum})"`
	Concurrency  int    `placeholder:"N" help:"Utterances at a time; 1 measures the latency of one alone. (two batches; with --live, 8)"`

	NonSpeech      []string `group:"Non-speech" sep:"none" placeholder:"DIR|FILE" help:"Sound in which nothing is said, to count the words that are heard in it. Repeatable."`
	Hallucinations int      `group:"Non-speech" placeholder:"N" help:"Make so many clips of 10 s in which nothing is said: silence, white and pink noise, hum and tones in turn, drawn by --seed."`

	Live   bool   `group:"Live" help:"Speak every utterance in real time over a live session, too, under its adapter, and measure latencies, retracted words and the error rate of the final texts."`
	Policy string `group:"Live" enum:"localagreement2,alignatt" default:"localagreement2" help:"Which text live sessions commit. (${enum})"`

	scoringFlags `group:"Scoring"`

	reportFlags `group:"Results"`
	Hypotheses  string `group:"Results" placeholder:"FILE" help:"Write each reference and what was recognised, a line of JSON as soon as it is done; or, for a name that ends in .trn, .ctm or .stm, what was recognised under the last adapter of each language. With --live the final texts of live sessions go to FILE.live.jsonl, too."`
	Resume      bool   `group:"Results" help:"Go on with the file of --hypotheses where an earlier evaluation broke off: what it has a text of is not recognised again. Live sessions are held anew."`
	Compare     string `group:"Results" placeholder:"RESULTS" help:"Compare with an earlier evaluation, the file of its --hypotheses, on the utterances that both have."`

	decodingFlags
}

// Help is shown by "glossa help eval".
func (evalCommand) Help() string {
	return `Every utterance is recognised under the base model and under its language's adapter, all in shared batches, and scored. A file that cannot
be read is named, counts as failed and harms no other; the exit status then is 1.

What it measures: RTFx is seconds of sound a second of work, of all that is recognised, decoding of files included. Latency is the time from
handing an utterance in to its text. With batches full, most of that is waiting: --concurrency 1 measures an utterance alone. Words inserted
a minute are those heard where the reference is empty. With --live, first is the time from a segment's first word to its first text, commit
from a word's end to when it is committed, final from a segment's last word to its final text, the silence that ends it included; retracted
words are those that were shown and then were not, or were others, a 100 words of the final texts.

Comparisons are paired: the interval is of the difference of error rates by Bisani and Ney's bootstrap, drawn by speaker where speakers are
known, else by recording; p is of the matched-pairs test (MAPSSWE).

A file of limits, all of whose parts may be left out:

    total: {wer: 0.12}                   # rates as fractions; there is cer, too
    each: {wer: 0.2, worse_wer: 0.005}   # of each language that is not named; worse than before by at most half a point, but for chance
    languages:
      zh: {cer: 0.1}
    adapter: cs                          # whose results are held to limits (the last of each language)
    failed: 3                            # utterances without a text that may be (0)
    baseline: main.json                  # what an earlier evaluation has printed with --json; without it, that of --compare

Examples:

    glossa eval testdata/multilingual/manifest.jsonl
    glossa eval --model small --adapters adapters --html report.html fleurs/cs_cz fleurs/hi_in cv-corpus/mr
    glossa eval --server http://127.0.0.1:8080 --hypotheses run.jsonl --resume manifest.jsonl
    glossa eval --compare before.jsonl --gate limits.yaml manifest.jsonl
    glossa eval --hallucinations 50 --non-speech musan/noise
    glossa eval --live --limit 20 manifest.jsonl`
}

// Run recognises every utterance and prints the tables.
func (e *evalCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if err := e.check(); err != nil {
		return err
	}
	gate, err := openGate(e.Gate, e.Compare != "")
	if err != nil {
		return err
	}
	scorer, err := e.scorer(e.Model, namedNIST(e.Data))
	if err != nil {
		return err
	}
	tally, err := newEvalTally(e, scorer)
	if err != nil {
		return err
	}
	r := &evalRun{flags: e, console: c, sounds: newSounds(e.Seed), tally: tally}
	if r.testee, err = e.open(ctx, r.sounds, parsed.Path); err != nil {
		return err
	}
	defer r.testee.close()
	if r.set, err = e.testSet(r.testee, c.warn); err != nil {
		return err
	}
	return r.run(ctx, gate)
}

// open opens what is evaluated.
func (e *evalCommand) open(ctx context.Context, s *sounds, given []*kong.Path) (testee, error) {
	if e.Server != "" {
		return e.openServer(ctx, s, given)
	}
	return e.openEngine(s)
}

// check finds what is wrong with the flags before any work is done.
func (e *evalCommand) check() error {
	switch {
	case e.Concurrency < 0:
		return fmt.Errorf("--concurrency %d: at least 1 is needed", e.Concurrency)
	case e.Limit < 0:
		return fmt.Errorf("--limit %d: at least 1 is needed", e.Limit)
	case e.Hallucinations < 0:
		return fmt.Errorf("--hallucinations %d: at least 1 is needed", e.Hallucinations)
	case e.Resume && e.Hypotheses == "":
		return errors.New("--resume goes on with the file of --hypotheses, which is not named")
	case e.Resume && e.lines() != resultLinesFormat:
		return fmt.Errorf("--resume: %s does not hold all that it takes to go on; name a .jsonl", e.Hypotheses)
	case e.Compare != "" && filepath.Clean(e.Compare) == filepath.Clean(e.Hypotheses):
		return fmt.Errorf("--compare %s: --hypotheses writes it anew", e.Compare)
	}
	if e.Compare != "" {
		if _, err := os.Stat(e.Compare); err != nil {
			return fmt.Errorf("--compare %s: %w", e.Compare, reason(err))
		}
	}
	inputs := slices.Concat(e.Data, e.NonSpeech, []string{e.Compare, e.Gate})
	return checkWrites(inputs, output{"--hypotheses", e.Hypotheses}, output{"--html", e.HTML})
}

// resultLinesFormat is the format of files of results: JSON, one a line.
const resultLinesFormat = "jsonl"

// lines returns the format of --hypotheses, by its ending.
func (e *evalCommand) lines() string {
	switch ending := strings.ToLower(strings.TrimPrefix(filepath.Ext(e.Hypotheses), ".")); ending {
	case "trn", "ctm", "stm":
		return ending
	}
	return resultLinesFormat
}

// nameOrNil returns an adapter as JSON has it, nil for the base model.
func nameOrNil(adapter string) *string {
	if adapter == "" {
		return nil
	}
	return &adapter
}

// nameOrDash returns an adapter as tables have it.
func nameOrDash(adapter string) string {
	if adapter == "" {
		return "-"
	}
	return adapter
}

// adapterOfRow returns the adapter of a row, "" for the base model.
func adapterOfRow(r *eval.Row) string {
	if r.Adapter == nil {
		return ""
	}
	return *r.Adapter
}

// perCent returns a fraction in per cent.
func perCent(fraction float64) string { return fmt.Sprintf("%.1f%%", 100*fraction) }
