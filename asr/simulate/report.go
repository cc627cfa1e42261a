package simulate

// Report is the outcome of a simulation. Times are in seconds.
type Report struct {
	Model   string `json:"model"`
	Device  string `json:"device"`
	Workers int    `json:"workers"`

	Recordings int64   `json:"recordings"`    // that arrived
	Served     int64   `json:"served"`        // of them
	Refused    int64   `json:"refused"`       // because too many waited at a worker
	Dead       int64   `json:"dead"`          // after too many deliveries
	Sound      float64 `json:"audio_seconds"` // of what was served
	Elapsed    float64 `json:"elapsed_seconds"`

	// By priority, live first, and of all together. A priority without recordings is left out.
	Latencies []Latency `json:"latencies"`

	RTFx        float64 `json:"rtfx"`        // seconds of sound for each second, of all workers together
	Utilisation float64 `json:"utilisation"` // share of the time that devices compute
	Rows        float64 `json:"rows"`        // hypotheses in a step, on average
	Adapters    float64 `json:"adapters"`    // distinct ones in a step, on average, the base model not counted
	Encoded     float64 `json:"encoded"`     // windows in an encoder batch, on average
	Windows     int64   `json:"windows"`     // decoded
	Again       int64   `json:"again"`       // attempts at windows after the first
	Brought     int64   `json:"brought"`     // adapters brought into memory
	Steps       int64   `json:"steps"`       // of all decoders

	Backlog      int64   `json:"backlog_most"`       // recordings of which nothing was encoded, at most
	BacklogSound float64 `json:"backlog_audio_most"` // their seconds, at most
	There        float64 `json:"there"`              // recordings that had arrived and not left, on average

	Failures    int64 `json:"failures"` // of workers
	Redelivered int64 `json:"redelivered"`
}

// Latency is how long recordings of a priority took.
type Latency struct {
	Priority string    `json:"priority"` // or "all"
	Served   int64     `json:"served"`
	Waiting  Quantiles `json:"waiting"` // until something of it was first encoded
	Total    Quantiles `json:"total"`   // until its result was stored

	histogram histogram // of Total
}

// Quantiles are of times in seconds. Mean and Max are exact, the others to 0.25%.
type Quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
}

func (h *histogram) quantiles() Quantiles {
	return Quantiles{Mean: h.mean(), P50: h.quantile(0.50), P95: h.quantile(0.95), P99: h.quantile(0.99), Max: h.most}
}

// All is the name of the latencies of all priorities together.
const All = "all"

// Of returns the latencies of a priority, or of All.
func (r *Report) Of(priority string) Latency {
	for _, l := range r.Latencies {
		if l.Priority == priority {
			return l
		}
	}
	return Latency{Priority: priority}
}

// took returns the time of a target's quantile.
func (r *Report) took(t Target) float64 {
	l := r.Of(t.Priority)
	return l.histogram.quantile(t.Quantile)
}

func (s *simulation) report() *Report {
	t := &s.stats
	r := &Report{
		Model: s.prices.Name, Device: s.prices.Device, Workers: s.options.Workers, Recordings: t.arrived, Refused: t.refused, Dead: t.dead,
		Sound: t.sound, Elapsed: t.last.Seconds(), Windows: t.windows, Again: t.again, Brought: t.brought, Steps: t.steps,
		Backlog: t.backlogMost, BacklogSound: t.backlogSoundMost, Failures: t.failures, Redelivered: t.redelivered,
	}
	var waited, took histogram
	add := func(name string, waited, took *histogram, served int64) {
		if served > 0 {
			r.Latencies = append(r.Latencies, Latency{name, served, waited.quantiles(), took.quantiles(), *took})
		}
	}
	for i, p := range priorities {
		add(p.String(), &t.waited[i], &t.took[i], t.served[i])
		waited.addAll(&t.waited[i])
		took.addAll(&t.took[i])
		r.Served += t.served[i]
	}
	add(All, &waited, &took, r.Served)
	if r.Elapsed > 0 {
		r.RTFx = r.Sound / r.Elapsed
		r.Utilisation = t.busy / (r.Elapsed * float64(r.Workers))
		r.There = t.area / r.Elapsed
	}
	r.Rows, r.Adapters, r.Encoded = ratio(t.rows, t.steps), ratio(t.adapters, t.steps), ratio(t.encoded, t.encodes)
	return r
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
