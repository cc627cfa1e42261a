// Command recipe stores a model or adapter that `glossa train` made as nano carries it: in half
// precision. It is a step of ../build.sh.
//
//	go run ./whisper/nano/recipe -model RUN/model -languages en,de -out whisper/nano/model
//	go run ./whisper/nano/recipe -adapter RUN/model -out whisper/nano/adapters/cs
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
	default:
		err = packAdapter(*adapter, *out)
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
	c, err := whisper.OpenDir(dir)
	if err != nil {
		return err
	}
	defer c.Close()
	m, err := whisper.LoadPlain(c)
	if err != nil {
		return err
	}
	if err := m.WriteDir(out, safetensors.F16); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "languages.txt"), []byte(strings.Join(languages, "\n")+"\n"), 0o666)
}

func packAdapter(dir, out string) error {
	a, err := flora.Open(dir)
	if err != nil {
		return err
	}
	a.Base = "nano"
	return a.Write(out, safetensors.F16)
}
