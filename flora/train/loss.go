package train

import (
	"math"
	"math/rand/v2"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// network is the model that is trained, what is put on it for training, and the loss.
type network struct {
	ops         *tensor.Ops
	model       *whisper.Model
	adapter     whisper.Adapter
	head        ctcHead
	ctcWeight   float64
	smoothing   float32
	guide       *guide // nil: attention finds its way alone
	guideWeight float64
}

// ctcHead is the linear from the encoder's states to the units that CTC spells in and the blank. It lives in
// the training alone. Zero where there is no CTC.
type ctcHead struct {
	weight tensor.Weight  // (nUnit+1, nState)
	bias   tensor.Mat     // (1, nUnit+1)
	placed *tensor.Memory // of both on a device
}

// newCTCHead returns a head for nUnit units, initialised as the model's linears are.
func newCTCHead(nUnit, nState int, seed uint64) ctcHead {
	rng := rand.New(rand.NewPCG(seed, 0x637463))
	weight := make([]float32, (nUnit+1)*nState)
	limit := math.Sqrt(6 / float64(nUnit+1+nState))
	for i := range weight {
		weight[i] = float32((2*rng.Float64() - 1) * limit)
	}
	return ctcHead{
		weight: tensor.Weight{Mat: tensor.NewParam(nUnit+1, nState, weight)},
		bias:   tensor.NewParam(1, nUnit+1, make([]float32, nUnit+1)),
	}
}

// Names of the head's parameters in a checkpoint of the training.
const (
	ctcWeightName = "ctc.weight"
	ctcBiasName   = "ctc.bias"
)

// place copies the head to the memory of b, where that is a device.
func (h *ctcHead) place(b tensor.Backend) (err error) {
	if _, ok := b.(tensor.Device); !ok || h.weight.IsZero() {
		return nil
	}
	mats := []tensor.Mat{h.weight.Mat, h.bias}
	h.placed, err = tensor.Place(b, []*tensor.Mat{&h.weight.Mat, &h.bias}, mats)
	return err
}

func (h *ctcHead) params() []NamedParam {
	if h.weight.IsZero() {
		return nil
	}
	return []NamedParam{{Name: ctcWeightName, Mat: h.weight.Mat, Decay: true}, {Name: ctcBiasName, Mat: h.bias}}
}

// losses are sums over the tokens of batches.
type losses struct {
	entropy, tokens float64 // cross entropy (nats) and the tokens that it is over
	right           float64 // of these tokens, those that are the likeliest
	ctc, text       float64 // CTC loss (nats) and the units that it is over
	guide           float64 // cross entropy (nats) of guided attention, a mean times tokens
}

func (l *losses) add(m losses) {
	l.entropy += m.entropy
	l.tokens += m.tokens
	l.right += m.right
	l.ctc += m.ctc
	l.text += m.text
	l.guide += m.guide
}

// ratio returns a/b, 0 for 0/0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// forward returns the loss of a batch (1, 1),
//
//	(1-λ)/tokens Σ cross entropy + λ/text Σ CTC + γ/tokens mean over heads Σ cross entropy of guided attention
//
// (Kim et al. 2017, eq. 9, and see guide), tokens and text the numbers of tokens and of CTC's units of the whole update. It leaves
// the results in the arena, until the next forward.
func (n *network) forward(b *batch, tokens, text float64, training bool) (loss tensor.Mat, sums losses) {
	n.ops.Reset()
	if training {
		n.ops.StartTape()
	}
	s := &whisper.Step{Ops: n.ops, Seg: b.frames, Adapter: n.adapter}
	if n.adapter != nil {
		s.AdapterOf = make([]int32, b.examples)
		for i := range s.AdapterOf {
			s.AdapterOf[i] = 1
		}
	}
	states := n.model.Encoder.Forward(s, n.ops.Operand(b.frames.Rows(), n.model.Dims.NMels, b.mel))
	stateSeg := s.Seg
	s.Cross = n.model.Decoder.CrossKV(s, states)
	s.Seg = b.tokens
	if n.guide != nil {
		n.guide.seen = n.guide.seen[:0]
		s.Watch = n.guide.watch
	}
	logits := n.model.Decoder.Logits(s, n.model.Decoder.Forward(s, b.input))

	sums.tokens, sums.text = b.weights()
	share := 1.0
	if !n.head.weight.IsZero() {
		share = 1 - n.ctcWeight
	}
	weight := make([]float32, len(b.weight))
	for i, w := range b.weight {
		weight[i] = float32(share * ratio(float64(w), tokens))
	}
	loss, logProb := n.ops.CrossEntropy(logits, b.output, weight, n.smoothing)
	sums.entropy, sums.right = score(logProb, b.output, b.weight)
	if !n.head.weight.IsZero() {
		scores := n.ops.Linear(states, &n.head.weight, n.head.bias)
		var extra tensor.Mat
		var paths []ctcPath
		extra, sums.ctc, paths = ctcLoss(n.ops, scores, stateSeg, b.text, float32(ratio(n.ctcWeight, text)))
		loss = n.ops.Sum(loss, extra)
		if n.guide != nil {
			extra, sums.guide = n.guide.loss(n.ops, b.tokens, b.spans, paths, float32(ratio(n.guideWeight, tokens*float64(len(n.guide.heads)))))
			sums.guide *= sums.tokens
			loss = n.ops.Sum(loss, extra)
		}
	}
	return loss, sums
}

// score returns the cross entropy (nats, without smoothing) of the tokens that count, and how many
// of them are the likeliest.
func score(logProb tensor.Mat, output []int32, weight []float32) (entropy, right float64) {
	for i, t := range output {
		if weight[i] == 0 {
			continue
		}
		row := logProb.Row(i)
		entropy -= float64(weight[i]) * float64(row[t])
		best := true
		for _, l := range row {
			if l > row[t] {
				best = false
				break
			}
		}
		if best {
			right += float64(weight[i])
		}
	}
	return entropy, right
}
