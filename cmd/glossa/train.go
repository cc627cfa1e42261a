package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// trainCommand has the flags of a training. Fields that train.Options has too are set there under
// the same name.
type trainCommand struct {
	Kind   string   `enum:"full,flora,lora" required:"" help:"Train a whole model, or an adapter that scales (flora) or adds to (lora) the weights of a frozen one. (${enum})"`
	Data   []source `required:"" sep:"none" placeholder:"MANIFEST[=WEIGHT]" help:"A JSONL manifest to train on, and how often its entries are drawn. Repeatable."`
	Dev    []string `sep:"none" placeholder:"MANIFEST" help:"A manifest to evaluate on. Repeatable."`
	Out    string   `required:"" placeholder:"DIR" help:"The folder for checkpoints, log.jsonl and the result, DIR/model."`
	Resume bool     `help:"Go on from the newest checkpoint in the folder."`
	Model  string   `placeholder:"nano|DIR|NAME" help:"The model to train further, or the frozen one under an adapter. (full: a new one; else ${nano})"`

	Rank   int    `default:"1" group:"Adapter" help:"The rank of the adapter."`
	Target string `enum:"all,attention,decoder" default:"all" group:"Adapter" help:"The linears to adapt. (${enum})"`

	threadsFlag
	geometry     `group:"New model"`
	trainOptions `group:"Training"`
	augmentFlags `group:"Augmentation" prefix:"augment-"`
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
	Steps           int      `default:"${full_Steps}" help:"Updates of the parameters."`
	BatchFrames     int      `default:"${full_BatchFrames}" help:"Frames of 10 ms in a batch, at most."`
	Accumulate      int      `default:"${full_Accumulate}" help:"Batches for each update."`
	Seed            uint64   `default:"${full_Seed}" help:"Determines the order of examples and all that is random."`
	Temperature     float64  `default:"${full_Temperature}" help:"Languages of n examples are drawn in proportion to n^(1/T)."`
	IdentifyOnly    []string `placeholder:"CODES" help:"Languages to recognise and not to transcribe."`
	LearningRate    *float64 `help:"The peak of the learning rate. (full ${full_LearningRate}, flora ${flora_LearningRate}, lora ${lora_LearningRate})"`
	Warmup          int      `default:"${full_Warmup}" help:"Steps over which the rate rises from 0."`
	Schedule        string   `enum:"cosine,linear" default:"${full_Schedule}" help:"How the rate falls. (${enum})"`
	Floor           float64  `default:"${full_Floor}" help:"The fraction of the peak at which the rate ends."`
	WeightDecay     *float64 `help:"Decoupled decay of matrices. (full ${full_WeightDecay}, flora ${flora_WeightDecay}, lora ${lora_WeightDecay})"`
	Beta1           float64  `name:"beta1" default:"${full_Beta1}" help:"AdamW's decay of the mean of gradients."`
	Beta2           float64  `name:"beta2" default:"${full_Beta2}" help:"AdamW's decay of the mean of their squares."`
	Epsilon         float64  `default:"${full_Epsilon}" help:"AdamW's epsilon."`
	ClipNorm        float64  `default:"${full_ClipNorm}" help:"The largest norm of a gradient."`
	Precision       string   `enum:"auto,f32,bf16" default:"${full_Precision}" help:"What products round to: bf16 is twice as fast where the processor has it, which auto takes it for. (${enum})"`
	LabelSmoothing  float64  `default:"${full_LabelSmoothing}" help:"Probability spread over all tokens."`
	CTCWeight       *float64 `name:"ctc-weight" help:"Share of the CTC loss. (full ${full_CTCWeight}, flora ${flora_CTCWeight}, lora ${lora_CTCWeight})"`
	EMA             float64  `name:"ema" default:"${full_EMA}" help:"Decay of the average of the weights that is saved; 0 saves the weights."`
	Timestamps      float64  `default:"${full_Timestamps}" help:"Probability that a text has timestamps."`
	BPEDropout      float64  `name:"bpe-dropout" default:"${full_BPEDropout}" help:"Probability of leaving out a merge."`
	NoSpeech        float64  `default:"${full_NoSpeech}" help:"Probability of an example of noise alone."`
	DevLimit        int      `default:"${full_DevLimit}" help:"Utterances of each --dev manifest, at most; 0 for all."`
	EvaluateEvery   int      `default:"${full_EvaluateEvery}" help:"Steps between evaluations, 0 for the last alone."`
	CheckpointEvery int      `default:"${full_CheckpointEvery}" help:"Steps between checkpoints."`
	Keep            int      `default:"${full_Keep}" help:"Checkpoints to keep."`
	LogEvery        int      `default:"${full_LogEvery}" help:"Steps between lines of the log."`
	MaxBadSteps     int      `default:"${full_MaxBadSteps}" help:"Steps in a row that may fail for a loss that is not finite."`
	Ahead           int      `default:"${full_Ahead}" help:"Batches that are made while others train."`
	CacheBytes      int64    `default:"${full_CacheBytes}" help:"Memory for decoded sound, in bytes."`
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
// train command. As variables of the command line they would be looked for in every flag of every
// command, at the beginning of each.
func trainDefaults(k *kong.Kong) error {
	names := []string{"${nano}", nanoName}
	add := func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			names = append(names, "${"+prefix+"_"+v.Type().Field(i).Name+"}", fmt.Sprint(v.Field(i).Interface()))
		}
	}
	for _, kind := range []train.Kind{train.Full, train.FLoRA, train.LoRA} {
		add(string(kind), reflect.ValueOf(train.DefaultOptions(kind)))
	}
	add("augment", reflect.ValueOf(train.DefaultAugment()))
	replacer := strings.NewReplacer(names...)
	for _, command := range k.Model.Children {
		if command.Name == "train" {
			for _, f := range command.Flags {
				f.Default, f.Help = replacer.Replace(f.Default), replacer.Replace(f.Help)
			}
		}
	}
	return nil
}

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
	o.Out, o.Resume, o.Dev = t.Out, t.Resume, t.Dev
	for _, s := range t.Data {
		o.Data = append(o.Data, train.Source(s))
	}
	o.Warn = func(message string) { c.note("glossa: %s", message) }
	return o
}

