package main

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	nats "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs"
)

// composed is a service of compose.yaml.
type composed struct {
	Image       string
	Command     []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	DependsOn   map[string]map[string]string `yaml:"depends_on"`
	HealthCheck struct{ Test []string }      `yaml:"healthcheck"`
	StopGrace   string                       `yaml:"stop_grace_period"`
	Deploy      struct{ Replicas int }
}

// TestCompose checks that the programs take what compose.yaml tells them, and that its parts find each other.
func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]composed
		Volumes  map[string]any
	}
	text := regexp.MustCompile(`\$\{NATS_PASSWORD[^}]*\}`).ReplaceAllString(readDeploy(t, "compose.yaml"), "hunter2")
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(file.Services)); !slices.Equal(got, []string{"nats-1", "nats-2", "nats-3", "server", "worker"}) {
		t.Errorf("services %q", got)
	}
	for name, s := range file.Services {
		for _, v := range s.Volumes {
			if from, _, _ := strings.Cut(v, ":"); !hasKey(file.Volumes, from) {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		if strings.HasPrefix(name, "nats-") {
			checkNATS(t, name, s.Image, s.Command, []string{"nats-1", "nats-2", "nats-3"})
			if port := "127.0.0.1:8222/"; !strings.Contains(strings.Join(s.HealthCheck.Test, " "), port) {
				t.Errorf("%s: its health is not asked for at %s", name, port)
			}
			continue
		}
		for on := range s.DependsOn {
			if !hasKey(file.Services, on) {
				t.Errorf("%s depends on %s", name, on)
			}
		}
		flags := checkGlossa(t, s.Command, s.Environment)
		if urls := flags.NATSURL; len(urls) != 3 {
			t.Errorf("%s: %q", name, urls)
		}
		for i, u := range flags.NATSURL {
			if want := fmt.Sprintf("nats://glossa:hunter2@nats-%d:4222", i+1); string(u) != want {
				t.Errorf("%s: %s, want %s", name, string(u), want)
			}
		}
		if s.StopGrace != "45s" {
			t.Errorf("%s: it has %s to drain", name, s.StopGrace)
		}
	}
	if n := file.Services["worker"].Deploy.Replicas; n != 2 {
		t.Errorf("%d workers", n)
	}
	if exec.Command("docker", "compose", "version").Run() != nil {
		t.Skip("SKIP: docker compose config: docker compose is absent")
	}
	cmd := exec.CommandContext(t.Context(), "docker", "compose", "-f", filepath.Join(deployDir, "compose.yaml"), "config", "--quiet")
	cmd.Env = append(os.Environ(), "NATS_PASSWORD=hunter2")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}

func hasKey[V any](m map[string]V, key string) bool { _, ok := m[key]; return ok }

// checkNATS checks that nats-server of the version that this program has takes arguments, and makes a cluster of them.
func checkNATS(t *testing.T, name, image string, args, hosts []string) {
	t.Helper()
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`nats-server/v2 v(\d+\.\d+)\.`).FindSubmatch(mod)
	if version == nil || image != "nats:"+string(version[1])+"-alpine" {
		t.Errorf("%s: image %s, of nats-server go.mod has %s", name, image, version)
	}
	stop := func() { t.Errorf("%s: its arguments have it print and end", name) }
	o, err := nats.ConfigureOptions(flag.NewFlagSet(name, flag.ContinueOnError), args, stop, stop, stop)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if o.ServerName != name || !o.JetStream || o.StoreDir != "/data" || o.HTTPPort != 8222 || o.Username != "glossa" || o.Password != "hunter2" || o.Cluster.Name != "glossa" || o.Cluster.Port != 6222 {
		t.Errorf("%s: %q", name, args)
	}
	var routes []string
	for _, r := range o.Routes {
		routes = append(routes, r.Host)
	}
	for i, h := range hosts {
		hosts[i] = h + ":6222"
	}
	if !slices.Equal(routes, hosts) {
		t.Errorf("%s: routes to %q, want %q", name, routes, hosts)
	}
}

