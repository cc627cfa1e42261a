package kernels

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the PTX that the compiler makes")

// compiler makes PTX without a toolkit, the same bytes on any machine.
const compiler = "clang-19"

// compile returns the PTX of a source.
func compile(m Module) ([]byte, error) {
	var out, errs bytes.Buffer
	arguments := []string{"-x", "cuda", "--cuda-device-only", "--cuda-gpu-arch=" + m.arch(),
		"-nocudainc", "-nocudalib", "-std=c++17", "-O3", "-ffp-contract=off", "-Wall", "-Werror", "-S", "-o", "-"}
	switch {
	case m.alone:
		arguments = append(arguments, "-DKPORT_SM80", "-DKPORT_SM90", "-Xclang", "-target-feature", "-Xclang", "+ptx80") // as wgmma wants
	case m.Major >= 8:
		arguments = append(arguments, "-DKPORT_SM80")
	default:
		arguments = append(arguments, "-Xclang", "-target-feature", "-Xclang", "+ptx65") // as mma.sync.m16n8k8 of float16 wants
	}
	c := exec.Command(compiler, append(arguments, m.Name+".cu")...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &errs)
	}
	return out.Bytes(), nil
}

// arch is what compilers call the least device that the module runs on.
func (m Module) arch() string {
	arch := fmt.Sprintf("sm_%d%d", m.Major, m.Minor)
	if m.alone {
		arch += "a"
	}
	return arch
}

// TestPTX checks that the PTX is what the sources are compiled to.
func TestPTX(t *testing.T) {
	if _, err := exec.LookPath(compiler); err != nil {
		if *update {
			t.Fatal(err)
		}
		t.Skipf("SKIP: %s absent: the PTX is not compared with its sources", compiler)
	}
	for _, m := range modules {
		got, err := compile(m)
		if err != nil {
			t.Fatalf("%s.cu: %v", m.Name, err)
		}
		name := m.Name + ".ptx"
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what %s makes of %s.cu (%v): run this test with -update", name, compiler, m.Name, err)
		}
	}
}

// TestPTXIsLean checks what would be slow on a device and is not seen elsewhere: local memory, where an array is not kept in
// registers, calls of functions, and float64 but in log-mels, which are of the host's bits and have little to compute.
func TestPTXIsLean(t *testing.T) {
	for _, m := range modules {
		for _, word := range []string{".local", "call.uni", ".f64"} {
			if word == ".f64" && m.Name == Spectrum {
				continue
			}
			if bytes.Contains([]byte(m.PTX()), []byte(word)) {
				t.Errorf("%s.ptx has %s", m.Name, word)
			}
		}
	}
}

// TestPTXAssembles checks that NVIDIA's assembler takes the PTX, which the driver's does on a device, and keeps all in registers. It
// comes with CUDA; the test needs no GPU.
func TestPTXAssembles(t *testing.T) {
	assembler, err := exec.LookPath("ptxas")
	if err != nil {
		t.Skip("SKIP: ptxas absent: the PTX is not assembled")
	}
	for _, m := range modules {
		archs := []string{m.arch(), "sm_80", "sm_90"}
		if m.alone {
			archs = archs[:1]
		}
		for _, arch := range archs {
			text := m.PTX()
			if arch == "sm_90" {
				text = m.PTXFor(9)
			}
			c := exec.Command(assembler, "-arch="+arch, "-v", "-o", filepath.Join(t.TempDir(), "cubin"), "/dev/stdin")
			c.Stdin = strings.NewReader(text)
			out, err := c.CombinedOutput()
			if bytes.Contains(out, []byte("is not defined for option 'gpu-name'")) && arch != "sm_90" { // CUDA 13 has none before sm_75
				t.Logf("%s is not assembled for %s, which this ptxas does not know", m.Name, arch)
				continue
			}
			if err != nil {
				t.Errorf("%s for %s: %v\n%s", m.Name, arch, err, out)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if strings.Contains(line, "stack frame") && !strings.Contains(line, " 0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads") {
					t.Errorf("%s for %s: %s", m.Name, arch, line)
				}
			}
		}
	}
}

// TestKernels checks that names are unique, that every source is a module, and which modules run on which devices.
func TestKernels(t *testing.T) {
	var names, sources []string
	for _, m := range modules {
		sources = append(sources, m.Name+".cu")
		k := m.Kernels()
		if len(k) == 0 {
			t.Errorf("%s has no kernels", m.Name)
		}
		names = append(names, k...)
	}
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Errorf("%d kernels have %d names: %v", len(names), n, names)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); len(n) > 3 && n[len(n)-3:] == ".cu" && !slices.Contains(sources, n) {
			t.Errorf("%s is in no module", n)
		}
	}
	for _, c := range []struct {
		major, minor int
		without      []string
	}{
		{7, 0, []string{"attention_bf16", "attention_bf16_sm90", "attention_f16", "attention_f16_sm75", "attention_f16_sm90", "few", "norm_registers", "product_bf16", "product_f16"}},
		{7, 5, []string{"attention_bf16", "attention_bf16_sm90", "attention_f16", "attention_f16_sm90", "few", "norm_registers", "product_bf16", "product_f16"}},
		{8, 0, []string{"attention_bf16_sm90", "attention_f16_sm75", "attention_f16_sm90"}},
		{9, 0, []string{"attention_f16_sm75"}},
		{10, 0, []string{"attention_bf16_sm90", "attention_f16_sm75", "attention_f16_sm90"}},
	} {
		var got, want []string
		for _, m := range Modules(c.major, c.minor) {
			got = append(got, m.Name)
		}
		for _, m := range modules {
			if !slices.Contains(c.without, m.Name) {
				want = append(want, m.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("modules %v run on %d.%d, want %v", got, c.major, c.minor, want)
		}
	}
	if Modules(6, 1) != nil {
		t.Error("modules run on 6.1")
	}
}

// TestPTXFor checks that kernels wait for those before them where devices have the instruction, and that the text is then for these.
func TestPTXFor(t *testing.T) {
	for _, m := range modules {
		text := m.PTX()
		if m.PTXFor(8) != text {
			t.Errorf("%s is another for 8.0", m.Name)
		}
		n := strings.Count(text, "\n\t//griddepcontrol.")
		got := m.PTXFor(9)
		if strings.Count(got, "\n\tgriddepcontrol.") != n || strings.Contains(got, "//griddepcontrol") {
			t.Errorf("%s for 9.0 has not the %d instructions of the source", m.Name, n)
		}
		if n > 0 && !strings.Contains(got, "\n.version 7.8\n.target sm_90\n") {
			t.Errorf("%s for 9.0 begins with %q", m.Name, got[:80])
		}
	}
}
