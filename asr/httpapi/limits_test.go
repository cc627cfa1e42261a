package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
)

// TestBodiesAreBounded checks sizes of the body, the file and the fields, with and without a length before them.
func TestBodiesAreBounded(t *testing.T) {
	dir := t.TempDir()
	_, url := newServer(t, newFakeEngine(), httpapi.Options{Limits: asr.Limits{RequestBytes: 100_000}, SpoolBytes: 1000, TempDir: dir})
	send := func(chunked bool, fields ...field) answer {
		body, kind := formOf(t, fields...)
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+transcriptions, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if r.Header.Set("Content-Type", kind); chunked {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), -1
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return answer{resp.StatusCode, resp.Header, string(text)}
	}
	for _, chunked := range []bool{false, true} {
		if a := send(chunked, field{"file", tone(3.1)}); a.status != 200 { // 99,244 bytes, most of them on the disk
			t.Errorf("a file of as many bytes as may be: %d %s", a.status, a.body)
		}
		send(chunked, field{"file", tone(3.2)}).failed(t, 413, "file_too_large")
		send(chunked, field{"file", tone(0.1)}, field{"prompt", strings.Repeat("x", 70_000)}).failed(t, 413, "field_too_large")
		var many []field
		for range 12 {
			many = append(many, field{"prompt", strings.Repeat("x", 60_000)})
		}
		send(chunked, many...).failed(t, 413, "field_too_large")
		send(chunked, slicesOf(field{"prompt", "x"}, 200)...).failed(t, 400, "too_many_fields")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder of temporary files: %v, %v", left, err)
	}
	huge := ask(t, "POST", url+transcriptions, make([]byte, 3_000_000), "Content-Type", "multipart/form-data; boundary=x")
	huge.failed(t, 413, "file_too_large")
	for kind, body := range map[string]string{
		"application/json":               `{"file":"x"}`,
		"multipart/form-data":            "x",
		"":                               "x",
		"audio/wav":                      tone(0.1),
		"multipart/mixed; boundary=abc":  "--abc--",
		"multipart/form-data; boundary=": "x",
	} {
		ask(t, "POST", url+transcriptions, []byte(body), "Content-Type", kind).failed(t, 415, "unsupported_media_type")
	}
	ask(t, "POST", url+transcriptions, nil, "Content-Type", "multipart/form-data; boundary=x", "Content-Encoding", "gzip").failed(t, 415, "unsupported_media_type")
	for _, body := range []string{"", "x", "--x", "--x\r\n\r\n", "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nRIFF", "--x\r\nno header\r\n\r\n", "--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--"} {
		a := ask(t, "POST", url+transcriptions, []byte(body), "Content-Type", "multipart/form-data; boundary=x")
		if a.status != 400 {
			t.Errorf("%q: %d %s", body, a.status, a.body)
		}
	}
}

func slicesOf(f field, n int) []field {
	list := make([]field, n)
	for i := range list {
		list[i] = f
	}
	return list
}

// TestSlowSenders checks that a body that does not come in time is given up, and that one whose client breaks off is too.
func TestSlowSenders(t *testing.T) {
	s, url := newServer(t, newFakeEngine(), httpapi.Options{BodyTimeout: 50 * time.Millisecond, Limits: asr.Limits{Requests: 1}})
	head := "POST " + transcriptions + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disp"
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, head)
		return conn
	}
	conn := dial()
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(got), "HTTP/1.1 408 ") || !strings.Contains(string(got), `"body_timeout"`) {
		t.Errorf("%s", got)
	}
	dial().Close()
	if err := s.Drain(t.Context()); err != nil { // nothing is left of either
		t.Error(err)
	}
}

// TestClientsThatGo checks that a request ends with its client, streamed or not, and that nothing is left of it.
func TestClientsThatGo(t *testing.T) {
	e := newFakeEngine()
	e.hold = make(chan struct{})
	dir := t.TempDir()
	var log logBuffer
	s, url := newServer(t, e, httpapi.Options{SpoolBytes: 100, TempDir: dir, Logger: log.logger()})
	before := runtime.NumGoroutine()
	var wait sync.WaitGroup
	transport := &http.Transport{}
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 20 {
		body, kind := formOf(t, field{"file", tone(0.2)}, field{"stream", fmt.Sprint(i%2 == 0)})
		wait.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "POST", url+transcriptions, bytes.NewReader(body))
			r.Header.Set("Content-Type", kind)
			client := http.Client{Transport: transport}
			if resp, err := client.Do(r); err == nil {
				resp.Body.Close()
				t.Errorf("answered with %d", resp.StatusCode)
			}
		})
	}
	for range 20 {
		<-e.begun
	}
	cancel()
	wait.Wait()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	gone := func() int { return strings.Count(log.String(), "status=499") } // a request is logged behind its end
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+2 || gone() < 20; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			break
		}
	}
	if n := runtime.NumGoroutine(); n > before+2 {
		t.Errorf("%d goroutines, before %d", n, before)
	}
	if n := gone(); n != 20 {
		t.Errorf("%d requests are logged as those of clients that have gone:\n%s", n, &log)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder of temporary files: %v, %v", left, err)
	}
}

