package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"glossa/flora/train"
)

// wired are the fields of train.Options that are set otherwise than from a flag of their name.
var wired = []string{"Backend", "Model", "Trainable", "Out", "Resume", "Data", "Dev", "Language", "Program", "Base", "Augment", "Evaluate", "Warn"}

// TestEveryTrainingOptionHasAFlag checks the flags against the fields of package train.
func TestEveryTrainingOptionHasAFlag(t *testing.T) {
	for _, c := range []struct {
		options, flags any
		except         []string
	}{
		{train.Options{}, trainOptions{}, wired},
		{train.Augment{}, augmentFlags{}, nil},
	} {
		options, flags := reflect.TypeOf(c.options), reflect.TypeOf(c.flags)
		for i := range options.NumField() {
			name := options.Field(i).Name
			if _, ok := flags.FieldByName(name); !ok && !slices.Contains(c.except, name) {
				t.Errorf("%s.%s has no flag", options, name)
			}
		}
	}
}

// TestTrainDefaults checks that flags left out are the default values of each kind.
func TestTrainDefaults(t *testing.T) {
	for _, kind := range train.Kinds() {
		got := parseTrain(t, "--kind", string(kind))
		want := train.DefaultOptions(kind)
		got.Data, got.Out, got.Warn, got.Program = nil, "", nil, ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: options %+v, want %+v", kind, got, want)
		}
	}
}

func TestTrainFlags(t *testing.T) {
	o := parseTrain(t, "--kind", "flora", "--learning-rate", "0.5", "--ctc-weight=0.25", "--weight-decay", "0", "--steps", "7",
		"--identify-only", "cs,hi", "--augment-noise", "0", "--resume", "--dev", "d", "--temperature", "+inf")
	if o.LearningRate != 0.5 || o.CTCWeight != 0.25 || o.WeightDecay != 0 || o.Steps != 7 || o.Augment.Noise != 0 ||
		!slices.Equal(o.IdentifyOnly, []string{"cs", "hi"}) || !o.Resume || !slices.Equal(o.Dev, []string{"d"}) || !(o.Temperature > 1e300) {
		t.Errorf("options %+v", o)
	}
	if want := []train.Source{{Path: "a=b.jsonl", Weight: 2.5}, {Path: "c.jsonl"}}; !slices.Equal(o.Data, want) {
		t.Errorf("data %+v, want %+v", o.Data, want)
	}
}

// parseTrain returns the options of a command line.
func parseTrain(t *testing.T, args ...string) train.Options {
	t.Helper()
	var line commands
	parser, err := kong.New(&line, kong.PostBuild(trainDefaults), kong.Name("glossa"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"train", "--out", "x", "--data", "a=b.jsonl=2.5", "--data", "c.jsonl"}, args...)); err != nil {
		t.Fatal(err)
	}
	return line.Train.options(newConsole(&strings.Builder{}, &strings.Builder{}))
}
