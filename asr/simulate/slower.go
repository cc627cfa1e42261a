package simulate

import "slices"

// Slower returns the model on a machine on which everything takes so many times as long.
func (m *Model) Slower(times float64) *Model {
	s := *m
	s.Encode, s.Step, s.Wake = slices.Clone(m.Encode), slices.Clone(m.Step), slices.Clone(m.Wake)
	for i := range s.Encode {
		s.Encode[i].Seconds *= times
		s.Encode[i].More *= times
	}
	for i := range s.Step {
		s.Step[i].Seconds *= times
	}
	for i := range s.Wake {
		s.Wake[i].Device *= times
	}
	for _, t := range []*float64{
		&s.Detect.Seconds, &s.Detect.More, &s.Project.Seconds, &s.Project.More, &s.Align.Seconds, &s.Align.More, &s.Enter,
		&s.PromptToken, &s.Loading.Seconds, &s.Loading.Decode, &s.Loading.Mel, &s.Loading.Speech,
	} {
		*t *= times
	}
	if m.Adapters != nil {
		a := *m.Adapters
		a.Bring *= times
		s.Adapters = &a
	}
	return &s
}
