package jobs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/audio"
)

// sound is the file of a job: in memory where it came in its message, otherwise in a file without a name.
type sound struct {
	memory []byte
	file   *os.File
	size   int64
}

// spool returns sound in a file of its own, which is as long as r, or limit bytes.
func spool(dir string, r io.Reader, limit int64) (*sound, error) {
	f, err := os.CreateTemp(dir, "glossa-*.sound")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", asr.ErrInternal, err)
	}
	os.Remove(f.Name()) // so that nothing is left of it however the process ends; where that cannot be, close does it
	s := &sound{file: f}
	if s.size, err = io.Copy(f, io.LimitReader(r, limit)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sound) reader() io.Reader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return bytes.NewReader(s.memory)
}

func (s *sound) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}

// decode returns the samples of sound within the limits of a store.
func (w *Worker) decode(ctx context.Context, r io.Reader) ([]float32, error) {
	pcm, err := audio.DecodeContext(ctx, r, audio.Limits{MaxDuration: w.limits.Decoded, MaxBytes: w.limits.JobBytes})
	return pcm.Samples, err
}

// sound gets the sound of a job. What is wrong with it is asr.ErrInvalid; all other errors may be gone when it is tried again.
func (w *Worker) sound(ctx context.Context, m MessageAudio) (*sound, error) {
	switch {
	case m.Object != nil:
		return w.object(ctx, *m.Object)
	case m.URL != "":
		return w.fetched(ctx, m.URL)
	}
	return &sound{memory: m.Inline, size: int64(len(m.Inline))}, nil
}

// fetched gets the file behind an address. Few are got at a time, for each is in memory once.
func (w *Worker) fetched(ctx context.Context, url string) (*sound, error) {
	if w.o.Fetch == nil {
		return nil, fmt.Errorf("%w: this server gets no sound from addresses: submit the file itself", asr.ErrInvalid)
	}
	select {
	case w.fetching <- struct{}{}:
		defer func() { <-w.fetching }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	b, err := w.o.Fetch(ctx, url, w.limits.JobBytes)
	if err != nil {
		return nil, &remembered{err, "the sound could not be got from its address: " + plain(err)}
	}
	return spool(w.o.TempDir, bytes.NewReader(b), w.limits.JobBytes)
}

// How long the broker may take for an object: so long, and the time that its bytes take at that rate.
const (
	objectTime = 30 * time.Second
	objectRate = 1 << 20 // bytes a second
)

// object gets sound from an object store, again where that fails for a reason that passes.
func (w *Worker) object(ctx context.Context, o Object) (s *sound, err error) {
	err = w.insist(ctx, func() error {
		type result struct {
			s   *sound
			err error
		}
		done := make(chan result, 1)
		go func() {
			s, err := w.readObject(ctx, o)
			done <- result{s, err}
		}()
		select {
		case r := <-done:
			s = r.s
			return r.err
		case <-ctx.Done(): // which the library does not heed while no bytes come
			go func() {
				if r := <-done; r.s != nil {
					r.s.close()
				}
			}()
			return context.Cause(ctx)
		}
	})
	return s, err
}

func (w *Worker) readObject(ctx context.Context, o Object) (*sound, error) {
	store := w.s.audio
	if o.Bucket != bucketAudio {
		var err error
		if store, err = w.s.js.ObjectStore(ctx, o.Bucket); errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrInvalidStoreName) {
			return nil, fmt.Errorf("%w: audio: there is no object store %q", asr.ErrInvalid, clip(o.Bucket))
		} else if err != nil {
			return nil, brokerError("open the object store "+o.Bucket, err)
		}
	}
	info, err := store.GetInfo(ctx, o.Name)
	if errors.Is(err, jetstream.ErrObjectNotFound) || errors.Is(err, jetstream.ErrNameRequired) {
		return nil, fmt.Errorf("%w: audio: the object store has no %q, or not any more", asr.ErrInvalid, clip(o.Name))
	} else if err != nil {
		return nil, brokerError("find the sound", err)
	}
	if info.Size > uint64(w.limits.JobBytes) {
		return nil, fmt.Errorf("%w: the file has %d bytes, and may have %d: cut it into parts, or store it as FLAC or Opus", asr.ErrInvalid, info.Size, w.limits.JobBytes)
	}
	if o.Digest != "" && !sameDigest(o.Digest, info.Digest) {
		return nil, errDigest
	}
	ctx, cancel := context.WithTimeout(ctx, objectTime+time.Duration(info.Size/objectRate)*time.Second)
	defer cancel()
	r, err := store.Get(ctx, o.Name)
	if err != nil {
		return nil, brokerError("send the sound", err)
	}
	defer r.Close()
	var got counter
	sum := sha256.New()
	s, err := spool(w.o.TempDir, io.TeeReader(r, io.MultiWriter(sum, &got)), w.limits.JobBytes)
	switch {
	case errors.Is(err, asr.ErrInternal):
		return nil, err
	case uint64(got) < info.Size: // whatever the error, which may be that of a digest
		if err == nil {
			s.close()
		}
		return nil, brokerError("send all of the sound", cmp.Or(err, io.ErrUnexpectedEOF))
	case err == nil && sameDigest(info.Digest, "SHA-256="+base64.URLEncoding.EncodeToString(sum.Sum(nil))):
		return s, nil
	case err == nil:
		s.close()
	case !errors.Is(err, jetstream.ErrDigestMismatch):
		return nil, brokerError("send the sound", err)
	}
	return nil, errDigest
}

// counter counts bytes that are written to it.
type counter uint64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// errDigest says that sound is not what was submitted.
var errDigest = fmt.Errorf("%w: audio: the stored sound is not the one that was submitted: its digest is another", asr.ErrInvalid)

// sameDigest compares digests as NATS has them, SHA-256=base64, with or without padding.
func sameDigest(a, b string) bool {
	clean := func(s string) string {
		return strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "=")
	}
	return clean(a) == clean(b)
}
