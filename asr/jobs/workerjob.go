package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/audio"
)

// attempt is one delivery of a job's message, and what is done for it.
type attempt struct {
	w         *Worker
	msg       jetstream.Msg
	priority  asr.Priority
	delivered int // of how many deliveries this is the last
	cancel    context.CancelCauseFunc
	endBeat   func()
	log       *slog.Logger

	job     asr.Job // once it is claimed: Attempts is the number of this one, otherwise 0
	last    *record // its record as this attempt last wrote it
	windows bool    // some may be stored
}

// do does what a message asks for, within ctx.
func (w *Worker) do(ctx context.Context, msg jetstream.Msg, p asr.Priority) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := &attempt{w: w, msg: msg, priority: p, cancel: cancel, log: w.log}
	if meta, err := msg.Metadata(); err == nil {
		a.delivered = int(meta.NumDelivered)
	}
	defer w.running.remove(a)
	a.endBeat = sync.OnceFunc(a.beat())
	defer a.endBeat()
	leave, err := a.pass(ctx)
	if err == nil {
		defer leave()
		err = a.try(ctx)
	}
	if fault := w.engineFault(); fault != nil && err != nil && !isOver(err) {
		w.fail(fault)
		err = errFaulty
	}
	a.conclude(ctx, w.judge(err, a.delivered), err)
}

// isOver reports whether an error says that an attempt has nothing more to do: the job is final, or another's.
func isOver(err error) bool {
	return errors.Is(err, errEnded) || errors.Is(err, errDuplicate) || errors.Is(err, errSuperseded)
}

// beat tells the broker that the attempt goes on, until end is called.
func (a *attempt) beat() (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(a.w.s.ackWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				a.w.beat(a.msg) // where the broker is away, its library keeps it until it is back
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-ended }
}

