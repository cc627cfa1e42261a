package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"glossa/asr"
)

// remoteJobs are the jobs of a server, by its routes /v1/jobs.
type remoteJobs struct {
	server string
	header http.Header
	client *http.Client
}

func newRemoteJobs(server string, key serverKey) *remoteJobs {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = submitters + waiters
	return &remoteJobs{server, key.header(), &http.Client{Transport: transport}}
}

// laterError is the error of what may succeed later.
type laterError struct {
	after time.Duration // that the server asked for, 0 where it said nothing
	error
}

func (e *laterError) Unwrap() error { return e.error }

// call sends a request and decodes its answer into to. It wraps the errors of asr that statuses stand for.
func (r *remoteJobs) call(ctx context.Context, method, path string, header http.Header, body io.Reader, to any) (status int, err error) {
	response, err := r.send(ctx, method, path, header, body)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(to); err != nil {
		return 0, r.broken(ctx, err)
	}
	return response.StatusCode, nil
}

// send sends a request and returns its answer, whose status is 2xx.
func (r *remoteJobs) send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.server+path, body)
	if err != nil {
		return nil, err
	}
	request.Header = r.header.Clone()
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, r.broken(ctx, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	err = refusal(response)
	switch response.StatusCode {
	case http.StatusTooManyRequests:
		kind := asr.ErrBusy // too many requests
		if refused := (*refusedError)(nil); errors.As(err, &refused) && refused.code == queueFull {
			kind = asr.ErrQueueFull
		}
		err = &laterError{retryAfter(response), &kindError{kind, err}}
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusRequestTimeout:
		err = &laterError{retryAfter(response), &kindError{asr.ErrBusy, err}}
	case http.StatusNotFound:
		err = &kindError{asr.ErrNotFound, err}
	}
	return nil, err
}

// queueFull is the code of a 429 that says that as many jobs wait as may; others say that there are too many requests.
const queueFull = "queue_full"

// broken is the error of a connection: of a server that is not there, or has gone, which may come back.
func (r *remoteJobs) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if wrong := (*fileError)(nil); errors.As(err, &wrong) {
		return wrong
	}
	passes := func(of error) bool { return errors.Is(err, of) }
	var slow net.Error
	if slices.ContainsFunc(passing, passes) || errors.As(err, &slow) && slow.Timeout() {
		return r.cut(err)
	}
	return unreachable(r.server, err)
}

// kindError is an error of a kind that is for the program, and not told.
type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

// passing are errors of connections to a server that is being started again.
var passing = []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF}

// cut is the error of a connection that may come back.
func (r *remoteJobs) cut(err error) error {
	return &laterError{0, &kindError{asr.ErrBusy, unreachable(r.server, err)}}
}

// fileError is the error of a file that cannot be read while it is sent.
type fileError struct{ error }

func (e *fileError) Unwrap() error { return e.error }

// sentFile is a file whose errors are told apart from those of the connection.
type sentFile struct{ f *os.File }

func (s sentFile) Read(p []byte) (int, error) {
	n, err := s.f.Read(p)
	if err != nil && err != io.EOF {
		err = &fileError{badFile(err)}
	}
	return n, err
}

// submit is POST /v1/jobs.
func (r *remoteJobs) submit(ctx context.Context, q asr.Submission, file string) (j asr.Job, created bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return j, false, badFile(err)
	}
	defer f.Close()
	fields := make(url.Values)
	maps.Copy(fields, q.Params)
	for name, value := range map[string]string{"model": q.Model, "priority": q.Priority.String(), "callback_url": q.Callback} {
		if value != "" {
			fields.Set(name, value)
		}
	}
	header := make(http.Header)
	if q.Key != "" {
		header.Set("Idempotency-Key", q.Key)
	}
	if q.Again {
		fields.Set("again", "true")
	}
	body, contentType := multipartBody(sentFile{f}, q.Name, fields)
	defer body.Close()
	header.Set("Content-Type", contentType)
	status, err := r.call(ctx, http.MethodPost, "/v1/jobs", header, body, &j)
	return j, status == http.StatusAccepted, err
}

