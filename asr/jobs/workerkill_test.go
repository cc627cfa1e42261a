//go:build unix

package jobs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr"
	"glossa/asr/jobs/broker"
)

// What the environment tells a process that TestKilledProcesses begins.
const (
	killRole = "GLOSSA_KILL_ROLE" // broker, worker or node
	killDir  = "GLOSSA_KILL_DIR"
	killAddr = "GLOSSA_KILL_ADDR"
)

const (
	killPrompt  = "kill" // a job with this prompt kills its worker
	slowPrompt  = "slow" // windows of a job whose prompt begins so take longer
	slowWindow  = 50 * time.Millisecond
	lackAdapter = "klingon" // which no worker has
	killSlots   = 4         // of a worker
	killWorkers = 2         // processes
	killWindow  = 8 * time.Millisecond
	killLease   = time.Second
	killRestart = 2 // of the broker
)

// TestKillProcess is a broker or a worker of TestKilledProcesses, until its standard input ends.
func TestKillProcess(t *testing.T) {
	role := os.Getenv(killRole)
	if role == "" {
		t.Skip("this is a process of TestKilledProcesses")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready := func() {
		fmt.Println("ready")
		go func() {
			io.Copy(io.Discard, os.Stdin)
			cancel()
		}()
	}
	var err error
	switch role {
	case "broker":
		err = killBroker(ctx, ready)
	case "worker":
		err = killWorker(ctx, ready)
	case "node":
		err = clusterNode(ctx, ready)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func killBroker(ctx context.Context, ready func()) error {
	server, err := broker.Start(ctx, broker.Options{Dir: os.Getenv(killDir), Listen: os.Getenv(killAddr)})
	if err != nil {
		return err
	}
	defer server.Close()
	ready()
	<-ctx.Done()
	return nil
}

func killWorker(ctx context.Context, ready func()) error {
	dialling, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var nc *nats.Conn
	for err := errNotConnected; err != nil; {
		if nc, err = broker.Dial(dialling, broker.DialOptions{URL: "nats://" + os.Getenv(killAddr), Name: "worker"}); err != nil && !sleep(dialling, 50*time.Millisecond) {
			return err
		}
	}
	defer nc.Close()
	store, err := Open(dialling, nc, Options{Model: "nano", Logger: testLog(), ackWait: killLease})
	if err != nil {
		return err
	}
	defer store.Close()
	go store.Run(ctx)
	e := &fakeEngine{perWindow: killWindow, before: func(ctx context.Context, q asr.Request, n int) error {
		if strings.HasPrefix(q.Decoding.InitialPrompt, slowPrompt) {
			sleep(ctx, slowWindow)
		}
		if q.Decoding.InitialPrompt == killPrompt && n == 2 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}}
	w := NewWorker(store, WorkerOptions{Engine: e, Models: []string{"nano"}, Slots: killSlots, Request: fakeRequest})
	w.delays = delays{absent: 100 * time.Millisecond, first: 100 * time.Millisecond, most: time.Second}
	ready()
	grace, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, end) })
	return w.Run(ctx, grace)
}

// process is one that may be killed, and is begun again.
type process struct {
	t         *testing.T
	role      string
	dir, addr string

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{}
	log   *bytes.Buffer
}

// begin begins the process, and waits until it is ready.
func (p *process) begin() error {
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillProcess$", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), killRole+"="+p.role, killDir+"="+p.dir, killAddr+"="+p.addr, "GLOSSA_TEST_LOG=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	log := &bytes.Buffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.stdin, p.ended, p.log = cmd, stdin, ended, log
	p.mu.Unlock()
	lines := bufio.NewScanner(stdout)
	ready := false
	var said []string
	for !ready && lines.Scan() {
		ready = lines.Text() == "ready"
		said = append(said, lines.Text())
	}
	go func() {
		defer close(ended)
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	}()
	if !ready {
		<-ended
		return fmt.Errorf("the %s ended before it was ready: %s\n%s", p.role, strings.Join(said, "\n"), log)
	}
	return nil
}

// signal sends a signal to the process.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		p.cmd.Process.Signal(s)
	}
}

// wait waits for the end of the process, and returns what it wrote.
func (p *process) wait() string {
	p.mu.Lock()
	ended, log := p.ended, p.log
	p.mu.Unlock()
	<-ended
	return log.String()
}

// end ends the process as an operator would, and returns what it wrote.
func (p *process) end() string {
	p.mu.Lock()
	stdin, cmd := p.stdin, p.cmd
	p.mu.Unlock()
	if cmd == nil {
		return ""
	}
	stdin.Close()
	late := time.AfterFunc(10*time.Second, func() { p.signal(syscall.SIGKILL) })
	defer late.Stop()
	return p.wait()
}

// keep begins a process again whenever it has ended, until ctx ends.
func (p *process) keep(ctx context.Context, died func(log string)) {
	for {
		died(p.wait())
		for ctx.Err() == nil {
			err := p.begin()
			if err == nil {
				break
			}
			died(err.Error()) // it was killed before it was ready
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// environmentInt returns a number from the environment.
func environmentInt(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// killAtRandom kills workers at random moments, or has them stand still for longer than their lease, until ctx ends.
func killAtRandom(ctx context.Context, rng *rand.Rand, workers []*process, counted func(what string)) {
	for sleep(ctx, 250*time.Millisecond+time.Duration(rng.IntN(900))*time.Millisecond) {
		w := workers[rng.IntN(len(workers))]
		if rng.IntN(4) > 0 {
			counted("killed")
			w.signal(syscall.SIGKILL)
			continue
		}
		counted("stopped for a while")
		w.signal(syscall.SIGSTOP)
		sleep(ctx, killLease*3/2)
		w.signal(syscall.SIGCONT)
	}
}

// killBrokerTwice kills the broker twice within a time, and begins it again.
func killBrokerTwice(ctx context.Context, p *process, within time.Duration, counted func(what string)) error {
	for range killRestart {
		if !sleep(ctx, within/(killRestart+1)) {
			return nil
		}
		counted("broker killed")
		p.signal(syscall.SIGKILL)
		p.wait()
		sleep(ctx, 200*time.Millisecond)
		if err := p.begin(); err != nil {
			return err
		}
	}
	return nil
}
