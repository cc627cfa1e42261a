// Command recipe stores a model or adapter that `glossa train` made as nano carries it, in half precision, and
// makes the mean of two models. These are steps of ../build.sh.
//
//	go run ./whisper/nano/recipe -model RUN/model -mean-with FURTHER/model -out BASE/model
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
	other := flag.String("mean-with", "", "the folder of a model that was trained on from -model, to store the mean of both")
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
	case *other != "":
		err = meanOf(*model, *other, *out)
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

// meanOf stores the mean of the weights of a model and of one that was trained on from it, in float32: what the
// second learnt, without forgetting what the first knew (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
func meanOf(dir, further, out string) error {
	m, err := open(dir)
	if err != nil {
		return err
	}
	o, err := open(further)
	if err != nil {
		return err
	}
	of := o.Params()
	for i, p := range m.Params() {
		if of[i].Mat.Rows != p.Mat.Rows || of[i].Mat.Cols != p.Mat.Cols {
			return fmt.Errorf("%s has %s of another shape than %s", further, p.Name, dir)
		}
		for j, v := range of[i].Mat.Data {
			p.Mat.Data[j] = float32((float64(p.Mat.Data[j]) + float64(v)) / 2)
		}
	}
	return m.WriteDir(out, safetensors.F32)
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
