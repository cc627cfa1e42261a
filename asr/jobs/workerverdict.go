package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// fate is what becomes of a message.
type fate uint8

const (
	acknowledged fate = iota // the job is final: it has a result, or was cancelled
	abandoned                // another worker has the job: nothing is said
	left                     // the job was ended by others, who delete the message: where they are lost, it comes again
	returned                 // to the queue at once: nothing is wrong with the job
	delayed                  // to the queue, for a while
	refused                  // no worker can do it
)

// verdict says what becomes of a message, and why.
type verdict struct {
	fate
	delay  time.Duration // of delayed
	reason string        // for the client; unless refused, it stands where there is no other delivery
}

// Causes for which the context of an attempt ends.
var (
	errDraining = errors.New("jobs: the worker is being shut down")
	errFaulty   = errors.New("jobs: the engine is at fault")
)

// absent is the error of what this worker has not, and another may have.
type absent struct{ what string }

func (e *absent) Error() string { return e.what }
func (e *absent) Unwrap() error { return asr.ErrNotFound }

// remembered is an error with a text for the client.
type remembered struct {
	error
	reason string
}

func (e *remembered) Unwrap() error { return e.error }

// delays are those before a message is delivered again: what a worker has not, another may have; one that is busy or fails is given
// time, twice as much each time.
type delays struct{ absent, first, most time.Duration }

var defaultDelays = delays{absent: 2 * time.Second, first: time.Second, most: time.Minute}

// What a client is told of what is nobody's fault but ours.
const (
	hiddenReason = "the worker failed at this job; its log says why"
	busyReason   = "the workers had no room for this job, or the broker no answer, each time that it was tried"
)

// judge returns what becomes of a message whose n-th delivery ended with an error or without one.
func (w *Worker) judge(err error, n int) verdict {
	growing := min(w.delays.first<<min(max(n-1, 0), 10), w.delays.most)
	var known *remembered
	switch {
	case err == nil, errors.Is(err, errEnded), errors.Is(err, errDuplicate):
		return verdict{fate: acknowledged}
	case errors.Is(err, errSuperseded):
		return verdict{fate: abandoned}
	case errors.Is(err, errDraining):
		return verdict{fate: returned, reason: "the worker was shut down"}
	case errors.Is(err, errFaulty):
		return verdict{fate: returned, reason: hiddenReason}
	case errors.As(err, &known) && errors.Is(err, asr.ErrInvalid):
		return verdict{fate: refused, reason: known.reason}
	case errors.As(err, &known):
		return verdict{fate: delayed, delay: growing, reason: known.reason}
	case errors.Is(err, asr.ErrNotFound), errors.Is(err, audio.ErrNoFFmpeg):
		return verdict{fate: delayed, delay: w.delays.absent, reason: plain(err)}
	case errors.Is(err, asr.ErrInternal):
		return verdict{fate: delayed, delay: growing, reason: hiddenReason}
	case errors.Is(err, asr.ErrBusy), errors.Is(err, asr.ErrCancelled):
		return verdict{fate: delayed, delay: growing, reason: busyReason}
	case errors.Is(err, asr.ErrInvalid):
		return verdict{fate: refused, reason: plain(err)}
	}
	if reason := soundReason(err, w.limits); reason != "" {
		return verdict{fate: refused, reason: reason}
	}
	return verdict{fate: delayed, delay: growing, reason: hiddenReason}
}

// soundReason says for the client what is wrong with sound, "" of other errors.
func soundReason(err error, limits asr.Limits) string {
	switch {
	case errors.Is(err, audio.ErrTooLong):
		return fmt.Sprintf("the sound lasts longer than %v, which is the most: cut it into parts", limits.Decoded)
	case errors.Is(err, audio.ErrTooLarge):
		return fmt.Sprintf("the file has more than %d bytes, which is the most", limits.JobBytes)
	case errors.Is(err, audio.ErrEmpty):
		return "the file holds no sound: " + plain(err)
	case errors.Is(err, audio.ErrTruncated), errors.Is(err, audio.ErrNotFinite):
		return "the sound is damaged: " + plain(err)
	case errors.Is(err, audio.ErrFormat):
		return plain(err) + "; read are flac, mp3, ogg (Opus, Vorbis), wav and webm, and with ffmpeg on the worker also m4a, mp4, aac and others"
	}
	return ""
}

// plain returns what an error says on one line, without the sentinels of our packages before it, and not without end.
func plain(err error) string {
	text := err.Error()
	for _, sentinel := range []error{asr.ErrInvalid, asr.ErrNotFound, asr.ErrBusy, asr.ErrCancelled} {
		text = strings.TrimPrefix(text, sentinel.Error()+": ")
	}
	for _, name := range []string{"asr: ", "audio: ", "whisper: ", "flora: ", "params: ", "jobs: "} {
		text = strings.TrimPrefix(text, name)
	}
	return clip(strings.Join(strings.Fields(text), " "))
}

// clip returns the beginning of a text.
func clip(text string) string {
	const most = 500 // bytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// insist does something of the broker again and again while that fails for a reason that passes, asr.ErrBusy: until ctx ends, whose cause
// then is the error, or for as long as a worker has patience with a broker that is there.
func (w *Worker) insist(ctx context.Context, do func() error) error {
	begun, retry := time.Now(), backoff{first: firstRetry, most: mostRetry}
	for {
		err := do()
		switch {
		case err == nil:
			w.broker.is(nil)
			return nil
		case errors.Is(err, asr.ErrBusy), errors.Is(err, asr.ErrCancelled):
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		default:
			return err
		}
		w.broker.is(err)
		if !w.s.nc.IsConnected() {
			begun = time.Now()
		}
		if time.Since(begun) > w.patience {
			return err
		}
		if !sleep(ctx, retry.next()) {
			return context.Cause(ctx)
		}
	}
}
