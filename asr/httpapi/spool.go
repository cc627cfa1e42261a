package httpapi

import (
	"bytes"
	"io"
	"io/fs"
	"os"
)

// spool keeps what is written to it: so many bytes in memory, and the rest in a file without a name. It is written first, then read
// any number of times.
type spool struct {
	max    int
	dir    string
	memory []byte
	file   *os.File
	onDisk int64
}

// spoolError is a failure of the disk.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return "httpapi: spool: " + e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

// Write implements io.Writer. The error is a *spoolError.
func (s *spool) Write(p []byte) (int, error) {
	n := min(len(p), s.max-len(s.memory))
	s.memory = append(s.memory, p[:n]...)
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "glossa-*.sound")
		if err != nil {
			return n, &spoolError{err}
		}
		os.Remove(f.Name()) // so that nothing is left of it whatever happens; where that cannot be, close does it
		s.file = f
	}
	m, err := s.file.Write(p[n:])
	s.onDisk += int64(m)
	if err != nil {
		return n + m, &spoolError{err}
	}
	return n + m, nil
}

// len returns the number of bytes written.
func (s *spool) len() int64 { return int64(len(s.memory)) + s.onDisk }

// reader returns a reader of all that was written. After close it may fail.
func (s *spool) reader() io.Reader {
	r := io.Reader(bytes.NewReader(s.memory))
	if s.file != nil {
		r = io.MultiReader(r, io.NewSectionReader(s.file, 0, s.onDisk))
	}
	return r
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off < int64(len(s.memory)) {
		n = copy(p, s.memory[off:])
	}
	if n == len(p) {
		return n, nil
	}
	if s.file == nil {
		return n, io.EOF
	}
	m, err := io.NewSectionReader(s.file, 0, s.onDisk).ReadAt(p[n:], off+int64(n)-int64(len(s.memory)))
	return n + m, err
}

// close frees the file.
func (s *spool) close() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
	}
}
