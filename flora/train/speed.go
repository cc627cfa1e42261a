package train

import "time"

// speedometer averages the speed over the last steps.
type speedometer struct {
	first    int // step at the start
	at       []moment
	examples float64
	audio    float64
	products float64

	evaluation time.Duration // of the last one
}

// moment is where the counts stood at a time.
type moment struct {
	time                      time.Time
	step                      int
	examples, audio, products float64
}

// speedWindow is the number of steps that speeds are averaged over.
const speedWindow = 50

func (s *speedometer) start(step int) {
	s.first = step
	s.at = append(s.at, moment{time: time.Now(), step: step})
}

func (s *speedometer) step(t *trainer, batches []*batch) {
	_, isAdapter := t.options.Trainable.(*adapter)
	for _, b := range batches {
		s.examples += float64(b.examples)
		s.audio += b.seconds
		s.products += products(t.options.Model.Dims, b, t.speller.size(), !isAdapter)
	}
	s.at = append(s.at, moment{time.Now(), t.step, s.examples, s.audio, s.products})
	if len(s.at) > speedWindow+1 {
		s.at = s.at[1:]
	}
}

// pause leaves out time that passed otherwise than in steps.
func (s *speedometer) pause(d time.Duration) {
	for i := range s.at {
		s.at[i].time = s.at[i].time.Add(d)
	}
}

// report tells the speed, and the time that the steps and the evaluations that are left will take.
func (s *speedometer) report(p *Progress, evaluateEvery int) {
	from, to := s.at[0], s.at[len(s.at)-1]
	seconds := to.time.Sub(from.time).Seconds()
	if seconds <= 0 {
		return
	}
	p.ExamplesPerSecond = (to.examples - from.examples) / seconds
	p.AudioPerSecond = (to.audio - from.audio) / seconds
	p.GFLOPs = (to.products - from.products) / seconds / 1e9
	perStep := seconds / float64(to.step-from.step)
	p.ETA = time.Duration(float64(p.Steps-p.Step) * perStep * float64(time.Second))
	evaluations := 1 // the last
	if evaluateEvery > 0 {
		evaluations = (p.Steps+evaluateEvery-1)/evaluateEvery - (p.Step-1)/evaluateEvery
	}
	p.ETA += time.Duration(evaluations) * s.evaluation
}
