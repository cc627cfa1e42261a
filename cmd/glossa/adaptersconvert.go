package main

import (
	"fmt"

	"glossa/flora"
)

type adaptersConvert struct {
	Name  string    `arg:"" name:"dir|name" help:"A folder in PEFT layout, an adapter that is embedded, or one that glossa pull has brought."`
	To    string    `required:"" enum:"flora,hira,lora,rslora,dora,ia3" help:"The kind. (${enum})"`
	Out   string    `required:"" placeholder:"DIR" help:"The folder to write."`
	Model string    `placeholder:"nano|DIR|FILE|NAME" help:"Its model, which ia3 needs."`
	DType fileDType `name:"dtype" enum:"f32,f16,bf16" default:"f32" help:"The number format of the file. (${enum})"`
}

// Help is shown by "glossa help adapters convert".
func (adaptersConvert) Help() string {
	return `Only what is exact is done: hira to flora, flora whose first term is ones to hira, ia3 to flora, lora to rslora and back, and each
kind to itself, which changes the number format. All others are refused with the reason. f16 and bf16 round.

Examples:

    glossa adapters convert hira-cs --to flora --out cs
    glossa adapters convert ia3-cs --to flora --model small --out cs
    glossa adapters convert cs --to flora --dtype f16 --out cs-f16`
}

// Run converts the adapter and prints where it is.
func (v *adaptersConvert) Run(c *console) error {
	if err := newFolder(v.Out); err != nil {
		return err
	}
	a, err := openAdapter(v.Name)
	if err != nil {
		return err
	}
	m, err := openFor(v.Model)
	if err != nil {
		return err
	}
	converted, err := a.Convert(flora.Kind(v.To), m)
	if err != nil {
		return fmt.Errorf("adapter %s: %w", v.Name, err)
	}
	if err := converted.Write(v.Out, v.DType.numbers()); err != nil {
		return err
	}
	c.note("%s: %s of rank %d", v.Out, converted.Kind, converted.Rank)
	return c.print(v.Out + "\n")
}
