package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// computeFlags are the flags of every command that computes.
type computeFlags struct {
	Threads int      `placeholder:"N" help:"The number of threads that compute on the processor. (one for each processor)"`
	Device  []string `default:"auto" placeholder:"auto|cpu|cuda|cuda:N,…" help:"What computes: auto is all GPUs that work, or else the processor; cuda is all GPUs, cuda:0,cuda:1 are these. Behind GPUs, cpu takes their place when all have failed, as it does with auto. (${default})"`

	given map[string]bool // names of flags that have a value which is not their default
	say   func(string)    // writes a line to the standard error, one of each kind
}

// AfterApply is called when the command line was read.
func (f *computeFlags) AfterApply(app *kong.Kong, ctx *kong.Context) error {
	f.given = make(map[string]bool)
	for _, p := range ctx.Path {
		if p.Flag != nil {
			f.given[p.Flag.Name] = true
		}
	}
	var said sync.Map
	f.say = func(line string) {
		if _, again := said.LoadOrStore(line, true); !again {
			fmt.Fprintln(app.Stderr, "glossa:", line)
		}
	}
	return nil
}

// Names of devices.
const (
	autoDevice = "auto"
	cpuDevice  = "cpu"
	cudaDevice = "cuda"
)

// computer is a device that was opened.
type computer struct {
	name    string // as --device has it
	backend backend
}

// gpu reports whether it is one.
func (c *computer) gpu() bool { return c.name != cpuDevice }

// describe returns what the device is.
func (c *computer) describe() string {
	if d, ok := c.backend.(interface{ Device() string }); ok {
		return c.name + ", " + d.Device()
	}
	return fmt.Sprintf("%s, %s, %d threads", processor(), c.backend.Name(), threadsOf(c.backend))
}

// gpuAccess is what this program can do with GPUs.
type gpuAccess struct {
	built bool // with the tag cuda, on Linux
	count func() (int, error)
	names func() ([]string, error) // by number; it takes long
	open  func(ordinal int) (tensor.Backend, error)
}

// errGPU is wrapped by the errors of GPUs that are asked for and not there.
var errGPU = errors.New("there is no such GPU")

// chosenDevices are the devices that --device names.
type chosenDevices struct {
	gpus     []int
	cpu      bool   // alone, or as what takes the GPUs' place
	fellBack string // why auto has found no GPU, "" where none is to be expected
}

// chooseDevices finds the devices that names, as --device has them, stand for.
func chooseDevices(names []string, g gpuAccess) (c chosenDevices, err error) {
	all := func() error {
		n, err := g.count()
		for i := range n {
			c.gpus = append(c.gpus, i)
		}
		return err
	}
	for _, name := range names {
		ordinal, isOne := strings.CutPrefix(name, cudaDevice+":")
		n, bad := strconv.Atoi(ordinal)
		switch {
		case name == autoDevice && len(names) == 1:
			if err := all(); err != nil && g.built {
				c.fellBack = err.Error()
			}
			c.cpu = true
			return c, nil
		case name == cpuDevice:
			c.cpu = true
		case name == cudaDevice:
			if err := all(); err != nil {
				return c, noGPU(name, g, err)
			}
		case isOne && bad == nil && n >= 0:
			have, err := g.count()
			if err == nil && n >= have {
				err = fmt.Errorf("there are: cpu%s", strings.Join(numbered(have), ""))
			}
			if err != nil {
				return c, noGPU(name, g, err)
			}
			c.gpus = append(c.gpus, n)
		default:
			return c, fmt.Errorf("--device %s: want auto, cpu, cuda, or cuda:0, cuda:1 and so on, several with commas between them", strings.Join(names, ","))
		}
	}
	slices.Sort(c.gpus)
	c.gpus = slices.Compact(c.gpus)
	return c, nil
}

// numbered returns the names of so many GPUs, each behind a space.
func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf(" %s:%d", cudaDevice, i))
	}
	return names
}

// noGPU returns the error of a GPU that is asked for and not there.
func noGPU(name string, g gpuAccess, why error) error {
	if !g.built {
		return fmt.Errorf("--device %s: %w: %w; take --device cpu, or a glossa that was built with CUDA", name, errGPU, why)
	}
	return fmt.Errorf("--device %s: %w: %w; --device auto takes what works, --device cpu the processor", name, errGPU, why)
}

// devices opens what --device names. fallback opens the processor where that takes the place of GPUs that have failed,
// and is nil where nothing does.
func (f computeFlags) devices() (list []computer, fallback func() (computer, error), err error) {
	return f.devicesOf(gpus)
}

func (f computeFlags) devicesOf(g gpuAccess) (list []computer, fallback func() (computer, error), err error) {
	if n := runtime.NumCPU(); f.Threads < 0 || f.Threads > n {
		return nil, nil, fmt.Errorf("--threads %d: this machine has %d processors", f.Threads, n)
	}
	auto := len(f.Device) == 0 || len(f.Device) == 1 && f.Device[0] == autoDevice
	names := f.Device
	if auto {
		names = []string{autoDevice}
	}
	c, err := chooseDevices(names, g)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range c.gpus {
		opened, err := openGPU(g, n)
		switch {
		case err != nil && auto:
			c.fellBack = err.Error()
		case err != nil:
			return nil, nil, noGPU(fmt.Sprintf("%s:%d", cudaDevice, n), g, err)
		default:
			list = append(list, opened)
		}
	}
	if c.fellBack != "" && f.say != nil {
		what := "the processor computes"
		if len(list) > 0 {
			what = "a GPU is left out"
		}
		f.say(what + ": " + c.fellBack)
	}
	if len(list) > 0 && c.cpu {
		fallback = f.openCPU
	}
	if len(list) == 0 {
		opened, err := f.openCPU()
		if err != nil {
			return nil, nil, err
		}
		list = append(list, opened)
	}
	return list, fallback, nil
}

// openCPU opens the processor.
func (f computeFlags) openCPU() (computer, error) {
	b, err := cpu.New(cpu.Options{Threads: f.Threads})
	return computer{cpuDevice, b}, err
}

// openGPU opens a GPU.
func openGPU(g gpuAccess, ordinal int) (computer, error) {
	b, err := g.open(ordinal)
	if err != nil {
		return computer{}, err
	}
	k, ok := b.(backend)
	if !ok {
		return computer{}, fmt.Errorf("%s does not tell which number formats it has", b.Name())
	}
	return computer{fmt.Sprintf("%s:%d", cudaDevice, ordinal), k}, nil
}

// device opens the one device that --device names, for what computes on no more. Of all GPUs it is the first.
func (f computeFlags) device() (computer, error) {
	several := len(f.Device) > 1
	if !several && len(f.Device) == 1 && (f.Device[0] == autoDevice || f.Device[0] == cudaDevice) {
		g := gpus
		g.count = func() (int, error) {
			n, err := gpus.count()
			return min(1, n), err
		}
		list, _, err := f.devicesOf(g)
		if err != nil {
			return computer{}, err
		}
		return list[0], nil
	}
	if several {
		return computer{}, fmt.Errorf("--device %s: this command computes on one device", strings.Join(f.Device, ","))
	}
	list, _, err := f.devices()
	if err != nil {
		return computer{}, err
	}
	return list[0], nil
}
