package httpapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

// hashing takes jobs whose sound it reads twice, as what keeps them does, without holding it.
type hashing struct {
	*fakeJobs
	sums [2]string
}

func (h *hashing) Submit(_ context.Context, q asr.Submission) (asr.Job, bool, error) {
	for i := range h.sums {
		r, size := q.Audio.Reader()
		sum := sha256.New()
		if n, err := io.Copy(sum, r); err != nil || n != size {
			return asr.Job{}, false, fmt.Errorf("%d bytes of %d: %w", n, size, err)
		}
		h.sums[i] = hex.EncodeToString(sum.Sum(nil))
	}
	return asr.Job{ID: "job-1"}, true, nil
}

// TestLargeJobs checks that a file which is far larger than a request's is not held in memory, and what is kept of it is what was sent.
func TestLargeJobs(t *testing.T) {
	const size = 64 << 20
	h := new(hashing)
	o := jobOptions(nil)
	o.Jobs, o.TempDir, o.SpoolBytes = h, t.TempDir(), 100_000
	_, at := newServer(t, newFakeEngine(), o)
	peak := peakHeap(func() {
		body, kind := silentWAV(t, size)
		resp, err := http.Post(at+"/v1/jobs", kind, body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 202 {
			t.Error(resp.Status)
		}
	})
	want := sha256.New()
	io.WriteString(want, wavHeader(size))
	io.CopyN(want, zeros{}, size)
	if sum := hex.EncodeToString(want.Sum(nil)); h.sums != [2]string{sum, sum} {
		t.Errorf("%v, want %s", h.sums, sum)
	}
	t.Logf("a job of %d MB took %.1f MB", size>>20, float64(peak)/1e6)
	if peak > 16<<20 {
		t.Errorf("it took %d MB", peak>>20)
	}
}

// TestSlowJobs checks that the body of a job may take as many times longer as it is larger than others.
func TestSlowJobs(t *testing.T) {
	o := jobOptions(new(fakeJobs))
	o.BodyTimeout, o.Limits = 200*time.Millisecond, asr.Limits{RequestBytes: 100}
	_, at := newServer(t, newFakeEngine(), o)
	body, kind := formOf(t, field{"file", tone(0.2)}) // 64 times as large
	for path, want := range map[string]int{"/v1/jobs": 202, transcriptions: 413} {
		slow, in := io.Pipe()
		go func() {
			for part := range slices.Chunk(body, len(body)/4+1) {
				in.Write(part)
				time.Sleep(100 * time.Millisecond)
			}
			in.Close()
		}()
		r, err := http.NewRequestWithContext(t.Context(), "POST", at+path, slow)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(path, err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(at, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disp")
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
		t.Errorf("%s", got)
	}
}
