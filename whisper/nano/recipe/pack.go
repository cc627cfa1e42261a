// Command recipe stores a model or adapter that `glossa train` made as nano carries it: in half
// precision. It is a step of ../build.sh.
//
//	go run ./whisper/nano/recipe -model RUN/model -languages en,de -out whisper/nano/model
//	go run ./whisper/nano/recipe -adapter RUN/model -base whisper/nano/model -trained-over BASE/model -out whisper/nano/adapters/cs
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
)

func main() {
	log.SetFlags(0)
	model := flag.String("model", "", "the folder of a model")
	languages := flag.String("languages", "", "the codes of the languages that the model writes")
	adapter := flag.String("adapter", "", "the folder of an adapter")
	over := flag.String("trained-over", "", "the folder of the model that -adapter was trained over")
	base := flag.String("base", "", "the folder in which that model is stored in half precision")
	out := flag.String("out", "", "the folder to write")
	flag.Parse()
	var err error
	switch {
	case *out == "" || (*model == "") == (*adapter == ""):
		log.Fatal("recipe: -out and one of -model and -adapter are needed")
	case (*model == "") != (*languages == ""):
		log.Fatal("recipe: -languages are those of -model")
	case *model != "":
		err = packModel(*model, strings.Split(*languages, ","), *out)
	case *over == "" || *base == "":
		log.Fatal("recipe: -trained-over and -base are needed for -adapter")
	default:
		err = packAdapter(*adapter, *over, *base, *out)
	}
	if err != nil {
		log.Fatal("recipe: ", err)
	}
}

// packModel stores a model and the list of languages that it writes.
func packModel(dir string, languages []string, out string) error {
	for _, code := range languages {
		if known, ok := whisper.LanguageCode(code); !ok || known != code {
			return fmt.Errorf("%w: %q", whisper.ErrLanguage, code)
		}
	}
	m, err := open(dir)
	if err != nil {
		return err
	}
	if err := m.WriteDir(out, safetensors.F16); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "languages.txt"), []byte(strings.Join(languages, "\n")+"\n"), 0o666)
}

// packAdapter stores an adapter that was trained over a model as one of the same model in half precision, base.
func packAdapter(dir, over, base, out string) error {
	a, err := flora.Open(dir)
	if err != nil {
		return err
	}
	trained, err := open(over)
	if err != nil {
		return err
	}
	if a.BaseHash != trained.Fingerprint() {
		return fmt.Errorf("%w: %s was not trained over %s", flora.ErrBase, dir, over)
	}
	packed, err := open(base)
	if err != nil {
		return err
	}
	a.Base, a.BaseHash = "nano", packed.Fingerprint()
	return a.Write(out, safetensors.F16)
}

// open returns a model with its weights as they are stored.
func open(dir string) (*whisper.Model, error) {
	c, err := whisper.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return whisper.LoadPlain(c)
}