// peakHeap runs f and returns by how much the live heap grew meanwhile, at most. Garbage is collected early, so that it hardly counts.
func peakHeap(f func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(heap)
	before, peak := heap[0].Value.Uint64(), uint64(0)
	done := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				metrics.Read(heap)
				peak = max(peak, heap[0].Value.Uint64())
			}
		}
	})
	f()
	close(done)
	sampling.Wait()
	return int64(peak) - int64(before)
}

// flacHeader returns a FLAC file of no frames whose header promises so many samples of eight channels at a rate.
func flacHeader(rate int, samples uint64) string {
	info := append([]byte("fLaC\x80\x00\x00\x22"), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0)
	packed := uint64(rate)<<44 | 7<<41 | 15<<36 | samples
	for i := range 8 {
		info = append(info, byte(packed>>(56-8*i)))
	}
	return string(append(info, make([]byte, 16)...))
}

// silentWAVs returns a body whose file is of so many bytes of silence, which are made as they are read.
func silentWAV(t *testing.T, bytes int64) (body io.Reader, kind string) {
	var b strings.Builder
	m := multipart.NewWriter(&b)
	if _, err := m.CreateFormFile("file", "x.wav"); err != nil {
		t.Fatal(err)
	}
	head := b.String() + wavHeader(int(bytes))
	return io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, bytes), strings.NewReader("\r\n--"+m.Boundary()+"--\r\n")), m.FormDataContentType()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestBombs checks that headers that lie, files that are long in few bytes, and bodies that do not end cost no more memory than the
// limits allow, also many at a time.
func TestBombs(t *testing.T) {
	const decoded = time.Minute // 3.84 MB of samples at most
	_, url := newServer(t, newFakeEngine(), httpapi.Options{
		Limits: asr.Limits{Decoded: decoded, RequestBytes: 20_000_000}, SpoolBytes: 100_000, TempDir: t.TempDir(),
	})
	lying := wavHeader(0)
	lying = lying[:40] + "\xf0\xff\xff\x7f" + strings.Repeat("\x00", 1000)
	for name, c := range map[string]struct {
		file   string
		status int
	}{
		"a FLAC header that promises days": {flacHeader(655350, 1<<36-1), 400},
		"a WAV header that promises 2 GB":  {lying, 400},
	} {
		peak := peakHeap(func() {
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() {
					if a := post(t, url+transcriptions, field{"file", c.file}); a.status != c.status {
						t.Errorf("%s: %d %s", name, a.status, a.body)
					}
				})
			}
			wait.Wait()
		})
		t.Logf("%s: eight of them took %.1f MB", name, float64(peak)/1e6)
		if peak > 32<<20 {
			t.Errorf("%s: eight of them took %d MB", name, peak>>20)
		}
	}
	send := func(name string, size int64, status int, code string) {
		peak := peakHeap(func() {
			body, kind := silentWAV(t, size)
			r, err := http.NewRequestWithContext(t.Context(), "POST", url+transcriptions, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", kind)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Logf("%s: the server hung up before all was sent: %v", name, err)
				return
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			answer{resp.StatusCode, resp.Header, string(text)}.failed(t, status, code)
		})
		t.Logf("%s took %.1f MB", name, float64(peak)/1e6)
		if peak > 24<<20 {
			t.Errorf("%s took %d MB", name, peak>>20)
		}
	}
	send("a WAV file of ten minutes", 10*60*32_000, 413, "audio_too_long")
	send("a WAV file of 1 GB", 1_000_000_000, 413, "file_too_large")
}

// TestSlowReaders checks that a client that does not read what is written is given up.
func TestSlowReaders(t *testing.T) {
	gone := make(chan error, 1)
	_, url := newServer(t, newFakeEngine(), httpapi.Options{WriteTimeout: 100 * time.Millisecond, Mount: map[string]httpapi.Mount{
		"GET /flood": {Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					gone <- err
					return
				}
			}
		})},
	}})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the server still writes")
	}
}
