package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"

	"glossa/asr"
	"glossa/asr/params"
)

// Bounds of a form beside its file.
const (
	maxFields     = 128
	maxFieldBytes = 64 << 10
	maxFormBytes  = 1 << 20 // all of it
)

// form is what a client sent as multipart/form-data.
type form struct {
	fields asr.Params // by name without []
	file   *spool     // nil where there is none
	name   string     // of the file, as the client has it
}

// close frees the file.
func (f *form) close() {
	if f.file != nil {
		f.file.close()
	}
}

// bodyError returns the answer to a body that could not be read, nil of other errors.
func bodyError(err error) *apiError {
	var tooLarge *http.MaxBytesError
	var timeout net.Error
	switch {
	case errors.As(err, &tooLarge):
		return &apiError{status: http.StatusRequestEntityTooLarge, code: "body_too_large", message: fmt.Sprintf("the body has more than %d bytes, which is the most", tooLarge.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &apiError{status: http.StatusRequestTimeout, code: "body_timeout", message: "the body took too long to come"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &apiError{status: http.StatusBadRequest, code: "body_incomplete", message: "the body ends too early"}
	}
	return nil
}

// readForm reads a form with a file of at most so many bytes, which is kept in a spool.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request, limit int64) (*form, error) {
	boundary, err := boundaryOf(r)
	if err != nil {
		return nil, err
	}
	if r.ContentLength > limit+maxFormBytes {
		return nil, fileTooLarge(limit)
	}
	body := &failingReader{Reader: http.MaxBytesReader(w, r.Body, limit+maxFormBytes)}
	f := &form{fields: make(asr.Params)}
	if err := f.read(multipart.NewReader(body, boundary), limit, &spool{max: s.options.SpoolBytes, dir: s.options.TempDir}); err != nil {
		f.close()
		if e := bodyError(body.err); e != nil {
			return nil, e
		}
		return nil, err
	}
	io.Copy(io.Discard, body) // to its end, behind which the server sees that a client has gone
	return f, nil
}

// failingReader notes why it failed, which a reader of parts may take for a form that is wrong.
type failingReader struct {
	io.Reader
	err error
}

func (f *failingReader) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// boundaryOf returns the boundary of a form's parts.
func boundaryOf(r *http.Request) (string, error) {
	wrong := func(format string, args ...any) error {
		return &apiError{status: http.StatusUnsupportedMediaType, code: "unsupported_media_type", message: fmt.Sprintf(format, args...)}
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "multipart/form-data":
		return "", wrong("the body must be multipart/form-data with the sound in its field file")
	case params["boundary"] == "":
		return "", wrong("the Content-Type has no boundary")
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "", errCompressed
	}
	return params["boundary"], nil
}

var errCompressed = &apiError{status: http.StatusUnsupportedMediaType, code: "unsupported_media_type", message: "the body must not be compressed"}

func fileTooLarge(limit int64) *apiError {
	return &apiError{status: http.StatusRequestEntityTooLarge, param: "file", code: "file_too_large", message: fmt.Sprintf("the file has more than %d bytes, which is the most: compress it, or cut it into parts", limit)}
}

// read reads all parts of a form. The file may have so many bytes.
func (f *form) read(parts *multipart.Reader, limit int64, to *spool) error {
	total, n := 0, 0
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return formError(err)
		}
		if n++; n > maxFields {
			return &apiError{status: http.StatusBadRequest, code: "too_many_fields", message: fmt.Sprintf("the form has more than %d fields", maxFields)}
		}
		name := part.FormName()
		switch {
		case name == "":
			return &apiError{status: http.StatusBadRequest, code: "invalid_form", message: "a part of the form has no name"}
		case name == "file":
			f.name = part.FileName()
			err = f.readFile(part, limit, to)
		default:
			err = f.readField(part, name, &total)
		}
		if err != nil {
			return err
		}
	}
}

func formError(err error) error {
	if e := bodyError(err); e != nil {
		return e
	}
	return &apiError{status: http.StatusBadRequest, code: "invalid_form", message: "the body is not a form of parts: " + strings.TrimPrefix(err.Error(), "multipart: ")}
}

func (f *form) readFile(part io.Reader, limit int64, to *spool) error {
	if f.file != nil {
		return invalid("file", "there is more than one file: send each in a request of its own")
	}
	f.file = to
	n, err := io.Copy(to, io.LimitReader(part, limit+1))
	var disk *spoolError
	switch {
	case n > limit:
		return fileTooLarge(limit)
	case errors.As(err, &disk):
		return disk
	case err != nil:
		return formError(err)
	}
	return nil
}

// listSuffix is behind the name of a field that has several values.
var listSuffix = regexp.MustCompile(`\[\d*\]$`)

func (f *form) readField(part io.Reader, name string, total *int) error {
	value, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	if err != nil {
		return formError(err)
	}
	name = listSuffix.ReplaceAllString(name, "")
	if *total += len(name) + len(value); len(value) > maxFieldBytes || *total > maxFormBytes/2 {
		return &apiError{status: http.StatusRequestEntityTooLarge, param: params.Clip(name), code: "field_too_large", message: fmt.Sprintf("a field may have %d bytes, all together %d", maxFieldBytes, maxFormBytes/2)}
	}
	f.fields[name] = append(f.fields[name], string(value))
	return nil
}
