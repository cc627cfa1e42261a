package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Submit submits a job, and returns it. !created: it was there before. A job that is known by its sound, model and params, and has failed or
// was cancelled, is begun anew, with the sound that comes now; one that is known by a Key is what it is, and Retry begins it anew.
//
// Where the error is asr.ErrQueueFull, nothing is left behind. Where the broker did not answer in time the job may be
// there all the same: who submits it once more gets it.
func (s *Store) Submit(ctx context.Context, q asr.Submission) (j asr.Job, created bool, err error) {
	n := submission{Submission: q}
	n.Model = cmp.Or(q.Model, s.o.Model)
	if err := n.check(s.o.Limits.JobBytes); err != nil {
		return asr.Job{}, false, err
	}
	if err := n.identify(); err != nil {
		return asr.Job{}, false, err
	}
	if !q.Again {
		n.before, err = s.read(ctx, n.id)
		switch {
		case errors.Is(err, asr.ErrNotFound):
			n.before = nil
		case err != nil:
			return asr.Job{}, false, err
		case q.Key != "" && !n.sameAs(n.before):
			return asr.Job{}, false, fmt.Errorf("%w: %.100q", asr.ErrKeyReused, q.Key)
		case q.Key != "" || n.before.State != asr.JobFailed && n.before.State != asr.JobCancelled:
			s.o.Metrics.JobSubmitted(n.before.Priority, true)
			return n.before.Job, false, nil
		}
	}
	if err := s.makeConsumers(ctx, n.Model); err != nil {
		return asr.Job{}, false, err
	}
	r, created, err := s.queue(ctx, &n)
	if err != nil {
		return asr.Job{}, false, err
	}
	s.o.Metrics.JobSubmitted(r.Priority, !created)
	return r.Job, created, nil
}

// submission is what becomes a job.
type submission struct {
	asr.Submission
	id      string
	content string  // of what makes the text: the model, the params and the sound
	before  *record // failed or cancelled, and begun anew; or nil
}

// sameAs reports whether a record is of a job that was asked for in the same way, as far as it is known.
func (n *submission) sameAs(r *record) bool {
	return r.Content == "" || r.Content == n.content && r.Callback == n.Callback && r.Priority == n.Priority
}

// check reports what is wrong with a submission that the message does not tell. The error is asr.ErrInvalid.
func (n *submission) check(jobBytes int64) error {
	switch {
	case n.Model == "":
		return fmt.Errorf("%w: no model is named", asr.ErrInvalid)
	case n.Priority > asr.Bulk:
		return fmt.Errorf("%w: priority %d is none of live, normal, bulk", asr.ErrInvalid, n.Priority)
	case n.Client == AnyClient || len(n.Client) > maxClient || strings.ContainsFunc(n.Client, isControl) || strings.TrimSpace(n.Client) != n.Client:
		return fmt.Errorf("%w: client %.100q: want %d bytes of text at most, without spaces around it, and not %s", asr.ErrInvalid, n.Client, maxClient, AnyClient)
	case len(n.Key) > maxName:
		return fmt.Errorf("%w: the key has %d bytes: want %d at most", asr.ErrInvalid, len(n.Key), maxName)
	case len(n.TraceParent) > maxTrace || strings.ContainsFunc(n.TraceParent, isControl):
		return fmt.Errorf("%w: traceparent: want %d bytes of text at most", asr.ErrInvalid, maxTrace)
	case !(n.Seconds >= 0) || math.IsInf(n.Seconds, 1):
		return fmt.Errorf("%w: the sound has %v s", asr.ErrInvalid, n.Seconds)
	case n.Audio.File != nil && n.Audio.Size <= 0:
		return fmt.Errorf("%w: the file is empty", asr.ErrInvalid)
	}
	if _, size := n.Audio.Reader(); size > jobBytes {
		return fmt.Errorf("%w: the file has %d bytes: the limit of a job (limit-job-bytes) is %d", asr.ErrInvalid, size, jobBytes)
	}
	m := n.message()
	if m.Audio.Inline = n.Audio.Bytes; n.Audio.File != nil {
		m.Audio.Object = &Object{Bucket: bucketAudio, Name: "file"} // as it may become
	}
	return m.check()
}

