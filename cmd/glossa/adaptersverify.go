package main

import (
	"fmt"
	"strings"

	"glossa/whisper"
)

type adaptersVerify struct {
	Names []string `arg:"" name:"dir|name" help:"Folders in PEFT layout, adapters that are embedded, or ones that glossa pull has brought."`
	Model string   `placeholder:"nano|DIR|FILE|NAME" help:"Check that they fit this model."`
}

// Help is shown by "glossa help adapters verify".
func (adaptersVerify) Help() string {
	return `Opens each adapter: its configuration has nothing that is not computed, its tensors are all there, of the right shapes, and finite.
With --model, they are of that model: of its weights where the file has their fingerprint, else at least of its sizes. One line is
printed for each, and the exit status is 1 if one failed.

Examples:

    glossa adapters verify adapters/*
    glossa adapters verify --model small adapters/cs`
}

// Run checks the adapters one after the other.
func (v *adaptersVerify) Run(c *console) error {
	m, err := openFor(v.Model)
	if err != nil {
		return err
	}
	failed := false
	for _, name := range v.Names {
		line, err := v.verify(name, m)
		if err != nil {
			failed = true
			line = "failed: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if err := c.print(fmt.Sprintf("%s: %s\n", name, line)); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// verify checks one adapter and describes it.
func (v *adaptersVerify) verify(name string, m *whisper.Model) (string, error) {
	a, err := openAdapter(name)
	if err != nil {
		return "", err
	}
	line := "ok, " + string(a.Kind)
	if a.Rank > 0 {
		line += fmt.Sprintf(" of rank %d", a.Rank)
	}
	line += fmt.Sprintf(", hash %s", shortHash(a.Hash))
	if m == nil {
		return line, nil
	}
	if err := a.Check(m); err != nil {
		return "", err
	}
	line += ", fits " + v.Model
	switch other := otherBase(a.Adapter, v.Model); {
	case a.BaseHash != "":
		line += " by its fingerprint"
	case other != "":
		line += " by its sizes, though " + other
	default:
		line += " by its sizes"
	}
	return line, nil
}
