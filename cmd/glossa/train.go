package main

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"glossa/flora"
	"glossa/flora/train"
)

// trainCommand has the flags of a training. Fields that train.Options has too are set there under
// the same name.
type trainCommand struct {
	Kind string   `enum:"${kinds}" required:"" placeholder:"KIND" help:"Train a whole model (full), or an adapter over a frozen one, which scales its weights (flora, hira, ia3) or adds to them (lora, rslora, dora). (${enum})"`
	Data []source `required:"" sep:"none" placeholder:"DATA[=WEIGHT]" help:"What to train on, and how often its entries are drawn. ${data} Repeatable."`
	Dev  []string `sep:"none" placeholder:"DATA" help:"What to evaluate on, in any of these forms, word error rates by greedy search. Repeatable."`
	dataFlags
	Out    string `required:"" placeholder:"DIR" help:"The folder for checkpoints, log.jsonl and the result, DIR/model."`
	Resume bool   `help:"Go on from the newest checkpoint in the folder."`
	Model  string `placeholder:"nano|DIR|NAME" help:"The model to train further, or the frozen one under an adapter. (full: a new one; else ${nano})"`

	adapterFlags `group:"Adapter"`
	computeFlags
	geometry     `group:"New model"`
	trainOptions `group:"Training"`
	augmentFlags `group:"Augmentation" prefix:"augment-"`
}

// Help tells what comes of it, with examples.
func (trainCommand) Help() string {
	return `The result is OUT/model, with a model card. OUT/curve.html and curve.png show how the training goes, OUT/log.jsonl
holds its numbers. Interrupted, it leaves a checkpoint, and --resume goes on from it as if it had never stopped.

Examples:

    glossa train --kind flora --data cs.jsonl --dev dev.jsonl --out cs
    glossa train --kind lora --rank 8 --alpha 16 --model small --data cv-corpus/cs/train.tsv --dev cv-corpus/cs/dev.tsv --out cs-lora
    glossa train --kind ia3 --data recordings --language fi --data more.csv=0.5 --out fi
    glossa train --kind full --data en.jsonl --data de.jsonl --dev dev.jsonl --out base`
}

// adapterFlags say what adapter is trained.
type adapterFlags struct {
	Rank   int     `default:"1" help:"The rank of the adapter. (ia3 has none)"`
	Alpha  float64 `placeholder:"A" help:"Scale the product of lora and dora by A/rank, of rslora by A/√rank. (a scale of 1)"`
	Target string  `enum:"all,attention,decoder" default:"all" help:"The linears to adapt. (${enum})"`
}

// source is a manifest and its weight, as MANIFEST or MANIFEST=WEIGHT.
type source train.Source

// UnmarshalText takes what stands behind the last = for the weight.
func (s *source) UnmarshalText(text []byte) error {
	s.Path = string(text)
	if i := strings.LastIndexByte(s.Path, '='); i >= 0 {
		w, err := strconv.ParseFloat(s.Path[i+1:], 64)
		if err != nil || !(w > 0) {
			return fmt.Errorf("%s: a weight above 0 is needed behind the =", text)
		}
		s.Path, s.Weight = s.Path[:i], w
	}
	return nil
}

