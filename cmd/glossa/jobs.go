package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"glossa/asr"
)

// jobsCommands are what can be done about jobs.
type jobsCommands struct {
	List   jobsListCommand   `cmd:"" help:"List jobs, the newest first."`
	Show   jobsShowCommand   `cmd:"" help:"Show what becomes of jobs."`
	Result jobsResultCommand `cmd:"" help:"Print the text of a job that is done."`
	Cancel jobsCancelCommand `cmd:"" help:"Cancel jobs that wait or run."`
	Dead   jobsDeadCommand   `cmd:"" help:"List jobs that failed, and why."`
	Retry  jobsRetryCommand  `cmd:"" help:"Queue failed jobs again."`
}

// Help is shown by "glossa help jobs".
func (jobsCommands) Help() string {
	return `Jobs are those of a server, or with --nats-url those of all clients of NATS servers. A server shows each client its own.

Examples:

    glossa jobs list --state queued,running
    glossa jobs show --watch JOB
    glossa jobs result --format srt --output talk.srt JOB
    glossa jobs cancel --all-queued
    glossa jobs dead
    glossa jobs retry --all`
}

type jobsListCommand struct {
	jobClientFlags
	State []string `enum:"queued,running,done,failed,cancelled" placeholder:"STATE,…" help:"List those alone: ${enum}. (all)"`
	Model string   `placeholder:"NAME" help:"List those of a model alone."`
	Limit int      `default:"100" placeholder:"N" help:"The most that are listed; 0 is all. (${default})"`
	JSON  bool     `name:"json" help:"Print JSON, a line for each job."`
}

// Run lists jobs.
func (l *jobsListCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if l.Limit < 0 {
		return fmt.Errorf("--limit %d: at least 0 is needed", l.Limit)
	}
	client, err := l.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	q := asr.JobQuery{Model: l.Model}
	for _, s := range l.State {
		q.States = append(q.States, asr.JobState(s))
	}
	found, more, err := listJobs(ctx, client, q, l.Limit)
	if err != nil {
		return err
	}
	if err := printJobs(c, found, l.JSON, jobsTable); err != nil {
		return err
	}
	if more && !l.JSON {
		c.note("There are more; --limit 0 lists all.")
	}
	return nil
}

// pageSize is the number of jobs that are asked for at a time.
const pageSize = 1000

// listJobs returns so many jobs, 0 for all, and whether there are more.
func listJobs(ctx context.Context, client jobClient, q asr.JobQuery, limit int) (found []asr.Job, more bool, err error) {
	for {
		q.Limit = pageSize
		if limit > 0 {
			q.Limit = min(pageSize, limit-len(found))
		}
		page, err := client.list(ctx, q)
		if err != nil {
			return nil, false, err
		}
		found = append(found, page.Jobs...)
		if q.After = page.Next; q.After == "" || limit > 0 && len(found) >= limit {
			return found, q.After != "", nil
		}
	}
}

// printJobs prints jobs as a table, or as lines of JSON.
func printJobs(c *console, found []asr.Job, asJSON bool, table func([]asr.Job) string) error {
	if !asJSON {
		return c.print(table(found))
	}
	var b strings.Builder
	for _, j := range found {
		if err := encodeLine(&b, j); err != nil {
			return err
		}
	}
	return c.print(b.String())
}

type jobsDeadCommand struct {
	jobClientFlags
	JSON bool `name:"json" help:"Print JSON, a line for each job."`
}

// Run lists failed jobs.
func (d *jobsDeadCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	client, err := d.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	found, _, err := listJobs(ctx, client, asr.JobQuery{States: []asr.JobState{asr.JobFailed}}, 0)
	if err != nil {
		return err
	}
	return printJobs(c, found, d.JSON, deadTable)
}

type jobsResultCommand struct {
	ID string `arg:"" name:"job" help:"The job."`
	jobClientFlags
	Format string `enum:"txt,json,srt,vtt,tsv" default:"txt" help:"The format of the text. (${enum})"`
	Output string `placeholder:"FILE" help:"Write the text to a file instead of the standard output."`
}

// Run prints a result.
func (r *jobsResultCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	client, err := r.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	result, err := client.result(ctx, r.ID)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := asr.Write(&b, r.Format, result, asr.SubtitleOptions{}); err != nil {
		return err
	}
	if r.Output != "" {
		return replaceFile(r.Output, []byte(b.String()))
	}
	return c.print(b.String())
}

type jobsCancelCommand struct {
	IDs []string `arg:"" optional:"" name:"job" help:"The jobs."`
	jobClientFlags
	AllQueued bool `help:"Cancel all jobs that wait."`
}

// Run cancels jobs.
func (k *jobsCancelCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	client, err := k.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	return forJobs(ctx, c, client, k.IDs, k.AllQueued, "--all-queued", asr.JobQueued, client.cancel)
}

type jobsRetryCommand struct {
	IDs []string `arg:"" optional:"" name:"job" help:"The jobs."`
	jobClientFlags
	All bool `help:"Retry all jobs that failed."`
}

// Run queues failed jobs again.
func (r *jobsRetryCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	client, err := r.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	return forJobs(ctx, c, client, r.IDs, r.All, "--all", asr.JobFailed, client.retry)
}

// forJobs does something to the jobs that are named, or to all of a state, and prints what state each has then. What cannot be done to one
// does not stop the others.
func forJobs(ctx context.Context, c *console, client jobClient, ids []string, all bool, flag string, of asr.JobState, do func(context.Context, string) (asr.Job, error)) error {
	switch {
	case all && len(ids) > 0:
		return fmt.Errorf("%s means all; name jobs or give the flag", flag)
	case !all && len(ids) == 0:
		return errors.New("name jobs, or give " + flag)
	case all:
		found, _, err := listJobs(ctx, client, asr.JobQuery{States: []asr.JobState{of}}, 0)
		if err != nil {
			return err
		}
		for _, j := range found {
			ids = append(ids, j.ID)
		}
	}
	failed := false
	for _, id := range ids {
		j, err := do(ctx, id)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = true
			c.report(fmt.Errorf("%s: %w", id, err))
			continue
		}
		if err := c.print(fmt.Sprintf("%s  %s\n", j.ID, j.State)); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}
