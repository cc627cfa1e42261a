//go:build !amd64 || purego

package cpu

import "testing"

// emulated returns no kernels: the build has no assembly.
func emulated(*testing.T, string) (kernels, bool) { return kernels{}, false }
