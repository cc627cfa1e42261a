// Command _asm writes the assembly of package cpu: for each generator NAME_amd64.s, and
// NAME_stub_amd64.go with the declarations, whose comments are the Go loops that they equal.
//
// A generator is one file here that adds its line to the table.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

var generators = []struct {
	name     string
	generate func(c *build.Context)
}{
	{"panel", panels},
	{"transpose", transposes},
	{"peak", peaks},
	{"elementwise", elementwise},
	{"lowrank", lowRanks},
	{"mix", mixes},
}

func main() {
	dir := flag.String("dir", "..", "folder of package cpu")
	flag.Parse()
	for _, g := range generators {
		if err := write(*dir, g.name, g.generate); err != nil {
			log.Fatalf("%s: %v", g.name, err)
		}
	}
}

func write(dir, name string, generate func(c *build.Context)) error {
	c := build.NewContext()
	c.ConstraintExpr("!purego")
	generate(c)
	file, err := c.Result()
	if err != nil {
		return err
	}
	if err := pass.Compile.Execute(file); err != nil {
		return err
	}
	encode(file)
	config := printer.Config{Name: "whisper/tensor/cpu/_asm", Argv: nil, Pkg: "cpu"}
	asm, errAsm := printer.NewGoAsm(config).Print(file)
	stub, errStub := printer.NewStubs(config).Print(file)
	if err := errors.Join(errAsm, errStub); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s_amd64.s", name)), asm, 0o644),
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s_stub_amd64.go", name)), stub, 0o644),
	)
}