// checkGlossa checks that the program takes arguments and variables, and returns where jobs are then.
func checkGlossa(t *testing.T, args []string, environment map[string]string) natsFlags {
	t.Helper()
	isolate(t)
	known := make(map[string]bool)
	var to commands
	parser := parserOf(t, &to)
	for _, command := range parser.Model.Children {
		if command.Name == args[0] {
			settingFlags(command, func(f *kong.Flag) { known[variableOf(f.Name)] = true })
		}
	}
	for name, value := range environment {
		if name != "NATS_PASSWORD" && !known[name] {
			t.Errorf("glossa %s: there is no setting %s", args[0], name)
		}
		t.Setenv(name, value)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("glossa %q, %v: %v", args, environment, err)
	}
	switch args[0] {
	case "serve":
		if err := to.Serve.check(); err != nil || to.Serve.HTTP != "0.0.0.0:8080" {
			t.Errorf("glossa serve at %s: %v", to.Serve.HTTP, err)
		}
		return to.Serve.natsFlags
	case "worker":
		if err := to.Worker.check(); err != nil || to.Worker.HTTP != "0.0.0.0:8080" {
			t.Errorf("glossa worker at %s: %v", to.Worker.HTTP, err)
		}
		return to.Worker.natsFlags
	}
	t.Errorf("glossa %q", args)
	return natsFlags{}
}

// object is of Kubernetes, as far as the tests look at it.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Replicas int
		Selector any
		Ports    []struct {
			Name string
			Port int
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Containers []container
				Grace      int `yaml:"terminationGracePeriodSeconds"`
			}
		}
		ScaleTargetRef struct{ Name string } `yaml:"scaleTargetRef"`
		Triggers       []struct {
			Type     string
			Metadata map[string]string
		}
	}
}

