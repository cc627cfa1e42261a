package asr

// Checkpoint is what a recording came to with a window: a request with the same sound, options, model and adapters that has all
// checkpoints of another, in their order, as its Resume goes on behind them, and has to the bit the result that the other would have had.
// It survives JSON. A recording whose Speech is looked for has windows side by side, and their checkpoints come in any order.
type Checkpoint struct {
	// Done is how much of the sound is accounted for with this checkpoint and those before, in seconds.
	Done float64 `json:"done"`

	// Segments are those that the window added.
	Segments []Segment `json:"segments,omitempty"`

	// State is what else it takes, in a form of the engine's own.
	State []byte `json:"state,omitempty"`
}
