package asr

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"glossa/audio"
	"glossa/whisper"
)

// recording is a request on its way through the engine: upstream's transcribe() as a state that
// takes one decoded window at a time. Its next window begins at frame seek.
type recording struct {
	request  Request
	decoding Decoding // with defaults
	model    *whisper.Model
	spectra  *spectra // nil where log-mels are computed without
	mel      audio.Mel
	content  int      // frames of audio in mel, without padding
	clips    [][2]int // frames from and to
	clip     int      // the one that seek is in
	seek     int
	prefix   []int32
	prompt   prompt
	window   window
	windows  int // that are done
	result   Result
	whole    *parallel // the recording that this one is a window of, nil where it is itself
	part     int       // index of that window

	job    *job
	task   TaskID
	ticket int      // in the decoding batch, -1 outside
	on     *station // the device that its window is on, or was last; nil before
	losses int      // devices that failed while it was on them

	lastSpeech float64 // where the words so far end, in seconds

	// Of checkpoints.
	kept   int    // segments that they have
	sum    string // of the last
	behind *state // of the last one that the recording goes on behind
}

// newRecording checks all of a request but its audio. The error is ErrInvalid.
func newRecording(q Request, m *whisper.Model) (*recording, error) {
	r := &recording{request: q, decoding: q.Decoding.withDefaults(), model: m}
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
	}
	switch d := q.Decoding; {
	case q.SwitchLanguage && q.Language != "" && q.Language != Auto:
		return nil, invalid("language %q of a recording that may switch it", q.Language)
	case q.Timestamps && d.WithoutTimestamps:
		return nil, invalid("timestamps of a decoding without them")
	case q.Words != nil && !(q.Words.SilenceThreshold >= 0):
		return nil, invalid("silence threshold of %v s", q.Words.SilenceThreshold)
	case q.Silent != nil && (q.Speech != nil || q.Mel != nil):
		return nil, invalid("silence is asked for beside speech or a log-mel")
	case q.Clips != nil && q.Speech != nil:
		return nil, invalid("clips of a recording whose speech is looked for")
	case !validClips(q.Clips):
		return nil, invalid("clips %v", q.Clips)
	case d.Prefix != "" && d.Hotwords != "":
		return nil, invalid("hotwords beside a prefix")
	case d.Prefix != "" && len(d.PrefixTokens) > 0:
		return nil, invalid("a prefix as text and as tokens")
	case d.InitialPrompt != "" && len(d.PromptTokens) > 0:
		return nil, invalid("an initial prompt as text and as tokens")
	case q.Mel != nil && q.Speech != nil:
		return nil, invalid("a log-mel of a recording whose speech is looked for")
	}
	if err := r.setLanguages(); err != nil {
		return nil, invalid("%w", err)
	}
	if r.prefix = q.Decoding.PrefixTokens; len(r.prefix) == 0 {
		r.prefix = asSpoken(m, q.Decoding.Prefix)
	}
	r.prompt = newPrompt(r.decoding, m)
	for _, t := range slices.Concat(r.decoding.Temperatures, []float64{0, 1}) { // what belongs to either is always checked
		if err := m.CheckOptions(r.windowOptions(t)); err != nil {
			return nil, invalid("%w", err)
		}
	}
	return r, nil
}

// setLanguages finds the codes of the languages that the request names, which the model must know.
func (r *recording) setLanguages() error {
	t := r.model.Tokenizer
	code := func(name string) (string, error) {
		c, ok := whisper.LanguageCode(name)
		if !ok {
			return "", fmt.Errorf("%w: %q", whisper.ErrLanguage, name)
		}
		if !t.Knows(c) {
			return "", fmt.Errorf("%w: %q", whisper.ErrLanguage, c)
		}
		return c, nil
	}
	allowed := make([]string, len(r.request.Languages))
	for i, name := range r.request.Languages {
		c, err := code(name)
		if err != nil {
			return err
		}
		allowed[i] = c
	}
	r.request.Languages = allowed
	if name := r.request.Language; name != "" && name != Auto {
		c, err := code(name)
		r.result.Language = c
		return err
	}
	if !t.Multilingual() {
		r.result.Language, r.request.SwitchLanguage = "en", false
	}
	return nil
}

// validClips reports whether times are finite, not negative, and no clip ends before it starts.
func validClips(times []float64) bool {
	for i, t := range times {
		if !(t >= 0) || math.IsInf(t, 1) || i%2 == 1 && t < times[i-1] {
			return false
		}
	}
	return true
}

// load computes the log-mel of the samples: with a window of silence behind them where the model
// was trained on padded windows, as upstream's transcribe does; and begins. The error is ErrInvalid.
func (r *recording) load(pcm []float32) error {
	r.result.Duration = float64(len(pcm)) / audio.SampleRate
	mel, err := r.logMel(pcm)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return r.begin(mel)
}

// logMel returns the log-mel of samples that are the recording, or a window of one.
func (r *recording) logMel(pcm []float32) (audio.Mel, error) {
	if r.spectra == nil {
		return audio.LogMelPadded(pcm, r.model.Dims.NMels, melPadding(r.model))
	}
	all := len(pcm)
	if r.whole != nil {
		all = len(r.whole.samples)
	}
	return r.spectra.logMel(pcm, melPadding(r.model), all)
}

// melPadding returns the samples of silence behind a recording's log-mel.
func melPadding(m *whisper.Model) int {
	if m.Dims.Unpadded {
		return 0
	}
	return m.Dims.WindowFrames() * audio.HopLength
}