type container struct {
	Name, Image string
	Args        []string
	Env         []struct {
		Name, Value string
		ValueFrom   map[string]any `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Readiness *probe `yaml:"readinessProbe"`
	Liveness  *probe `yaml:"livenessProbe"`
	Startup   *probe `yaml:"startupProbe"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// objects returns those of a file of .deploy.
func objects(t *testing.T, name string) (all []object) {
	t.Helper()
	for doc := range strings.SplitSeq(readDeploy(t, name), "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, o)
	}
	return all
}

// TestKubernetes checks that the programs take what kubernetes.yaml tells them, and that its parts find each other.
func TestKubernetes(t *testing.T) {
	seen := make(map[string]int)
	for _, o := range objects(t, "kubernetes.yaml") {
		what := o.Kind + " " + o.Metadata.Name
		seen[what]++
		for _, c := range o.Spec.Template.Spec.Containers {
			checkProbes(t, what, c)
			environment := make(map[string]string)
			for _, e := range c.Env {
				value := e.Value
				if e.ValueFrom != nil {
					value = map[string]string{"NATS_PASSWORD": "hunter2", "POD_NAME": o.Metadata.Name + "-0", "GLOSSA_NAME": "w"}[e.Name]
				}
				environment[e.Name] = os.Expand(regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllString(value, "$${$1}"), func(name string) string { return environment[name] })
			}
			if c.Name == "nats" {
				var args []string
				for _, arg := range c.Args {
					args = append(args, os.Expand(regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllString(arg, "$${$1}"), func(name string) string { return environment[name] }))
				}
				checkNATS(t, "nats-0", c.Image, args, []string{"nats-0.nats", "nats-1.nats", "nats-2.nats"})
				continue
			}
			flags := checkGlossa(t, c.Args, environment)
			if len(flags.NATSURL) != 1 || string(flags.NATSURL[0]) != "nats://glossa:hunter2@nats:4222" {
				t.Errorf("%s: %q", what, flags.NATSURL)
			}
			if o.Spec.Template.Spec.Grace <= 30 {
				t.Errorf("%s: it has %d s to drain", what, o.Spec.Template.Spec.Grace)
			}
		}
	}
	want := []string{"Deployment glossa-server", "Deployment glossa-worker", "PodDisruptionBudget nats", "ScaledObject glossa-worker", "Service glossa", "Service nats", "StatefulSet nats"}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// checkProbes checks that a container is asked for paths that it has, at ports that it has.
func checkProbes(t *testing.T, what string, c container) {
	t.Helper()
	ports := make(map[string]int)
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	port := map[string]int{"nats": 8222, "glossa": 8080}[c.Name]
	paths := map[string][]string{"nats": {"/healthz?js-enabled-only=true"}, "glossa": {"/healthz", "/readyz"}}[c.Name]
	if c.Liveness == nil || c.Readiness == nil && c.Startup == nil {
		t.Errorf("%s: it is not asked how it is", what)
	}
	for _, p := range []*probe{c.Liveness, c.Readiness, c.Startup} {
		if p != nil && (ports[p.HTTPGet.Port] != port || !slices.Contains(paths, p.HTTPGet.Path)) {
			t.Errorf("%s: it is asked at %s of port %s", what, p.HTTPGet.Path, p.HTTPGet.Port)
		}
	}
}

// TestScalers checks that what KEDA looks at is what jobs are kept in, and what is measured of them.
func TestScalers(t *testing.T) {
	server := &serverFlags{}
	kept, err := server.openJobs(t.Context(), t.TempDir(), jobs.Options{Model: nanoName}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	if _, _, err := kept.store.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: []byte("sound")}}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(kept.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "ASR_JOBS")
	if err != nil {
		t.Fatal(err)
	}
	var consumers, scaled []string
	for name := range stream.ConsumerNames(t.Context()).Name() {
		consumers = append(consumers, name)
	}
	var to commands
	if _, err := parserOf(t, &to).Parse([]string{"worker"}); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, "kubernetes.yaml") {
		for _, trigger := range o.Spec.Triggers {
			m := trigger.Metadata
			scaled = append(scaled, m["consumer"])
			if trigger.Type != "nats-jetstream" || m["stream"] != "ASR_JOBS" || m["account"] != "$G" || m["natsServerMonitoringEndpoint"] != "nats.glossa.svc.cluster.local:8222" || o.Spec.ScaleTargetRef.Name != "glossa-worker" {
				t.Errorf("%+v", trigger)
			}
			if slots := strconv.Itoa(2 * to.Worker.Batch); strings.HasPrefix(m["consumer"], "normal-") && m["lagThreshold"] != slots {
				t.Errorf("%s jobs a worker, it takes %s", m["lagThreshold"], slots)
			}
			for name := range m { // those of https://keda.sh/docs/scalers/nats-jetstream/
				if !slices.Contains(strings.Fields("natsServerMonitoringEndpoint account stream consumer lagThreshold activationLagThreshold useHttps"), name) {
					t.Errorf("KEDA knows no %s", name)
				}
			}
		}
	}
	slices.Sort(consumers)
	slices.Sort(scaled)
	if !slices.Equal(consumers, scaled) {
		t.Errorf("consumers %q, scaled by %q", consumers, scaled)
	}
}

// TestAudioScaler checks that the metric that KEDA is to ask for is there.
func TestAudioScaler(t *testing.T) {
	all := objects(t, "keda-audio-seconds.yaml")
	if len(all) != 1 || len(all[0].Spec.Triggers) != 1 || all[0].Spec.ScaleTargetRef.Name != "glossa-worker" {
		t.Fatalf("%+v", all)
	}
	m := all[0].Spec.Triggers[0].Metadata
	if u, err := url.Parse(m["serverAddress"]); err != nil || u.Host == "" || all[0].Spec.Triggers[0].Type != "prometheus" {
		t.Errorf("%+v", all[0].Spec.Triggers)
	}
	for name := range m { // those of https://keda.sh/docs/scalers/prometheus/
		if !slices.Contains(strings.Fields("serverAddress query threshold activationThreshold"), name) {
			t.Errorf("KEDA knows no %s", name)
		}
	}
	metric := regexp.MustCompile(`\((\w+)\{(.*?)\}\)`).FindStringSubmatch(m["query"])
	if metric == nil {
		t.Fatalf("no metric in %s", m["query"])
	}
	server := startServer(t, "--workers", "0")
	client := newRemoteJobs(server, serverKey{})
	defer client.close()
	file := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(file, 300, 0.5); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.submit(t.Context(), asr.Submission{Name: "a.wav"}, file); err != nil {
		t.Fatal(err)
	}
	var text string
	var line []string
	for end := time.Now().Add(20 * time.Second); line == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // the index of jobs follows them
		text = get(t, server+"/metrics")
		line = regexp.MustCompile(`(?m)^` + metric[1] + `\{(.*)\} `).FindStringSubmatch(text)
	}
	if line == nil || !strings.Contains(line[1], metric[2]) {
		t.Errorf("no %s{%s} in\n%s", metric[1], metric[2], text)
	}
	for _, label := range []string{"model", "priority", "state"} {
		if line != nil && !strings.Contains(line[1], label+"=") {
			t.Errorf("%s has no %s", line[0], label)
		}
	}
}
