package audio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// streamedWAVBlock is how many bytes of a WAV file are decoded at a time.
const streamedWAVBlock = 1 << 11

// NewFileStream returns a stream of the bytes of a file, in pieces of any size. The container is told by its first
// bytes; those that are read without ffmpeg are: Ogg and Matroska/WebM, of Opus or Vorbis, WAV, FLAC and MP3. They may
// be recordings that go on: sizes and ends are not needed. What follows the sound in a file is not looked at.
func NewFileStream(maxDuration time.Duration, emit func(pcm []float32) error) *Stream {
	s := newStream(maxDuration, emit)
	s.sink.wavBlock = streamedWAVBlock
	in := &pieceReader{}
	var result error
	finished := false
	// The decoder is a coroutine: it goes on where bytes come, and stands still where it needs more.
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		in.more = func() bool { return yield(struct{}{}) }
		result = decodeStreamed(in, s.sink)
	})
	s.stop = stop
	s.write = func(piece []byte) error {
		if finished {
			return nil
		}
		in.piece = piece
		if _, goesOn := next(); !goesOn {
			finished, s.err = true, result
		}
		return s.err
	}
	s.end = func() error {
		in.ended = true
		for !finished {
			_, goesOn := next()
			finished = !goesOn
		}
		if result != nil && errors.Is(result, ErrTruncated) && s.sink.frames > 0 {
			return nil // cut off
		}
		return result
	}
	return s
}

// decodeStreamed decodes the file in r into s as its bytes come.
func decodeStreamed(r io.Reader, s *sink) error {
	const longestMagic = 12
	br := bufio.NewReaderSize(r, 1<<12)
	head, err := br.Peek(longestMagic)
	if len(head) == 0 {
		return fmt.Errorf("%w: no bytes", ErrEmpty)
	}
	if err != nil && err != io.EOF {
		return fmt.Errorf("audio: read: %w", err)
	}
	switch {
	case has(head, 0, "OggS"):
		return decodeOgg(br, s)
	case has(head, 0, ebmlMagic):
		return decodeMatroska(br, s)
	case has(head, 0, "fLaC"):
		return decodeFLAC(br, s)
	case has(head, 8, "WAVE"):
		return decodeWAV(br, s)
	case has(head, 0, "ID3"), has(head, 0, "\xff") && len(head) > 1 && head[1]&0xe0 == 0xe0:
		if has(head, 0, "ID3") {
			if err := skipID3(br, head); err != nil {
				return err
			}
		}
		return decodeMP3(br, s)
	}
	return fmt.Errorf("%w: %s; as a stream Ogg, WebM, WAV, FLAC and MP3 are read", ErrFormat, unknown(head, false))
}

// errStopped: the stream was stopped while a decoder waited for bytes.
var errStopped = errors.New("audio: stream stopped")

// pieceReader reads the pieces of a stream. Where it has read one, it calls more, which returns when there is another
// or the stream has ended, and false where it was stopped.
type pieceReader struct {
	piece []byte
	ended bool
	more  func() bool
}

func (r *pieceReader) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if !r.more() {
			return 0, errStopped
		}
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}
