//go:build cuda && linux

package driver

import (
	"fmt"
	"regexp"
	"strings"
)

// paramKind is what a parameter of a kernel holds.
type paramKind uint8

const (
	param32 paramKind = iota + 1
	param64
	paramFloat
)

func (k paramKind) String() string {
	return [...]string{"nothing", "a 32-bit integer", "a pointer or 64-bit integer", "a float"}[k]
}

var (
	ptxEntry = regexp.MustCompile(`(?s)\.entry\s+([A-Za-z_$][\w$]*)\s*(?:\(([^)]*)\))?`)
	ptxParam = regexp.MustCompile(`\.param\s+(?:\.align\s+\d+\s+)?\.([usbf])(\d+)[^,\[]*(\[)?`)
)

// entries returns the kernels of PTX and their parameters (PTX ISA, "Kernel and Function Directives: .entry").
func entries(ptx string) (map[string][]paramKind, error) {
	found := make(map[string][]paramKind)
	for _, m := range ptxEntry.FindAllStringSubmatch(ptx, -1) {
		name := m[1]
		params := []paramKind{}
		for p := range strings.SplitSeq(m[2], ",") {
			if strings.TrimSpace(p) == "" {
				continue
			}
			k, err := parameter(p)
			if err != nil {
				return nil, fmt.Errorf("cuda: kernel %s: %w", name, err)
			}
			params = append(params, k)
		}
		found[name] = params
	}
	return found, nil
}

// parameter reads one parameter, such as ".param .u64 name_param_0".
func parameter(text string) (paramKind, error) {
	m := ptxParam.FindStringSubmatch(text)
	switch {
	case m == nil || m[3] != "":
		return 0, fmt.Errorf("the parameter %q is neither a pointer nor a number", strings.TrimSpace(text))
	case m[2] == "64" && m[1] != "f":
		return param64, nil
	case m[2] == "32" && m[1] == "f":
		return paramFloat, nil
	case m[2] == "32":
		return param32, nil
	}
	return 0, fmt.Errorf("the parameter %q has neither 32 nor 64 bits", strings.TrimSpace(text))
}

// waiting tells which kernels of PTX wait for what was launched before them (PTX ISA, "griddepcontrol"). Each of their threads has to, before
// it looks at memory that others write.
func waiting(ptx string) map[string]bool {
	waits := make(map[string]bool)
	starts := ptxEntry.FindAllStringSubmatchIndex(ptx, -1)
	for i, s := range starts {
		end := len(ptx)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		for line := range strings.Lines(ptx[s[0]:end]) {
			if strings.HasPrefix(strings.TrimSpace(line), "griddepcontrol.wait") {
				waits[ptx[s[2]:s[3]]] = true
			}
		}
	}
	return waits
}
