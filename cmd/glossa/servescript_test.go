package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"glossa/audio"
)

// scriptServers are the servers of a script by name.
type scriptServers map[string]*scriptServer

// scriptServer is "glossa serve" as a process.
type scriptServer struct {
	cmd   *exec.Cmd
	ended chan error
}

// serversKey is where a script has its servers.
const serversKey = "servers"

// announced finds the address in the first line of a server.
var announced = regexp.MustCompile(`^glossa listens on \S+; the page is (https?://\S+)/\n$`)

// scriptServe starts a server at a free port, unless a flag says where, and sets NAME to its address, NAME_ADDR to host and port, and
// NAME_BROKER to those of its broker: server NAME [FLAG…]. Its log is in NAME.log, its state in NAME-data.
func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server NAME [FLAG…]")
	}
	name, flags := args[0], []string{"serve", "--data", ts.MkAbs(args[0] + "-data")}
	if !slices.Contains(args, "--http") {
		flags = append(flags, "--http", "127.0.0.1:0")
	}
	address := scriptStart(ts, name, announced, append(flags, args[1:]...))
	ts.Setenv(name, address)
	ts.Setenv(name+"_ADDR", address[strings.LastIndex(address, "/")+1:])
	if m := reachedAt.FindStringSubmatch(ts.ReadFile(name + ".log")); m != nil {
		ts.Setenv(name+"_BROKER", m[1])
	}
}

// reachedAt finds the address of a broker in the log of its server.
var reachedAt = regexp.MustCompile(`the broker can be reached" address=(\S+)`)

// workerAnnounced finds the address in the first line of a worker.
var workerAnnounced = regexp.MustCompile(`^glossa does jobs of model \S+ at \S+; it tells of itself at (http://\S+)/metrics\n$`)

// scriptWorker starts a worker, and sets NAME to the address where it tells of itself: worker NAME [FLAG…]. Its log is in NAME.log.
func scriptWorker(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: worker NAME [FLAG…]")
	}
	ts.Setenv(args[0], scriptStart(ts, args[0], workerAnnounced, append([]string{"worker", "--name", args[0], "--http", "127.0.0.1:0"}, args[1:]...)))
}

// scriptStart starts the program with arguments, as a process of a name, and returns what a pattern finds in its first line.
func scriptStart(ts *testscript.TestScript, name string, first *regexp.Regexp, args []string) string {
	cmd := exec.Command("glossa", args...)
	if path, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "glossa")); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Dir = ts.MkAbs(".")
	for _, v := range []string{"PATH", "HOME", "XDG_CACHE_HOME", "HF_ENDPOINT", "HF_HUB_CACHE", "TMPDIR", "GLOSSA_CONFIG"} {
		cmd.Env = append(cmd.Env, v+"="+ts.Getenv(v))
	}
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	s := &scriptServer{cmd: cmd, ended: make(chan error, 1)}
	ts.Value(serversKey).(scriptServers)[name] = s
	ts.Defer(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		s.ended <- cmd.Wait()
	}()
	m := first.FindStringSubmatch(line)
	if m == nil {
		text, _ := os.ReadFile(log.Name())
		ts.Fatalf("%s: %q, %v\n%s", name, line, err, text)
	}
	return m[1]
}

// scriptEnd sends a server or worker a signal, and waits until it has ended: end NAME TERM|INT|KILL [STATUS].
func scriptEnd(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(serversKey).(scriptServers)[args[0]]
	signal := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[args[1]]
	ts.Check(s.cmd.Process.Signal(signal))
	if len(args) < 3 {
		return
	}
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		ts.Fatalf("server %s has not ended", args[0])
	}
	if got := strconv.Itoa(s.cmd.ProcessState.ExitCode()); got != args[2] {
		ts.Fatalf("server %s: exit status %s, want %s", args[0], got, args[2])
	}
}

