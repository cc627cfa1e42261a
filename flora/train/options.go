package train

import (
	"errors"
	"fmt"
	"math"
	"time"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// ErrOptions is wrapped by every error about an option's value.
var ErrOptions = errors.New("train: invalid option")

// Kind is what is trained.
type Kind string

// The kinds of training.
const (
	Full  Kind = "full"  // every parameter of the model
	FLoRA Kind = "flora" // an adapter that scales the weights of a frozen model
	LoRA  Kind = "lora"  // an adapter that adds to the weights of a frozen model
)

// Schedules of the learning rate after the warm-up.
const (
	Cosine = "cosine"
	Linear = "linear"
)

// Source is a manifest to draw examples from.
type Source struct {
	// Path is the JSONL manifest, as eval.ReadManifest reads it. Every entry must name its language.
	Path string

	// Weight multiplies how often the manifest's entries are drawn. 0 stands for 1.
	Weight float64
}

// Options are all that a training depends on. Start from [DefaultOptions]: the zero of a number
// means zero.
type Options struct {
	// Backend computes, and must have gradients.
	Backend tensor.Backend `json:"-"`

	// Model is the model to train, or the frozen one under an adapter, with its tokenizer.
	Model *whisper.Model `json:"-"`

	// Trainable is what is trained: [NewFull] of Model, or an adapter over it.
	Trainable Trainable `json:"-"`

	// Out is the folder for checkpoints, the log, and in the end the result, Out/model.
	Out string `json:"-"`

	// Resume continues from the newest checkpoint in Out where there is one. Without it a
	// training refuses an Out that has checkpoints. The default value is false.
	Resume bool `json:"-"`

	// Data are the manifests to train on.
	Data []Source

	// Temperature T balances languages: one with n examples is drawn in proportion to n^(1/T).
	// 1 is by size, a large T uniform. The default value is 3.
	Temperature float64

	// IdentifyOnly are languages whose only target is their language token.
	IdentifyOnly []string

	// Steps is the number of updates of the parameters. The default value is 20000.
	Steps int

	// BatchFrames limits the mel frames (10 ms) that are packed into one batch. The default value
	// is 8000, that is 80 s.
	BatchFrames int

	// Accumulate is the number of batches whose gradients make one update. The default value is 1.
	Accumulate int

	// Seed determines the order of examples and every augmentation. The default value is 1.
	Seed uint64

	// LearningRate is the peak. The default value is 1e-3 for a full training, 6e-3 for fLoRA and
	// 2e-4 for LoRA (Wen & Chaudhuri 2024, §4).
	LearningRate float64

	// Warmup is the number of steps over which the rate rises from 0. The default value is 500.
	Warmup int

	// Schedule is how the rate then falls, Cosine or Linear. The default value is Cosine.
	Schedule string

	// Floor is the fraction of the peak at which the rate ends. The default value is 0.02.
	Floor float64

	// WeightDecay is the decoupled decay of matrices, times the rate, a step. The default value is
	// 0.05 for a full training, 0 for an adapter.
	WeightDecay float64

	// Beta1, Beta2 and Epsilon are AdamW's. The default values are 0.9, 0.98 and 1e-8.
	Beta1, Beta2, Epsilon float64

	// ClipNorm is the largest global norm of the gradient. The default value is 1.
	ClipNorm float64

	// Precision is PrecisionAuto, PrecisionF32 or PrecisionBF16. Like every option that the result depends
	// on it is kept in checkpoints, Auto as what it stood for, and a training is resumed in no other. The
	// default value is PrecisionAuto.
	Precision string

	// LabelSmoothing is the ε of Szegedy et al. 2016, §7. The default value is 0.
	LabelSmoothing float64

	// CTCWeight is λ in (1-λ) cross entropy + λ CTC (Kim et al. 2017, eq. 9). The default value is
	// 0.5 for a full training, 0 for an adapter.
	CTCWeight float64

	// EMA is the decay a step of the average of the weights that is evaluated and saved; 0 keeps
	// none, and the weights themselves are saved. The default value is 0.999.
	EMA float64

	// Timestamps is the probability that a target has timestamps. The default value is 0.3.
	Timestamps float64

	// BPEDropout is the probability of leaving out a merge (Provilkov et al. 2020). The default
	// value is 0.
	BPEDropout float64

	// NoSpeech is the probability that an example is noise alone, its target the no-speech token.
	// The default value is 0.01.
	NoSpeech float64

	// Augment is how sound is varied. The default value is [DefaultAugment].
	Augment Augment

	// Dev are manifests that the training is evaluated on, in the languages that it is of. None by
	// default.
	Dev []string `json:"-"`

	// DevLimit is the largest number of utterances of each Dev manifest, evenly spread. The
	// default value is 100.
	DevLimit int `json:"-"`

	// EvaluateEvery is the number of steps between evaluations, 0 for none but the last. The
	// default value is 1000.
	EvaluateEvery int `json:"-"`

	// Evaluate returns the word error rate of a packed model, under adapter a unless it is nil,
	// for sequences of adapter index 1. Nil by default: the word error rate is not computed.
	Evaluate func(m *whisper.Model, a whisper.Adapter) (wer float64, err error) `json:"-"`

	// CheckpointEvery is the number of steps between checkpoints. The default value is 500.
	CheckpointEvery int `json:"-"`

	// Keep is the number of checkpoints to keep. The default value is 2.
	Keep int `json:"-"`

	// LogEvery is the number of steps between lines of Out/log.jsonl. The default value is 20.
	LogEvery int `json:"-"`

	// MaxBadSteps is the number of steps in a row with a loss or gradient that is not finite,
	// each left out, after which training fails. The default value is 20.
	MaxBadSteps int `json:"-"`

	// Ahead is the number of batches that are made while others train; 0 makes them in between.
	// The default value is 2.
	Ahead int `json:"-"`

	// CacheBytes limits the decoded audio kept in memory. The default value is 2 GiB.
	CacheBytes int64 `json:"-"`

	// Warn is told of each file that is left out, once, from any goroutine but one at a time. The
	// default value is nil: nobody.
	Warn func(message string) `json:"-"`
}

// DefaultOptions returns the default values for a kind of training.
func DefaultOptions(kind Kind) Options {
	o := Options{
		Temperature: 3, Steps: 20000, BatchFrames: 8000, Accumulate: 1, Seed: 1,
		LearningRate: 1e-3, Warmup: 500, Schedule: Cosine, Floor: 0.02,
		Beta1: 0.9, Beta2: 0.98, Epsilon: 1e-8, ClipNorm: 1, EMA: 0.999,
		Precision: PrecisionAuto, Timestamps: 0.3, NoSpeech: 0.01, Augment: DefaultAugment(),
		DevLimit: 100, EvaluateEvery: 1000, CheckpointEvery: 500, Keep: 2, LogEvery: 20,
		MaxBadSteps: 20, Ahead: 2, CacheBytes: 2 << 30,
	}
	switch kind {
	case FLoRA:
		o.LearningRate = 6e-3
	case LoRA:
		o.LearningRate = 2e-4
	default:
		o.WeightDecay, o.CTCWeight = 0.05, 0.5
	}
	return o
}

// check returns an error that wraps ErrOptions and names the first option that makes no sense.
func (o *Options) check() error {
	probability := func(p float64) bool { return p >= 0 && p < 1 }
	for _, c := range []struct {
		ok    bool
		name  string
		value any
	}{
		{o.Backend != nil, "Backend", o.Backend},
		{o.Model != nil && o.Model.Tokenizer != nil, "Model", "nil or without a tokenizer"},
		{o.Trainable != nil, "Trainable", o.Trainable},
		{o.Out != "", "Out", o.Out},
		{len(o.Data) > 0, "Data", o.Data},
		{o.Temperature > 0 && !math.IsInf(o.Temperature, 0), "Temperature", o.Temperature},
		{o.Steps > 0, "Steps", o.Steps},
		{o.BatchFrames > 0, "BatchFrames", o.BatchFrames},
		{o.Accumulate > 0, "Accumulate", o.Accumulate},
		{o.LearningRate > 0 && !math.IsInf(o.LearningRate, 0), "LearningRate", o.LearningRate},
		{o.Warmup >= 0, "Warmup", o.Warmup},
		{o.Schedule == Cosine || o.Schedule == Linear, "Schedule", o.Schedule},
		{o.Floor >= 0 && o.Floor <= 1, "Floor", o.Floor},
		{o.WeightDecay >= 0, "WeightDecay", o.WeightDecay},
		{probability(o.Beta1), "Beta1", o.Beta1},
		{probability(o.Beta2), "Beta2", o.Beta2},
		{o.Epsilon > 0, "Epsilon", o.Epsilon},
		{o.ClipNorm > 0, "ClipNorm", o.ClipNorm},
		{o.Precision == PrecisionAuto || o.Precision == PrecisionF32 || o.Precision == PrecisionBF16, "Precision", o.Precision},
		{probability(o.LabelSmoothing), "LabelSmoothing", o.LabelSmoothing},
		{probability(o.CTCWeight), "CTCWeight", o.CTCWeight},
		{probability(o.EMA), "EMA", o.EMA},
		{o.Timestamps >= 0 && o.Timestamps <= 1, "Timestamps", o.Timestamps},
		{probability(o.BPEDropout), "BPEDropout", o.BPEDropout},
		{probability(o.NoSpeech), "NoSpeech", o.NoSpeech},
	} {
		if !c.ok {
			return fmt.Errorf("%w: %s is %v", ErrOptions, c.name, c.value)
		}
	}
	return o.Augment.check()
}

// Progress is where a training stands after a step.
type Progress struct {
	Step  int `json:"step"`
	Steps int `json:"steps"`

	// Loss is the cross entropy (nats a token) and CTC the CTC loss (nats a token) of the step, 0
	// where there is none. TokenAccuracy is the fraction of tokens that are the likeliest given
	// the right ones before them. GradNorm is the norm of the gradient before clipping.
	Loss          float64 `json:"loss"`
	CTC           float64 `json:"ctc"`
	TokenAccuracy float64 `json:"token_accuracy"`
	GradNorm      float64 `json:"grad_norm"`
	LR            float64 `json:"lr"`

	// ExamplesPerSecond, AudioPerSecond (seconds of sound a second) and GFLOPs (1e9 operations a
	// second of the products) are averages over the last steps.
	ExamplesPerSecond float64       `json:"examples_per_second"`
	AudioPerSecond    float64       `json:"audio_per_second"`
	GFLOPs            float64       `json:"gflops"`
	ETA               time.Duration `json:"-"`

	// Skipped counts entries left out so far, BadSteps the steps.
	Skipped  int `json:"skipped"`
	BadSteps int `json:"bad_steps"`

	// Evaluation is what was measured after this step, nil for most.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Evaluation is how well the weights to be saved do on the Dev manifests.
type Evaluation struct {
	Loss          float64  `json:"loss"` // nats a token
	TokenAccuracy float64  `json:"token_accuracy"`
	WER           *float64 `json:"wer,omitempty"` // nil: not computed
}
