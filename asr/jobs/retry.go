package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// Retry queues a failed job again: its dead letter becomes a message as it was, and it goes on at its last window. The error is
// asr.ErrInvalid where it is not failed, or its dead letter is not kept any more.
func (s *Store) Retry(ctx context.Context, client, id string) (asr.Job, error) {
	r, err := s.readOf(ctx, client, id)
	if err != nil {
		return asr.Job{}, err
	}
	if r.State != asr.JobFailed {
		return asr.Job{}, fmt.Errorf("%w: job %s is %s: only one that has failed can be retried", asr.ErrInvalid, id, r.State)
	}
	raw, err := s.dead.GetLastMsgForSubject(ctx, subjectDead+id)
	if isGone(err) {
		return asr.Job{}, fmt.Errorf("%w: the message of job %s is not kept: submit it again", asr.ErrInvalid, id)
	}
	if err != nil {
		return asr.Job{}, brokerError("read the dead letter of "+id, err)
	}
	msg := &nats.Msg{Subject: cmp.Or(raw.Header.Get(headerSubject), subjectOf(r.Priority, r.Model)), Data: raw.Data, Header: nats.Header{}}
	keepHeaders(msg.Header, raw.Header)
	beginsAnew(msg, r)
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		return asr.Job{}, s.publishError(err)
	}
	left := remains{r.ID, r.Object, raw.Sequence}
	object := r.Object
	if ack.Duplicate { // of one that may have brought sound of its own
		if object, err = s.objectOf(ctx, ack.Sequence); isGone(err) {
			return s.Job(ctx, client, id)
		} else if err != nil {
			return asr.Job{}, brokerError(fmt.Sprintf("read message %d", ack.Sequence), err)
		}
	}
	r.beginAgain(object)
	r.Sequence = ack.Sequence
	err = s.write(ctx, r)
	if errors.Is(err, errFaster) { // a worker has begun it, or somebody else retried it
		return s.Job(ctx, client, id)
	}
	if err != nil {
		return asr.Job{}, err
	}
	s.forget(ctx, left, r.Object)
	s.tell(asr.JobEvent{Job: r.Job})
	return r.Job, nil
}

// keepHeaders copies what a publisher may say in headers.
func keepHeaders(to, from nats.Header) {
	for _, name := range []string{headerClient, headerAudio, headerTrace} {
		if v := from.Get(name); v != "" {
			to.Set(name, v)
		}
	}
}
