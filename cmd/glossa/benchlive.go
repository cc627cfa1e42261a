package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"github.com/schollz/progressbar/v3"

	"glossa/audio"
)

// benchCommands are the things that glossa bench measures.
type benchCommands struct {
	Model benchCommand      `cmd:"" default:"withargs" help:"Measure the speed of a model of a given size on this machine."`
	Live  benchLiveCommand  `cmd:"" help:"Measure the latency of live sessions, by clients that speak in real time."`
	Jobs  benchJobsCommand  `cmd:"" help:"Measure what it costs that jobs are kept, and how full their batches are."`
	Costs benchCostsCommand `cmd:"" help:"Measure what everything costs here, for glossa simulate."`
	Load  benchLoadCommand  `cmd:"" help:"Put a load on the engine, and compare latencies with those that glossa simulate predicts."`
}

type benchLiveCommand struct {
	Files   []string      `arg:"" optional:"" name:"file" help:"Sound files that the clients speak, one after the other. (testdata/multilingual/*/*.flac)"`
	Streams []int         `default:"1,4,8" placeholder:"N,…" help:"How many clients speak at a time. (${default})"`
	Search  bool          `help:"Look for the greatest number of clients whose words are committed in time, from the first of --streams on."`
	Target  time.Duration `default:"1.5s" help:"What in time is: the 95th percentile of commit latency. (${default})"`
	Seconds float64       `default:"20" placeholder:"S" help:"How long each client speaks. (${default})"`
	Pause   time.Duration `default:"1.5s" help:"The silence between two files. (${default})"`
	Bulk    bool          `help:"Measure each number a second time, beside so many files as the server takes, and tell by how much commit latency grows."`

	Language string `default:"auto" placeholder:"auto|CODE" help:"The language that the server is told. (${default})"`
	Policy   string `enum:"localagreement2,alignatt" default:"localagreement2" help:"Which text is committed. (${enum})"`

	Server string `env:"GLOSSA_SERVER" placeholder:"URL" help:"The server to measure. (one in this process, of the model that the flags name)"`
	serverKey
	modelFlags

	JSON     bool `name:"json" xor:"format" help:"Print one JSON object."`
	Markdown bool `xor:"format" help:"Print the table as Markdown."`
}

// Help is shown by "glossa help bench live".
func (benchLiveCommand) Help() string {
	return `Each client speaks files in real time, with pauses, over a websocket of its own. Latencies are in seconds:

    commit    from the end of a word, by the time that its final gives it, to when it is first in committed text
    partial   from the end of the sound that a partial is of, to when it comes
    final     from the end of a segment's last word to its final, the silence that ends it included
    first     from the beginning of a segment to its first text
    lag       the most that the server said it was behind
    dropped   partials whose place a newer one took
    CPU       processors that the server kept busy, the clients included where it is in this process

Examples:

    glossa bench live --streams 1,8,16
    glossa bench live --search --bulk
    glossa bench live --server http://127.0.0.1:8080 --streams 4 talk.flac`
}

// measuringFlags are the flags of bench live that hold with --server. The others are of the server in this process.
var measuringFlags = map[string]bool{
	"streams": true, "search": true, "target": true, "seconds": true, "pause": true, "bulk": true, "language": true, "policy": true,
	"server": true, "api-key": true, "json": true, "markdown": true,
}

// Run measures and prints a table.
func (b *benchLiveCommand) Run(ctx context.Context, c *console, parsed *kong.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	if name := givenBeside(parsed.Path, measuringFlags); b.Server != "" && name != "" {
		return fmt.Errorf("--%s: it is of a server in this process, and --server names another", name)
	}
	clips, err := b.clips(ctx)
	if err != nil {
		return err
	}
	bench, err := b.open(ctx, c, clips)
	if err != nil {
		return err
	}
	defer bench.close()
	c.start(-1, progressbar.OptionSetDescription("live"), progressbar.OptionSpinnerType(14))
	defer c.stop()
	if b.Search {
		err = bench.search(ctx, b.Streams[0])
	} else {
		for _, n := range b.Streams {
			if err = bench.measure(ctx, n); err != nil {
				break
			}
		}
	}
	c.stop()
	if len(bench.report.Live) > 0 {
		err = errors.Join(b.print(c, &bench.report), err)
	}
	return err
}

// check finds what is wrong with the flags before any work is done.
func (b *benchLiveCommand) check() error {
	for _, n := range b.Streams {
		if n < 1 {
			return fmt.Errorf("--streams %d: at least 1 is needed", n)
		}
	}
	const most = 24 * 3600
	switch {
	case !(b.Seconds >= 1) || b.Seconds > most:
		return fmt.Errorf("--seconds %g: want 1 to %d", b.Seconds, most)
	case b.Target <= 0:
		return fmt.Errorf("--target %v: more than 0s is needed", b.Target)
	case b.Pause < 0:
		return fmt.Errorf("--pause %v: at least 0s is needed", b.Pause)
	}
	if b.Server != "" {
		var err error
		b.Server, err = checkServer(b.Server)
		return err
	}
	return nil
}

// clip is a file to be spoken.
type clip struct {
	name string
	file []byte
	pcm  []byte // 16-bit samples at 16 kHz
}

// seconds returns how long it lasts.
func (c *clip) seconds() float64 { return seconds(fileFormat.milliseconds(int64(len(c.pcm)))) }

// clips returns what is spoken.
func (b *benchLiveCommand) clips(ctx context.Context) (clips []clip, err error) {
	files := b.Files
	if len(files) == 0 {
		if files, err = usualClips(); err != nil {
			return nil, err
		}
	}
	for _, name := range files {
		pcm, err := readAudio(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		file, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, reason(err))
		}
		clips = append(clips, clip{name, file, audio.EncodePCM(pcm)})
	}
	return clips, nil
}
