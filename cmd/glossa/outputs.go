package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// output is a file that a flag names, to be written when all is done.
type output struct{ flag, path string }

// checkWrites finds outputs that cannot be written, or whose writing would destroy what is read or another output, before any work is done. Those
// without a path are left out.
func checkWrites(inputs []string, outputs ...output) error {
	var before []output
	for _, o := range outputs {
		if o.path == "" {
			continue
		}
		for _, in := range inputs {
			if sameFile(in, o.path) {
				return fmt.Errorf("%s %s: it is read, too, and would be lost; give another name", o.flag, o.path)
			}
		}
		for _, b := range before {
			if sameFile(b.path, o.path) {
				return fmt.Errorf("%s %s: %s writes it, too; give another name", o.flag, o.path, b.flag)
			}
		}
		if err := checkWritable(o.path); err != nil {
			return fmt.Errorf("%s %s: %w", o.flag, o.path, err)
		}
		before = append(before, o)
	}
	return nil
}

// sameFile reports whether two paths name one file, which may not be there yet.
func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	second, other := os.Stat(b)
	if err == nil && other == nil {
		return first.Mode().IsRegular() && os.SameFile(first, second)
	}
	return err != nil && other != nil && filepath.Clean(a) == filepath.Clean(b)
}

// removeHalf removes a file that could not be written to its end. What is no file, such as a device, stays.
func removeHalf(path string) {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		os.Remove(path) // the error of writing it is told
	}
}

// checkWritable finds out whether a file can be written, and leaves all as it was.
func checkWritable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("it is a folder")
	case err == nil && !info.Mode().IsRegular():
		return nil // a pipe or a device, which may wait for a reader
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return reason(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("its folder: %w", reason(err))
	}
	file, opening := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if opening != nil {
		return reason(opening)
	}
	file.Close() // nothing was written
	if err != nil {
		return os.Remove(path) // it was not there
	}
	return nil
}
