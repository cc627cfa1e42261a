// Package nodetest runs scripts of node in tests, with packages from npm and a browser. A test that lacks them is skipped.
package nodetest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What tests have node use, each by its last version for the oldest node.
const (
	OpenAI     = "openai@6.49.0"
	Deepgram   = "@deepgram/sdk@5.13.0"
	WS         = "ws@8.23.0"
	Playwright = "playwright-core@1.65.1"
)

// oldest is the first version of node that the packages of tests run on.
const oldest = 20

// Node returns the path of node. The test is skipped where there is none, or an old one.
func Node(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skipf("SKIP: node, absent: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, "--version").Output()
	if err != nil {
		t.Fatalf("node --version: %v", err)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if n, err := strconv.Atoi(version); err != nil || n < oldest {
		t.Skipf("SKIP: node %d or later, absent: this one is %s", oldest, bytes.TrimSpace(out))
	}
	return node
}

// Modules returns a folder in which packages, each NAME@VERSION, are installed, once for all runs of tests. The test is
// skipped where npm cannot install them, and with -short.
func Modules(t *testing.T, packages ...string) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIP: packages from npm, for -short")
	}
	Node(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("SKIP: a folder for packages from npm, absent: %v", err)
	}
	name := strings.NewReplacer("/", "-", "@", "-").Replace(strings.TrimLeft(strings.Join(packages, "+"), "@"))
	dir = filepath.Join(cache, "glossa-test", name)
	if installed(dir) {
		return dir
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skipf("SKIP: npm, absent: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, append([]string{"install", "--prefix", fresh, "--no-audit", "--no-fund"}, packages...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIP: %s, which npm cannot install: %v\n%s", strings.Join(packages, " and "), err, out)
	}
	if err := os.Rename(fresh, dir); err != nil && !installed(dir) { // else another test was faster
		t.Fatal(err)
	}
	return dir
}

// installed reports whether a folder is one of Modules.
func installed(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "package.json"))
	return err == nil
}

// Chromium returns the path of a browser that Playwright drives. The test is skipped where there is none.
func Chromium(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skipf("SKIP: Chromium, absent: none of %s", strings.Join(names, ", "))
	return ""
}

// Output runs a script of node and returns what it writes. The test fails where its status is not 0, it complains, or it takes
// longer than a limit.
func Output(t *testing.T, limit time.Duration, script string, environment ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, Node(t), script)
	c.Env = append(os.Environ(), environment...)
	c.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%s: %v\n%s", script, err, &stderr)
	}
	return out
}

// Run is Output of a script that writes JSON, which it decodes.
func Run(t *testing.T, limit time.Duration, got any, script string, environment ...string) {
	t.Helper()
	out := Output(t, limit, script, environment...)
	if err := json.Unmarshal(out, got); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// Report makes a test of each line of a script: ok or FAIL, a name, and why.
func Report(t *testing.T, out []byte) {
	t.Helper()
	n := 0
	for line := range strings.Lines(string(out)) {
		verdict, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, why, _ := strings.Cut(name, ": ")
		n++
		t.Run(name, func(t *testing.T) {
			if verdict != "ok" {
				t.Error(why)
			}
			t.Log(why)
		})
	}
	if n == 0 {
		t.Error("the script checked nothing")
	}
}