// message returns the message without sound that is not somewhere else.
func (n *submission) message() *Message {
	return &Message{JobID: n.id, Name: n.Name, Model: n.Model, Params: n.Params, Callback: n.Callback, Content: n.content, Audio: MessageAudio{URL: n.Audio.URL}}
}

// identify sets the content and the job's id: of the client and its key, or the client and the content, or a random one, which no other can have
// and for which the sound is not read.
func (n *submission) identify() error {
	if n.Again {
		var b [16]byte
		rand.Read(b[:])
		n.id = hex.EncodeToString(b[:])
		return nil
	}
	sound := sha256.New()
	r, _ := n.Audio.Reader()
	if _, err := io.Copy(sound, r); err != nil {
		return fmt.Errorf("%w: the sound cannot be read: %w", asr.ErrInternal, err)
	}
	params, _ := json.Marshal(n.Params) // sorted by name
	n.content = digest([]byte(n.Model), params, sound.Sum(nil), []byte(n.Audio.URL))
	if n.Key != "" {
		n.id = digest([]byte("key"), []byte(n.Client), []byte(n.Key))
	} else {
		n.id = digest([]byte("content"), []byte(n.Client), []byte(n.content))
	}
	return nil
}

// digest returns 16 bytes of the SHA-256 of parts, in hexadecimal.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		binary.Write(h, binary.BigEndian, int64(len(p)))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// queue stores the sound, publishes the message and writes the record.
func (s *Store) queue(ctx context.Context, n *submission) (*record, bool, error) {
	var left remains
	if n.before != nil {
		var err error
		if left, err = s.remainsOf(ctx, n.before); err != nil {
			return nil, false, err
		}
	}
	m := n.message()
	object, err := s.putSound(ctx, n.id, m, n.Audio)
	if err != nil {
		return nil, false, err
	}
	msg, err := m.envelope(n.Priority, n.Client, n.Seconds, n.TraceParent)
	if err != nil {
		return nil, false, s.undo(object, err)
	}
	if n.before != nil {
		beginsAnew(msg, n.before)
	}
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		err = s.publishError(err)
		if isRefused(err) {
			err = s.undo(object, err)
		}
		return nil, false, err
	}
	if ack.Duplicate {
		if err := s.sameMessage(ctx, n, ack.Sequence); err != nil {
			return nil, false, s.undo(object, err)
		}
	}
	if ack.Duplicate && object != "" {
		if object, err = s.soundOfFirst(ctx, ack.Sequence, object); err != nil {
			return nil, false, err
		}
	}
	r := &record{Object: object, Sequence: ack.Sequence, Content: n.content, Job: asr.Job{ID: n.id, Client: n.Client, Name: n.Name, Model: n.Model, Priority: n.Priority,
		Params: n.Params, State: asr.JobQueued, Audio: n.Seconds, Callback: n.Callback, Created: time.Now().UTC()}}
	return s.record(ctx, r, n.before, left, ack.Duplicate)
}

// sameMessage reports that the message of which a submission's was a duplicate asks for something else: both came at a time, with one key. The
// error is asr.ErrKeyReused. Of a message that is gone, or not known, the record tells.
func (s *Store) sameMessage(ctx context.Context, n *submission, sequence uint64) error {
	if n.Key == "" {
		return nil
	}
	raw, err := s.message(ctx, sequence)
	if err != nil {
		return nil
	}
	if m, _ := parseMessage(raw.Data); m.Content != n.content || m.Callback != n.Callback || raw.Subject != subjectOf(n.Priority, n.Model) {
		return fmt.Errorf("%w: %.100q", asr.ErrKeyReused, n.Key)
	}
	return nil
}

