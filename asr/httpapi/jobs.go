package httpapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"glossa/asr"
	"glossa/asr/params"
)

// Jobs is what this package needs of what keeps jobs. A client sees its own alone: those of others are asr.ErrNotFound. Errors are further
// asr.ErrInvalid, asr.ErrBusy where jobs cannot be reached now, and asr.ErrCancelled.
type Jobs interface {
	// Submit submits a job; !created: it was there before. Errors are also asr.ErrQueueFull and asr.ErrKeyReused.
	Submit(ctx context.Context, q asr.Submission) (j asr.Job, created bool, err error)

	Job(ctx context.Context, client, id string) (asr.Job, error)
	Jobs(ctx context.Context, client string, q asr.JobQuery) (asr.JobPage, error)

	// Result returns the result of a job that is done. The error is asr.ErrInvalid where it is not.
	Result(ctx context.Context, client, id string) (*asr.Result, error)

	// Cancel ends a job that is not final, Retry queues a failed one again. The error is asr.ErrInvalid where it is final, or is not failed.
	Cancel(ctx context.Context, client, id string) (asr.Job, error)
	Retry(ctx context.Context, client, id string) (asr.Job, error)

	// Watch yields the present state of a job with all of its segments, and then its changes, until it is final or ctx ends. An error is the last.
	Watch(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error]
}

// jobObject is a job as it is sent.
type jobObject struct {
	Object string `json:"object"` // job
	asr.Job
}

func jobOf(j asr.Job) jobObject { return jobObject{"job", j} }

// jobList is a part of a list of jobs, in the shape of OpenAI's lists. Next is the parameter after of the next part.
type jobList struct {
	Object  string      `json:"object"` // list
	Data    []jobObject `json:"data"`
	HasMore bool        `json:"has_more"`
	Next    string      `json:"next,omitempty"`
}

// withJobs makes a handler of one that needs jobs.
func (s *Server) withJobs(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		if s.options.Jobs == nil {
			return &apiError{status: http.StatusServiceUnavailable, code: "no_jobs", message: "this server keeps no jobs: its configuration has to turn them on"}
		}
		return f(w, r)
	})
}

// maxJobsListed is the greatest number of jobs in a part of a list.
const maxJobsListed = 1000

// listJobs answers GET /v1/jobs.
func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := s.jobQuery(r.URL.Query())
	if err != nil {
		return err
	}
	page, err := s.options.Jobs.Jobs(r.Context(), asr.ClientOf(r.Context()), q)
	if err != nil {
		return s.jobError(err)
	}
	list := jobList{Object: "list", Data: make([]jobObject, 0, len(page.Jobs)), HasMore: page.Next != "", Next: page.Next}
	for _, j := range page.Jobs {
		list.Data = append(list.Data, jobOf(j))
	}
	return writeJSON(w, http.StatusOK, list)
}

// jobQuery reads which jobs are listed.
func (s *Server) jobQuery(values url.Values) (q asr.JobQuery, err error) {
	f := params.NewFields(asr.Params(values))
	states := []asr.JobState{asr.JobQueued, asr.JobRunning, asr.JobDone, asr.JobFailed, asr.JobCancelled}
	for _, name := range f.List("state") {
		if q.States = append(q.States, asr.JobState(name)); !slices.Contains(states, asr.JobState(name)) {
			f.Fail("state", "%q is none of queued, running, done, failed, cancelled", params.Clip(name))
		}
	}
	if q.Model, _ = f.Text("model"); s.isModel(q.Model) {
		q.Model = s.options.Models[0]
	}
	q.After, _ = f.Text("after")
	if text, ok := f.Text("limit"); ok {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxJobsListed {
			f.Fail("limit", "%q is not a whole number from 1 to %d", params.Clip(text), maxJobsListed)
		}
	}
	return q, f.End()
}

// showJob answers GET /v1/jobs/{id}.
func (s *Server) showJob(w http.ResponseWriter, r *http.Request) error {
	j, err := s.jobAsked(r)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, jobOf(j))
}

