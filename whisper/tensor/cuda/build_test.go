package cuda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildsWithoutToolkit checks that the backend compiles and links, and passes go vet, where neither a driver nor the CUDA toolkit is
// installed: with a C compiler and the header in include.
func TestBuildsWithoutToolkit(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "env", "CC").Output()
	if err != nil {
		t.Skipf("SKIP: the go command, absent: %v", err)
	}
	compiler := strings.TrimSpace(string(out))
	if _, err := exec.LookPath(strings.Fields(compiler)[0]); err != nil {
		t.Skipf("SKIP: a C compiler, absent: %v", err)
	}
	include, err := filepath.Abs("include")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "driver.test")
	for _, args := range [][]string{
		{"build", "-tags", "cuda", "./..."},
		{"vet", "-tags", "cuda", "./..."},
		{"test", "-c", "-tags", "cuda", "-o", program, "./internal/driver"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-O2 -g -I"+include)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	startsWithoutDriver(t, program)
}

// startsWithoutDriver runs a program that was linked with the backend where there is no driver: it starts, and says so in one line.
func startsWithoutDriver(t *testing.T, program string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestFakeOpenInChild$", "-test.v")
	cmd.Env = append(os.Environ(), "GLOSSA_LIBCUDA=/nowhere/libcuda.so.1", "GLOSSA_CHILD=1")
	cmd.Dir = "internal/driver"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "no CUDA driver: /nowhere/libcuda.so.1: cannot open shared object file: No such file or directory\n"; !strings.Contains(string(out), want) {
		t.Errorf("the program says\n%s\nwant %q", out, want)
	}
	needed, err := exec.Command("readelf", "-d", program).CombinedOutput()
	if err != nil {
		t.Skipf("SKIP: readelf, to see what the program is linked to: %v", err)
	}
	for _, library := range []string{"libcuda", "libcublas", "libcudart"} {
		if strings.Contains(string(needed), library) {
			t.Errorf("the program is linked to %s\n%s", library, needed)
		}
	}
}
