package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/audio"
	"glossa/eval"
	"glossa/flora/train"
)

// costsObserver counts the steps of the attempts at windows of an engine that has one request at a time, and adds up what the device
// takes.
type costsObserver struct {
	attempts []int
	steps    int
	busy     time.Duration
}

func (o *costsObserver) observer() *asr.Observer {
	return &asr.Observer{
		Encoded: func(e asr.Encoded) { o.busy += e.Duration },
		Stepped: func(s asr.Stepped) { o.steps, o.busy = o.steps+1, o.busy+s.Duration },
		FellBack: func(asr.Fallback) {
			o.attempts, o.steps = append(o.attempts, o.steps), 0
		},
	}
}

// take returns the steps of each attempt since the last call.
func (o *costsObserver) take() []int {
	attempts := append(o.attempts, o.steps)
	o.attempts, o.steps = nil, 0
	return attempts
}

// costsSound is a recording.
type costsSound struct {
	eval.Utterance
	file []byte
	pcm  []float32
}

func (s *costsSound) seconds() float64 { return float64(len(s.pcm)) / audio.SampleRate }

const (
	usualData  = "testdata/multilingual/manifest.jsonl"
	mostSounds = 240
)

// readSounds reads the recordings that the flags name, so many at most, spread over all. Without a flag there may be none.
func (m *costsBench) readSounds() error {
	data := m.flags.Data
	if data == "" {
		if _, err := os.Stat(usualData); err != nil || m.geometry != "" {
			return nil
		}
		data = usualData
	}
	us, err := train.ReadUtterances(data, "", m.console.warn)
	if err != nil {
		return err
	}
	n := min(len(us), mostSounds)
	for i := range n {
		u := us[i*len(us)/n]
		file, err := os.ReadFile(u.AudioFilepath)
		if err != nil {
			return err
		}
		pcm, err := audio.Decode(bytes.NewReader(file), audio.Limits{})
		if err != nil {
			return fmt.Errorf("%s: %w", u.AudioFilepath, err)
		}
		m.sounds = append(m.sounds, costsSound{u, file, pcm.Samples})
	}
	return nil
}

// measureText transcribes recordings that fit a window one by one, to see how many steps they take, and then all together, to see what
// there is to do between the steps.
func (m *costsBench) measureText() error {
	if m.requests != nil { // of an earlier pass
		m.out.Text = m.text
		return m.measureWindowDone(m.requests)
	}
	m.steps = m.flags.Tokens
	if err := m.readSounds(); err != nil {
		return err
	}
	if m.engine == nil || len(m.sounds) == 0 {
		return nil
	}
	begin, budget := time.Now(), max(1, 30*m.flags.Seconds)
	var requests []asr.Request
	sum, squares := 0, 0
	for i := range m.sounds {
		// Those that were read are spread over all, and so are those for which there is time.
		s := &m.sounds[i*7919%len(m.sounds)]
		if s.seconds() > m.model.Dims.WindowSeconds() || time.Since(begin).Seconds() > budget && len(requests) > 0 {
			continue
		}
		q := m.request(s)
		r, err := m.engine.Transcribe(m.ctx, q)
		if err != nil {
			return fmt.Errorf("%s: %w", s.AudioFilepath, err)
		}
		w := simulate.Spoken{Seconds: figures(r.Duration), Language: s.Lang, Steps: m.observer.take()}
		m.out.Text.Windows = append(m.out.Text.Windows, w)
		requests = append(requests, q)
		for _, n := range w.Steps {
			sum, squares = sum+n, squares+n*n
		}
	}
	if len(requests) == 0 {
		return errors.New("no recording fits a window of the model")
	}
	m.steps = max(4, squares/max(1, sum)) // that of a step drawn at random
	m.requests, m.text = requests, m.out.Text
	return m.measureWindowDone(requests)
}

