package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// console is where a command writes: results on out, all else on err, where a progress bar may
// stand. It is safe for concurrent use.
type console struct {
	mu       sync.Mutex
	out, err io.Writer
	terminal bool // err is a terminal
	bar      *progressbar.ProgressBar
	drawn    time.Time // when the bar last was
}

func newConsole(stdout, stderr io.Writer) *console {
	f, ok := stderr.(*os.File)
	return &console{out: stdout, err: stderr, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// report writes an error, each of its lines behind the name of the program.
func (c *console) report(err error) {
	c.note("%s", strings.ReplaceAll("glossa: "+err.Error(), "\n", "\nglossa: "))
}

// note writes a line to err.
func (c *console) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	fmt.Fprintf(c.err, format+"\n", args...)
}

// warn writes a message behind the name of the program.
func (c *console) warn(message string) { c.note("glossa: %s", message) }

// print writes a result.
func (c *console) print(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	_, err := io.WriteString(c.out, text)
	return err
}

// printJSON writes a result as an indented object.
func (c *console) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return c.print(string(text) + "\n")
}

// stderr returns a writer to err that keeps clear of the bar. Each write should end a line.
func (c *console) stderr() io.Writer { return stderrWriter{c} }

type stderrWriter struct{ *console }

func (w stderrWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear()
	return w.err.Write(p)
}

// barWidth is the width of the bar proper, in columns.
const barWidth = 24

// start draws a progress bar where err is a terminal, for a count up to max.
func (c *console) start(max int64, options ...progressbar.Option) {
	if !c.terminal {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar = progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(c.err),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionClearOnFinish(),
	}, options...)...)
}

// barInterval is the least time between two drawings of the bar.
const barInterval = 100 * time.Millisecond

// advance moves the bar to a place and describes it.
func (c *console) advance(to int64, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar == nil || time.Since(c.drawn) < barInterval && to < c.bar.GetMax64() {
		return
	}
	c.drawn = time.Now()
	c.bar.Set64(to) // fails where nothing can be drawn, which is no reason to stop
	c.bar.Describe(fmt.Sprintf(format, args...))
}

// reach is advance of a bar whose max is another now.
func (c *console) reach(max, to int64, format string, args ...any) {
	c.mu.Lock()
	if c.bar != nil && c.bar.GetMax64() != max {
		c.bar.ChangeMax64(max)
	}
	c.mu.Unlock()
	c.advance(to, format, args...)
}

// stop takes the bar away.
func (c *console) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	c.bar = nil
}

func (c *console) clear() {
	if c.bar != nil {
		c.bar.Clear() // what cannot be cleared on err cannot be reported there either
	}
}

// encodeLine writes v as a line of JSON.
func encodeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
