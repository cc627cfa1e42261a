package jobs

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs/broker"
)

// clusterNode is a process that is one of three servers, with the flags that nats-server would have: killDir holds its files, killAddr
// its name, its address for clients, that for the others, and theirs.
func clusterNode(ctx context.Context, ready func()) error {
	name, rest, _ := strings.Cut(os.Getenv(killAddr), " ")
	fields := strings.Fields(rest)
	host, port, _ := strings.Cut(fields[0], ":")
	stop := func() {}
	o, err := server.ConfigureOptions(flag.NewFlagSet(name, flag.ContinueOnError), []string{
		"--name", name, "--addr", host, "--port", port, "--jetstream", "--store_dir", os.Getenv(killDir),
		"--cluster_name", "test", "--cluster", "nats://" + fields[1], "--routes", "nats://" + strings.Join(fields[1:], ",nats://"),
	}, stop, stop, stop)
	if err != nil {
		return err
	}
	o.NoSigs, o.NoLog = true, true
	ns, err := server.NewServer(o)
	if err != nil {
		return err
	}
	go ns.Start()
	if !ns.ReadyForConnections(20 * time.Second) {
		return fmt.Errorf("node %s is not ready", name)
	}
	ready()
	<-ctx.Done()
	ns.Shutdown()
	ns.WaitForShutdown()
	return nil
}

// startCluster begins three servers in processes of their own, and returns them and the addresses for clients.
func startCluster(t *testing.T) (nodes []*process, urls string) {
	t.Helper()
	nodes, urls = clusterOf(t)
	for _, p := range nodes {
		beginNode(t, p)
	}
	return nodes, urls
}

func beginNode(t *testing.T, p *process) {
	t.Helper()
	if err := p.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end() })
}

// clusterOf returns three servers that have not begun.
func clusterOf(t *testing.T) (nodes []*process, urls string) {
	t.Helper()
	var clients, routes []string
	for range 3 {
		clients, routes = append(clients, freeAddr(t)), append(routes, freeAddr(t))
	}
	dir := t.TempDir()
	for i := range 3 {
		others := strings.Join([]string{routes[(i+1)%3], routes[(i+2)%3]}, " ")
		p := &process{t: t, role: "node", dir: filepath.Join(dir, fmt.Sprint(i)), addr: fmt.Sprintf("n%d %s %s %s", i, clients[i], routes[i], others)}
		nodes = append(nodes, p)
	}
	return nodes, strings.Join(clients, ",nats://")
}

// TestClusterLosesAServerAndAWorker runs jobs on three servers, each of which keeps all, and two workers. In the middle the server that leads
// the queue is killed, and a worker. Every job is done once.
func TestClusterLosesAServerAndAWorker(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: three servers take their time")
	}
	t.Parallel() // most of its time is leases that end
	nodes, urls := startCluster(t)
	k := &killing{t: t, counts: map[string]int{}}
	nc, err := broker.Dial(t.Context(), broker.DialOptions{URL: "nats://" + urls})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	opening, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if k.store, err = Open(opening, nc, Options{Model: "nano", Logger: testLog(), ackWait: testLease}); err != nil {
		t.Fatal(err)
	}
	defer k.store.Close()
	running, stop := context.WithCancel(t.Context())
	defer stop()
	go k.store.Run(running)
	checkReplicas(t, k.store)

	var workers []*process
	for range killWorkers {
		w := &process{t: t, role: "worker", addr: urls}
		if err := w.begin(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.end() })
		workers = append(workers, w)
	}
	const n = 60
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		if i == n/2 {
			leader := leaderOf(t, k.store)
			t.Logf("n%d, which leads the queue, and a worker are killed", leader)
			nodes[leader].signal(syscall.SIGKILL)
			workers[0].signal(syscall.SIGKILL)
		}
		j := &killJob{kind: "short", prompt: fmt.Sprint("job", i), file: fakeSound(uint64(1000+i), 1+rng.IntN(20))}
		if err := k.submit(t.Context(), rng, j); err != nil {
			t.Fatal(err)
		}
		k.jobs = append(k.jobs, j)
	}
	end := time.Now().Add(time.Minute)
	for _, j := range k.jobs {
		k.final(j.id, end)
	}
	k.check()
	if got := k.counts["short done"]; got != n {
		t.Errorf("%d jobs are done, want %d: %v", got, n, k.counts)
	}
	t.Logf("%v", k.counts)
	if t.Failed() {
		for i, w := range workers {
			t.Logf("worker %d:\n%s", i, w.end())
		}
	}
}

// TestAClusterBecomesWhole opens a store on two servers, and again when there is a third.
func TestAClusterBecomesWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: three servers take their time")
	}
	nodes, urls := clusterOf(t)
	routes := func(i int) string { return strings.Fields(nodes[i].addr)[2] }
	for i, p := range nodes[:2] { // which do not know of the third
		p.addr = strings.Join(append(strings.Fields(p.addr)[:3], routes(1-i)), " ")
		beginNode(t, p)
	}
	nc, err := broker.Dial(t.Context(), broker.DialOptions{URL: "nats://" + urls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	open := func() *Store {
		t.Helper()
		opening, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		s, err := Open(opening, nc, Options{Model: "nano", Logger: testLog()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	s := open()
	if s.replicas != 1 {
		t.Fatalf("two servers keep %d replicas", s.replicas)
	}
	j := submit(t, s, asr.Submission{Model: "nano"})
	beginNode(t, nodes[2])
	eventually(t, func() error {
		if s = open(); s.replicas != 3 || !s.few {
			return fmt.Errorf("three servers keep %d replicas", s.replicas)
		}
		return nil
	})
	checkReplicas(t, s)
	eventually(t, func() error { return isState(t, s, j.ID, asr.JobQueued) })
	if s = open(); s.replicas != 3 || s.few {
		t.Errorf("opened again, %d replicas are kept; few: %v", s.replicas, s.few)
	}
}

// checkReplicas checks that all streams, those of buckets too, are kept three times.
func checkReplicas(t *testing.T, s *Store) {
	t.Helper()
	n := 0
	list := s.js.ListStreams(t.Context())
	for info := range list.Info() {
		n++
		if info.Config.Replicas != 3 {
			t.Errorf("stream %s is kept %d times, want 3", info.Config.Name, info.Config.Replicas)
		}
	}
	if err := list.Err(); err != nil || n < 8 {
		t.Errorf("%d streams, %v", n, err)
	}
}

// leaderOf returns the number of the server that leads the queue.
func leaderOf(t *testing.T, s *Store) (number int) {
	t.Helper()
	var info *jetstream.StreamInfo
	within(t, "the queue has a leader", func() (ok bool) {
		var err error
		info, err = s.jobs.Info(t.Context())
		return err == nil && info.Cluster != nil && info.Cluster.Leader != ""
	})
	if _, err := fmt.Sscanf(info.Cluster.Leader, "n%d", &number); err != nil {
		t.Fatalf("leader %q: %v", info.Cluster.Leader, err)
	}
	return number
}
