//go:build cuda && linux

package fake

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// flags are for the driver and for kernels. The compiler may not fuse products and sums: results are then the same everywhere.
var flags = []string{"-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall"}

// builder makes one library. Objects are kept in a folder under the temporary one, by a hash of all that makes them.
type builder struct {
	gcc     string // the path of g++
	version []byte
	cuda    string // the backend's folder
	cache   string
}

// Build compiles the fake with the kernels of internal/kernels and of more sources, and returns the library's path.
func Build(sources ...string) (string, error) {
	gcc, err := exec.LookPath("g++")
	if err != nil {
		return "", fmt.Errorf("g++, absent: %w", err)
	}
	b := &builder{gcc: gcc}
	if b.version, err = exec.Command(gcc, "-v", "-E", "-x", "c++", "/dev/null").CombinedOutput(); err != nil {
		return "", fmt.Errorf("g++ -v: %w: %s", err, b.version)
	}
	if b.cuda, err = cudaFolder(); err != nil {
		return "", err
	}
	if b.cache, err = cacheFolder(); err != nil {
		return "", err
	}
	driver, err := filepath.Glob(filepath.Join(b.cuda, "internal", "fake", "src", "*.cc"))
	if err != nil {
		return "", err
	}
	kernels, err := filepath.Glob(filepath.Join(b.cuda, "internal", "kernels", "*.cu"))
	if err != nil {
		return "", err
	}
	sources = append(append(driver, kernels...), sources...)
	if err := b.depend(sources); err != nil {
		return "", err
	}
	objects, err := b.compileAll(sources)
	if err != nil {
		return "", err
	}
	return b.make("lib", ".so", strings.Join(objects, "\n"), func(out string) []string {
		return append([]string{"-shared", "-o", out, "-pthread"}, objects...)
	}, nil)
}

// depend looks at all that is compiled, so that go test knows what a result that it remembers was made of.
func (b *builder) depend(sources []string) error {
	for _, folder := range []string{"include", "internal/fake/src", "internal/kernels"} {
		headers, err := filepath.Glob(filepath.Join(b.cuda, folder, "*.h"))
		if err != nil {
			return err
		}
		sources = append(sources[:len(sources):len(sources)], headers...)
	}
	for _, path := range sources {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
}

// compileAll returns the objects of the sources, in their order.
func (b *builder) compileAll(sources []string) ([]string, error) {
	objects, errs := make([]string, len(sources)), make([]error, len(sources))
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i, source := range sources {
		wait.Go(func() {
			slots <- struct{}{}
			objects[i], errs[i] = b.compile(source)
			<-slots
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// global is what KP_GLOBAL becomes, and the name of the kernel after it.
var global = regexp.MustCompile(`extern "C" __attribute__\(\(noinline, used\)\)\s+void\s+(\w+)\s*\(`)

var notName = regexp.MustCompile(`\W`)

// compile preprocesses a source, adds to kernels what makes them known, and compiles the result.
func (b *builder) compile(source string) (string, error) {
	section := "kp_shared_" + notName.ReplaceAllString(filepath.Base(source), "_")
	args := append([]string{"-E", "-x", "c++", "-DKPORT_CPU", "-DKPORT_SM80", `-DKP_SECTION="` + section + `"`,
		"-I" + filepath.Join(b.cuda, "include"), "-I" + filepath.Join(b.cuda, "internal", "fake", "src"),
		"-I" + filepath.Join(b.cuda, "internal", "kernels"), source}, flags...)
	text, err := b.run(nil, args...)
	if err != nil {
		return "", err
	}
	options := flags
	if filepath.Ext(source) == ".cu" {
		text = append(text, register(text, section)...)
		options = append(options[:len(options):len(options)], "-fsanitize=bounds,alignment") // fibers.cc has what they call
	} else if filepath.Base(source) == "blas.cc" {
		options = append(options[:len(options):len(options)], "-O3")
	}
	return b.make("o", ".o", string(text), func(out string) []string {
		return append([]string{"-c", "-x", "c++-cpp-output", "-", "-o", out}, options...)
	}, text)
}

// register returns the code that makes the kernels in preprocessed text known; the static shared memory of the text is in section.
func register(text []byte, section string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "\nextern \"C\" __attribute__((visibility(\"hidden\"), weak)) char __start_%s[], __stop_%s[];\n", section, section)
	for _, m := range global.FindAllSubmatch(text, -1) {
		fmt.Fprintf(&s, "static kp_register kp_register_%[1]s(\"%[1]s\", kp_bind<%[1]s>::call, kp_bind<%[1]s>::sizes, kp_bind<%[1]s>::n, "+
			"__start_%[2]s, __stop_%[2]s);\n", m[1], section)
	}
	return s.String()
}

// make returns the file of the cache that is made of `from`, which it makes where it is not there.
func (b *builder) make(name, ext, from string, args func(out string) []string, stdin []byte) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n", b.version, args(""), from)
	path := filepath.Join(b.cache, fmt.Sprintf("%s-%x%s", name, h.Sum(nil)[:16], ext))
	now := time.Now()
	if os.Chtimes(path, now, now) == nil {
		return path, nil
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(temporary)
	if _, err := b.run(stdin, args(temporary)...); err != nil {
		return "", err
	}
	return path, os.Rename(temporary, path)
}

func (b *builder) run(stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.Command(b.gcc, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("g++: %w\n%s", err, &stderr)
	}
	return stdout.Bytes(), nil
}

// keep is how long an object that nobody uses stays in the cache.
const keep = 72 * time.Hour

// cacheFolder returns a folder that only this user can write to, without what is old.
func cacheFolder() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("glossa-fakecuda-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(s.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("%s is not a folder of this user alone", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if i, err := e.Info(); err == nil && time.Since(i.ModTime()) > keep {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	return dir, nil
}
