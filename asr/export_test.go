package asr

import "glossa/whisper"

// watched is a device that a test looks at.
type watched struct {
	device
	before  func([]whisper.Utterance)
	after   func([]whisper.Utterance, []whisper.Decoded)
	windows map[int]whisper.Utterance
}

// Watch lets a test change the windows before they are decoded, and see and change what is decoded,
// one window at a time. It must not be called while the engine has something to do.
func (e *Engine) Watch(before func([]whisper.Utterance), after func([]whisper.Utterance, []whisper.Decoded)) {
	e.stations[0].device = &watched{e.stations[0].device, before, after, make(map[int]whisper.Utterance)}
}

func (w *watched) add(u whisper.Utterance) (int, error) {
	us := []whisper.Utterance{u}
	w.before(us)
	ticket, err := w.device.add(us[0])
	if err != nil {
		return 0, err
	}
	w.windows[ticket] = us[0]
	return ticket, nil
}

func (w *watched) step() ([]whisper.Finished, error) {
	finished, err := w.device.step()
	for i := range finished {
		f := &finished[i]
		ds := []whisper.Decoded{f.Decoded}
		w.after([]whisper.Utterance{w.windows[f.Ticket]}, ds)
		f.Decoded = ds[0]
	}
	return finished, err
}
