package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
)

// Bounds of a submission beside its file: what a job is kept as is one message.
const (
	maxJobFields = 64 << 10 // bytes of all params together
	maxJobModel  = 64       // bytes of the name of a model
	maxJobJSON   = 8 << 20  // bytes of a body that is JSON, which is held in memory
)

// submitJob answers POST /v1/jobs.
func (s *Server) submitJob(w http.ResponseWriter, r *http.Request) error {
	form, err := s.readJob(w, r)
	if err != nil {
		return err
	}
	defer form.close()
	q, err := s.submission(r, form)
	if err != nil {
		return err
	}
	j, created, err := s.options.Jobs.Submit(r.Context(), *q)
	if err != nil {
		return s.jobError(err)
	}
	w.Header().Set("Location", "/v1/jobs/"+j.ID)
	status := http.StatusOK
	if created {
		status = http.StatusAccepted
	}
	return writeJSON(w, status, jobOf(j))
}

// readJob reads a submission: a form, or an object of JSON with the same names, whose file is audio, in base64.
func (s *Server) readJob(w http.ResponseWriter, r *http.Request) (*form, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/json" {
		return s.readJobJSON(w, r)
	}
	logged(r).body.allow(time.Duration(s.bodyTime(r) * float64(s.options.BodyTimeout)))
	return s.readForm(w, r, s.options.Limits.JobBytes)
}

func (s *Server) readJobJSON(w http.ResponseWriter, r *http.Request) (*form, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, errCompressed
	}
	limit := min(maxJobJSON, s.options.Limits.JobBytes/3*4+maxFormBytes)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, &apiError{status: http.StatusRequestEntityTooLarge, code: "body_too_large", message: fmt.Sprintf("a body of JSON may have %d bytes: send a larger file as multipart/form-data, or its url", limit)}
	}
	if e := bodyError(err); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	f := new(form)
	if err := f.readJSON(body, &spool{max: s.options.SpoolBytes, dir: s.options.TempDir}); err != nil {
		f.close()
		return nil, err
	}
	if f.file != nil && f.file.len() > s.options.Limits.JobBytes {
		f.close()
		return nil, fileTooLarge(s.options.Limits.JobBytes)
	}
	return f, nil
}

// readJSON reads an object of fields. Of the file, audio in base64, only the spool is kept.
func (f *form) readJSON(body []byte, to *spool) error {
	wrong := func(err error) error {
		return &apiError{status: http.StatusBadRequest, code: "invalid_json", message: "the body is not the JSON object that is wanted: " + strings.TrimPrefix(plain(err), "json: ")}
	}
	object, err := membersOf(body)
	if e := (*apiError)(nil); errors.As(err, &e) {
		return e
	}
	if err != nil {
		return wrong(err)
	}
	if value := object[params.Chunking]; bytes.HasPrefix(value, []byte("{")) { // a form has it as text
		object[params.Chunking], _ = json.Marshal(string(value))
	}
	audio, sent := object["audio"]
	delete(object, "audio")
	rest, err := json.Marshal(object)
	if err != nil {
		return wrong(err)
	}
	var values asr.Params
	if err := json.Unmarshal(rest, &values); err != nil {
		return wrong(err)
	}
	f.fields = make(asr.Params, len(values))
	for name, list := range values {
		name = listSuffix.ReplaceAllString(name, "")
		f.fields[name] = append(f.fields[name], list...)
	}
	if !sent || string(audio) == "null" {
		return nil
	}
	var encoded string
	if err := json.Unmarshal(audio, &encoded); err != nil {
		return invalid("audio", "audio: want the file in base64, as a string")
	}
	f.file = to
	var disk *spoolError
	if _, err := io.Copy(to, base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded))); errors.As(err, &disk) {
		return disk
	} else if err != nil {
		return invalid("audio", "audio: this is not base64: %v", err)
	}
	return nil
}

// membersOf returns the members of an object of JSON, which are bounded, but for audio: a number is a byte there, and many times that in memory.
func membersOf(body []byte) (map[string]json.RawMessage, error) {
	if !json.Valid(body) {
		return nil, json.Unmarshal(body, new(json.RawMessage)) // which says why
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it is none")
	}
	members := make(map[string]json.RawMessage)
	size := 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if name != "audio" {
			size += len(name.(string)) + len(value)
		}
		if members[name.(string)] = value; size > maxJobFields || len(members) > maxFields {
			return nil, &apiError{status: http.StatusRequestEntityTooLarge, code: "field_too_large", message: fmt.Sprintf("a job may have %d fields beside audio, of %d bytes all together", maxFields, maxJobFields)}
		}
	}
	return members, nil
}

