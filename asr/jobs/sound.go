package jobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// putSound puts sound into a message, or into an object where it is long, whose name it returns. Each submission has an object of its own:
// one that fails takes nobody else's away.
func (s *Store) putSound(ctx context.Context, id string, m *Message, sound asr.JobAudio) (object string, err error) {
	r, size := sound.Reader()
	if size <= maxInline {
		if m.Audio.Inline, err = io.ReadAll(r); err != nil {
			return "", fmt.Errorf("%w: the sound cannot be read: %w", asr.ErrInternal, err)
		}
		if m.size() <= s.nc.MaxPayload()-messageRoom {
			return "", nil
		}
		if m.Audio.Inline = nil; size == 0 {
			return "", fmt.Errorf("%w: the job is longer than the broker's messages, %d bytes", asr.ErrInvalid, s.nc.MaxPayload())
		}
	}
	r, _ = sound.Reader()
	o, err := s.putFile(ctx, id, r)
	if err != nil {
		return "", err
	}
	m.Audio.Inline, m.Audio.Object = nil, o
	return o.Name, nil
}

// putObject stores sound of a job under a new name.
func (s *Store) putObject(ctx context.Context, id string, sound []byte) (*Object, error) {
	return s.putFile(ctx, id, bytes.NewReader(sound))
}

// putFile is putObject of sound that is read to its end.
func (s *Store) putFile(ctx context.Context, id string, sound io.Reader) (*Object, error) {
	var random [8]byte
	rand.Read(random[:])
	object := id + "." + hex.EncodeToString(random[:])
	// Put clears up behind itself with its context, which therefore outlives ctx: the reader ends with that.
	info, err := s.audio.Put(context.WithoutCancel(ctx), jetstream.ObjectMeta{Name: object}, readerWith{ctx, sound})
	if err != nil {
		s.deleteSound(object)
		return nil, s.publishError(err)
	}
	return &Object{Bucket: bucketAudio, Name: object, Digest: info.Digest}, nil
}

// readerWith reads as long as a context lasts.
type readerWith struct {
	ctx context.Context
	io.Reader
}

func (r readerWith) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// soundOfFirst returns the object of the message of which another was a duplicate, and deletes that one's own.
func (s *Store) soundOfFirst(ctx context.Context, sequence uint64, own string) (string, error) {
	first, err := s.objectOf(ctx, sequence)
	if err != nil && !isGone(err) { // which sound counts is not known: that of nobody is swept away
		return "", brokerError(fmt.Sprintf("read message %d", sequence), err)
	}
	if first != own {
		s.deleteSound(own)
	}
	return first, nil
}

// objectOf returns the object of the message with a sequence, "" where it has none.
func (s *Store) objectOf(ctx context.Context, sequence uint64) (string, error) {
	raw, err := s.message(ctx, sequence)
	if err != nil {
		return "", err
	}
	if m, _ := parseMessage(raw.Data); m.Audio.Object != nil && m.Audio.Object.Bucket == bucketAudio {
		return m.Audio.Object.Name, nil
	}
	return "", nil
}

// undo deletes the sound of a submission that has come to nothing, and returns why.
func (s *Store) undo(object string, why error) error {
	if object != "" {
		s.deleteSound(object)
	}
	return why
}

// deleteSound deletes an object of asr_audio, if it is there, and also what ObjectStore.Delete leaves: a message that says that it was
// there. Where that fails, the sweep of Run does it.
func (s *Store) deleteSound(object string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	info, err := s.audio.GetInfo(ctx, object, jetstream.GetObjectInfoShowDeleted())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return
	}
	if err == nil {
		err = s.sound.Purge(ctx, jetstream.WithPurgeSubject(subjectOfChunks+info.NUID))
	}
	if err == nil {
		err = s.sound.Purge(ctx, jetstream.WithPurgeSubject(subjectOfMeta+base64.URLEncoding.EncodeToString([]byte(object))))
	}
	if err != nil {
		s.log.Warn("the sound of a job was not deleted", "object", object, "error", err)
	}
}

// Subjects of an object store: see NATS's ADR-20.
const (
	subjectOfChunks = "$O." + bucketAudio + ".C." // NUID
	subjectOfMeta   = "$O." + bucketAudio + ".M." // base64 of the name
)
