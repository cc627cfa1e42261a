package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
)

type versionCommand struct{}

// Run prints what was built, of which revision, the kernels that this machine runs, and its devices.
func (versionCommand) Run(c *console) error {
	b, err := computeFlags{}.openCPU()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s, %s %s/%s, %s\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, b.backend.Name())
	return c.print(text + listDevices(b, gpus))
}

// listDevices returns a line for each device that --device may name, and why there are no GPUs.
func listDevices(processor computer, g gpuAccess) string {
	text := fmt.Sprintf("device %s: %s\n", processor.name, processor.describe())
	names, err := g.names()
	for i, name := range names {
		text += fmt.Sprintf("device %s:%d: %s\n", cudaDevice, i, name)
	}
	if err != nil {
		text += fmt.Sprintf("no GPU: %v\n", err)
	}
	return text
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
