package main

import (
	"fmt"

	"glossa/flora"
)

type adaptersMerge struct {
	Name  string    `arg:"" name:"dir|name" help:"A folder in PEFT layout, an adapter that is embedded, or one that glossa pull has brought."`
	Model string    `required:"" placeholder:"nano|DIR|FILE|NAME" help:"The model that it was trained over."`
	Out   string    `required:"" placeholder:"DIR" help:"The folder to write, in Hugging Face layout."`
	DType fileDType `name:"dtype" enum:"f32,f16,bf16" default:"f32" help:"The number format of the file. (${enum})"`
}

// Help is shown by "glossa help adapters merge".
func (adaptersMerge) Help() string {
	return `Writes a model whose weights are what the adapter makes of them. It serves one language, and takes as much memory as the model did.

Examples:

    glossa adapters merge adapters/cs --model small --dtype f16 --out small-cs
    glossa transcribe --model small-cs --adapter none talk.wav`
}

// Run merges the adapter into the model and prints where that is.
func (v *adaptersMerge) Run(c *console) error {
	if err := newFolder(v.Out); err != nil {
		return err
	}
	a, err := openAdapter(v.Name)
	if err != nil {
		return err
	}
	m, err := openPlain(v.Model)
	if err != nil {
		return err
	}
	if other := otherBase(a.Adapter, v.Model); other != "" && a.BaseHash == "" {
		c.note("adapter %s: %s, and has no fingerprint to tell whether %s is the same", v.Name, other, v.Model)
	}
	if err := flora.Merge(m, a.Adapter); err != nil {
		return fmt.Errorf("adapter %s: %w", v.Name, err)
	}
	if err := m.WriteDir(v.Out, v.DType.numbers()); err != nil {
		return err
	}
	return c.print(v.Out + "\n")
}
