package simulate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// ErrCosts is wrapped by every error about what a file of costs says.
var ErrCosts = errors.New("simulate: bad costs")

// Costs are how long transcribing takes on some devices, as "glossa bench costs" measures it.
type Costs struct {
	Version int      `json:"glossa_costs"` // 1
	Models  []*Model `json:"models"`
}

// version is that of the format.
const version = 1

// Model is a model on a device, with adapters or without. All times are in seconds.
type Model struct {
	Name   string `json:"name"`
	Device string `json:"device"` // backend, processor and number of threads
	DType  string `json:"dtype"`

	Cores int `json:"cores"` // processors of the machine

	WindowFrames int  `json:"window_frames"`      // of a whole window, of 10 ms
	Unpadded     bool `json:"unpadded,omitempty"` // a window has as many frames as its sound; otherwise it is always whole
	TextContext  int  `json:"text_context"`       // positions of the decoder

	WindowBytes     int `json:"window_bytes"`     // memory of a whole window
	HypothesisBytes int `json:"hypothesis_bytes"` // and of each of its hypotheses

	Encode  []EncodeCost `json:"encode"` // in the order of their frames
	Adapted float64      `json:"encode_adapted,omitempty"`

	Detect  Call `json:"detect"`  // finding the language of encoded windows
	Project Call `json:"project"` // keys and values of whole windows from encoded states, under their adapters
	Align   Call `json:"align"`   // timing the words of windows

	Step        []StepCost `json:"step"`
	Enter       float64    `json:"enter_seconds"`           // of each window that enters at a step: what it begins with
	PromptToken float64    `json:"prompt_token_seconds"`    // of each token of text before it that it is fed then
	Loading     Loading    `json:"load"`                    // of a recording
	Beside      []Beside   `json:"beside,omitempty"`        // what device and loading do to each other, by ascending Loads
	Wake        []Wake     `json:"wake,omitempty"`          // what a rest costs, by ascending Rest
	Adapters    *Adapters  `json:"adapters,omitempty"`      // nil: none
	Text        Text       `json:"text"`                    // how much there is to decode
	Measured    string     `json:"measured_with,omitempty"` // the command
}

// EncodeCost is what the encoder takes for windows of so many frames, cross-attention's keys and values included.
type EncodeCost struct {
	Frames  int     `json:"frames"`
	Seconds float64 `json:"seconds"` // of one window alone
	More    float64 `json:"more"`    // of each further window in the batch
}

// Call is what something takes for a batch of windows: Seconds, and More for each window but the first.
type Call struct {
	Seconds float64 `json:"seconds"`
	More    float64 `json:"more"`
}

// of returns what it takes for n windows.
func (c Call) of(n int) float64 {
	if n == 0 {
		return 0
	}
	return c.Seconds + float64(n-1)*c.More
}

// StepCost is what a step takes in which each of so many rows is fed a token, all of them under so many different adapters; 0 is the
// base model. Between the measured points it is linear.
type StepCost struct {
	Rows     int     `json:"rows"`
	Adapters int     `json:"adapters"`
	Seconds  float64 `json:"seconds"`
}

// Loading is what it takes to load a recording on one processor.
type Loading struct {
	Seconds float64 `json:"seconds"`           // of any
	Decode  float64 `json:"decode_per_second"` // for each second of its sound: the file to samples
	Mel     float64 `json:"mel_per_second"`    // and the log-mel
	Speech  float64 `json:"speech_per_second"` // and finding the speech in it, where that is asked for
}

// Beside is how many times longer things take while so many recordings are loaded at a time than each thing takes alone. Where nothing
// was measured they take as long, and loading is shared by Cores. 0 stands for 1.
type Beside struct {
	Loads   int     `json:"loads"`
	Device  float64 `json:"device"` // what the device does
	Loading float64 `json:"load"`   // loading one, while the device computes
	Others  float64 `json:"others"` // loading one, while it does not
}