// trainOptions are the options of package train that every kind of training has. Those that are
// nil have a default value for each kind.
type trainOptions struct {
	Steps           *int        `placeholder:"N" help:"Updates of the parameters. (${each_Steps})"`
	BatchFrames     int         `default:"${full_BatchFrames}" help:"Frames of 10 ms in a batch, at most."`
	Accumulate      int         `default:"${full_Accumulate}" help:"Batches for each update."`
	Seed            uint64      `default:"${full_Seed}" help:"Determines the order of examples and all that is random."`
	Temperature     float64     `default:"${full_Temperature}" help:"Languages of n examples are drawn in proportion to n^(1/T)."`
	Languages       []string    `placeholder:"CODES" help:"Languages to train on. (all in the data)"`
	IdentifyOnly    []string    `placeholder:"CODES" help:"Languages to recognise and not to transcribe."`
	LearningRate    *float64    `placeholder:"RATE" help:"The peak of the learning rate. (${rates})"`
	Warmup          *int        `placeholder:"N" help:"Steps over which the rate rises from 0. (${each_Warmup})"`
	Schedule        string      `enum:"cosine,linear" default:"${full_Schedule}" help:"How the rate falls. (${enum})"`
	Floor           float64     `default:"${full_Floor}" help:"The fraction of the peak at which the rate ends."`
	WeightDecay     *float64    `placeholder:"W" help:"Decoupled decay of matrices. (${each_WeightDecay})"`
	Beta1           float64     `name:"beta1" default:"${full_Beta1}" help:"AdamW's decay of the mean of gradients."`
	Beta2           float64     `name:"beta2" default:"${full_Beta2}" help:"AdamW's decay of the mean of their squares."`
	Epsilon         float64     `default:"${full_Epsilon}" help:"AdamW's epsilon."`
	ClipNorm        float64     `default:"${full_ClipNorm}" help:"The largest norm of a gradient."`
	Precision       string      `enum:"auto,f32,bf16" default:"${full_Precision}" help:"What products round to: bf16 is twice as fast where the processor has it, which auto takes it for. (${enum})"`
	LabelSmoothing  float64     `default:"${full_LabelSmoothing}" help:"Probability spread over all tokens."`
	CTCWeight       *float64    `placeholder:"W" name:"ctc-weight" help:"Share of the CTC loss. (${each_CTCWeight})"`
	CTCUnits        train.Units `enum:"tokens,characters" default:"${full_CTCUnits}" name:"ctc-units" help:"What CTC spells texts in. (${enum})"`
	GuideWeight     float64     `placeholder:"W" help:"Weight of the loss that teaches cross-attention to look where CTC hears each token. (${default})" default:"${full_GuideWeight}"`
	EMA             *float64    `placeholder:"D" name:"ema" help:"Decay of the average of the weights that is saved; 0 saves the weights. (${each_EMA})"`
	Timestamps      float64     `default:"${full_Timestamps}" help:"Probability that a text has timestamps."`
	BPEDropout      float64     `name:"bpe-dropout" default:"${full_BPEDropout}" help:"Probability of leaving out a merge."`
	NoSpeech        float64     `default:"${full_NoSpeech}" help:"Probability of an example of noise alone."`
	Join            float64     `default:"${full_Join}" help:"Probability that another utterance of the language follows one in the same example. (${default})"`
	DevLimit        int         `default:"${full_DevLimit}" help:"Utterances of each --dev data set, at most; 0 for all."`
	EvaluateEvery   *int        `placeholder:"N" help:"Steps between evaluations, 0 for the last alone. (${each_EvaluateEvery})"`
	Patience        *int        `placeholder:"N" help:"Evaluations without improvement after which training ends; the weights that did best on --dev are the result. 0: train to the last step and keep its weights. (${each_Patience})"`
	CheckpointEvery int         `default:"${full_CheckpointEvery}" help:"Steps between checkpoints."`
	Keep            int         `default:"${full_Keep}" help:"Checkpoints to keep."`
	LogEvery        int         `default:"${full_LogEvery}" help:"Steps between lines of the log."`
	MaxBadSteps     int         `default:"${full_MaxBadSteps}" help:"Steps in a row that may fail for a loss that is not finite."`
	Ahead           int         `default:"${full_Ahead}" help:"Batches that are made while others train."`
	CacheBytes      int64       `default:"${full_CacheBytes}" help:"Memory for decoded sound, in bytes."`
}

// augmentFlags are the fields of train.Augment.
type augmentFlags struct {
	Speed     float64 `default:"${augment_Speed}" help:"Speeds from 1-s to 1+s."`
	Silence   float64 `default:"${augment_Silence}" help:"The longest silence before and after, in seconds."`
	Band      float64 `default:"${augment_Band}" help:"Probability of a narrower band."`
	Noise     float64 `default:"${augment_Noise}" help:"Probability of noise."`
	SNRMin    float64 `name:"snr-min" default:"${augment_SNRMin}" help:"The least ratio of speech to noise, in dB."`
	SNRMax    float64 `name:"snr-max" default:"${augment_SNRMax}" help:"The greatest, in dB."`
	Gain      float64 `default:"${augment_Gain}" help:"The largest change of level, in dB."`
	Warp      float64 `default:"${augment_Warp}" help:"Stretches of the mel axis from 1-w to 1+w."`
	Tilt      float64 `default:"${augment_Tilt}" help:"The largest slope of the spectrum, in dB."`
	FreqMasks int     `default:"${augment_FreqMasks}" help:"Masks over bands."`
	TimeMasks int     `default:"${augment_TimeMasks}" help:"Masks over frames."`
	FreqMask  float64 `default:"${augment_FreqMask}" help:"The widest mask, in the fraction of the bands."`
	TimeMask  float64 `default:"${augment_TimeMask}" help:"The widest mask, in the fraction of the frames."`
}

