package main

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// soundRequest is a request of some bytes.
func soundRequest() remoteRequest {
	return remoteRequest{name: "x/a.wav", open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("sound")), nil }}
}

// TestRemoteTriesAgain checks that a request that a server has no room for comes again, whole, after the time that the
// server says, and that one that is wrong does not.
func TestRemoteTriesAgain(t *testing.T) {
	var requests atomic.Int32
	var last atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		form, err := multipart.NewReader(r.Body, params["boundary"]).ReadForm(1 << 10)
		if err != nil || len(form.File["file"]) != 1 || form.File["file"][0].Filename != "a.wav" || form.Value["response_format"][0] != "verbose_json" {
			t.Errorf("form %+v, %v", form, err)
		}
		now := time.Now().UnixMilli()
		waited := now - last.Swap(now)
		switch requests.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			if waited < 2000 {
				t.Errorf("came again after %d ms", waited)
			}
			io.WriteString(w, `{"text":"a b c","language":"english","language_code":"en","duration":1.5,"adapter":null,
				"segments":[{"id":0,"text":" a b","start":0,"end":1},{"id":1,"text":" c","start":1,"end":1.5}],
				"words":[{"word":"a","start":0,"end":0.5},{"word":"b","start":0.5,"end":1},{"word":"c","start":1,"end":1.5}]}`)
		}
	}))
	defer server.Close()
	r, err := newRemoteClient(server.URL, serverKey{}).transcribe(t.Context(), soundRequest())
	if err != nil || requests.Load() != 3 {
		t.Fatalf("%d requests, %v", requests.Load(), err)
	}
	if r.Language != "en" || r.Text != "a b c" || r.Duration != 1.5 || len(r.Segments) != 2 {
		t.Errorf("%+v", r)
	}
	if a, b := r.Segments[0].Words, r.Segments[1].Words; len(a) != 2 || a[1].Word != " b" || len(b) != 1 || b[0].Word != " c" {
		t.Errorf("words %+v %+v", a, b)
	}
}

func TestRemoteTellsWhatIsRefused(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Header.Get("Authorization") != "Bearer key" {
			t.Errorf("header %v", r.Header)
		}
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"message":"the file is empty","type":"invalid_request_error"}}`)
	}))
	defer server.Close()
	_, err := newRemoteClient(server.URL, serverKey{"key"}).transcribe(t.Context(), soundRequest())
	if !errors.Is(err, errServer) || err.Error() != "the server refused: 400 Bad Request: the file is empty" || requests.Load() != 1 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
	if _, err := newRemoteClient("http://127.0.0.1:1", serverKey{}).transcribe(t.Context(), soundRequest()); err == nil || !strings.Contains(err.Error(), "nobody listens there") {
		t.Errorf("error %v", err)
	}
}