// Wake is how much more the device takes for the first thing behind a rest, in seconds, on average. It is none most times, and much at
// others, as systems bring threads together when they tick.
type Wake struct {
	Rest   float64 `json:"rest"`
	Device float64 `json:"device"`
	Often  float64 `json:"often,omitempty"` // the share of times at which the device takes Device/Often more; 0 stands for 1
}

// Adapters are those of a model.
type Adapters struct {
	Kind  string  `json:"kind"`
	Rank  int     `json:"rank"`
	Reach string  `json:"reach"` // what they change: "encoder", "cross" (keys and values of cross-attention, and the decoder) or "decoder"
	Bytes int64   `json:"bytes"` // memory of one
	Bring float64 `json:"bring"` // seconds to bring one into memory; 0: they are all there

	// Languages are those that have an adapter. The default value is nil: all.
	Languages []string `json:"languages,omitempty"`
}

// Text is how many steps windows take: those of windows that were decoded, or else a rate.
type Text struct {
	Windows []Spoken `json:"windows,omitempty"`

	TokensPerSecond float64 `json:"tokens_per_second,omitempty"` // the mean; 0 stands for 4
	Spread          float64 `json:"spread,omitempty"`            // the deviation of its logarithm; 0 stands for 0.3
	Again           float64 `json:"again,omitempty"`             // how likely a text is not taken
}

// Spoken is a window that was decoded: how long its sound was, and the steps of each attempt at it.
type Spoken struct {
	Seconds  float64 `json:"seconds"`
	Language string  `json:"language,omitempty"`
	Steps    []int   `json:"steps"`
}

// Check reports what is wrong with costs. The error wraps ErrCosts.
func (c *Costs) Check() error {
	if c.Version != version {
		return fmt.Errorf("%w: glossa_costs is %d, not %d; is it a file of \"glossa bench costs\", of this version?", ErrCosts, c.Version, version)
	}
	if len(c.Models) == 0 {
		return fmt.Errorf("%w: no models", ErrCosts)
	}
	for _, m := range c.Models {
		if m == nil {
			return fmt.Errorf("%w: a model that is null", ErrCosts)
		}
		if err := m.check(); err != nil {
			return fmt.Errorf("%w: model %q: %w", ErrCosts, m.Name, err)
		}
	}
	return nil
}

