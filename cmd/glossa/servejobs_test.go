package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/jobs"
)

// TestServersOfOneFolder checks that the second of two servers with the user's own folder has no jobs, and all else.
func TestServersOfOneFolder(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	first := startServer(t, "--workers", "0", "--data=")
	second := startServer(t, "--workers", "0", "--data=")
	for server, want := range map[string]int{first: http.StatusOK, second: http.StatusServiceUnavailable} {
		r, err := http.Get(server + "/v1/jobs")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: status %d, want %d", server, r.StatusCode, want)
		}
		get(t, server+"/readyz")
	}
	if !strings.Contains(get(t, first+"/status.json"), `"jobs":{"queued":0`) || strings.Contains(get(t, second+"/status.json"), `"jobs":`) {
		t.Error("the status tells of jobs where there are none, or not where there are")
	}
}

// TestBrokerWithTLS checks that connections to a server's broker are encrypted, and ask for a user.
func TestBrokerWithTLS(t *testing.T) {
	cert, key := newCertificate(t)
	log := &lockedBuffer{}
	startServerLogging(t, log, "--workers", "0", "--nats-listen", "127.0.0.1:0", "--nats-tls-cert", cert, "--nats-tls-key", key, "--nats-user", "me", "--nats-password", "open-sesame")
	m := reachedAt.FindStringSubmatch(log.String())
	if m == nil {
		t.Fatalf("no address in\n%s", log)
	}
	for args, want := range map[string]int{
		"--nats-url tls://me:open-sesame@" + m[1] + " --nats-ca " + cert: statusOK,
		"--nats-url tls://me:open-sesame@" + m[1]:                        statusFailed,
		"--nats-url tls://me:shut-sesame@" + m[1] + " --nats-ca " + cert: statusFailed,
	} {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), append([]string{"jobs", "list"}, strings.Fields(args)...), &stdout, &stderr); got != want {
			t.Errorf("%s: status %d, want %d: %s", args, got, want, &stderr)
		}
		if strings.Contains(stderr.String(), "sesame") {
			t.Errorf("%s tells the password: %s", args, &stderr)
		}
	}
	if strings.Contains(log.String(), "sesame") || strings.Contains(log.String(), "anybody") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestCallbacksAreMade checks that the end of a job is told to an address, signed by the secret in the server's folder.
func TestCallbacksAreMade(t *testing.T) {
	called := make(chan *http.Request, 1)
	bodies := make(chan []byte, 1)
	receiver := &http.Server{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		called <- r
		bodies <- b
	})}
	address := serveOnce(t, receiver)
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(file, 300, 0.5); err != nil {
		t.Fatal(err)
	}
	submit := func(server string) error {
		client := newRemoteJobs(server, serverKey{})
		defer client.close()
		_, _, err := client.submit(t.Context(), asr.Submission{Name: "a.wav", Callback: address}, file)
		return err
	}
	if err := submit(startServer(t, "--workers", "0")); err == nil || !strings.Contains(err.Error(), "400 Bad Request: callback_url: ") {
		t.Errorf("an internal address: %v", err)
	}
	server := startServer(t, "--data", dir, "--webhook-internal", "--public-url", "https://asr.example.org")
	if err := submit(server); err != nil {
		t.Fatal(err)
	}
	select {
	case r := <-called:
		var told jobs.Hook
		body := <-bodies
		if err := json.Unmarshal(body, &told); err != nil || told.Type != "job.done" || told.Job.Name != "a.wav" || told.ResultURL != "https://asr.example.org/v1/jobs/"+told.Job.ID+"/result" {
			t.Errorf("%s, %v", body, err)
		}
		if r.Header.Get("webhook-signature") == "" {
			t.Errorf("no signature: %v", r.Header)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was called")
	}
	secret, err := os.ReadFile(filepath.Join(dir, webhookSecretFile))
	if err != nil || !strings.HasPrefix(string(secret), "whsec_") {
		t.Errorf("%q, %v", secret, err)
	}
}

// TestServersShareJobs checks that servers on one broker have the same jobs, and that a server without one is not ready.
func TestServersShareJobs(t *testing.T) {
	log := &lockedBuffer{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first, ended := runServer(t, ctx, log, "--workers", "0", "--nats-listen", "127.0.0.1:0")
	at := reachedAt.FindStringSubmatch(log.String())
	if at == nil {
		t.Fatalf("no address in\n%s", log)
	}
	second := startServer(t, "--nats-url", at[1])
	file := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(file, 300, 0.5); err != nil {
		t.Fatal(err)
	}
	client := newRemoteJobs(first, serverKey{})
	defer client.close()
	j, _, err := client.submit(t.Context(), asr.Submission{Name: "a.wav"}, file)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range client.watch(t.Context(), j.ID) {
		if err != nil {
			t.Fatal(err)
		}
		j = e.Job
	}
	if j.State != asr.JobDone {
		t.Errorf("%+v", j)
	}
	other := newRemoteJobs(second, serverKey{})
	defer other.close()
	if same, err := other.job(t.Context(), j.ID); err != nil || same.Worker != j.Worker {
		t.Errorf("%+v, %v, want %+v", same, err, j)
	}
	get(t, second+"/readyz")
	stop()
	if status := <-ended; status != statusOK {
		t.Errorf("the first server ended with status %d:\n%s", status, log)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(second + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode == http.StatusServiceUnavailable {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("a server whose broker is gone is ready")
		}
	}
}
