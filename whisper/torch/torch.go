// Package torch reads the tensors of files that PyTorch's torch.save wrote.
//
// Such a file is a zip archive with stored members: PREFIX/data.pkl, a pickle of any tree of values, and PREFIX/data/KEY, the
// numbers of each storage that the tensors in the tree are views of (torch/serialization.py). Nothing in the file is executed and
// nothing in it is believed: a whitelist of names stands in env.go, and every size is checked against the size of the file
// before anything of that size is allocated.
package torch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"glossa/whisper/pickle"
)

// Errors of this package, besides those of pickle.
var (
	ErrFormat    = errors.New("torch: malformed file")
	ErrTruncated = errors.New("torch: truncated file")
	ErrLegacy    = errors.New(`torch: written in the form before PyTorch 1.6; rewrite it by torch.save(torch.load("old.pt", map_location="cpu"), "new.pt")`)
	ErrGlobal    = errors.New("torch: not among the names that a file of tensors needs")
	ErrLimit     = errors.New("torch: tensors larger than the file")
)

// maxDirectoryBytes bounds what is read to find the members; a model of 1,300 tensors needs 120 KB.
const maxDirectoryBytes = 8 << 20

// legacyMagic begins the files of torch.save before PyTorch 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
var legacyMagic = []byte("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")

// Magic begins the files that New reads.
const Magic = "PK\x03\x04"

// New returns the tree of values in a file of size bytes: what pickle.Decode describes, with a *Tensor for each tensor, which
// reads from r when it is asked to.
// The errors are ErrFormat, ErrTruncated, ErrLegacy, ErrGlobal, ErrLimit, those of pickle and those of r.
func New(r io.ReaderAt, size int64) (any, error) {
	begin := make([]byte, min(size, int64(len(legacyMagic))))
	if _, err := r.ReadAt(begin, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if bytes.Equal(begin, legacyMagic) {
		return nil, ErrLegacy
	}
	f, err := openArchive(r, size)
	if err != nil {
		return nil, err
	}
	data, err := f.text("data.pkl", pickle.MaxBytes)
	if err != nil {
		return nil, err
	}
	root, err := pickle.Decode(data, &env{file: f, left: 2 * size}) // twice: tied weights are two views of one storage
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return root, nil
}

// archive is the zip archive.
type archive struct {
	r       io.ReaderAt
	size    int64
	prefix  string // of every member, without the slash
	members map[string]*zip.File
}

func openArchive(r io.ReaderAt, size int64) (*archive, error) {
	limited := &limitedReader{r: r, left: maxDirectoryBytes}
	z, err := zip.NewReader(limited, size)
	if errors.Is(err, zip.ErrFormat) {
		return nil, fmt.Errorf("%w: no zip archive, or the end of it is missing", ErrTruncated)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	limited.left = math.MaxInt64
	f := &archive{r: r, size: size, members: map[string]*zip.File{}}
	for _, m := range z.File {
		if _, ok := f.members[m.Name]; ok {
			return nil, fmt.Errorf("%w: two members %q", ErrFormat, m.Name)
		}
		f.members[m.Name] = m
		if prefix, name := path.Split(m.Name); name == "data.pkl" && strings.Count(m.Name, "/") == 1 {
			f.prefix = strings.TrimSuffix(prefix, "/")
		}
	}
	if f.prefix == "" {
		return nil, fmt.Errorf("%w: no member data.pkl in a zip archive of %d", ErrFormat, len(z.File))
	}
	if order, err := f.text("byteorder", len("little")); err != nil {
		return nil, err
	} else if order != nil && string(order) != "little" {
		return nil, fmt.Errorf("%w: byte order %q, want \"little\"", ErrFormat, order)
	}
	return f, nil
}

// text is a whole member of at most limit bytes, nil if there is none.
func (f *archive) text(name string, limit int) ([]byte, error) {
	m, ok := f.members[f.prefix+"/"+name]
	if !ok {
		return nil, nil
	}
	if m.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("%w: member %s of %d bytes, limit %d", ErrFormat, m.Name, m.UncompressedSize64, limit)
	}
	if _, err := f.stored(m); err != nil {
		return nil, err
	}
	content, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: member %s: %w", ErrFormat, m.Name, err)
	}
	defer content.Close()
	data, err := io.ReadAll(io.LimitReader(content, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: member %s: %w", ErrFormat, m.Name, err)
	}
	return data, nil
}

// stored is where the bytes of a member begin. The errors are ErrFormat for a compressed one and ErrTruncated.
func (f *archive) stored(m *zip.File) (begin int64, err error) {
	if m.Method != zip.Store || m.CompressedSize64 != m.UncompressedSize64 {
		return 0, fmt.Errorf("%w: member %s is compressed; torch.save stores it as it is", ErrFormat, m.Name)
	}
	if begin, err = m.DataOffset(); err != nil {
		return 0, fmt.Errorf("%w: member %s: %w", ErrFormat, m.Name, err)
	}
	if begin > f.size || m.UncompressedSize64 > uint64(f.size-begin) {
		return 0, fmt.Errorf("%w: member %s of %d bytes at byte %d of %d", ErrTruncated, m.Name, m.UncompressedSize64, begin, f.size)
	}
	return begin, nil
}

// limitedReader reads at most left bytes.
type limitedReader struct {
	r    io.ReaderAt
	left int64
}

// ReadAt is that of r, or ErrFormat where the limit is passed.
func (l *limitedReader) ReadAt(p []byte, at int64) (int, error) {
	if int64(len(p)) > l.left {
		return 0, fmt.Errorf("%w: a directory of more than %d bytes", ErrFormat, maxDirectoryBytes)
	}
	l.left -= int64(len(p))
	return l.r.ReadAt(p, at)
}
