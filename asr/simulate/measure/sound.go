package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"glossa/asr"
	"glossa/asr/simulate"
	"glossa/audio"
)

// Steps counts the steps of the attempts at windows of an engine that has one request at a time.
type Steps struct {
	attempts []int
	steps    int
}

// Observer returns what is to observe the engine.
func (o *Steps) Observer() *asr.Observer {
	return &asr.Observer{
		Stepped: func(asr.Stepped) { o.steps++ },
		FellBack: func(asr.Fallback) {
			o.attempts, o.steps = append(o.attempts, o.steps), 0
		},
	}
}

// take returns the steps of each attempt since the last call.
func (o *Steps) take() []int {
	attempts := append(o.attempts, o.steps)
	o.attempts, o.steps = nil, 0
	return attempts
}

// Sound is a recording.
type Sound struct {
	Name, Language string
	File           []byte    // what is decoded
	PCM            []float32 // at 16 kHz
}

// ReadSound reads a recording in a language.
func ReadSound(name, language string) (Sound, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return Sound{}, err
	}
	pcm, err := audio.Decode(bytes.NewReader(file), audio.Limits{})
	if err != nil {
		return Sound{}, fmt.Errorf("%s: %w", name, err)
	}
	return Sound{name, language, file, pcm.Samples}, nil
}

// Seconds returns its duration.
func (s *Sound) Seconds() float64 { return float64(len(s.PCM)) / audio.SampleRate }

// measureText transcribes recordings that fit a window one by one, to see how many steps they take.
func (m *bench) measureText() error {
	m.steps = m.Tokens
	if m.Engine == nil || len(m.Sounds) == 0 {
		return nil
	}
	begin, budget := time.Now(), max(1, 30*m.Seconds)
	sum, squares := 0, 0
	for i := range m.Sounds {
		// Those that were read are spread over all, and so are those for which there is time.
		s := &m.Sounds[i*7919%len(m.Sounds)]
		if s.Seconds() > m.Model.Dims.WindowSeconds() || time.Since(begin).Seconds() > budget && sum > 0 {
			continue
		}
		r, err := m.Engine.Transcribe(m.ctx, m.request(s))
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		w := simulate.Spoken{Seconds: figures(r.Duration), Language: s.Language, Steps: m.Steps.take()}
		m.out.Text.Windows = append(m.out.Text.Windows, w)
		for _, n := range w.Steps {
			sum, squares = sum+n, squares+n*n
		}
	}
	if sum == 0 {
		return errors.New("no recording fits a window of the model")
	}
	m.steps = max(4, squares/sum) // that of a step drawn at random
	return nil
}

// request returns a request for a recording whose log-mel is there.
func (m *bench) request(s *Sound) asr.Request {
	padding := 0
	if !m.Model.Dims.Unpadded {
		padding = m.Model.Dims.WindowFrames() * audio.HopLength
	}
	mel, err := audio.LogMelPadded(s.PCM, m.Model.Dims.NMels, padding)
	language := s.Language
	if !m.Model.Tokenizer.Knows(language) {
		language = m.language()
	}
	return asr.Request{Mel: func() (audio.Mel, error) { return mel, err }, Language: language, Adapter: m.Adapter}
}

// measureLoading measures what it takes to load recordings, alone and beside the device.
func (m *bench) measureLoading() error {
	sounds := m.Sounds
	if len(sounds) == 0 {
		for _, seconds := range []int{2, 30} {
			s, err := noise(seconds)
			if err != nil {
				return err
			}
			sounds = append(sounds, s)
		}
	}
	if len(sounds) > 24 {
		var some []Sound
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
			if s.Seconds() > longest.Seconds() {
				longest = s
			}
			if decode[i], err = m.few(func() error {
				_, err := audio.Decode(bytes.NewReader(s.File), audio.Limits{})
				return err
			}); err != nil {
				return err
			}
			if mel[i], err = m.few(func() error {
				_, err := audio.LogMelPadded(s.PCM, m.Model.Dims.NMels, 0)
				return err
			}); err != nil {
				return err
			}
		}
		speech, err = m.few(func() error {
			_, err := audio.FindSpeechContext(m.ctx, audio.NewLongTermDetector(), longest.PCM, audio.DefaultSpeechOptions())
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	of := func(i int) float64 { return sounds[i].Seconds() }
	l := &m.out.Loading
	fixed, perSecond := regress(of, decode)
	fixed2, perSecond2 := regress(of, mel)
	l.Seconds, l.Decode, l.Mel = figures(faster*(fixed+fixed2)), figures(faster*perSecond), figures(faster*perSecond2)
	l.Speech = figures(faster * speech / longest.Seconds())
	if err := m.measureBeside(sounds); err != nil {
		return err
	}
	return m.measureWake(sounds)
}

// few returns the mean of what something takes a few times.
func (m *bench) few(f func() error) (float64, error) {
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
func noise(seconds int) (Sound, error) {
	pcm := random(seconds * audio.SampleRate)
	file, err := audio.EncodeWAV(pcm)
	return Sound{File: file, PCM: pcm}, err
}