// try does the job. Where ctx ended, the error is its cause.
func (a *attempt) try(ctx context.Context) error {
	var m *Message
	err := a.w.insist(ctx, func() (err error) {
		m, a.last, err = a.w.s.claim(ctx, a.msg, a.w.o.Name)
		a.job = a.last.Job
		return err
	})
	a.log = a.log.With("job", a.job.ID, "deliveries", a.delivered)
	if err != nil {
		a.job.Attempts = 0
		return err
	}
	a.w.running.add(a)
	began := time.Now()
	result, err := a.transcribe(ctx, m)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	ctx, cancel := lasting(ctx)
	defer cancel()
	err = a.w.insist(ctx, func() error {
		_, err := a.w.s.finishDone(ctx, a.last, result, a.windows)
		return err
	})
	if err == nil {
		a.log.Info("the job is done", "attempt", a.job.Attempts, "audio_seconds", result.Duration, "language", result.Language, "adapter", result.Adapter,
			"duration", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// transcribe returns the result of a job that is claimed.
func (a *attempt) transcribe(ctx context.Context, m *Message) (*asr.Result, error) {
	w := a.w
	if m.Model != "" && !slices.Contains(w.o.Models, m.Model) {
		return nil, &absent{fmt.Sprintf("no worker that was asked has the model %q", clip(m.Model))}
	}
	q, err := w.o.Request(ctx, a.job.Client, m.Params)
	if err != nil {
		return nil, err
	}
	sound, err := w.sound(ctx, m.Audio)
	if err != nil {
		return nil, err
	}
	defer sound.close()
	var resume []asr.Checkpoint
	if a.windows = a.job.Attempts > 1; a.windows {
		if err := w.insist(ctx, func() (err error) { resume, err = w.s.storedWindows(ctx, a.job.ID); return err }); err != nil {
			return nil, err
		}
	}
	q.Priority, q.Client = a.priority, a.job.Client
	result, err := a.hear(ctx, q, sound, newTrail(a, resume, false))
	if len(resume) == 0 || ctx.Err() != nil || !errors.Is(err, asr.ErrInvalid) && !errors.Is(err, asr.ErrNotFound) {
		return result, err
	}
	a.log.Warn("the stored windows do not fit what the worker has: the job begins anew", "windows", len(resume), "error", err)
	return a.hear(ctx, q, sound, newTrail(a, nil, true)) // the windows stay until there is one in their place
}

// dropWindows deletes what earlier attempts have stored.
func (a *attempt) dropWindows(ctx context.Context) error {
	if _, err := a.w.s.attemptOf(ctx, a.job.ID, a.job.Attempts); err != nil {
		return err
	}
	if err := a.w.s.windows.Purge(ctx, jetstream.WithPurgeSubject(subjectWindows+a.job.ID)); err != nil {
		return brokerError("drop the windows of "+a.job.ID, err)
	}
	return nil
}

// hear has the engine transcribe sound behind windows that are stored, and stores those that it comes to.
func (a *attempt) hear(ctx context.Context, q asr.Request, s *sound, t *trail) (*asr.Result, error) {
	storing, cancel := lasting(ctx)
	defer cancel()
	go t.run(storing)
	q.Audio = func() ([]float32, error) {
		pcm, err := a.w.decode(ctx, s.reader())
		if err == nil {
			t.heard(float64(len(pcm)) / audio.SampleRate)
		}
		return pcm, err
	}
	q.Checkpoint, q.Resume = t.offer, t.resume
	result, err := a.w.o.Engine.Transcribe(ctx, q)
	if err != nil {
		t.stop(!isOver(context.Cause(ctx)))
		return nil, err
	}
	t.stop(false)
	a.last.untold = t.untold
	return result, nil
}

// conclude tells the store and then the broker what becomes of the message.
func (a *attempt) conclude(ctx context.Context, v verdict, err error) {
	ctx, cancel := lasting(ctx)
	defer cancel()
	log := a.log.With("error", err)
	if v.fate == delayed && a.delivered >= maxDeliver {
		v.fate = refused // there is no other delivery
	}
	if v.fate == returned && a.delivered >= maxDeliver && errors.Is(err, errDraining) && a.requeue(ctx) {
		v.fate = acknowledged
	}
	switch v.fate {
	case returned, delayed:
		v, err = a.giveBack(ctx, v, err)
	case refused:
		v, err = a.refuse(ctx, v, err)
	}
	if errors.Is(err, errEnded) && a.job.Attempts > 0 {
		v = verdict{fate: left, delay: a.w.delays.first} // whoever ended it does the rest, and where they are lost, whoever gets it then
		a.dropLate(ctx)
	}
	a.endBeat() // for a beat would take back what is said now
	switch v.fate {
	case acknowledged:
		a.acknowledge(ctx)
	case abandoned:
		log.Warn("another worker has the job")
	case returned:
		log.Info("the job is given back")
		a.said(a.msg.Nak())
	case left:
		a.said(a.msg.NakWithDelay(v.delay))
	case delayed:
		log.Warn("the job is put off", "delay", v.delay)
		a.said(a.msg.NakWithDelay(v.delay))
	case refused:
		log.Warn("the job has failed", "reason", v.reason)
		a.said(a.msg.TermWithReason(v.reason))
	}
}

// dropLate deletes a window that was stored when the job had ended already.
func (a *attempt) dropLate(ctx context.Context) {
	if r, err := a.w.s.read(ctx, a.job.ID); err == nil && (r.State == asr.JobDone || r.State == asr.JobCancelled) {
		a.w.s.purge(ctx, a.w.s.windows, subjectWindows+a.job.ID)
	}
}

// refuse makes the job a failed one, and returns what becomes of its message then, and why.
func (a *attempt) refuse(ctx context.Context, v verdict, why error) (verdict, error) {
	err := a.w.insist(ctx, func() error {
		_, err := a.w.s.finishFailed(ctx, a.msg, a.job.Attempts, v.reason)
		return err
	})
	if err != nil {
		return a.w.judge(err, a.delivered), err
	}
	return v, why
}

// giveBack writes into the record that nobody is at the job, and why that is: the reason stands where it is not delivered again. It returns what
// becomes of the message then, which is not given back where it is another's, and why.
func (a *attempt) giveBack(ctx context.Context, v verdict, why error) (verdict, error) {
	if a.job.Attempts == 0 {
		return v, why
	}
	err := a.w.insist(ctx, func() error { return a.w.s.giveBack(ctx, a.job.ID, a.job.Attempts, v.reason) })
	switch {
	case isOver(err):
		return a.w.judge(err, a.delivered), err
	case err != nil:
		a.log.Warn("the record does not say that the job is given back", "error", err)
	}
	return v, why
}

// requeue queues the job once more in place of its last delivery, and reports whether it did: that workers were shut down in the midst of it
// does not make it a dead letter. Until the new message is there, the record names none, so that either may be the job's.
func (a *attempt) requeue(ctx context.Context) bool {
	s, n, sequence := a.w.s, a.job.Attempts, uint64(0)
	if n == 0 {
		return false
	}
	wait := func(r *record) error {
		r.State, r.Worker, r.Sequence = asr.JobQueued, "", sequence
		return nil
	}
	err := a.w.insist(ctx, func() error {
		_, err := s.change(ctx, a.job.ID, func(r *record) error { return errors.Join(r.mine(n), wait(r)) })
		return err
	})
	if err != nil {
		return false
	}
	msg := &nats.Msg{Subject: a.msg.Subject(), Data: a.msg.Data(), Header: nats.Header{}}
	keepHeaders(msg.Header, a.msg.Headers())
	msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s:again:%d", a.job.ID, n))
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		a.log.Warn("the job was not queued once more, and is a dead letter now", "error", err)
		return false
	}
	sequence = ack.Sequence
	s.change(ctx, a.job.ID, func(r *record) error {
		if r.Attempts != n || r.State != asr.JobQueued {
			return errSuperseded // it has begun
		}
		return wait(r)
	})
	return true
}

// acknowledge acknowledges the message, and waits until the broker has heard it. One that did not delivers it again, and it is found to
// be done.
func (a *attempt) acknowledge(ctx context.Context) {
	a.said(a.w.insist(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, lastTime)
		defer cancel()
		if err := a.msg.DoubleAck(ctx); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			return brokerError("hear that a job is done", err)
		}
		return nil
	}))
}

// said takes the error of what the broker was told about the message. It delivers it again after a while.
func (a *attempt) said(err error) {
	if err != nil {
		a.w.broker.is(brokerError("hear of a message", err))
	}
}

// lasting returns a context that ends some time after ctx, so that what is done may be stored.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(longer, lastTime) {
			cancel(context.Cause(ctx))
		}
	})
	return longer, func() {
		stop()
		cancel(nil)
	}
}
