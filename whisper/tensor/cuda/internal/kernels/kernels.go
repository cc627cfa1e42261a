// Package kernels holds the kernels of the GPU backend: their sources, one file for each family, and what the compiler makes of
// them, PTX as text, which the driver compiles for the device that it finds. Both are committed; a test makes the PTX again and
// compares. To make it after a change of a source:
//
//	go test ./whisper/tensor/cuda/internal/kernels -run TestPTX -update
package kernels

import (
	"embed"
	"regexp"
	"strings"
)

//go:embed *.ptx
var files embed.FS

// Module is the PTX of one source.
type Module struct {
	Name         string // of the source, without .cu
	Major, Minor int    // the least compute capability that it runs on
	below        int    // major number from which on another takes its place, 0: none does
	alone        bool   // on no other: it has instructions that later devices lack
}

// modules are all sources. Tensor cores multiply bfloat16 from 8.0 on, and float16 from 7.5 on as attention needs it, from 8.0 on in pieces
// twice as large; those of 9.0 multiply by instructions that no other device has. All else runs on any that has
// tensor cores.
var modules = []Module{
	{Name: "attention", Major: 7},
	{Name: "attention_bf16", Major: 8},
	{Name: "attention_bf16_sm90", Major: 9, alone: true},
	{Name: "attention_f16", Major: 8},
	{Name: "attention_f16_sm75", Major: 7, Minor: 5, below: 8},
	{Name: "attention_f16_sm90", Major: 9, alone: true},
	{Name: "elementwise", Major: 7},
	{Name: "few", Major: 8},
	{Name: "gradients", Major: 7},
	{Name: "lowrank", Major: 7},
	{Name: "mix", Major: 7},
	{Name: "norm", Major: 7},
	{Name: "norm_registers", Major: 8},
	{Name: "pick", Major: 7},
	{Name: "product_bf16", Major: 8},
	{Name: "product_f16", Major: 8},
	{Name: "rows", Major: 7},
	{Name: Spectrum, Major: 7},
}

// Spectrum is the module of log-mels, which has a stream of its own.
const Spectrum = "spectrum"

// Modules returns the modules that run on devices of a compute capability.
func Modules(major, minor int) []Module {
	var fit []Module
	for _, m := range modules {
		if (major > m.Major || major == m.Major && minor >= m.Minor) && (m.below == 0 || major < m.below) && (!m.alone || major == m.Major && minor == m.Minor) {
			fit = append(fit, m)
		}
	}
	return fit
}

// PTX returns the text of the module.
func (m Module) PTX() string {
	text, err := files.ReadFile(m.Name + ".ptx")
	if err != nil {
		panic(err) // it was embedded by the build
	}
	return string(text)
}

// PTXFor returns the text of the module for a device of compute capability major. From 9.0 on kernels that can come onto a device before
// those before them have ended, and wait for them: what they have for it is a comment in the text for all devices.
func (m Module) PTXFor(major int) string {
	text := m.PTX()
	if major < 9 || !strings.Contains(text, "//griddepcontrol") {
		return text
	}
	text = strings.ReplaceAll(text, "//griddepcontrol", "griddepcontrol")
	return head.ReplaceAllString(text, ".version 7.8\n.target sm_90\n")
}

// head is how PTX begins.
var head = regexp.MustCompile(`\.version [0-9.]+\n\.target sm_[0-9]+\n`)

// Kernels returns the names of the module's kernels.
func (m Module) Kernels() []string {
	var names []string
	for _, part := range strings.Split(m.PTX(), ".visible .entry ")[1:] {
		name, _, _ := strings.Cut(part, "(")
		names = append(names, strings.TrimSpace(name))
	}
	return names
}
