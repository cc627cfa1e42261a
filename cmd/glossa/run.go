package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	statusOK          = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130 // 128 + SIGINT, as a shell has it
)

// errReported ends a command whose errors are already on stderr.
var errReported = errors.New("some of the work failed")

// commands are the command line of glossa.
type commands struct {
	Serve      serveCommand      `cmd:"" help:"Serve transcription over HTTP and websockets, and a page to speak into."`
	Transcribe transcribeCommand `cmd:"" help:"Turn sound files into text."`
	Submit     submitCommand     `cmd:"" help:"Submit sound files as jobs, which outlive what does them."`
	Jobs       jobsCommands      `cmd:"" help:"See to jobs: list, show, result, cancel, retry, dead."`
	Worker     workerCommand     `cmd:"" help:"Do the jobs that NATS servers keep."`
	Listen     listenCommand     `cmd:"" help:"Stream a sound file, or sound from the standard input, to a server and print its text live."`
	Eval       evalCommand       `cmd:"" help:"Measure error rates, latencies and hallucinations of a model, or of a server, on test sets."`
	Score      scoreCommand      `cmd:"" help:"Measure error rates of texts, in the formats of NIST and others, without a model."`
	Bench      benchCommands     `cmd:"" help:"Measure the speed of models, and of live sessions, on this machine."`
	Simulate   simulateCommand   `cmd:"" help:"Predict latencies, and how many workers a load needs, from measured costs."`
	Train      trainCommand      `cmd:"" help:"Train a model, or an adapter over a frozen one."`
	Experiment experimentCommand `cmd:"" help:"Compare kinds and ranks of adapters."`
	Pull       pullCommand       `cmd:"" help:"Download models and adapters from the Hugging Face hub."`
	Models     modelsCommand     `cmd:"" help:"List the models and adapters that are here."`
	Adapters   adaptersCommand   `cmd:"" help:"List, check, convert and merge adapters."`
	VAD        vadCommand        `cmd:"" name:"vad" help:"Find where sound files hold speech."`
	Config     configCommand     `cmd:"" help:"Print the settings of the server that are in force."`
	Health     healthCommand     `cmd:"" help:"Ask whether a server is ready."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Help       helpCommand       `cmd:"" help:"Print help on a command."`
}

const description = `Multilingual speech recognition with Whisper models and low-rank adapters.

Examples:

    glossa serve
    glossa transcribe talk.wav interview.flac
    glossa submit --wait recordings/
    glossa jobs list
    glossa pull small
    glossa transcribe --model small --language cs --format srt --output-dir out *.flac
    glossa eval testdata/multilingual/manifest.jsonl
    glossa score --ref ref.trn --hyp hyp.trn
    glossa adapters list
    glossa vad talk.wav
    glossa train --kind flora --data cs.jsonl --dev dev.jsonl --out cs
    glossa experiment --languages cs,fi --data train.jsonl --test test.jsonl --out exp`

// run parses args, runs the command that they name and returns the exit status. Results go to
// stdout, all else to stderr. Once ctx is done the command ends soon.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int) {
	type exit int // what a flag such as --help unwinds with
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			status = int(r)
		default:
			panic(r)
		}
	}()
	parser := newParser(ctx, &commands{}, stdout, stderr, func(code int) { panic(exit(code)) })
	c := newConsole(stdout, stderr)
	parsed, err := parser.Parse(args)
	if err != nil {
		if wrong := (*settingsError)(nil); errors.As(err, &wrong) {
			err = wrong
		}
		c.report(err)
		fmt.Fprintln(stderr, `Run "glossa help" for help.`)
		return statusUsage
	}
	switch err := parsed.Run(c); {
	case err == nil:
		return statusOK
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		c.report(errors.New("interrupted"))
		return statusInterrupted
	case !errors.Is(err, errReported):
		c.report(err)
	}
	return statusFailed
}

// newParser returns the parser of command lines, which fills commands. A flag such as --help calls exit.
func newParser(ctx context.Context, to *commands, stdout, stderr io.Writer, exit func(code int)) *kong.Kong {
	var set settings
	return kong.Must(to,
		kong.Name("glossa"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(exit),
		kong.PostBuild(trainDefaults),
		kong.PostBuild(serverDefaults),
		kong.Resolvers(&set),
		kong.Bind(&set),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	)
}