// record writes the record of a message that is published, unless a worker or another submission was faster, whose it then returns. The job is new
// where its message is no duplicate, whoever wrote the record.
func (s *Store) record(ctx context.Context, r, before *record, left remains, duplicate bool) (*record, bool, error) {
	var err error
	if before == nil {
		err = s.create(ctx, r)
	} else {
		r.revision, r.Attempts, r.Again = before.revision, before.Attempts, before.Again+1
		err = s.write(ctx, r)
	}
	if errors.Is(err, errExists) || errors.Is(err, errFaster) {
		there, err := s.read(ctx, r.ID)
		return there, !duplicate, err
	}
	if err != nil {
		return nil, false, err
	}
	s.forget(ctx, left, r.Object)
	s.tell(asr.JobEvent{Job: r.Job})
	return r, !duplicate, nil
}

// beginsAnew makes a message one that a failed or cancelled job is begun anew by, once for each time that it ended.
func beginsAnew(msg *nats.Msg, before *record) {
	revision := strconv.FormatUint(before.revision, 10)
	msg.Header.Set(nats.MsgIdHdr, before.ID+":"+revision)
	msg.Header.Set(headerAgain, revision)
}

// errRefused says that the broker did not take a message: asr.ErrBusy.
var errRefused = fmt.Errorf("%w: the broker takes no more jobs for now", asr.ErrBusy)

func isRefused(err error) bool {
	return errors.Is(err, errRefused) || errors.Is(err, asr.ErrQueueFull) || errors.Is(err, asr.ErrInvalid)
}

// publishError returns the error of a message or of sound that was not stored.
func (s *Store) publishError(err error) error {
	switch {
	case isCode(err, codeNotStored) && strings.Contains(err.Error(), "maximum messages"):
		return fmt.Errorf("%w: %d jobs (limit-jobs); try again later", asr.ErrQueueFull, s.maxJobs)
	case isCode(err, codeNotStored, codeNoStorage, codeNoResources):
		return fmt.Errorf("%w: its storage is full: %w", errRefused, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: %w", errRefused, err)
	case errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
		return fmt.Errorf("%w: the job is longer than the broker's messages, %d bytes", asr.ErrInvalid, s.nc.MaxPayload())
	default:
		return brokerError("store the job", err)
	}
}

// models remembers whose consumers are there, so that they are not made for each job.
type models struct {
	mu   sync.Mutex
	made map[string]time.Time
}

// makeConsumers makes the consumers of a model, at least once in five minutes.
func (s *Store) makeConsumers(ctx context.Context, model string) error {
	s.models.mu.Lock()
	at := s.models.made[model]
	s.models.mu.Unlock()
	if time.Since(at) < 5*time.Minute {
		return nil
	}
	if at.IsZero() {
		if err := s.roomFor(ctx, model); err != nil {
			return err
		}
	}
	if _, err := s.consumers(ctx, model); err != nil {
		return brokerError("make the queue of model "+model, err)
	}
	s.models.mu.Lock()
	s.models.made[model] = time.Now()
	s.models.mu.Unlock()
	return nil
}

// maxModels is the number of models that have queues: clients may make names up.
const maxModels = 1000

// roomFor reports whether a model has its queues, or may get them. The errors are asr.ErrInvalid and ErrBusy.
func (s *Store) roomFor(ctx context.Context, model string) error {
	if _, err := s.jobs.Consumer(ctx, consumerOf(asr.Normal, model)); err == nil {
		return nil
	}
	info, err := s.jobs.Info(ctx)
	if err != nil {
		return brokerError("count the models", err)
	}
	if most := cmp.Or(s.o.maxModels, maxModels); info.State.Consumers >= most*len(priorities) {
		return fmt.Errorf("%w: model %q: there are queues of %d models already", asr.ErrInvalid, model, most)
	}
	return nil
}