func (r *remoteJobs) job(ctx context.Context, id string) (j asr.Job, err error) {
	_, err = r.call(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id), nil, nil, &j)
	return j, err
}

func (r *remoteJobs) list(ctx context.Context, q asr.JobQuery) (page asr.JobPage, err error) {
	query := make(url.Values)
	for _, s := range q.States {
		query.Add("state", string(s))
	}
	if q.Model != "" {
		query.Set("model", q.Model)
	}
	if q.After != "" {
		query.Set("after", q.After)
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	var answer struct {
		Data []asr.Job `json:"data"`
		Next string    `json:"next"`
	}
	_, err = r.call(ctx, http.MethodGet, "/v1/jobs?"+query.Encode(), nil, nil, &answer)
	return asr.JobPage{Jobs: answer.Data, Next: answer.Next}, err
}

func (r *remoteJobs) result(ctx context.Context, id string) (*asr.Result, error) {
	var answer remoteResult
	if _, err := r.call(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id)+"/result?format=verbose_json", nil, nil, &answer); err != nil {
		return nil, err
	}
	return answer.result(), nil
}

func (r *remoteJobs) cancel(ctx context.Context, id string) (j asr.Job, err error) {
	_, err = r.call(ctx, http.MethodDelete, "/v1/jobs/"+url.PathEscape(id), nil, nil, &j)
	return j, err
}

func (r *remoteJobs) retry(ctx context.Context, id string) (j asr.Job, err error) {
	_, err = r.call(ctx, http.MethodPost, "/v1/jobs/"+url.PathEscape(id)+"/retry", nil, nil, &j)
	return j, err
}

func (r *remoteJobs) close() { r.client.CloseIdleConnections() }

func (r *remoteJobs) follow(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return r.watch(ctx, id)
}

// watch is GET /v1/jobs/{id}/events, server-sent events whose data are JobEvents.
func (r *remoteJobs) watch(ctx context.Context, id string) iter.Seq2[asr.JobEvent, error] {
	return func(yield func(asr.JobEvent, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		header := http.Header{"Accept": {"text/event-stream"}}
		response, err := r.send(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(id)+"/events", header, nil)
		if err != nil {
			yield(asr.JobEvent{}, err)
			return
		}
		defer response.Body.Close()
		for data, err := range serverSentEvents(response.Body) {
			if err != nil && ctx.Err() == nil && !errors.Is(err, bufio.ErrTooLong) { // whatever broke it: HTTP/2 has errors of its own
				yield(asr.JobEvent{}, r.cut(err))
				return
			}
			var e struct {
				asr.JobEvent
				Error *struct {
					Message string `json:"message"`
				} `json:"error"`
			}
			if err == nil {
				err = json.Unmarshal(data, &e)
			}
			switch {
			case err != nil:
				err = r.broken(ctx, err)
			case e.Error != nil:
				err = fmt.Errorf("%w: %w: %s", asr.ErrBusy, errServer, e.Error.Message)
			}
			if err != nil {
				yield(asr.JobEvent{}, err)
				return
			}
			if !yield(e.JobEvent, nil) || e.Job.State.Final() {
				return
			}
		}
		yield(asr.JobEvent{}, r.broken(ctx, io.ErrUnexpectedEOF))
	}
}

// maxEventBytes is the greatest size of an event.
const maxEventBytes = 64 << 20

// serverSentEvents yields the data of events (HTML, section 9.2.6), those alone that have some.
func serverSentEvents(from io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewScanner(from)
		lines.Buffer(nil, maxEventBytes)
		var data []byte
		for lines.Scan() {
			line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
			if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				data = append(append(data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
			}
			if len(line) == 0 && len(data) > 0 {
				if !yield(bytes.TrimSuffix(data, []byte("\n")), nil) {
					return
				}
				data = nil
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, err)
		}
	}
}