// trainDefaults writes the default values of package train, by kind and field, into the flags of the
// commands that train: ${full_Steps} is that of a full training, ${each_Steps} tells that of each kind. As
// variables of the command line they would be looked for in every flag of every command, at the
// beginning of each.
func trainDefaults(k *kong.Kong) error {
	names := []string{"${data}", dataHelp, "${nano}", nanoName, "${kinds}", strings.Join(kindNames(), ",")}
	add := func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			names = append(names, "${"+prefix+"_"+v.Type().Field(i).Name+"}", fmt.Sprint(v.Field(i).Interface()))
		}
	}
	add(string(train.Full), reflect.ValueOf(train.DefaultOptions(train.Full)))
	add("augment", reflect.ValueOf(train.DefaultAugment()))
	defaults := make(map[train.Kind]reflect.Value)
	for _, kind := range train.Kinds() {
		defaults[kind] = reflect.ValueOf(train.DefaultOptions(kind))
	}
	for f := range reflect.TypeFor[trainOptions]().Fields() {
		if f.Type.Kind() == reflect.Pointer { // of a default value for each kind
			names = append(names, "${each_"+f.Name+"}", ofEach(func(k train.Kind) string {
				return fmt.Sprint(defaults[k].FieldByName(f.Name).Interface())
			}))
		}
	}
	names = append(names, "${rates}", ofEach(defaultRate))
	replacer := strings.NewReplacer(names...)
	for _, command := range k.Model.Leaves(false) {
		switch command.Name {
		case "train", "rates":
			for _, f := range command.Flags {
				f.Default, f.Help, f.Enum = replacer.Replace(f.Default), replacer.Replace(f.Help), replacer.Replace(f.Enum)
			}
		case "eval":
			for _, p := range command.Positional {
				p.Help = replacer.Replace(p.Help)
			}
		}
	}
	return nil
}

func kindNames() []string {
	var names []string
	for _, k := range train.Kinds() {
		names = append(names, string(k))
	}
	return names
}

// defaultRate tells the learning rate of a kind of training: one that depends on the width of the model for
// the widths of Whisper's small and large.
func defaultRate(k train.Kind) string {
	const small, large = 768, 1280
	rate, at := train.DefaultLearningRate(k, large), train.DefaultLearningRate(k, small)
	if at == rate {
		return fmt.Sprintf("%.2g", rate)
	}
	return fmt.Sprintf("%.2g over small, %.2g over large", at, rate)
}

// ofEach tells a value for each kind of training, kinds of one value together.
func ofEach(value func(train.Kind) string) string {
	var values []string
	kinds := make(map[string][]string)
	for _, k := range train.Kinds() {
		v := value(k)
		if kinds[v] == nil {
			values = append(values, v)
		}
		kinds[v] = append(kinds[v], string(k))
	}
	for i, v := range values {
		which := strings.Join(kinds[v], " ")
		if i == len(values)-1 && len(kinds[v]) > 1 {
			which = "others"
		}
		values[i] = which + ": " + v
	}
	return strings.Join(values, ", ")
}

// dataFlags tell what a data set does not.
type dataFlags struct {
	Language string `placeholder:"CODE" help:"The language of entries that do not tell theirs. (that of a folder named by a code)"`
}

// dataHelp says what a data set may be.
const dataHelp = `A JSONL manifest (audio_filepath, text, lang), a metadata.csv or metadata.jsonl (file_name, text), a TSV file of Common Voice or FLEURS, or a folder with one of these or with sound and .txt files of the same names.`

// setFields sets the fields of options to those of flags of the same name. A nil pointer leaves
// the field as it is.
func setFields(options, flags any) {
	to, from := reflect.ValueOf(options).Elem(), reflect.ValueOf(flags)
	for i := range from.NumField() {
		v := from.Field(i)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				continue
			}
			v = v.Elem()
		}
		to.FieldByName(from.Type().Field(i).Name).Set(v)
	}
}

// options returns the options of the training but for what is trained.
func (t *trainCommand) options(c *console) train.Options {
	o := train.DefaultOptions(train.Kind(t.Kind))
	setFields(&o, t.trainOptions)
	setFields(&o.Augment, t.augmentFlags)
	o.Out, o.Resume, o.Dev, o.Language = t.Out, t.Resume, t.Dev, t.Language
	for _, s := range t.Data {
		o.Data = append(o.Data, train.Source(s))
	}
	o.Warn, o.Program = c.warn, programVersion()
	return o
}

// Run trains, telling how it goes, and says where the result is.
func (t *trainCommand) Run(ctx context.Context, c *console) error {
	d, err := t.device()
	if err != nil {
		return err
	}
	b := d.backend
	o := t.options(c)
	o.Backend = b
	var a *flora.Adapter
	if t.Kind == string(train.Full) {
		if t.Model != "" {
			o.Base = baseName(t.Model)
		}
		if o.Model, err = t.fullModel(&o); err != nil {
			return err
		}
		o.Trainable = train.NewFull(o.Model)
	} else {
		if o.Model, err = frozenModel(t.Model, b); err != nil {
			return err
		}
		if a, o.Trainable, err = train.NewAdapter(o.Model, t.adapter(o.Seed)); err != nil {
			return err
		}
	}
	if o.Evaluate, err = evaluation(ctx, &o, a); err != nil {
		return err
	}
	w := newTrainWatch(c, &o)
	err = train.Run(ctx, o, w.step)
	return w.end(ctx, err)
}
