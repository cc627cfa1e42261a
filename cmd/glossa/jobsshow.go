package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"glossa/asr"
	"glossa/eval"
)

type jobsShowCommand struct {
	IDs []string `arg:"" name:"job" help:"The jobs."`
	jobClientFlags
	Watch bool `help:"Go on until the job has come to its end, and print its text as it comes. It is of one job."`
	JSON  bool `name:"json" help:"Print JSON, a line for each job; with --watch, for each change."`
}

// Run shows jobs.
func (s *jobsShowCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if s.Watch && len(s.IDs) > 1 {
		return errors.New("--watch follows one job")
	}
	client, err := s.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	if s.Watch {
		return s.follow(ctx, c, client)
	}
	failed := false
	for i, id := range s.IDs {
		j, err := client.job(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = true
			c.report(fmt.Errorf("%s: %w", id, err))
			continue
		}
		if err := s.print(c, j, i > 0); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// print prints a job, behind an empty line where there is one before it.
func (s *jobsShowCommand) print(c *console, j asr.Job, behind bool) error {
	if s.JSON {
		return printJobs(c, []asr.Job{j}, true, nil)
	}
	text := jobText(j, time.Now())
	if behind {
		text = "\n" + text
	}
	return c.print(text)
}

// follow prints what becomes of a job until it is final. The error is that of a job that failed or was cancelled.
func (s *jobsShowCommand) follow(ctx context.Context, c *console, client jobClient) error {
	var last asr.Job
	for e, err := range client.watch(ctx, s.IDs[0]) {
		if err != nil {
			return err
		}
		var b strings.Builder
		if s.JSON {
			err = encodeLine(&b, e)
		} else {
			writeEvent(&b, last, e)
		}
		if err == nil {
			err = c.print(b.String())
		}
		if err != nil {
			return err
		}
		last = e.Job
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !last.State.Final():
		return errBroken
	case last.State != asr.JobDone:
		return errReported // the last line has told why
	}
	return nil
}

// writeEvent writes what is new with an event: segments, and another state.
func writeEvent(b *strings.Builder, last asr.Job, e asr.JobEvent) {
	for _, s := range e.Segments {
		fmt.Fprintf(b, "[%s - %s] %s\n", clockTime(s.Start), clockTime(s.End), shown(strings.TrimSpace(s.Text)))
	}
	j := e.Job
	if j.State == last.State && j.Attempts == last.Attempts {
		return
	}
	fmt.Fprintf(b, "%s", j.State)
	if j.State == asr.JobRunning {
		fmt.Fprintf(b, " at %s, attempt %d", shown(j.Worker), j.Attempts)
	}
	if j.Audio > 0 {
		fmt.Fprintf(b, ", %.1f of %.1f s", j.Done, j.Audio)
	}
	if j.Reason != "" {
		b.WriteString(": " + shown(j.Reason))
	}
	b.WriteByte('\n')
}

// clockTime returns seconds as minutes and seconds.
func clockTime(seconds float64) string {
	const minute = 60
	hundredths := int64(seconds*100 + 0.5)
	return fmt.Sprintf("%02d:%02d.%02d", hundredths/100/minute, hundredths/100%minute, hundredths%100)
}

// jobText returns all that is known of a job, a line for each thing.
func jobText(j asr.Job, now time.Time) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", name+":", shown(strings.Join(strings.Fields(value), " ")))
		}
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.RFC3339) + ", " + age(now.Sub(t)) + " ago"
	}
	line("job", j.ID)
	line("file", j.Name)
	line("state", string(j.State))
	line("reason", j.Reason)
	line("client", j.Client)
	line("model", j.Model)
	line("priority", j.Priority.String())
	if j.Audio > 0 {
		line("audio", fmt.Sprintf("%.1f s, %.1f s of it done (%s)", j.Audio, j.Done, percentOf(j)))
	}
	line("language", j.Language)
	line("adapter", j.Adapter)
	if j.Attempts > 0 {
		line("attempts", fmt.Sprint(j.Attempts))
	}
	line("worker", j.Worker)
	for _, name := range slices.Sorted(maps.Keys(j.Params)) {
		line("asked", name+"="+strings.Join(j.Params[name], ","))
	}
	line("callback", j.Callback)
	line("created", at(j.Created))
	line("started", at(j.Started))
	line("finished", at(j.Finished))
	return b.String()
}

// jobsTable returns jobs as a table.
func jobsTable(found []asr.Job) string {
	t := eval.Table{Names: 7, Cells: [][]string{{"job", "state", "priority", "lang", "adapter", "worker", "file", "age", "audio", "done"}}}
	now := time.Now()
	for _, j := range found {
		audio := "-"
		if j.Audio > 0 {
			audio = fmt.Sprintf("%.1f s", j.Audio)
		}
		t.Cells = append(t.Cells, []string{
			j.ID, string(j.State), j.Priority.String(), orDash(j.Language), orDash(j.Adapter), orDash(j.Worker), orDash(short(j.Name)),
			age(now.Sub(j.Created)), audio, percentOf(j),
		})
	}
	return t.Text()
}

// deadTable returns failed jobs as a table.
func deadTable(found []asr.Job) string {
	t := eval.Table{Names: 4, Cells: [][]string{{"job", "failed", "file", "reason"}}}
	now := time.Now()
	for _, j := range found {
		t.Cells = append(t.Cells, []string{j.ID, age(now.Sub(j.Finished)), orDash(short(j.Name)), shown(strings.Join(strings.Fields(j.Reason), " "))})
	}
	return t.Text()
}

// percentOf tells how much of a job's sound has its text.
func percentOf(j asr.Job) string {
	switch {
	case j.State == asr.JobDone:
		return "100%"
	case j.Audio > 0:
		return fmt.Sprintf("%.0f%%", 100*min(1, j.Done/j.Audio))
	}
	return "-"
}

// age returns how long ago something was, in its greatest unit.
func age(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return shown(s)
}

// shown returns a text of others as a terminal may have it: without characters that control it.
func shown(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// short returns the end of a long name.
func short(name string) string {
	const most = 40
	if runes := []rune(name); len(runes) > most {
		return "…" + string(runes[len(runes)-most+1:])
	}
	return name
}