// Run trains, telling how it goes, and says where the result is.
func (t *trainCommand) Run(ctx context.Context, c *console) error {
	b, err := t.backend()
	if err != nil {
		return err
	}
	o := t.options(c)
	o.Backend = b
	var a *flora.Adapter
	if t.Kind == string(train.Full) {
		if o.Model, err = t.fullModel(o.Seed); err != nil {
			return err
		}
		o.Trainable = train.NewFull(o.Model)
	} else {
		if o.Model, a, err = t.adapter(b, o.Seed); err != nil {
			return err
		}
		if o.Trainable, err = train.NewAdapter(o.Model, a); err != nil {
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

// fullModel returns the model to train as a whole: a new one, or an existing one to go on with.
func (t *trainCommand) fullModel(seed uint64) (*whisper.Model, error) {
	if t.Model == "" {
		return t.newModel(t.Data, t.IdentifyOnly, seed)
	}
	checkpoint, _, err := openModel(t.Model)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	return whisper.LoadPlain(checkpoint)
}

// adapter returns the frozen model and a new adapter over it, named after the folder of the
// training.
func (t *trainCommand) adapter(b tensor.Backend, seed uint64) (*whisper.Model, *flora.Adapter, error) {
	name := t.Model
	if name == "" {
		name = nanoName
	}
	checkpoint, _, err := openModel(name)
	if err != nil {
		return nil, nil, err
	}
	defer checkpoint.Close()
	m, err := whisper.LoadPlain(checkpoint) // gradients pass through the plain weights
	if err != nil {
		return nil, nil, err
	}
	if err := m.Pack(b, tensor.F32); err != nil {
		return nil, nil, err
	}
	rng := rand.New(rand.NewPCG(seed, adapterStream))
	a, err := flora.New(m, filepath.Base(t.Out), flora.Kind(t.Kind), t.Rank, flora.Target(t.Target), rng)
	if err != nil {
		return nil, nil, err
	}
	a.Base = filepath.Base(name)
	return m, a, nil
}

// adapterStream is the stream of random numbers that adapters begin with.
const adapterStream = 0x61646170746572