// jobAsked returns the job that the path of a request names.
func (s *Server) jobAsked(r *http.Request) (asr.Job, error) {
	j, err := s.options.Jobs.Job(r.Context(), asr.ClientOf(r.Context()), r.PathValue("id"))
	if err != nil {
		return j, s.jobError(err)
	}
	return j, nil
}

// cancelJob answers DELETE /v1/jobs/{id}.
func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request) error {
	j, err := s.options.Jobs.Cancel(r.Context(), asr.ClientOf(r.Context()), r.PathValue("id"))
	if errors.Is(err, asr.ErrInvalid) {
		return s.wrongState(r, "a job that is %s cannot be cancelled")
	}
	if err != nil {
		return s.jobError(err)
	}
	return writeJSON(w, http.StatusOK, jobOf(j))
}

// retryJob answers POST /v1/jobs/{id}/retry.
func (s *Server) retryJob(w http.ResponseWriter, r *http.Request) error {
	j, err := s.options.Jobs.Retry(r.Context(), asr.ClientOf(r.Context()), r.PathValue("id"))
	if errors.Is(err, asr.ErrInvalid) {
		return s.wrongState(r, "a job that is %s cannot be tried again, only one that has failed")
	}
	if err != nil {
		return s.jobError(err)
	}
	return writeJSON(w, http.StatusAccepted, jobOf(j))
}

// wrongState returns the answer to what a job's state does not allow. The job is in it.
func (s *Server) wrongState(r *http.Request, format string) error {
	j, err := s.jobAsked(r)
	if err != nil {
		return err
	}
	return conflict(j, fmt.Sprintf(format, j.State))
}

func conflict(j asr.Job, message string) *apiError {
	sent := jobOf(j)
	return &apiError{status: http.StatusConflict, code: "job_" + string(j.State), message: message, job: &sent}
}

// jobError returns how an error of jobs is answered, nil of none.
func (s *Server) jobError(err error) error {
	switch {
	case errors.Is(err, asr.ErrNotFound):
		return &apiError{status: http.StatusNotFound, code: "job_not_found", message: "there is no such job"}
	case errors.Is(err, asr.ErrKeyReused):
		return &apiError{status: http.StatusUnprocessableEntity, param: idempotencyKey, code: "idempotency_key_reused", message: "the " + idempotencyKey + " was sent before, with a job that asks for something else"}
	case errors.Is(err, asr.ErrQueueFull):
		e := s.busy("as many jobs wait as may: try again later")
		e.code = "queue_full"
		return e
	case errors.Is(err, asr.ErrBusy):
		return &apiError{status: http.StatusServiceUnavailable, code: "jobs_unavailable", message: "jobs cannot be reached now: try again later", retryAfter: s.options.RetryAfter, cause: err}
	}
	return err
}

// jobResult answers GET /v1/jobs/{id}/result.
func (s *Server) jobResult(w http.ResponseWriter, r *http.Request) error {
	f := params.NewFields(asr.Params(r.URL.Query()))
	format := f.Choice("format", formats[:len(formats)-1]...)
	if err := f.End(); err != nil {
		return err
	}
	j, err := s.jobAsked(r)
	if err != nil {
		return err
	}
	switch j.State {
	case asr.JobDone:
	case asr.JobFailed:
		return conflict(j, "the job has failed: "+j.Reason)
	default:
		return conflict(j, fmt.Sprintf("the job is %s: there is no result", j.State))
	}
	result, err := s.options.Jobs.Result(r.Context(), asr.ClientOf(r.Context()), j.ID)
	if err != nil {
		return s.jobError(err)
	}
	want := &wanted{format: format, segments: true}
	if q, err := s.reader().Request(r.Context(), j.Params); err == nil { // a later version may know more params
		want.request = q
	}
	want.words = slices.ContainsFunc(result.Segments, func(s asr.Segment) bool { return s.Words != nil })
	return want.write(w, result)
}
