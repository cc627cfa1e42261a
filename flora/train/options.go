package train

import (
	"errors"
	"fmt"
	"math"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// ErrOptions is wrapped by every error about an option's value.
var ErrOptions = errors.New("train: invalid option")

// Kind is what is trained: [Full], or a kind of adapter over a frozen model, by its name in package flora.
type Kind string

// Full is the training of every parameter of a model.
const Full Kind = "full"

// Kinds returns all kinds.
func Kinds() []Kind {
	kinds := []Kind{Full}
	for _, k := range flora.Kinds() {
		kinds = append(kinds, Kind(k))
	}
	return kinds
}

// Schedules of the learning rate after the warm-up.
const (
	Cosine = "cosine"
	Linear = "linear"
)

// Source is a data set to draw examples from.
type Source struct {
	// Path is the file or folder, as eval.ReadData reads it.
	Path string

	// Weight multiplies how often the entries are drawn. 0 stands for 1.
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

	// Data are the data sets to train on.
	Data []Source

	// Language is the language of entries, of Data and Dev, that do not tell theirs.
	Language string `json:",omitempty"`

	// Languages are those whose entries are trained on, and evaluated. The default value is nil: all.
	Languages []string `json:",omitempty"`

	// Temperature T balances languages: one with n examples is drawn in proportion to n^(1/T).
	// 1 is by size, a large T uniform. The default value is 3.
	Temperature float64

	// IdentifyOnly are languages whose only target is their language token.
	IdentifyOnly []string

	// Steps is the number of updates of the parameters. The default value is 20000 for a full training and
	// 5000 for an adapter (Wen & Chaudhuri 2024, §4).
	Steps int

	// BatchFrames limits the mel frames (10 ms) that are packed into one batch. The default value
	// is 8000, that is 80 s.
	BatchFrames int

	// Accumulate is the number of batches whose gradients make one update. The default value is 1.
	Accumulate int

	// Seed determines the order of examples and every augmentation. The default value is 1.
	Seed uint64

	// LearningRate is the peak. 0, the default value, stands for that of [DefaultLearningRate].
	LearningRate float64

	// Warmup is the number of steps over which the rate rises from 0. The default value is 500 for a full
	// training and 100 for an adapter.
	Warmup int

	// Schedule is how the rate then falls, Cosine or Linear. The default value is Cosine.
	Schedule string

	// Floor is the fraction of the peak at which the rate ends. The default value is 0.02.
	Floor float64

	// WeightDecay is the decoupled decay of matrices, times the rate, a step. Of adapters it reaches the
	// factors whose neutral value is zero (see [NewAdapter]). The default value is 0.05 for a full training,
	// 0 for an adapter.
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

	// CTCUnits are what CTC spells texts in, Tokens or Characters. The default value is Characters.
	CTCUnits Units

	// GuideWeight is γ of guided attention: the weight of the loss that teaches heads of cross-attention to look where CTC
	// hears each token. It needs a CTCWeight. The default value is 0.
	GuideWeight float64 `json:",omitempty"`

	// EMA is the decay a step of the average of the weights that is evaluated and saved; 0 keeps
	// none, and the weights themselves are saved. The default value is 0.999 for a full training and 0.99
	// for an adapter.
	EMA float64

	// Timestamps is the probability that a target has timestamps. The default value is 0.3.
	Timestamps float64

	// BPEDropout is the probability of leaving out a merge (Provilkov et al. 2020). The default
	// value is 0.
	BPEDropout float64

	// NoSpeech is the probability that an example is noise alone, its target the no-speech token.
	// The default value is 0.01.
	NoSpeech float64

	// Join is the probability that another utterance of its language follows one in the same example, and so on
	// while there is room in the window: a model that never heard two knows no second one. The default value is 0.
	Join float64 `json:",omitempty"`

	// Augment is how sound is varied. The default value is [DefaultAugment].
	Augment Augment

	// Dev are data sets that the training is evaluated on, in the languages that it is of. None by
	// default.
	Dev []string `json:"-"`

	// DevLimit is the largest number of utterances of each Dev data set, evenly spread. The
	// default value is 100.
	DevLimit int `json:"-"`

	// EvaluateEvery is the number of steps between evaluations, 0 for none but the last. The
	// default value is 1000 for a full training and 250 for an adapter.
	EvaluateEvery int `json:"-"`

	// Patience is the number of evaluations in a row without a lower word error rate (or loss, where rates
	// are not computed) after which the training ends; the weights that did best are then the result, as
	// they are where it goes on to its last step. 0 is endless, and the last weights are the result. The
	// default value is 0 for a full training and 5 for an adapter.
	Patience int `json:"-"`

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

	// Program names what trains, with its version, on the result's card. "" by default.
	Program string `json:"-"`

	// Base is the name of Model on the card, where a model is trained further; an adapter has that of its
	// base. "" by default: it is trained from nothing.
	Base string `json:"-"`

	// Warn is told of each file that is left out, once, from any goroutine but one at a time. The
	// default value is nil: nobody.
	Warn func(message string) `json:"-"`
}

// DefaultOptions returns the default values for a kind of training.
func DefaultOptions(kind Kind) Options {
	o := Options{
		Temperature: 3, Steps: 20000, BatchFrames: 8000, Accumulate: 1, Seed: 1,
		Warmup: 500, Schedule: Cosine, Floor: 0.02, CTCUnits: Characters,
		Beta1: 0.9, Beta2: 0.98, Epsilon: 1e-8, ClipNorm: 1, EMA: 0.999,
		Precision: PrecisionAuto, Timestamps: 0.3, NoSpeech: 0.01, Augment: DefaultAugment(),
		DevLimit: 100, EvaluateEvery: 1000, CheckpointEvery: 500, Keep: 2, LogEvery: 20,
		MaxBadSteps: 20, Ahead: 2, CacheBytes: 2 << 30,
	}
	if kind == Full {
		o.WeightDecay, o.CTCWeight = 0.05, 0.5
	} else {
		o.Steps, o.Warmup, o.EMA, o.EvaluateEvery, o.Patience = 5000, 100, 0.99, 250, 5
	}
	return o
}

// DefaultLearningRate returns the peak of the learning rate that suits a kind of training of a model whose
// states have a width. Adapters take larger ones than the paper gives them over Whisper large (Wen & Chaudhuri
// 2024, §4: fLoRA 6e-3, IA3 4e-3, LoRA 2e-4), since they are to come far in some thousand steps. Of HiRA's
// terms one factor begins at zero and the other small, and IA3 has few factors. The products of LoRA and its
// kin grow with the width: their rate is 1e-3 at the 1280 of large, and as much more as others are narrower.
func DefaultLearningRate(kind Kind, width int) float64 {
	const largeWidth = 1280
	switch flora.Kind(kind) {
	case flora.FLoRA:
		return 1e-2
	case flora.HiRA, flora.IA3:
		return 3e-2
	case flora.LoRA, flora.RSLoRA, flora.DoRA:
		return 1e-3 * largeWidth / float64(width)
	}
	return 1e-3
}

// kind returns what is trained.
func (o *Options) kind() Kind {
	if a, ok := o.Trainable.(*adapter); ok {
		return Kind(a.options.Kind)
	}
	return Full
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
		{o.LearningRate >= 0 && !math.IsInf(o.LearningRate, 0), "LearningRate", o.LearningRate},
		{o.Warmup >= 0, "Warmup", o.Warmup},
		{o.Schedule == Cosine || o.Schedule == Linear, "Schedule", o.Schedule},
		{o.Patience >= 0, "Patience", o.Patience},
		{o.Floor >= 0 && o.Floor <= 1, "Floor", o.Floor},
		{o.WeightDecay >= 0, "WeightDecay", o.WeightDecay},
		{probability(o.Beta1), "Beta1", o.Beta1},
		{probability(o.Beta2), "Beta2", o.Beta2},
		{o.Epsilon > 0, "Epsilon", o.Epsilon},
		{o.ClipNorm > 0, "ClipNorm", o.ClipNorm},
		{o.Precision == PrecisionAuto || o.Precision == PrecisionF32 || o.Precision == PrecisionBF16, "Precision", o.Precision},
		{probability(o.LabelSmoothing), "LabelSmoothing", o.LabelSmoothing},
		{probability(o.CTCWeight), "CTCWeight", o.CTCWeight},
		{o.GuideWeight >= 0 && (o.GuideWeight == 0 || o.CTCWeight > 0), "GuideWeight", o.GuideWeight},
		{o.CTCUnits == Tokens || o.CTCUnits == Characters, "CTCUnits", o.CTCUnits},
		{probability(o.EMA), "EMA", o.EMA},
		{o.Timestamps >= 0 && o.Timestamps <= 1, "Timestamps", o.Timestamps},
		{probability(o.BPEDropout), "BPEDropout", o.BPEDropout},
		{probability(o.NoSpeech), "NoSpeech", o.NoSpeech},
		{probability(o.Join), "Join", o.Join},
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

	// Loss is the cross entropy (nats a token) and CTC the CTC loss (nats a unit of it) of the step, 0
	// where there is none, and Guide that of guided attention (nats a token, the mean of its heads).
	// TokenAccuracy is the fraction of tokens that are the likeliest given the right ones before them.
	// GradNorm is the norm of the gradient before clipping.
	Loss          float64 `json:"loss"`
	CTC           float64 `json:"ctc"`
	Guide         float64 `json:"guide,omitempty"`
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

	// Evaluation is what was measured after this step, nil for most. That of step 0 is of the frozen model
	// before an adapter is trained. Best is the step of the best evaluation so far, 0 where Options.Patience
	// keeps none.
	Evaluation *Evaluation `json:"evaluation,omitempty"`
	Best       int         `json:"best,omitempty"`
}

// Evaluation is how well the weights to be saved do on the Dev manifests.
type Evaluation struct {
	Loss          float64  `json:"loss"` // nats a token
	TokenAccuracy float64  `json:"token_accuracy"`
	WER           *float64 `json:"wer,omitempty"` // nil: not computed
}
