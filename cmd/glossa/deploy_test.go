package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// deployDir holds what packages the server.
const deployDir = "../../.deploy"

// readDeploy returns a file of deployDir.
func readDeploy(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settingsOf runs glossa config with some arguments and returns what it prints.
func settingsOf(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), append([]string{"config"}, args...), &stdout, &stderr); status != statusOK {
		t.Fatalf("glossa config %q: %s", args, &stderr)
	}
	return stdout.String()
}

// isolate keeps the settings of whoever runs the tests out of them.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "GLOSSA_") && name != "GLOSSA_DATA" && name != "GLOSSA_GOLDEN" {
			t.Setenv(name, "")
		}
	}
}

// TestExampleSettings checks that the example is what the program prints, and that its lines, not commented out
// any more, are the defaults.
func TestExampleSettings(t *testing.T) {
	isolate(t)
	example := settingsOf(t, "--example")
	if got := readDeploy(t, "glossa.yaml"); got != example {
		t.Error(".deploy/glossa.yaml is not what \"glossa config --example\" prints")
	}
	defaults := settingsOf(t)
	value := make(map[string]string)
	for line := range strings.Lines(defaults) {
		if key, rest, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
			value[key], _, _ = strings.Cut(rest, " #")
		}
	}
	var active strings.Builder
	set := regexp.MustCompile(`^#([a-z-]+): (.*)\n$`)
	keys := 0
	for line := range strings.Lines(example) {
		if m := set.FindStringSubmatch(line); m != nil {
			keys++
			if v, ok := value[m[1]]; ok {
				if v != m[2] {
					t.Errorf("%s: the example has %q, the default is %q", m[1], m[2], v)
				}
				line = strings.TrimPrefix(line, "#")
			}
		}
		active.WriteString(line)
	}
	if keys < 30 {
		t.Errorf("%d settings in the example", keys)
	}
	file := filepath.Join(t.TempDir(), "glossa.yaml")
	if err := os.WriteFile(file, []byte(active.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(settingsOf(t, "--config", file)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "# "+file+":") {
			t.Errorf("not from the example: %s", line)
		}
	}
}

// TestServiceUnit checks that the server takes the flags of the unit, and that systemd takes the unit.
func TestServiceUnit(t *testing.T) {
	isolate(t)
	unit := readDeploy(t, "glossa.service")
	m := regexp.MustCompile(`(?m)^ExecStart=(\S+) serve (.*)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatal("no ExecStart")
	}
	args := strings.Fields(strings.Replace(m[2], "/etc/glossa/glossa.yaml", filepath.Join(deployDir, "glossa.yaml"), 1))
	if got := settingsOf(t, args...); !strings.Contains(got, "log-format: json # the command line") {
		t.Errorf("settings:\n%s", got)
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("SKIP: systemd-analyze verify, absent: ", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "glossa.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, m[1], self)), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestDockerfile checks the image's program, user, variables and health check. Building it takes Docker.
func TestDockerfile(t *testing.T) {
	isolate(t)
	known := make(map[string]bool)
	for line := range strings.Lines(settingsOf(t)) {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "# "), ":")
		known[variableOf(key)] = true
	}
	stages, last := map[string]bool{}, map[string]string{}
	for line := range strings.Lines(readDeploy(t, "Dockerfile")) {
		word, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !ok || word == "#":
			continue
		case !strings.Contains(" FROM WORKDIR COPY RUN USER ENV VOLUME EXPOSE HEALTHCHECK STOPSIGNAL ENTRYPOINT CMD ", " "+word+" "):
			t.Errorf("unknown instruction: %s", line)
		case word == "FROM":
			if _, name, named := strings.Cut(rest, " AS "); named {
				stages[name] = true
			}
			clear(last)
		case word == "ENV":
			for _, pair := range strings.Fields(rest) {
				if name, _, _ := strings.Cut(pair, "="); !known[name] {
					t.Errorf("%s is the variable of no setting", name)
				}
			}
		}
		if from, after, ok := strings.Cut(rest, "--from="); word == "COPY" && ok && !stages[strings.Fields(after)[0]] {
			t.Errorf("%s %s: no such stage", from, after)
		}
		last[word] = rest
	}
	if last["USER"] != "nonroot" || last["STOPSIGNAL"] != "SIGTERM" {
		t.Errorf("user %q, signal %q", last["USER"], last["STOPSIGNAL"])
	}
	_, health, _ := strings.Cut(last["HEALTHCHECK"], " CMD ")
	for _, arguments := range []string{last["ENTRYPOINT"] + "\n" + last["CMD"], health} {
		var args []string
		for d := json.NewDecoder(strings.NewReader(arguments)); d.More(); {
			var part []string
			if err := d.Decode(&part); err != nil {
				t.Fatalf("%s: %v", arguments, err)
			}
			args = append(args, part...)
		}
		var stdout, stderr bytes.Buffer
		if len(args) < 2 || args[0] != "/usr/local/bin/glossa" || run(t.Context(), append(args[1:], "--help"), &stdout, &stderr) != statusOK {
			t.Errorf("%q: %s", args, &stderr)
		}
	}
}
