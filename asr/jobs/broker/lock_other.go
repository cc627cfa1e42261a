//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package broker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// lockFile makes a file that is not there. A process that is killed leaves it behind, and the error, ErrLocked, says what to do then.
func lockFile(name string) (io.Closer, error) {
	name += ".exists"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w, or one that was killed left %s: remove that file where none runs", ErrLocked, name)
	}
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return madeFile{f}, nil
}

// madeFile is a lock that ends with its file.
type madeFile struct{ *os.File }

func (f madeFile) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }
