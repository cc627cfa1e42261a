// Package measure finds out what transcribing costs on a device, as [simulate.Model] has it: by doing each thing for itself, some times
// in each of several passes, of which the medians count.
//
// Shared machines change their speed from minute to minute. What is measured is therefore done by turns with a probe, a short piece of
// work that is always the same, and told as of a machine on which the probe takes what it took in the median.
package measure

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Options say what is measured, and how long.
type Options struct {
	Name, Device, DType string // of the outcome

	Model   *whisper.Model
	Backend tensor.Backend

	// Adapters are those under which it is measured, over and over where there are fewer than rows. Strategies are how they are
	// computed. Resident says that an engine has them in memory from the beginning.
	Adapters   []*flora.Adapter
	Strategies flora.Options
	Resident   bool

	// Engine transcribes Sounds, under the named adapter, to see how long texts are; Steps observes it. The default value is nil, of a
	// model with random weights, whose windows have Tokens.
	Engine  *asr.Engine
	Steps   *Steps
	Adapter string
	Tokens  int

	// Sounds are recordings, whose loading is measured too. The default value is nil: noise is loaded.
	Sounds []Sound

	// Rows are the numbers of hypotheses of steps that are measured, ascending, each at least 1.
	Rows []int

	// Seconds is how long each thing is measured at most in each of so many Passes; once at least.
	Seconds float64
	Passes  int

	// Phase is told what is measured next: Phases(Passes) times. The default value is nil.
	Phase func(what string)
}

// Phases is how often Options.Phase is called.
func Phases(passes int) int { return 1 + 5*passes }

// bench measures a model and its adapters.
type bench struct {
	Options
	ctx context.Context

	ops        *tensor.Ops
	pool       whisper.CrossPool
	batch      *flora.Batch       // of as many adapters as there are rows, nil without
	steps      int                // of a window
	kept       []*whisper.CrossKV // of windows of so many frames
	keptFrames int
	probe      func() (time.Duration, error) // nil where the device is slow
	probed     []float64                     // what the probe took, in seconds
	reference  float64                       // and at first
	out        *simulate.Model
}

// Run measures all. Its errors are those of the model, the adapters, the engine and ctx.
func Run(ctx context.Context, o Options) (*simulate.Model, error) {
	m := &bench{Options: o, ctx: ctx, ops: tensor.NewOps(o.Backend)}
	if err := m.prepare(); err != nil {
		return nil, err
	}
	m.phase("texts")
	if err := m.measureText(); err != nil {
		return nil, fmt.Errorf("%s: texts: %w", m.Name, err)
	}
	common := m.out
	var passes []*simulate.Model
	for range m.Passes {
		copied := *common
		m.out = &copied
		if err := m.pass(); err != nil {
			return nil, err
		}
		passes = append(passes, m.out)
	}
	return m.usualSpeed(Median(passes...)), nil
}

// prepare begins the outcome with what need not be measured.
func (m *bench) prepare() error {
	d := m.Model.Dims
	one, two := m.Model.WindowBytes(d.WindowFrames(), whisper.DecodeOptions{}), m.Model.WindowBytes(d.WindowFrames(), whisper.DecodeOptions{BeamSize: 2})
	m.out = &simulate.Model{
		Name: m.Name, Device: m.Device, DType: m.DType, Cores: runtime.GOMAXPROCS(0),
		WindowFrames: d.WindowFrames(), Unpadded: d.Unpadded, TextContext: d.NTextCtx, HypothesisBytes: two - one, WindowBytes: one - (two - one),
	}
	if len(m.Adapters) > 0 {
		var all []*flora.Adapter
		for i := range m.Rows[len(m.Rows)-1] {
			a := *m.Adapters[i%len(m.Adapters)]
			a.Name = strconv.Itoa(i)
			all = append(all, &a)
		}
		var err error
		if m.batch, err = flora.NewBatchWith(m.Model, m.Backend, m.Strategies, all...); err != nil {
			return err
		}
	}
	return m.findProbe()
}

// pass measures everything once, but for the texts.
func (m *bench) pass() error {
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"encoder", m.measureEncode}, {"languages and words", m.measureCalls}, {"steps", m.measureSteps},
		{"loading", m.measureLoading}, {"adapters", m.measureBring},
	} {
		m.phase(part.name)
		if err := part.measure(); err != nil {
			return fmt.Errorf("%s: %s: %w", m.Name, part.name, err)
		}
	}
	return nil
}

// phase tells what is measured now.
func (m *bench) phase(what string) {
	if m.Phase != nil {
		m.Phase(what)
	}
}
