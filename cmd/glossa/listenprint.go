package main

import (
	"os"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"glossa/asr"
	"glossa/asr/ws"
)

// livePrinter prints the events of a live session.
type livePrinter struct {
	console *console
	format  string
	columns func() int // of the terminal, nil where the output is none
	shown   bool       // a line in place
	result  asr.Result // of finals, for formats that are written at the end
}

func newLivePrinter(c *console, format string) *livePrinter {
	p := &livePrinter{console: c, format: format}
	if f, ok := c.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.columns = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width <= 0 {
				width = 80
			}
			return width
		}
	}
	return p
}

// event prints an event.
func (p *livePrinter) event(e ws.Event) error {
	switch e.Type {
	case ws.TypeError:
		p.clear()
		p.console.warn(e.Message)
	case ws.TypePartial:
		if p.columns != nil && p.format != "json" {
			return p.show(e.Committed, e.Tentative)
		}
	case ws.TypeFinal:
		return p.final(e)
	}
	if p.format == "json" {
		return p.line(e)
	}
	return nil
}

// line prints an event as a line of JSON.
func (p *livePrinter) line(e ws.Event) error {
	var b strings.Builder
	if err := encodeLine(&b, e); err != nil {
		return err
	}
	return p.console.print(b.String())
}

// final prints or keeps a final text.
func (p *livePrinter) final(e ws.Event) error {
	if p.format == "json" {
		return p.line(e)
	}
	p.clear()
	text := strings.TrimSpace(e.Text)
	switch {
	case text == "":
		return nil
	case p.format == "txt":
		return p.console.print(text + "\n")
	}
	p.result.Segments = append(p.result.Segments, asr.Segment{
		ID: len(p.result.Segments), Start: seconds(e.StartMS), End: seconds(e.EndMS), Text: e.Text,
	})
	if p.columns != nil {
		return p.show(text, "")
	}
	return nil
}

// end writes what is written at the end.
func (p *livePrinter) end() error {
	p.clear()
	if p.format != "srt" && p.format != "vtt" {
		return nil
	}
	var b strings.Builder
	if err := asr.Write(&b, p.format, &p.result, asr.SubtitleOptions{}); err != nil {
		return err
	}
	return p.console.print(b.String())
}

// seconds returns milliseconds in seconds.
func seconds(ms int64) float64 { return float64(ms) / 1000 }

// ANSI sequences (ECMA-48).
const (
	eraseLine = "\r\x1b[K"
	dim       = "\x1b[2m"
	plain     = "\x1b[0m"
)

// show writes text over the line in place: what is committed, and dimmed what is not.
func (p *livePrinter) show(committed, tentative string) error {
	committed, tentative = fit(strings.TrimLeft(committed, " "), tentative, p.columns()-1)
	p.shown = true
	return p.console.print(eraseLine + committed + dim + tentative + plain)
}

// clear takes the line in place away.
func (p *livePrinter) clear() {
	if p.shown {
		p.shown = false
		_ = p.console.print(eraseLine) // what cannot be written now cannot be written next either
	}
}

// fit cuts a text in two parts from its beginning until it has so many columns.
func fit(committed, tentative string, columns int) (string, string) {
	const mark = "…"
	if uniseg.StringWidth(committed+tentative) <= columns {
		return committed, tentative
	}
	cut := func(text string, room int) string {
		for text != "" && uniseg.StringWidth(text) > room {
			_, text, _, _ = uniseg.FirstGraphemeClusterInString(text, -1)
		}
		return text
	}
	if w := uniseg.StringWidth(tentative); w < columns {
		return mark + cut(committed, columns-w-1), tentative
	}
	return "", mark + cut(tentative, columns-1)
}
