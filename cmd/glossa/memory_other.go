//go:build !(darwin || dragonfly || freebsd || netbsd || openbsd)

package main

// maxResident returns 0: where /proc does not tell, it is not known.
func maxResident() int64 { return 0 }
