package train

import (
	"fmt"
	"math/rand/v2"

	"glossa/audio"
	"glossa/whisper"
)

// example is one utterance made ready: its frames and what to say about them.
type example struct {
	target
	mel     audio.Mel // an even number of frames
	seconds float64
}

// maker makes examples. It is safe for concurrent use.
type maker struct {
	dims     whisper.Dims
	data     *dataset
	clips    *clips
	target   targeter
	augment  Augment
	noSpeech float64
	join     float64
	seed     uint64
}

// make returns example number n, of entry e. Whatever is random in it depends on the seed and n.
func (k *maker) make(e entry, n uint64) (*example, error) {
	rng := newRand(k.seed, streamExample, n)
	pcm, err := k.clips.load(e.path)
	if err != nil {
		return nil, err
	}
	if rng.Float64() < k.noSpeech {
		return k.finish(k.augment.silence(rng), k.target.noSpeech(), rng)
	}
	sound, first := k.vary(e, pcm, rng)
	said := []spoken{first}
	for more := k.join > 0 && !e.identify; more && rng.Float64() < k.join; {
		sound, said, more = k.follow(sound, said, e.lang, rng)
	}
	x, err := k.finish(sound, k.describe(e, said, rng), rng)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.path, err)
	}
	return x, nil
}

// vary returns the sound of an entry, varied, and what is said in it.
func (k *maker) vary(e entry, pcm []float32, rng *rand.Rand) ([]float32, spoken) {
	other := func() []float32 {
		voice, err := k.clips.load(k.data.any(rng).path)
		if err != nil {
			return nil // a babble is as good with a voice less; the file is reported in its own turn
		}
		return voice
	}
	sound, start, end := k.augment.sound(pcm, rng, other)
	return sound, spoken{e.text, float64(start) / audio.SampleRate, float64(end) / audio.SampleRate}
}

// follow appends another utterance of the language to what is said, unless there is no room for it in the window or the text.
func (k *maker) follow(sound []float32, said []spoken, lang string, rng *rand.Rand) (_ []float32, _ []spoken, ok bool) {
	e := k.data.another(lang, rng)
	pcm, err := k.clips.load(e.path)
	if err != nil {
		return sound, said, false // the file is reported in its own turn
	}
	next, s := k.vary(e, pcm, rng)
	begin := float64(len(sound)) / audio.SampleRate
	more := append(said, spoken{s.text, begin + s.start, begin + s.end})
	tokens := 0
	for _, s := range more {
		tokens += len(k.target.tokenizer.Encode(" "+s.text))*3/2 + 2 // merges may be left out, and times may be told
	}
	if len(sound)+len(next) > k.dims.WindowFrames()*audio.HopLength || initialTokens+tokens > k.dims.NTextCtx {
		return sound, said, false
	}
	return append(sound, next...), more, true
}

// initialTokens is the number of tokens before a text.
const initialTokens = 4

// plain returns the example of entry e without variation, as the evaluation wants it.
func (k *maker) plain(e entry) (*example, error) {
	pcm, err := k.clips.load(e.path)
	if err != nil {
		return nil, err
	}
	plain := *k
	plain.augment, plain.target.timestamps, plain.target.dropout = Augment{}, 0, 0
	rng := newRand(k.seed, streamExample, 0)
	x, err := plain.finish(pcm, plain.describe(e, []spoken{{text: e.text}}, rng), rng)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.path, err)
	}
	return x, nil
}

// describe returns the target of an entry, or of several utterances from it on.
func (k *maker) describe(e entry, said []spoken, rng *rand.Rand) target {
	if e.identify {
		return k.target.language(e.lang)
	}
	return k.target.transcript(said, e.lang, rng)
}

// finish returns the example of sound, cut to an even number of frames, or filled up with silence to
// the window of a model that is served padded windows. It fails for one that is longer than the
// model's window or text.
func (k *maker) finish(sound []float32, t target, rng *rand.Rand) (*example, error) {
	const unit = audio.HopLength * whisper.FramesPerToken
	sound = sound[:len(sound)/unit*unit]
	if n := len(sound) / audio.HopLength; n > k.dims.WindowFrames() {
		return nil, fmt.Errorf("%w: %.1f s of sound, the model's window is %.1f s", ErrData, float64(n)/audio.FramesPerSec, k.dims.WindowSeconds())
	}
	if len(t.input) > k.dims.NTextCtx {
		return nil, fmt.Errorf("%w: %d tokens, the model takes %d", ErrData, len(t.input), k.dims.NTextCtx)
	}
	heard := sound
	if !k.dims.Unpadded {
		heard = audio.PadOrTrim(sound, k.dims.WindowFrames()*audio.HopLength)
	}
	mel, err := audio.LogMel(heard, k.dims.NMels)
	if err != nil {
		return nil, err
	}
	k.augment.spectrum(mel, rng)
	return &example{target: t, mel: mel, seconds: float64(len(sound)) / audio.SampleRate}, nil
}