// Model returns the model of a name, or of name@device where devices differ; "" is the only one there is. The error wraps ErrCosts.
func (c *Costs) Model(name string) (*Model, error) {
	var found []*Model
	names := make([]string, len(c.Models))
	for i, m := range c.Models {
		names[i] = m.Name + "@" + m.Device
		if name == "" || name == m.Name || name == names[i] {
			found = append(found, m)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	what := fmt.Sprintf("no model %q", name)
	if name == "" {
		what = "which model is not said"
	} else if len(found) > 1 {
		what = fmt.Sprintf("several models %q", name)
	}
	return nil, fmt.Errorf("%w: %s; there are: %s", ErrCosts, what, strings.Join(names, ", "))
}

// Bounds of sizes, beyond all devices, that keep a wrong file from sizing tables.
const (
	maxFrames = 1 << 20
	maxRows   = 1 << 16
	maxTokens = 1 << 20
)

func (m *Model) check() error {
	for _, f := range []struct {
		name       string
		value      int
		least, max int
	}{
		{"cores", m.Cores, 1, maxRows}, {"window_frames", m.WindowFrames, 1, maxFrames},
		{"text_context", m.TextContext, 4, maxTokens},
		{"window_bytes", m.WindowBytes, 0, math.MaxInt / maxRows}, {"hypothesis_bytes", m.HypothesisBytes, 0, math.MaxInt / maxRows},
	} {
		if f.value < f.least || f.value > f.max {
			return fmt.Errorf("%s is %d, not in %d..%d", f.name, f.value, f.least, f.max)
		}
	}
	if err := checkTimes(map[string]float64{
		"encode_adapted": m.Adapted, "detect": m.Detect.Seconds + m.Detect.More, "project": m.Project.Seconds + m.Project.More,
		"align":         m.Align.Seconds + m.Align.More,
		"enter_seconds": m.Enter, "prompt_token_seconds": m.PromptToken, "load.seconds": m.Loading.Seconds,
		"load.decode_per_second": m.Loading.Decode, "load.mel_per_second": m.Loading.Mel, "load.speech_per_second": m.Loading.Speech,
		"text.tokens_per_second": m.Text.TokensPerSecond, "text.spread": m.Text.Spread, "text.again": m.Text.Again,
	}); err != nil {
		return err
	}
	if err := m.checkPoints(); err != nil {
		return err
	}
	return errors.Join(m.Adapters.check(), m.Text.check())
}

// checkTimes reports a value that is no time.
func checkTimes(times map[string]float64) error {
	for name, t := range times {
		if !(t >= 0) || t > 1e6 {
			return fmt.Errorf("%s is %v, not in 0..1e6", name, t)
		}
	}
	return nil
}

// checkPoints reports what is wrong with what was measured of encoder and decoder.
func (m *Model) checkPoints() error {
	if len(m.Encode) == 0 || len(m.Step) == 0 {
		return errors.New("encode and step need at least one point each")
	}
	before := 0
	for _, p := range m.Encode {
		if p.Frames <= before || p.Frames > maxFrames || checkTimes(map[string]float64{"": p.Seconds, "more": p.More}) != nil {
			return fmt.Errorf("encode: %+v behind %d frames", p, before)
		}
		before = p.Frames
	}
	base := false
	for _, p := range m.Step {
		if p.Rows < 1 || p.Rows > maxRows || p.Adapters < 0 || p.Adapters > p.Rows || checkTimes(map[string]float64{"": p.Seconds}) != nil {
			return fmt.Errorf("step: %+v", p)
		}
		base = base || p.Adapters == 0
	}
	if !base {
		return errors.New("step: no point without adapters")
	}
	return m.checkMachine()
}

// checkMachine reports what is wrong with what was measured of the machine.
func (m *Model) checkMachine() error {
	loads, rest := 0, 0.0
	for _, b := range m.Beside {
		ok := b.Loads > loads && b.Loads <= maxRows
		for _, times := range []float64{b.Device, b.Loading, b.Others} {
			ok = ok && (times == 0 || times >= 1 && times <= maxRows)
		}
		if !ok {
			return fmt.Errorf("beside: %+v behind %d loads", b, loads)
		}
		loads = b.Loads
	}
	for _, w := range m.Wake {
		if !(w.Rest > rest) || !(w.Often >= 0 && w.Often <= 1) || w.Often > 0 && w.Often < 1e-6 || checkTimes(map[string]float64{"": w.Rest, "device": w.Device}) != nil {
			return fmt.Errorf("wake: %+v behind a rest of %v s", w, rest)
		}
		rest = w.Rest
	}
	return nil
}

func (a *Adapters) check() error {
	if a == nil {
		return nil
	}
	if !slices.Contains(reaches, a.Reach) {
		return fmt.Errorf("adapters: reach %q is none of %s", a.Reach, strings.Join(reaches, ", "))
	}
	if a.Bytes < 0 {
		return fmt.Errorf("adapters: %d bytes", a.Bytes)
	}
	return checkTimes(map[string]float64{"adapters: bring": a.Bring})
}

// What adapters change.
const (
	reachDecoder = "decoder"
	reachCross   = "cross"
	reachEncoder = "encoder"
)

var reaches = []string{reachEncoder, reachCross, reachDecoder}

func (t *Text) check() error {
	if t.Again >= 1 {
		return fmt.Errorf("text: again is %v, not below 1", t.Again)
	}
	for _, w := range t.Windows {
		if !(w.Seconds > 0) || w.Seconds > 1e6 || len(w.Steps) == 0 {
			return fmt.Errorf("text: %+v", w)
		}
		for _, n := range w.Steps {
			if n < 1 || n > maxTokens {
				return fmt.Errorf("text: %+v", w)
			}
		}
	}
	return nil
}
