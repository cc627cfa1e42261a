package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
	"glossa/eval"
)

// liveTail is the silence behind an utterance, in which its segment ends.
const liveTail = time.Second

// liveStreams is how many utterances are spoken at a time unless the flags say otherwise.
const liveStreams = 8

// liveRow is what live sessions made of the utterances of a language.
type liveRow struct {
	Lang       string    `json:"lang"`
	Adapter    *string   `json:"adapter"`
	Utterances int       `json:"utterances"`
	Failed     int       `json:"failed,omitempty"`
	Words      int       `json:"words"`
	WER        float64   `json:"wer"`
	OfflineWER *float64  `json:"offline_wer"`
	First      quantiles `json:"first"`
	Commit     quantiles `json:"commit"`
	Final      quantiles `json:"final"`
	Retracted  float64   `json:"retracted_words_per_100"` // of words in finals

	adapter string
	score   eval.Score
	sum     liveSum
}

// liveOutcome is what became of an utterance.
type liveOutcome struct {
	trial
	watch *liveWatch
	err   error
}

// runLive speaks every utterance over a live session, in real time, under the adapter that is deployed, and returns the figures by
// language.
func (r *evalRun) runLive(ctx context.Context) (rows []*liveRow, err error) {
	var texts io.Writer = io.Discard
	if r.flags.Hypotheses != "" {
		file, failed := os.Create(r.flags.Hypotheses + ".live.jsonl")
		if failed != nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		texts = file
	}
	streams := cmp.Or(r.flags.Concurrency, liveStreams)
	total := 0
	for range r.spoken {
		total++
	}
	p := newEvalProgress(r.console, total, "utterances spoken")
	defer p.finish()
	var sum eval.Counts
	err = inOrder(ctx, streams, resultsAhead, r.spoken, r.speak, func(o liveOutcome) error {
		i := slices.IndexFunc(rows, func(row *liveRow) bool { return row.Lang == o.Lang && row.adapter == o.adapter })
		if i < 0 {
			i = len(rows)
			rows = append(rows, &liveRow{Lang: o.Lang, adapter: o.adapter, Adapter: nameOrNil(o.adapter)})
		}
		scored, err := r.scoreLive(&o)
		if err != nil {
			return err
		}
		rows[i].add(&o, scored)
		sum = sum.Plus(scored.Words)
		if err := encodeLine(texts, resultOf(&scored)); err != nil {
			return err
		}
		p.add(scored.Duration, sum)
		return nil
	})
	for _, row := range rows {
		row.finish()
	}
	return rows, err
}

// scoreLive scores the final texts of an utterance, and tells what is wrong with it.
func (r *evalRun) scoreLive(o *liveOutcome) (eval.Outcome, error) {
	p := o.pair()
	if o.err != nil {
		r.failed++
		r.tell(&o.trial, fmt.Errorf("live: %w", o.err))
		p.Err = o.err.Error()
		return eval.Outcome{Pair: p}, nil
	}
	p.Hypothesis = strings.TrimSpace(o.watch.finals.String())
	return r.tally.scorer.Score(p)
}

// add adds an utterance.
func (row *liveRow) add(o *liveOutcome, scored eval.Outcome) {
	if o.err != nil {
		row.Failed++
		return
	}
	row.score.Add(eval.Score{Utterances: 1, Words: scored.Words, Characters: scored.Characters})
	row.sum.add(o.watch)
}

// spoken yields the trials that are spoken.
func (r *evalRun) spoken(yield func(trial) bool) {
	for t := range r.set.trials() {
		if t.deployed && t.Lang != nonSpeech && !yield(t) {
			return
		}
	}
}

// speak speaks an utterance. Where there is no room for a session it waits.
func (r *evalRun) speak(ctx context.Context, t trial) (liveOutcome, error) {
	o := liveOutcome{trial: t}
	pcm, release, err := r.sounds.take(ctx, t.Utterance)
	if err != nil {
		o.err = err
		return o, context.Cause(ctx)
	}
	sound := append(audio.EncodePCM(pcm), make([]byte, fileFormat.offset(liveTail.Milliseconds()))...)
	release()
	session, cancel := context.WithCancel(ctx)
	defer cancel()
	var conn liveConn
	busy := func(err error) bool { return errors.Is(err, asr.ErrBusy) }
	err = patiently(ctx, busy, func() (err error) {
		conn, err = r.testee.listen(session, t)
		return err
	})
	if err == nil {
		o.watch, err = speak(ctx, conn, sound)
		_ = conn.Close() // all that it told was heard
	}
	if err != nil && ctx.Err() != nil {
		return o, context.Cause(ctx)
	}
	o.err = err
	return o, nil
}

// finish derives the figures.
func (row *liveRow) finish() {
	row.Utterances, row.Words, row.WER = row.score.Utterances, row.score.Words.Reference(), row.score.WER()
	row.First, row.Commit, row.Final = quantilesOf(row.sum.first), quantilesOf(row.sum.commit), quantilesOf(row.sum.final)
	if row.sum.words > 0 {
		row.Retracted = 100 * float64(row.sum.retracted) / float64(row.sum.words)
	}
}

// beside sets the error rates of the same utterances without live sessions.
func beside(rows []*liveRow, report *eval.Report) {
	for _, row := range rows {
		for _, r := range report.Rows {
			if r.Lang == row.Lang && adapterOfRow(&r) == row.adapter {
				row.OfflineWER = &r.WER
			}
		}
	}
}

// liveRatesTable returns the figures as a table, latencies in seconds.
func liveRatesTable(rows []*liveRow) eval.Table {
	t := eval.Table{Names: 2, Cells: [][]string{{
		"lang", "adapter", "spoken", "words", "WER", "live WER", "first p50", "p95", "commit p50", "p95", "final p50", "p95", "retracted/100",
	}}}
	for _, r := range rows {
		offline, seconds := "-", func(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) }
		if r.OfflineWER != nil {
			offline = perCent(*r.OfflineWER)
		}
		t.Cells = append(t.Cells, []string{
			r.Lang, nameOrDash(r.adapter), strconv.Itoa(r.Utterances), strconv.Itoa(r.Words), offline, perCent(r.WER),
			seconds(r.First.P50), seconds(r.First.P95), seconds(r.Commit.P50), seconds(r.Commit.P95), seconds(r.Final.P50), seconds(r.Final.P95),
			strconv.FormatFloat(r.Retracted, 'f', 1, 64),
		})
	}
	return t
}
