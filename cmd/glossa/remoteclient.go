package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
)

// remoteClient sends recordings to a server's /v1/audio/transcriptions. It is safe for concurrent use.
type remoteClient struct {
	server string
	header http.Header
	client *http.Client
}

func newRemoteClient(server string, key serverKey) *remoteClient {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = bulkRequests
	return &remoteClient{server, key.header(), &http.Client{Transport: transport}}
}

// remoteRequest is one recording.
type remoteRequest struct {
	name      string
	open      func() (io.ReadCloser, error) // may be called again
	translate bool
	plain     bool       // text alone is wanted
	fields    url.Values // beside file and response_format
}

// remoteResult is the answer to a request for json or verbose_json.
type remoteResult struct {
	asr.Result
	Code  string     `json:"language_code"`
	Words []asr.Word `json:"words"` // of all segments, without the spaces before them
}

// format returns the format of the answer.
func (q *remoteRequest) format() string {
	if q.plain {
		return "json"
	}
	return "verbose_json"
}

// errServer is the error of a server that refused a request.
var errServer = errors.New("the server refused")

// Retries of requests that a server has no room for.
const (
	maxTries     = 8
	maxRetryWait = 30 * time.Second
)

// patiently calls do until its error is none that may pass, or patience ends, and returns the last error.
func patiently(ctx context.Context, passing func(error) bool, do func() error) error {
	for failing, pause := time.Now(), time.Second; ; pause = min(2*pause, maxRetryWait) {
		err := do()
		if err == nil || ctx.Err() != nil || !passing(err) || time.Since(failing) > patience {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// transcribe returns the text of a recording. Where the server is busy or restarts, it tries again after the time that
// the server says. The error is a laterError where it has no room all the while.
func (r *remoteClient) transcribe(ctx context.Context, q remoteRequest) (*asr.Result, error) {
	for try := 1; ; try++ {
		result, again, err := r.try(ctx, q)
		if err == nil || again == 0 || ctx.Err() != nil {
			return result, err
		}
		if try == maxTries {
			return nil, &laterError{again, err}
		}
		if err := sleep(ctx, min(again, maxRetryWait)); err != nil {
			return nil, err
		}
	}
}

// try sends a request. Where it may succeed later, again is how long to wait.
func (r *remoteClient) try(ctx context.Context, q remoteRequest) (result *asr.Result, again time.Duration, err error) {
	file, err := q.open()
	if err != nil {
		return nil, 0, reason(err)
	}
	defer file.Close()
	fields := maps.Clone(q.fields)
	if fields == nil {
		fields = make(url.Values)
	}
	fields.Set("response_format", q.format())
	body, contentType := multipartBody(file, q.name, fields)
	defer body.Close()
	path := "/v1/audio/transcriptions"
	if q.translate {
		path = "/v1/audio/translations"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server+path, body)
	if err != nil {
		return nil, 0, err
	}
	request.Header = r.header.Clone()
	request.Header.Set("Content-Type", contentType)
	response, err := r.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, 0, unreachable(r.server, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, retryAfter(response), refusal(response)
	}
	var answer remoteResult
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, 0, fmt.Errorf("%s: its answer is no verbose_json: %w", r.server, err)
	}
	return answer.result(), 0, nil
}

// multipartBody returns a form of a file and fields, written while it is read.
func multipartBody(file io.Reader, name string, fields url.Values) (body io.ReadCloser, contentType string) {
	read, write := io.Pipe()
	form := multipart.NewWriter(write)
	go func() {
		err := func() error {
			for name, values := range fields {
				for _, v := range values {
					if err := form.WriteField(name, v); err != nil {
						return err
					}
				}
			}
			part, err := form.CreateFormFile("file", filepath.Base(name))
			if err != nil {
				return err
			}
			if _, err := io.Copy(part, file); err != nil {
				return err
			}
			return form.Close()
		}()
		write.CloseWithError(err) // nil is io.EOF
	}()
	return read, form.FormDataContentType()
}

// retryAfter returns how long to wait before a request is sent again, 0 where it would be refused again.
func retryAfter(r *http.Response) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	return time.Second
}

// refusedError is what a server says of a request that it refused.
type refusedError struct {
	status, message string
	code            string // "" where the server gave none
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%v: %s: %s", errServer, e.status, e.message)
}
func (e *refusedError) Unwrap() error { return errServer }

// refusal returns what a server says of a request that it refused, in OpenAI's shape.
func refusal(r *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		return err
	}
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Code    string `json:"code"`
		} `json:"error"`
	}
	message := strings.TrimSpace(string(text))
	if json.Unmarshal(text, &answer) == nil && answer.Error.Message != "" {
		message = answer.Error.Message
	}
	return &refusedError{r.Status, message, answer.Error.Code}
}

// result returns the result, each segment with its words.
func (a *remoteResult) result() *asr.Result {
	r := a.Result
	r.Language = a.Code
	if r.Segments == nil && r.Text != "" {
		r.Segments = []asr.Segment{{Text: r.Text}}
	}
	next := 0
	for i := range r.Segments {
		s := &r.Segments[i]
		for at := 0; next < len(a.Words); next++ {
			w := a.Words[next]
			found := strings.Index(s.Text[at:], w.Word)
			if found < 0 || strings.TrimSpace(s.Text[at:at+found]) != "" {
				break // of the next segment
			}
			w.Word = s.Text[at : at+found+len(w.Word)]
			at += len(w.Word)
			s.Words = append(s.Words, w)
		}
	}
	return &r
}
