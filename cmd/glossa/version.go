package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

type versionCommand struct{}

// Run prints what was built, of which revision, and the kernels that this machine runs.
func (versionCommand) Run(c *console) error {
	b, err := threadsFlag{}.backend()
	if err != nil {
		return err
	}
	return c.print(fmt.Sprintf("%s, %s %s/%s, %s\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.Name()))
}

// programVersion returns the program's name with its version and, where it is known, its revision.
func programVersion() string {
	version, revision := "(unknown)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = ", revision " + s.Value
			}
		}
	}
	return "glossa " + version + revision
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Run prints the help of a command, or of glossa.
func (h helpCommand) Run(parser *kong.Kong) error {
	ctx, err := kong.Trace(parser, h.Command)
	if err != nil {
		return err
	}
	if ctx.Error != nil && ctx.Empty() {
		return fmt.Errorf("no command %q", strings.Join(h.Command, " "))
	}
	return ctx.PrintUsage(false)
}
