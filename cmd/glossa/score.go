package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"sync/atomic"

	"glossa/eval"
	"glossa/eval/page"
	"glossa/eval/transcript"
)

type scoreCommand struct {
	Results []string `arg:"" optional:"" placeholder:"RESULTS" help:"What glossa eval --hypotheses has written, or other lines of JSON with references and hypotheses. Several are read as one; - is the standard input."`

	Ref     []string          `sep:"none" placeholder:"FILE" help:"References. Repeatable; several are read as one."`
	Hyp     []string          `sep:"none" placeholder:"[NAME=]FILE" help:"What a system recognised. Repeatable: other systems are compared with the first, files of one NAME are of one system."`
	RefForm transcript.Format `name:"ref-format" default:"auto" placeholder:"FORMAT" help:"Format of the references: trn, ctm, stm, jsonl, kaldi or text. (told by the name or a look)"`
	HypForm transcript.Format `name:"hyp-format" default:"auto" placeholder:"FORMAT" help:"Format of the hypotheses. (likewise)"`
	Missing transcript.Policy `enum:"empty,skip,fail" default:"empty" help:"A reference without a hypothesis is one where nothing was recognised, is left out, or is an error. (${enum})"`
	Extra   transcript.Policy `enum:"fail,skip" default:"fail" help:"A hypothesis without a reference is an error, or is left out. (${enum})"`
	Adapter *string           `placeholder:"NAME" help:"Of results, those of one adapter alone; none for those of the base model."`
	Compare string            `placeholder:"RESULTS" help:"Compare with other results of the same utterances."`
	Scoring textScoringFlags  `embed:"" group:"What counts"`
	Print   scorePrinting     `embed:"" group:"What is printed"`
}

// scorePrinting say what is printed.
type scorePrinting struct {
	reportFlags
	Align        bool `xor:"format" help:"Print the alignment of each utterance that has errors, as sclite does."`
	AlignCorrect bool `help:"Print that of utterances without errors, too."`
}

// Help is shown by "glossa help score".
func (scoreCommand) Help() string {
	return `No model is loaded: texts are put side by side. Formats, told by the name's ending, else by a look at the file:

    .trn    words (speaker-utterance)                           NIST, for sclite
    .stm    recording channel speaker start end [<labels>] words
    .ctm    recording channel start duration word [confidence]
    .jsonl  {"id": "u1", "ref": "…", "hyp": "…"}, or text, reference, transcription, pred_text, hypothesis, audio_filepath …
    text    utterance words                                     Kaldi; by the name text, beside one of it, or --ref-format kaldi
    .txt    words                                               line i of the one file belongs to line i of the other

Files may be compressed (.gz). Utterances are matched by their identifiers or sound files, in any order, and words of a ctm go to the
segments of an stm by time, as in sclite. Of several systems the total is that of the last.

Examples:

    glossa score results.jsonl
    glossa score --ref ref.trn --hyp hyp.trn --align
    glossa score --ref eval.stm --hyp base=base.ctm --hyp new=new.ctm --normaliser none --alignment sclite --alternatives
    glossa score --ref data/test/text --hyp-format kaldi --hyp decoded --language fi --confusions 20
    glossa score --ref ref.txt --hyp - --language en --normaliser english --json < hyp.txt
    glossa score new.jsonl --compare old.jsonl --gate limits.yaml --html report.html`
}

// Run scores texts and prints what they come to.
func (s *scoreCommand) Run(ctx context.Context, c *console) error {
	if p := &s.Print; p.AlignCorrect && (p.JSON || p.Markdown) {
		return errors.New("--align-correct prints alignments, which are neither --json nor --markdown")
	}
	scorer, err := s.Scoring.scorer(nanoName, s.nist())
	if err != nil {
		return err
	}
	in, err := s.inputs(c)
	if err != nil {
		return err
	}
	gate, err := openGate(s.Print.Gate, s.Compare != "" || len(in.systems) > 1)
	if err != nil {
		return err
	}
	r := &scoreRun{command: s, console: c, ctx: ctx, scorer: scorer, inputs: in}
	report, err := r.report()
	if err != nil {
		return err
	}
	if err := s.print(c, report); err != nil {
		return err
	}
	if s.Print.HTML != "" {
		// All is read and scored again.
		d := page.Data{Title: r.title(), Report: report, Outcomes: scoreAll(r.ctx, r.scorer, r.pairs(nil)), Sound: r.sound}
		if err := writePage(s.Print.HTML, d); err != nil {
			c.report(err)
			return cmp.Or(gate.check(c, report, report.Comparisons), errReported)
		}
	}
	return gate.check(c, report, report.Comparisons)
}

// nist reports whether the references are in a format that has alternatives.
func (s *scoreCommand) nist() bool {
	switch s.RefForm {
	case transcript.TRN, transcript.STM:
		return true
	case transcript.Auto:
		return namedNIST(s.Ref)
	}
	return false
}

// print prints the report.
func (s *scoreCommand) print(c *console, r *eval.Report) error {
	switch {
	case s.Print.JSON:
		text, err := r.JSON()
		if err != nil {
			return err
		}
		return c.print(string(text))
	case s.Print.Markdown:
		return c.print(r.Markdown())
	}
	return c.print(r.Text())
}

// scoreRun is one run of the command.
type scoreRun struct {
	command *scoreCommand
	console *console
	ctx     context.Context
	scorer  eval.Scorer
	inputs  *scoreInputs
	warned  atomic.Bool // of alternatives
}

// report scores all utterances, and prints their alignments where that is asked for.
func (r *scoreRun) report() (*eval.Report, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	summary, err := r.command.Print.summary(r.scorer, r.inputs.results == nil) // systems are compared by r.comparers
	if err != nil {
		return nil, err
	}
	comparers := r.comparers()
	show := r.alignments()
	number := 0
	r.inputs.begin()
	for o, failed := range scoreAll(r.ctx, r.scorer, r.pairs(r.warn)) {
		if err = failed; err != nil {
			break
		}
		number++
		r.inputs.advance(number)
		o.Pair = r.grouped(o.Pair)
		if err = show(&o); err != nil {
			break
		}
		summary.Add(o)
		for _, c := range comparers {
			c.add(o)
		}
	}
	r.inputs.end()
	var comparisons []eval.Comparison
	for _, c := range comparers {
		list, failed := c.end()
		comparisons = append(comparisons, list...)
		err = cmp.Or(err, failed)
	}
	if err == nil && number == 0 {
		if err = errors.New("there are no utterances to score"); r.inputs.adapter != nil {
			err = fmt.Errorf("there are no utterances of --adapter %s to score", *r.command.Adapter)
		}
	}
	if err != nil {
		return nil, err
	}
	report := summary.Report()
	report.Comparisons = append(report.Comparisons, comparisons...)
	return report, nil
}

// gcPercent is how much garbage is kept while scoring, in per cent of what is no garbage: the least memory that costs little time.
const gcPercent = 50

// pairs returns what is scored.
func (r *scoreRun) pairs(warn func(string)) iter.Seq2[eval.Pair, error] {
	in := r.inputs
	if in.results != nil {
		return r.tagged(transcript.ResultPairs(*in.results))
	}
	return r.tagged(transcript.Pairs(in.reference, in.systems, transcript.Options{
		Missing: r.command.Missing, Extra: r.command.Extra, Warn: warn,
	}))
}

// warn tells the user.
func (r *scoreRun) warn(message string) { r.console.warn(message) }
