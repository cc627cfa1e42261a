package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"glossa/asr"
)

// jobEvent is an event of a job. Type is job where its state changed, segments where there are new ones, and done where nothing more comes.
type jobEvent struct {
	Type     string        `json:"type"`
	Job      jobObject     `json:"job"`
	Segments []asr.Segment `json:"segments,omitempty"`
}

// lastEvent is the id of the event done. A browser that has it and asks again, as it does whenever a stream ends, is told that there is no more
// (HTML Living Standard, section 9.2.3: 204). Any other Last-Event-ID is of no use: all is told again.
const lastEvent = "done"

// maxWatched is the number of streams of events at a time.
const maxWatched = 1000

// watchJob answers GET /v1/jobs/{id}/events. Until there is the first event, an error has a status of its own; behind it, the stream ends without
// the event done, upon which a browser asks again by itself.
func (s *Server) watchJob(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Last-Event-ID") == lastEvent {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	defer s.watched.Add(-1)
	if s.watched.Add(1) > maxWatched {
		return s.busy("as many jobs are watched as may be")
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	changes := s.changes(ctx, asr.ClientOf(ctx), r.PathValue("id"))
	e := &events{w: w, control: http.NewResponseController(w)}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for e.err == nil {
		select {
		case c, ok := <-changes:
			if !ok {
				return nil // the client has gone
			}
			if err := s.jobError(c.err); err != nil && !e.begun {
				return err
			} else if err != nil {
				s.logFault(ctx, s.answer(r, err))
				e.comment("the job cannot be watched now: ask again")
				return nil
			}
			if e.tellJob(c.event); c.event.Job.State.Final() {
				return nil
			}
		case <-tick.C:
			e.comment("still at it")
		case <-s.running.drained:
			e.comment("the server is being shut down: ask another, or again")
			return nil
		}
	}
	return nil
}

// change is what Watch yields.
type change struct {
	event asr.JobEvent
	err   error
}

// changes returns the changes of a job, until ctx ends.
func (s *Server) changes(ctx context.Context, client, id string) <-chan change {
	out := make(chan change)
	go func() {
		defer close(out)
		for event, err := range s.options.Jobs.Watch(ctx, client, id) {
			select {
			case out <- change{event, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// tellJob sends an event of a job.
func (e *events) tellJob(x asr.JobEvent) {
	event := jobEvent{Type: "job", Job: jobOf(x.Job), Segments: slices.Clone(x.Segments)}
	for i, s := range event.Segments {
		event.Segments[i] = sendable(s)
	}
	switch {
	case x.Job.State.Final():
		event.Type = "done"
		e.id = lastEvent
	case len(x.Segments) > 0:
		event.Type = "segments"
	}
	e.send(event)
}

// sendable returns a segment with numbers that JSON has.
func sendable(s asr.Segment) asr.Segment {
	s.AvgLogProb, s.CompressionRatio, s.NoSpeechProb = finite(s.AvgLogProb), finite(s.CompressionRatio), finite(s.NoSpeechProb)
	s.Words = slices.Clone(s.Words)
	for i := range s.Words {
		s.Words[i].Probability = finite(s.Words[i].Probability)
	}
	return s
}
