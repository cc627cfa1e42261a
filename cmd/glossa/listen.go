package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"glossa/asr/ws"
)

type listenCommand struct {
	File string `arg:"" optional:"" default:"-" help:"A sound file, told by its content as those of transcribe; or -, the standard input: raw samples of --rate and --encoding, as they come. (${default})"`
	remoteFlags
	Fast     bool   `help:"Send a file as fast as the server hears it, not in real time."`
	Rate     int    `default:"16000" help:"The sample rate of the standard input in Hz. (${default})"`
	Encoding string `enum:"pcm_s16le,pcm_f32le,mulaw,alaw" default:"pcm_s16le" help:"How its samples are encoded. (${enum})"`
	Channels int    `default:"1" help:"Its interleaved channels, which are mixed to one. (${default})"`

	liveFlags
	Format string `enum:"txt,json,srt,vtt" default:"txt" help:"The format of the output: txt is a line for each final text, below which a terminal shows what is heard, what may still change dimmed; json is a line for each event; srt and vtt are written at the end. (${enum})"`
}

// liveFlags say how a session listens.
type liveFlags struct {
	Language    string        `default:"auto" placeholder:"auto|CODE" help:"The language spoken, or auto to detect it after each pause. (${default})"`
	Languages   []string      `placeholder:"CODE,…" help:"The languages that detection chooses from. (all that the model knows)"`
	Adapter     string        `default:"auto" placeholder:"auto|none|NAME" help:"The adapter: that of the language, none, or the named. (${default})"`
	Task        string        `enum:"transcribe,translate" default:"transcribe" help:"Write what is said, or translate it into English. (${enum})"`
	Hotwords    []string      `placeholder:"WORD,…" help:"Words to expect."`
	Prompt      string        `placeholder:"TEXT" help:"Text that goes before the first words."`
	Policy      string        `enum:"localagreement2,alignatt" default:"localagreement2" help:"Which text is committed, so that it does not change any more. (${enum})"`
	Endpointing time.Duration `placeholder:"TIME" help:"The silence that ends a segment. (600ms)"`
}

// config returns what the server is told.
func (f *liveFlags) config() ws.Config {
	return ws.Config{
		Language: f.Language, Languages: f.Languages, Adapter: f.Adapter, Task: f.Task, Hotwords: f.Hotwords,
		Prompt: f.Prompt, Policy: f.Policy, EndpointingMS: int(f.Endpointing.Milliseconds()),
	}
}

// Help is shown by "glossa help listen".
func (listenCommand) Help() string {
	return `Streams sound to a server and prints its text while it is spoken. An interrupt ends the sound: text of what came before it is
waited for, a second interrupt does not wait. Where the connection breaks, the session goes on over another, and no word is lost.

Examples:

    glossa listen talk.flac
    arecord -q -t raw -f S16_LE -r 16000 | glossa listen --language de
    ffmpeg -v error -i rtsp://camera/stream -f s16le -ac 1 -ar 16000 - | glossa listen --format json --server https://asr.example.org`
}

// check finds what is wrong with the flags before any work is done.
func (l *listenCommand) check() error {
	input := soundFormat{l.Encoding, l.Rate, l.Channels}
	switch file := l.File != stdinName; {
	case l.Endpointing < 0 || l.Endpointing > 0 && l.Endpointing < time.Millisecond:
		return fmt.Errorf("--endpointing %v: at least 1ms is needed", l.Endpointing)
	case file && input != fileFormat:
		return errors.New("--rate, --encoding and --channels are those of the standard input; a file tells its own")
	case !file && l.Fast:
		return errors.New("--fast needs a file; the standard input is sent as it comes")
	}
	return nil
}

// Run streams the sound.
func (l *listenCommand) Run(ctx context.Context, c *console) error {
	server, err := checkServer(l.Server)
	if err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return err
	}
	format, err := l.soundFormat()
	if err != nil {
		return err
	}
	config := l.config()
	config.SampleRate, config.Encoding, config.Channels = format.rate, format.encoding, format.channels
	sound, err := l.sound(ctx, format)
	if err != nil {
		return fmt.Errorf("%s: %w", titleOf(l.File), err)
	}
	printer := newLivePrinter(c, l.Format)
	conn, err := ws.Dialer{Header: l.header(), Reconnect: true}.Dial(ctx, server, config)
	if err != nil {
		return unreachable(server, err)
	}
	stream := &liveStream{conn: conn, format: format, paced: l.Fast, event: printer.event}
	err = errors.Join(stream.run(ctx, sound), printer.end())
	_ = conn.Close() // all that was wanted of it has come, or err says why not
	switch {
	case err != nil:
		return err
	case l.File != stdinName:
		return ctx.Err()
	}
	return nil // an interrupt is how speaking into it ends
}
