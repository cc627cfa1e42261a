// Command recipe stores a model or adapter that `glossa train` made as nano carries it: in half
// precision. It is a step of ../build.sh.
//
//	go run ./whisper/nano/recipe -model RUN/model -out whisper/nano/model
//	go run ./whisper/nano/recipe -adapter RUN/model -out whisper/nano/adapters/cs
package main

import (
	"flag"
	"log"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
)

func main() {
	log.SetFlags(0)
	model := flag.String("model", "", "the folder of a model")
	adapter := flag.String("adapter", "", "the folder of an adapter")
	out := flag.String("out", "", "the folder to write")
	flag.Parse()
	var err error
	switch {
	case *out == "" || (*model == "") == (*adapter == ""):
		log.Fatal("recipe: -out and one of -model and -adapter are needed")
	case *model != "":
		err = packModel(*model, *out)
	default:
		err = packAdapter(*adapter, *out)
	}
	if err != nil {
		log.Fatal("recipe: ", err)
	}
}

func packModel(dir, out string) error {
	c, err := whisper.OpenDir(dir)
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := whisper.LoadPlain(c)
	if err != nil {
		return err
	}
	return m.WriteDir(out, safetensors.F16)
}

func packAdapter(dir, out string) error {
	a, err := flora.Open(dir)
	if err != nil {
		return err
	}
	a.Base = "nano"
	return a.Write(out, safetensors.F16)
}
