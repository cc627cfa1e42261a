package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// gpuTest is a backend that stands for a GPU.
type gpuTest struct{ *cpu.Backend }

// someGPUs is access to so many GPUs, of which those that are named do not open.
func someGPUs(t *testing.T, n int, why error, bad ...int) gpuAccess {
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return gpuAccess{
		built: true,
		count: func() (int, error) { return n, why },
		names: func() ([]string, error) { return slices.Repeat([]string{"A100"}, n), why },
		open: func(i int) (tensor.Backend, error) {
			if slices.Contains(bad, i) {
				return nil, errors.New("it is on fire")
			}
			return gpuTest{b}, nil
		},
	}
}

// TestDevices checks what --device stands for, with GPUs and without.
func TestDevices(t *testing.T) {
	plain := gpuAccess{count: func() (int, error) { return 0, errors.New("built without CUDA") }, open: someGPUs(t, 0, nil).open}
	noDriver := someGPUs(t, 0, errors.New("there is no driver"))
	for _, c := range []struct {
		device   string
		gpus     gpuAccess
		want     string // devices, the fallback behind a plus
		said     string
		mistaken string
	}{
		{"auto", plain, "cpu", "", ""},
		{"", plain, "cpu", "", ""},
		{"auto", noDriver, "cpu", "the processor computes: there is no driver", ""},
		{"auto", someGPUs(t, 2, nil), "cuda:0 cuda:1 +cpu", "", ""},
		{"auto", someGPUs(t, 2, nil, 0), "cuda:1 +cpu", "a GPU is left out: it is on fire", ""},
		{"auto", someGPUs(t, 1, nil, 0), "cpu", "the processor computes: it is on fire", ""},
		{"cpu", someGPUs(t, 2, nil), "cpu", "", ""},
		{"cuda", someGPUs(t, 3, nil), "cuda:0 cuda:1 cuda:2", "", ""},
		{"cuda:1", someGPUs(t, 2, nil), "cuda:1", "", ""},
		{"cuda:1,cuda:0,cuda:1", someGPUs(t, 2, nil), "cuda:0 cuda:1", "", ""},
		{"cuda:1,cpu", someGPUs(t, 2, nil), "cuda:1 +cpu", "", ""},
		{"cuda", plain, "", "", "--device cuda: there is no such GPU: built without CUDA; take --device cpu, or a glossa that was built with CUDA"},
		{"cuda:0", noDriver, "", "", "--device cuda:0: there is no such GPU: there is no driver; --device auto takes what works, --device cpu the processor"},
		{"cuda:2", someGPUs(t, 2, nil), "", "", "--device cuda:2: there is no such GPU: there are: cpu cuda:0 cuda:1; --device auto takes what works, --device cpu the processor"},
		{"cuda:0", someGPUs(t, 1, nil, 0), "", "", "--device cuda:0: there is no such GPU: it is on fire; --device auto takes what works, --device cpu the processor"},
		{"cuda:x", someGPUs(t, 2, nil), "", "", "--device cuda:x: want auto, cpu, cuda, or cuda:0, cuda:1 and so on, several with commas between them"},
		{"auto,cpu", someGPUs(t, 2, nil), "", "", "--device auto,cpu: want auto, cpu, cuda, or cuda:0, cuda:1 and so on, several with commas between them"},
		{"gpu", plain, "", "", "--device gpu: want auto, cpu, cuda, or cuda:0, cuda:1 and so on, several with commas between them"},
	} {
		said := ""
		f := computeFlags{say: func(line string) { said += line }}
		if c.device != "" {
			f.Device = strings.Split(c.device, ",")
		}
		list, fallback, err := f.devicesOf(c.gpus)
		var got []string
		for _, d := range list {
			got = append(got, d.name)
			if _, isGPU := d.backend.(gpuTest); isGPU != d.gpu() {
				t.Errorf("--device %s: %s is a GPU: %v", c.device, d.name, isGPU)
			}
		}
		if fallback != nil {
			d, err := fallback()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, "+"+d.name)
		}
		if strings.Join(got, " ") != c.want || said != c.said {
			t.Errorf("--device %s: %q, said %q; want %q, %q", c.device, got, said, c.want, c.said)
		}
		if text := ""; (err != nil) != (c.mistaken != "") || err != nil && err.Error() != c.mistaken {
			if err != nil {
				text = err.Error()
			}
			t.Errorf("--device %s: error %q, want %q", c.device, text, c.mistaken)
		}
	}
}

// TestVersionListsDevices checks what is told of devices.
func TestVersionListsDevices(t *testing.T) {
	c, err := computeFlags{}.openCPU()
	if err != nil {
		t.Fatal(err)
	}
	text := listDevices(c, someGPUs(t, 2, nil))
	if !strings.HasPrefix(text, "device cpu: ") || !strings.HasSuffix(text, "\ndevice cuda:0: A100\ndevice cuda:1: A100\n") {
		t.Errorf("%q", text)
	}
	if text := listDevices(c, someGPUs(t, 0, errors.New("there is no driver"))); !strings.HasSuffix(text, "\nno GPU: there is no driver\n") {
		t.Errorf("%q", text)
	}
}

// TestEngineOnSeveral serves the embedded model on what stands for GPUs.
func TestEngineOnSeveral(t *testing.T) {
	f := modelFlags{Model: nanoName, Adapter: "auto", Batch: 16, DType: "f32"}
	list, fallback, err := computeFlags{Device: []string{"cuda"}}.devicesOf(someGPUs(t, 2, nil))
	if err != nil || fallback != nil {
		t.Fatal(err)
	}
	e, err := f.engineOn(list, fallback)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if l := e.Load(); len(l.Devices) != 2 || l.Devices[1].Name != "cuda:1" || e.Windows() != 2*gpuBatch || len(e.Adapters()) == 0 {
		t.Errorf("%+v, %d windows", l, e.Windows())
	}
}