// scriptFetch sends a request and checks the status of its answer, whose body it writes to the file body and whose header to the
// file header: fetch METHOD URL STATUS [HEADER:VALUE | FIELD=VALUE | FIELD=@FILE]…. Fields make a form.
func scriptFetch(ts *testscript.TestScript, _ bool, args []string) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	header, fields := make(http.Header), 0
	for _, arg := range args[3:] {
		name, value, isField := strings.Cut(arg, "=")
		if key, v, isHeader := strings.Cut(arg, ":"); isHeader && (!isField || len(key) < len(name)) {
			header.Set(key, v)
			continue
		}
		fields++
		if file, ok := strings.CutPrefix(value, "@"); ok {
			part, err := form.CreateFormFile(name, filepath.Base(file))
			ts.Check(err)
			_, err = io.WriteString(part, ts.ReadFile(file))
			ts.Check(err)
			continue
		}
		ts.Check(form.WriteField(name, value))
	}
	ts.Check(form.Close())
	if fields > 0 {
		header.Set("Content-Type", form.FormDataContentType())
	} else {
		body.Reset()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, args[0], args[1], &body)
	ts.Check(err)
	r.Header = header
	response, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("body"), text, 0o666))
	var head bytes.Buffer
	ts.Check(response.Header.Write(&head))
	ts.Check(os.WriteFile(ts.MkAbs("header"), head.Bytes(), 0o666))
	if got := strconv.Itoa(response.StatusCode); got != args[2] {
		ts.Fatalf("%s %s: status %s, want %s\n%s", args[0], args[1], got, args[2], text)
	}
}

// scriptEventually repeats a search of a file, or of what is at an address, until it finds a pattern: eventually PATTERN FILE|URL.
func scriptEventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		text, err := readOrGet(ts, args[1])
		if err == nil && pattern.Match(text) {
			return
		}
		if time.Since(begin) > time.Minute {
			ts.Fatalf("%s never had %q:\n%s", args[1], args[0], text)
		}
	}
}

// readOrGet returns a file, or what is at an address.
func readOrGet(ts *testscript.TestScript, name string) ([]byte, error) {
	if !strings.HasPrefix(name, "http://") {
		return os.ReadFile(ts.MkAbs(name))
	}
	response, err := http.Get(name)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// scriptSleep waits: sleep DURATION.
func scriptSleep(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

// scriptRaw writes the samples of a sound file as 16-bit integers without a header: raw FILE SOUND.
func scriptRaw(ts *testscript.TestScript, _ bool, args []string) {
	pcm, err := readAudio(context.Background(), ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), audio.EncodePCM(pcm), 0o666))
}

// scriptClip copies a clip of the test set to a file, several ones behind each other with pauses: clip FILE LANG/NUMBER…. Its text is
// written to FILE.txt.
func scriptClip(ts *testscript.TestScript, _ bool, args []string) {
	texts, err := clipTexts()
	ts.Check(err)
	var text []string
	for _, name := range args[1:] {
		text = append(text, texts[name+".flac"])
	}
	ts.Check(writePCM(ts.MkAbs(args[0]), scriptClips(ts, args[1:])))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".txt"), []byte(strings.Join(text, "\n")+"\n"), 0o666))
}

// scriptLong copies clips of the test set to a file so many times, behind each other with pauses: long FILE TIMES LANG/NUMBER….
func scriptLong(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writePCM(ts.MkAbs(args[0]), slices.Repeat(scriptClips(ts, args[2:]), n)))
}

// scriptClips returns clips of the test set behind each other with pauses.
func scriptClips(ts *testscript.TestScript, names []string) (pcm []float32) {
	for _, name := range names {
		samples, err := readAudio(context.Background(), filepath.Join(clipsDir, filepath.FromSlash(name)+".flac"))
		ts.Check(err)
		pcm = append(append(pcm, samples...), make([]float32, 24_000)...)
	}
	return pcm
}

// clipsDir is the test set of the repository, seen from where tests run.
var clipsDir = sync.OnceValue(func() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "multilingual"))
	if err != nil {
		panic(fmt.Sprint("the working folder: ", err))
	}
	return dir
})()
