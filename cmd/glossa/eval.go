package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"glossa/asr"
	"glossa/eval"
	"glossa/flora/train"
)

type evalCommand struct {
	Manifest string `arg:"" placeholder:"DATA" help:"${data}"`
	modelFlags
	dataFlags
	LanguageFrom string `enum:"manifest,auto" default:"manifest" help:"Tell the model the language, or let it detect it. (${enum})"`
	Markdown     bool   `xor:"format" help:"Print the table as Markdown."`
	JSON         bool   `name:"json" xor:"format" help:"Print one JSON object, rates as fractions."`
	Hypotheses   string `placeholder:"FILE" help:"Write each reference and what was recognised, as JSONL."`
	decodingFlags
}

// trial is one utterance under one adapter.
type trial struct {
	eval.Utterance
	row evalRow
}

// evalRow names a row of the report.
type evalRow struct{ lang, adapter string }

// hypothesis is a line of --hypotheses.
type hypothesis struct {
	File     string  `json:"audio_filepath"`
	Lang     string  `json:"lang"`
	Detected string  `json:"detected,omitempty"`
	Adapter  *string `json:"adapter"`
	Ref      string  `json:"ref"`
	Hyp      string  `json:"hyp"`
	WER      float64 `json:"wer"`
}

// Run transcribes every utterance under the base model and under its adapter, all in shared
// batches, and prints the error rates by language.
func (e *evalCommand) Run(ctx context.Context, c *console) error {
	utterances, err := train.ReadUtterances(e.Manifest, e.Language, c.warn)
	if err != nil {
		return err
	}
	engine, err := e.engine()
	if err != nil {
		return err
	}
	rows, trials := e.trials(utterances, engine)
	s := &scores{byRow: make(map[evalRow]*eval.Score)}
	if e.Hypotheses != "" {
		f, err := os.Create(e.Hypotheses)
		if err != nil {
			return err
		}
		defer f.Close()
		s.hypotheses = bufio.NewWriter(f)
	}
	if err := e.score(ctx, c, engine, trials, s); err != nil {
		return err
	}
	if s.hypotheses != nil {
		if err := s.hypotheses.Flush(); err != nil {
			return err
		}
	}
	if err := e.print(c, s.report(rows)); err != nil {
		return err
	}
	if len(s.unread) > 0 {
		return errReported
	}
	return nil
}

// trials returns the rows of the report, languages in the order of the manifest, and what is to be
// transcribed: each utterance under the base model, and under the adapter of its language. Where
// languages are detected so are adapters, whose rows then are named auto.
func (e *evalCommand) trials(utterances []eval.Utterance, engine *asr.Engine) (rows []evalRow, trials []trial) {
	for _, u := range utterances {
		adapters := []string{""}
		switch {
		case e.Adapter == asr.None:
		case e.Adapter != asr.Auto:
			adapters = append(adapters, e.Adapter)
		case e.LanguageFrom == asr.Auto && len(engine.Adapters()) > 0:
			adapters = append(adapters, asr.Auto)
		case e.LanguageFrom != asr.Auto && engine.AdapterOf(u.Lang) != "":
			adapters = append(adapters, engine.AdapterOf(u.Lang))
		}
		at := len(rows)
		if i := slices.IndexFunc(rows, func(r evalRow) bool { return r.lang == u.Lang }); i < 0 {
			for _, a := range adapters {
				rows = append(rows, evalRow{u.Lang, a})
			}
		} else {
			at = i
		}
		for _, row := range rows[at : at+len(adapters)] {
			trials = append(trials, trial{u, row})
		}
	}
	return rows, trials
}

// score transcribes the trials and adds them up.
func (e *evalCommand) score(ctx context.Context, c *console, engine *asr.Engine, trials []trial, s *scores) error {
	names := make([]string, len(trials))
	for i, t := range trials {
		names[i] = t.AudioFilepath
	}
	files := newAhead(names, maxUnread)
	defer files.close()
	decoding, err := e.decoding()
	if err != nil {
		return err
	}
	requests := make([]asr.Request, len(trials))
	for i, t := range trials {
		requests[i] = asr.Request{Audio: func() ([]float32, error) { return files.take(i) }, Language: t.Lang, Adapter: t.row.adapter, Decoding: decoding}
		if e.LanguageFrom == asr.Auto {
			requests[i].Language = asr.Auto
		}
		if t.row.adapter == "" {
			requests[i].Adapter = asr.None
		}
	}
	if err := engine.Check(asr.Request{Decoding: decoding}); err != nil {
		return err
	}
	p := newProgress(c, len(requests), "transcriptions")
	err = transcribe(ctx, engine, requests, p, func(i int, r *asr.Result) error {
		return s.add(c, trials[i], r)
	})
	if err == nil && !c.terminal {
		c.note("%d %s, %s", p.done, p.what, p.speed())
	}
	return err
}

func (e *evalCommand) print(c *console, r *eval.Report) error {
	switch {
	case e.JSON:
		text, err := r.JSON()
		if err != nil {
			return err
		}
		return c.print(string(text))
	case e.Markdown:
		return c.print(r.Markdown())
	}
	return c.print(r.Text())
}

// scores are what the trials added up to.
type scores struct {
	byRow      map[evalRow]*eval.Score
	unread     []string // files without a result, each once
	hypotheses *bufio.Writer
}

// add scores a result. A file without one counts in no row.
func (s *scores) add(c *console, t trial, r *asr.Result) error {
	if r.Err != nil {
		if !slices.Contains(s.unread, t.AudioFilepath) {
			s.unread = append(s.unread, t.AudioFilepath)
			c.report(fmt.Errorf("%s: %w", t.AudioFilepath, r.Err))
		}
		return nil
	}
	score := eval.ScoreUtterance(t.Text, r.Text, t.Lang)
	if s.byRow[t.row] == nil {
		s.byRow[t.row] = new(eval.Score)
	}
	s.byRow[t.row].Add(score)
	if s.hypotheses == nil {
		return nil
	}
	h := hypothesis{File: t.AudioFilepath, Lang: t.Lang, Ref: t.Text, Hyp: r.Text, WER: score.WER()}
	if t.row.adapter != "" {
		h.Adapter = &r.Adapter
	}
	if r.LanguageProb > 0 {
		h.Detected = r.Language
	}
	return encodeLine(s.hypotheses, h)
}

// encodeLine writes v as a line of JSON.
func encodeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// report returns the rows that have utterances.
func (s *scores) report(rows []evalRow) *eval.Report {
	var results []eval.Result
	for _, row := range rows {
		if score := s.byRow[row]; score != nil {
			results = append(results, eval.Result{Lang: row.lang, Adapter: row.adapter, Score: *score})
		}
	}
	return eval.NewReport(results)
}