// submission returns what a request asks for.
func (s *Server) submission(r *http.Request, form *form) (*asr.Submission, error) {
	f := params.NewFields(form.fields)
	q := &asr.Submission{Client: asr.ClientOf(r.Context()), TraceParent: traceParent(r)}
	name, ok := f.Text("name")
	if !ok {
		name = form.name
	}
	q.Name = fileName(name)
	var err error
	if q.Key, err = keyOf(r); err != nil {
		return nil, err
	}
	if q.Model, err = s.jobModel(f, q.Client); err != nil {
		return nil, err
	}
	q.Priority.UnmarshalText([]byte(f.Choice("priority", asr.Normal.String(), asr.Live.String(), asr.Bulk.String()))) // Choice tells of others
	if f.Flag("again", &q.Again); q.Again && q.Key != "" {
		f.Fail("again", "the %s says which job it is", idempotencyKey)
	}
	s.addresses(f, q)
	f.Refuse("the result of a job can be had in any format, at /v1/jobs/{id}/result?format=", "response_format")
	f.Refuse("a job can be watched, at /v1/jobs/{id}/events", "stream")
	refused(f)
	q.Params = given(f.Rest())
	request := s.reader().Read(r.Context(), f)
	if err := f.End(); err != nil {
		return nil, err
	}
	if err := s.checkSound(q, form); err != nil {
		return nil, err
	}
	if q.Model != s.options.Models[0] {
		return q, nil // its workers check the rest
	}
	request.Client = q.Client
	return q, s.checkRequest(request)
}

// given returns params without those that say nothing.
func given(p asr.Params) asr.Params {
	for name, values := range p {
		if strings.Join(values, "") == "" {
			delete(p, name)
		}
	}
	return p
}

// jobModel takes the model of a job. It may be an adapter by name, as in a transcription.
func (s *Server) jobModel(f *params.Fields, client string) (string, error) {
	own := s.options.Models[0]
	names := f.Peek("model")
	if !s.options.AnyModel || len(names) != 1 || s.isModel(names[0]) || s.adapter(client, names[0]) != nil {
		return own, s.model(f, client)
	}
	name, _ := f.Text("model")
	if len(name) > maxJobModel {
		return "", noModel(name)
	}
	return name, nil
}

// addresses takes those that a client wants to be called.
func (s *Server) addresses(f *params.Fields, q *asr.Submission) {
	take := func(name string, check func(string) error, refusal string, to *string) {
		if check == nil {
			f.Refuse(refusal, name)
			return
		}
		if *to, _ = f.Text(name); *to == "" {
			return
		}
		if err := check(*to); err != nil {
			f.Fail(name, "%s", plain(err))
		}
	}
	take("callback_url", s.options.CheckCallback, "this server calls nobody: watch the job at /v1/jobs/{id}/events", &q.Callback)
	take("url", s.options.CheckURL, "this server gets no files from elsewhere: send the file itself", &q.Audio.URL)
}

// checkSound takes the file of a form, of which there must be one if there is no address, and bounds what else is kept.
func (s *Server) checkSound(q *asr.Submission, form *form) error {
	size := len(q.Callback) + len(q.Audio.URL)
	for name, values := range q.Params {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	switch {
	case size > maxJobFields:
		return &apiError{status: http.StatusRequestEntityTooLarge, code: "field_too_large", message: fmt.Sprintf("the fields of a job may have %d bytes, all together", maxJobFields)}
	case form.file != nil && q.Audio.URL != "":
		return invalid("url", "url: there is a file too, which one is meant?")
	case form.file == nil && q.Audio.URL == "":
		return &apiError{status: http.StatusBadRequest, param: "file", code: "missing_parameter", message: "the sound is missing: the field file of a form, audio of a JSON object, or url of either"}
	case form.file != nil && form.file.len() == 0:
		return &apiError{status: http.StatusBadRequest, param: "file", code: "empty_audio", message: "the file is empty"}
	case form.file != nil:
		q.Audio.File, q.Audio.Size = form.file, form.file.len()
		if d, ok := audio.StatedDuration(q.Audio.File, q.Audio.Size); ok {
			q.Seconds = min(d, s.options.Limits.Decoded).Seconds()
		}
	}
	return nil
}

// checkRequest reports what can be known of a request to be wrong before it is done: its language, its adapter, options that cannot stand together.
func (s *Server) checkRequest(q asr.Request) error {
	if e, ok := s.engine.(interface{ Check(asr.Request) error }); ok {
		return e.Check(q)
	}
	name, _, _ := strings.Cut(q.Adapter, "@")
	if name == "" || name == asr.Auto || name == asr.None {
		return nil
	}
	if !s.engine.Allows(q.Client, name) {
		return fmt.Errorf("%w: adapter %q", asr.ErrNotFound, params.Clip(q.Adapter))
	}
	return nil
}

// fileName returns the name of a file as it is kept.
func fileName(name string) string {
	const most = 255
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name), "")
	for len(name) > most {
		runes := []rune(name)
		name = string(runes[:len(runes)-1-(len(name)-most)/4])
	}
	return name
}

// traceParent returns the trace that a request is part of (W3C Trace Context, section 3.2), "" where it is of none.
func traceParent(r *http.Request) string {
	h := r.Header.Get("traceparent")
	if len(h) != 55 || strings.Trim(h, "0123456789abcdef-") != "" {
		return ""
	}
	return h
}

// bodyTime returns how many times as long as others the body of a job may take to come: as many as it may be larger.
func (s *Server) bodyTime(r *http.Request) float64 {
	size := float64(r.ContentLength)
	if r.ContentLength < 0 {
		size = float64(s.options.Limits.JobBytes)
	}
	return math.Max(1, size/float64(s.options.Limits.RequestBytes))
}
