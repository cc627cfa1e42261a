package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"glossa/asr"
)

type submitCommand struct {
	Paths []string `arg:"" name:"path" help:"Sound files; folders, whose sound files and those of their subfolders are meant; and manifests, JSONL as eval reads it, ending in .jsonl or .json: a line's lang is its language unless --language says otherwise."`
	jobClientFlags

	Wait      bool   `help:"Wait for the texts, and write that of x/NAME.wav to x/NAME.FORMAT."`
	Format    string `enum:"txt,json,srt,vtt,tsv" default:"txt" help:"The format of the texts of --wait. (${enum})"`
	OutputDir string `placeholder:"DIR" help:"Write the texts of --wait below DIR instead: files of a folder, or of a manifest, in subfolders as they have them."`
	Overwrite bool   `help:"Let the texts of --wait replace other files. Without it such a file stays, and its job is told to have failed here."`
	JSON      bool   `name:"json" help:"Print JSON, a line for each file: job_id, file and state; with --wait, as soon as it is done, job_id, file, text, language, adapter, segments; error where it failed."`

	Model    string `placeholder:"NAME" help:"The model that transcribes. (that of the server, or of the only workers)"`
	Priority string `enum:"live,normal,bulk" default:"normal" help:"Before whose jobs these go. (${enum})"`
	Callback string `placeholder:"URL" help:"An address that is told of the end of each job."`
	JobKey   string `name:"key" placeholder:"KEY" help:"What makes two submissions of one file the same job. (its sound, the model and what is asked of it)"`
	Again    bool   `help:"Make new jobs, also of files whose jobs there are."`
	paramFlags
}

// Help is shown by "glossa help submit".
func (submitCommand) Help() string {
	return `Submits sound files as jobs, which a server keeps until they are done, whatever is killed or restarted meanwhile. A file whose job is
there already, with the same sound, model and options, is not transcribed again: that of the first time is meant, which is
begun anew where it has failed or was cancelled. It has the priority and the callback of that time, which is told where others are asked for; with
--key it is an error.

Without --wait it prints the id and the file of each job; "glossa jobs" shows what becomes of them. With --wait it goes on until all have
their texts, or failed. An interrupt ends the waiting, not the jobs: the same command again takes up what is done and waits for the rest.

What is wrong with one file does not stop the others. The exit status is 1 where any failed. Where the queue is full it waits until there
is room.

Examples:

    glossa submit talk.flac interview.wav
    glossa submit --wait --format srt --output-dir subtitles recordings/
    glossa submit --wait --json --priority bulk manifest.jsonl >texts.jsonl
    glossa submit --nats-url nats://broker:4222 --model small recordings/`
}

// Run submits the files.
func (s *submitCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if err := s.check(parsed.Path); err != nil {
		return err
	}
	files, err := soundFiles(s.Paths)
	if err != nil {
		return err
	}
	if s.JobKey != "" && len(files) > 1 {
		return fmt.Errorf("--key %s: it is the key of one job, and there are %d files", s.JobKey, len(files))
	}
	if s.Wait && !s.JSON {
		if err := checkOutputs(files, s.OutputDir, s.Format); err != nil {
			return err
		}
	}
	client, err := s.jobClientFlags.open(ctx, c, parsed.Path)
	if err != nil {
		return err
	}
	defer client.close()
	run := &submitRun{flags: s, client: client, console: c, files: files, submitted: make([]asr.Job, len(files))}
	return run.run(ctx)
}

// check finds what is wrong with the flags before any work is done.
func (s *submitCommand) check(given []*kong.Path) error {
	for _, p := range given {
		if p.Flag == nil || p.Resolved {
			continue
		}
		switch name := p.Flag.Name; name {
		case "format", "output-dir", "overwrite":
			if !s.Wait {
				return fmt.Errorf("--%s is for the texts of --wait", name)
			}
			if s.JSON {
				return fmt.Errorf("--%s: with --json no files are written", name)
			}
		}
	}
	if s.Again && s.JobKey != "" {
		return errors.New("--again makes a new job, and --key means one that may be there")
	}
	return s.paramFlags.check()
}

// submission returns what is asked for a file, without its sound.
func (s *submitCommand) submission(f *soundFile) (asr.Submission, error) {
	params, err := s.params(f.language)
	if err != nil {
		return asr.Submission{}, err
	}
	q := asr.Submission{Name: f.below, Model: s.Model, Params: params, Seconds: f.seconds, Callback: s.Callback, Key: s.JobKey, Again: s.Again}
	return q, q.Priority.UnmarshalText([]byte(s.Priority))
}