// request returns a request for a recording whose log-mel is there.
func (m *costsBench) request(s *costsSound) asr.Request {
	padding := 0
	if !m.model.Dims.Unpadded {
		padding = m.model.Dims.WindowFrames() * audio.HopLength
	}
	mel, err := audio.LogMelPadded(s.pcm, m.model.Dims.NMels, padding)
	language := s.Lang
	if !m.model.Tokenizer.Knows(language) {
		language = m.language()
	}
	return asr.Request{Mel: func() (audio.Mel, error) { return mel, err }, Language: language, Adapter: m.flags.Adapter}
}

// measureWindowDone measures what a full engine does apart from encoding and stepping.
func (m *costsBench) measureWindowDone(requests []asr.Request) error {
	seconds, err := m.timed(func() (time.Duration, error) {
		m.observer.busy = 0
		begin := time.Now()
		if err := m.engine.TranscribeAll(m.ctx, requests, func(int, *asr.Result) {}); err != nil {
			return 0, err
		}
		return max(0, time.Since(begin)-m.observer.busy) / time.Duration(len(requests)), nil
	})
	m.observer.take()
	m.out.WindowDone = figures(seconds)
	return err
}

// measureLoading measures what it takes to load recordings, alone and beside the device.
func (m *costsBench) measureLoading() error {
	sounds := m.sounds
	if len(sounds) == 0 {
		sounds = []costsSound{noise(2), noise(30)}
	}
	if len(sounds) > 24 {
		var some []costsSound
		for i := range 24 {
			some = append(some, sounds[i*len(sounds)/24])
		}
		sounds = some
	}
	decode, mel := make([]float64, len(sounds)), make([]float64, len(sounds))
	speech := 0.0
	longest := &sounds[0]
	faster, err := m.besideProbes(func() (err error) {
		for i := range sounds {
			s := &sounds[i]
			if s.seconds() > longest.seconds() {
				longest = s
			}
			if decode[i], err = m.few(func() error {
				_, err := audio.Decode(bytes.NewReader(s.file), audio.Limits{})
				return err
			}); err != nil {
				return err
			}
			if mel[i], err = m.few(func() error {
				_, err := audio.LogMelPadded(s.pcm, m.model.Dims.NMels, 0)
				return err
			}); err != nil {
				return err
			}
		}
		speech, err = m.few(func() error {
			v := vad{audio.NewLongTermDetector, audio.SpeechOptions{}}
			_, err := v.speech(m.ctx, longest.pcm)
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	of := func(i int) float64 { return sounds[i].seconds() }
	l := &m.out.Loading
	fixed, perSecond := regress(of, decode)
	fixed2, perSecond2 := regress(of, mel)
	l.Seconds, l.Decode, l.Mel = figures(faster*(fixed+fixed2)), figures(faster*perSecond), figures(faster*perSecond2)
	l.Speech = figures(faster * speech / longest.seconds())
	if err := m.measureBeside(sounds); err != nil {
		return err
	}
	return m.measureWake(sounds)
}

// few returns the mean of what something takes a few times.
func (m *costsBench) few(f func() error) (float64, error) {
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	return meanOf(times), m.ctx.Err()
}

// regress returns the line of least squares through times, neither of whose numbers is below 0.
func regress(x func(i int) float64, y []float64) (at0, slope float64) {
	var n, sx, sy, sxx, sxy float64
	for i, v := range y {
		n, sx, sy, sxx, sxy = n+1, sx+x(i), sy+v, sxx+x(i)*x(i), sxy+x(i)*v
	}
	if d := n*sxx - sx*sx; d > 0 {
		slope = (n*sxy - sx*sy) / d
	}
	if at0 = (sy - slope*sx) / n; at0 < 0 || slope < 0 {
		return 0, sy / sx
	}
	return at0, slope
}

// noise returns a recording of so many seconds.
func noise(seconds int) costsSound {
	pcm := make([]float32, seconds*audio.SampleRate)
	fillRandom(pcm, 1, 0.5)
	return costsSound{file: wavOf(encodePCM(pcm)), pcm: pcm}
}
