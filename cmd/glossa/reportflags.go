package main

import (
	"fmt"
	"os"
	"strings"

	"glossa/eval"
)

// reportFlags say what is made of scored utterances.
type reportFlags struct {
	Confusions int      `placeholder:"N" help:"Print the N most frequent confusions of each language."`
	Class      []string `sep:"none" placeholder:"NAME[=FILE]" help:"Print error rates of a class of words: numbers, foreign-script, or the words of a file, such as names=names.txt. Repeatable."`
	Markdown   bool     `xor:"format" help:"Print the tables as Markdown."`
	JSON       bool     `name:"json" xor:"format" help:"Print one JSON object, rates as fractions."`
	HTML       string   `name:"html" placeholder:"FILE" help:"Write a report with charts, alignments and sound, in one file that needs no network."`
	Gate       string   `placeholder:"FILE" help:"Limits of error rates, YAML or JSON. The exit status is 1 where one is passed. See glossa help eval."`
}

// summary returns what adds outcomes of the scorer up. alone leaves out the comparison of adapters with the base model.
func (f *reportFlags) summary(s eval.Scorer, alone bool) (*eval.Summary, error) {
	if f.Confusions < 0 {
		return nil, fmt.Errorf("--confusions %d: at least 1 is needed", f.Confusions)
	}
	o := eval.SummaryOptions{Confusions: f.Confusions, Normaliser: s.Normaliser.String(), Costs: s.Costs, Alone: alone}
	if len(f.Class) > 0 {
		lists, err := f.classes()
		if err != nil {
			return nil, err
		}
		o.Classes = eval.NewClasses(lists, s.Normaliser)
	}
	return eval.NewSummary(o), nil
}

// classes reads the words of classes.
func (f *reportFlags) classes() (map[string][]string, error) {
	lists := make(map[string][]string)
	for _, class := range f.Class {
		name, file, named := strings.Cut(class, "=")
		known := name == eval.ClassNumbers || name == eval.ClassForeignScript
		switch {
		case known && !named:
			lists[name] = nil
			continue
		case known || !named || name == "":
			return nil, fmt.Errorf("--class %s: one of %s, %s or NAME=FILE is needed", class, eval.ClassNumbers, eval.ClassForeignScript)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--class %s: %w", class, reason(err))
		}
		words := strings.Fields(string(text))
		if len(words) == 0 {
			return nil, fmt.Errorf("--class %s: the file has no words", class)
		}
		lists[name] = append(lists[name], words...)
	}
	return lists, nil
}