// loadMel takes the log-mel that the request has. The error is ErrInvalid where it is none of the model's.
func (r *recording) loadMel() error {
	mel, err := r.request.Mel()
	if err != nil {
		return err
	}
	d := r.model.Dims
	if mel.NMels != d.NMels || mel.Content() < 1 || len(mel.Data) != mel.Frames*mel.NMels || !d.Unpadded && mel.Padding < d.WindowFrames() {
		return fmt.Errorf("%w: a log-mel of %d filters, %d frames and %d of padding", ErrInvalid, mel.NMels, mel.Content(), mel.Padding)
	}
	r.result.Duration = frameTime(mel.Content())
	if err := r.goOn(mel.Data); err != nil {
		return err
	}
	return r.begin(mel)
}

// begin moves to the first window of a log-mel that is to be decoded. The error is ErrInvalid.
func (r *recording) begin(mel audio.Mel) error {
	r.mel, r.content = mel, mel.Content()
	r.clips, r.clip = r.clipFrames(), 0
	r.moveTo(0)
	return r.place()
}

// clipFrames returns the clips in frames, none of them longer than the recording.
func (r *recording) clipFrames() [][2]int {
	points := []int{}
	for _, t := range r.request.Clips {
		points = append(points, int(min(math.RoundToEven(t*framesPerSecond), float64(r.content))))
	}
	if len(points) == 0 {
		points = append(points, 0)
	}
	if len(points)%2 == 1 {
		points = append(points, r.content)
	}
	var clips [][2]int
	for pair := range slices.Chunk(points, 2) {
		clips = append(clips, [2]int(pair))
	}
	return clips
}

// moveTo lets the next window begin at a frame, or where the next clip begins if the frame is
// behind its own.
func (r *recording) moveTo(seek int) {
	if r.seek, r.window = seek, (window{}); seek > 0 && len(r.request.Decoding.PrefixTokens) > 0 {
		r.prefix = nil // which is that of the first window
	}
	if !r.request.SwitchLanguage {
		r.window.language = r.result.Language
	}
	for ; !r.finished(); r.clip++ {
		clip := r.clips[r.clip]
		if r.seek = max(r.seek, clip[0]); r.seek < clip[1] {
			return
		}
		r.seek = 0
	}
}

// soundSeconds returns the duration of a recording that was read, of all of it where it is decoded in windows side by side.
func (r *recording) soundSeconds() float64 {
	if p := r.job.parallel; p != nil {
		return p.duration()
	}
	return r.result.Duration
}

func (r *recording) finished() bool { return r.clip == len(r.clips) }

// ended reports whether there is nothing more to decode.
func (r *recording) ended() bool { return r.result.Err != nil || r.finished() }

// long reports whether a clip of the recording takes more than one window.
func (r *recording) long() bool {
	return slices.ContainsFunc(r.clips, func(c [2]int) bool { return c[1]-c[0] > r.model.Dims.WindowFrames() })
}

// size returns the frames of audio in the window.
func (r *recording) size() int {
	return min(r.clips[r.clip][1]-r.seek, r.model.Dims.WindowFrames())
}

// windowMel returns the log-mel of the window, padded with zeros where the model wants it.
func (r *recording) windowMel() audio.Mel {
	w := r.mel.Slice(r.seek, r.seek+r.size())
	if r.model.Dims.Unpadded {
		return w
	}
	return w.Window(0, r.model.Dims.WindowFrames())
}

// languageMel returns the log-mel that the language is detected from, and whether it is that of
// the window. As upstream has it, that of a recording comes from its beginning, whose padding is
// silence and not zeros.
func (r *recording) languageMel() (mel audio.Mel, ofWindow bool) {
	n := r.model.Dims.WindowFrames()
	if r.model.Dims.Unpadded {
		n = min(n, r.content)
	}
	if r.request.SwitchLanguage || r.seek == 0 && r.size() == n {
		return r.windowMel(), true
	}
	return r.mel.Slice(0, n), false
}

// encodeFrames returns the frames of what is encoded next: the window, or what its language is
// detected from.
func (r *recording) encodeFrames() int {
	n := r.model.Dims.WindowFrames()
	switch {
	case !r.model.Dims.Unpadded:
		return n
	case r.window.language == "" && !r.request.SwitchLanguage:
		return min(n, r.content)
	}
	return r.size()
}

// bytes returns the greatest memory of a whole window at any of the temperatures.
func (r *recording) bytes() int {
	n := 0
	for _, t := range r.decoding.Temperatures {
		n = max(n, r.model.WindowBytes(r.model.Dims.WindowFrames(), r.windowOptions(t)))
	}
	return n
}

// temperature returns the temperature that the window is decoded at.
func (r *recording) temperature() float64 { return r.decoding.Temperatures[r.window.attempt] }

// decodeOptions returns how the window is decoded.
func (r *recording) decodeOptions() whisper.DecodeOptions {
	o := r.windowOptions(r.temperature())
	o.Language, o.Seed = r.window.language, r.decoding.seed(r.seek, r.window.attempt)
	o.WithoutTimestamps = o.WithoutTimestamps || !r.request.Timestamps && !r.long()
	return o
}

// windowOptions returns how the next window is decoded at a temperature, as far as the request
// says.
func (r *recording) windowOptions(temperature float64) whisper.DecodeOptions {
	o := r.decoding.options(temperature)
	o.Task, o.Prompt, o.Prefix = r.request.Task, r.prompt.window(), r.prefix
	return o
}

// forget drops the sound of a recording that has ended.
func (r *recording) forget() { r.mel = audio.Mel{} }

// close assembles the text of the recording.
func (r *recording) close() {
	r.result.Text = strings.TrimSpace(r.model.Tokenizer.Decode(r.spokenTokens()))
}

// spokenTokens returns the tokens of all segments.
func (r *recording) spokenTokens() []int32 { return r.prompt.tokens[r.prompt.initial:] }
