// Package audio turns the bytes of a sound file into what Whisper listens to:
//
//	bytes -> Decode -> PCM (16 kHz mono) -> LogMel -> Mel (frames of 10 ms) -> Mel.Window
//
// # Units
//
//   - sample: one float32 at SampleRate (16 kHz), mono, full scale ±1 (an integer sample of b bits is divided by 2^(b-1)).
//   - frame: one row of a Mel, HopLength samples = 10 ms apart. (A WAV or FLAC specification calls one sample of every
//     channel a frame too; here that is a "sample frame".)
//   - log-mel value: (max(log10 power, peak-8) + 4)/4, dimensionless, about -1.5 to 2.
//   - Source.Rate is in Hz, Source.Channels counts channels, durations are time.Duration.
//
// # Formats
//
// Decode sniffs by content, never by name, behind ID3v2 tags and, for MP3, behind junk:
//
//   - RIFF/WAVE, RF64 and BW64 with PCM of 8 to 32 bits, floating point, A-law and µ-law (wav.go);
//   - native FLAC, by mewkiz/flac (flac.go);
//   - MP3 of MPEG-1 and MPEG-2, by hajimehoshi/go-mp3, without the delay and padding of its encoder (mp3.go);
//   - Opus in Ogg and in Matroska/WebM, mono and stereo, by pion/opus: pre-skip, end and output gain are honoured (opus.go, ogg.go,
//     matroska.go);
//   - Vorbis in the same containers, by jfreymuth/vorbis (vorbis.go).
//
// The first audio track of all else that carries sound is decoded by the program ffmpeg (ffmpeg.go): M4A and MP4, bare AAC, the other
// codecs of Ogg and Matroska, MPEG 2.5 and layer II, AIFF, CAF, AMR, WMA and so on. Without it on the PATH they are ErrNoFFmpeg. What is
// no sound is ErrFormat, with the name of what was found where it can be told.
//
// Input is untrusted: no header makes it allocate or panic, and Limits bounds what one input may cost.
//
// Where a recording or a stream holds speech, a Detector tells: NewLongTermDetector's needs no weights, a Silero's is the network of
// Silero VAD. FindSpeech and SpeechStream make spans of what it tells (vad.go).
//
// The log-mel spectrogram follows Whisper (Radford et al. 2022, section 2.2, and whisper/audio.py of openai/whisper).
package audio

import "errors"

// SampleRate is the rate in Hz of all samples outside the file decoders.
const SampleRate = 16000

// The reasons for which audio is refused. Errors of this package wrap one of them, or the reader's own error.
var (
	// ErrFormat: the input is not audio, or of a container or codec that this package does not read, or malformed.
	ErrFormat = errors.New("audio: unsupported or malformed format")
	// ErrNoFFmpeg: the input is sound of a kind that is left to ffmpeg.
	ErrNoFFmpeg = errors.New("audio: ffmpeg is not on the PATH")
	// ErrTruncated: the input ends before what its own header promises.
	ErrTruncated = errors.New("audio: truncated")
	// ErrEmpty: the input holds no bytes, or no samples, or fewer than the operation needs.
	ErrEmpty = errors.New("audio: empty")
	// ErrTooLong: the input lasts longer than Limits.MaxDuration.
	ErrTooLong = errors.New("audio: too long")
	// ErrTooLarge: the input has more bytes than Limits.MaxBytes.
	ErrTooLarge = errors.New("audio: too large")
	// ErrNotFinite: a sample is NaN or infinite.
	ErrNotFinite = errors.New("audio: sample is NaN or infinite")
)
