package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// remote is a file of a repository, as the hub describes it.
type remote struct {
	name string
	hash string // of the content, in hexadecimal: sha256, or the sha1 of a git blob
	size int64
}

// incomplete ends the name of a blob of which a part is there, as in huggingface_hub, and each resumes what the other began.
const incomplete = ".incomplete"

func (f remote) blob() string    { return path.Join(blobs, f.hash) }
func (f remote) partial() string { return f.blob() + incomplete }

// hasher computes what hash is of. Git's is over "blob SIZE\0" and the content.
func (f remote) hasher() hash.Hash {
	if len(f.hash) == hex.EncodedLen(sha256.Size) {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", f.size)
	return h
}

// store is the folder of one repository, open for writing. No path and no link of it leads out of the folder.
type store struct {
	*os.Root
	locks string // the folder of its locks
}

// open opens the folder of a repository, and makes it where there is none.
func (c Cache) open(repo string) (*store, error) {
	s := &store{locks: filepath.Join(c.Dir, locks, folder(repo))}
	for _, dir := range []string{s.locks, filepath.Join(c.dir(repo), blobs)} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, err
		}
	}
	var err error
	s.Root, err = os.OpenRoot(c.dir(repo))
	return s, err
}

// lock waits until no other process downloads f.
func (s *store) lock(ctx context.Context, f remote) (unlock func(), err error) {
	type result struct {
		unlock func()
		err    error
	}
	locked := make(chan result, 1)
	go func() {
		unlock, err := lockedfile.MutexAt(filepath.Join(s.locks, f.hash+".lock")).Lock()
		locked <- result{unlock, err}
	}()
	select {
	case r := <-locked:
		return r.unlock, r.err
	case <-ctx.Done():
		go func() {
			if r := <-locked; r.err == nil {
				r.unlock()
			}
		}()
		return nil, ctx.Err()
	}
}

// intact says whether the file at name is there with the size and the hash of f.
func (s *store) intact(ctx context.Context, name string, f remote) (bool, error) {
	file, err := s.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() != f.size {
		return false, err
	}
	h := f.hasher()
	if _, err := io.Copy(h, readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return file.Read(p)
	})); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == f.hash, nil
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

// link makes f, whose blob is complete, a file of a commit.
func (s *store) link(commit string, f remote) error {
	name := path.Join(snapshots, commit, f.name)
	target := strings.Repeat("../", strings.Count(name, "/")) + f.blob()
	if old, err := s.Readlink(name); err == nil && filepath.ToSlash(old) == target {
		return nil
	}
	return s.replace(name, func(temporary string) error {
		err := s.Symlink(filepath.FromSlash(target), temporary)
		if err != nil {
			err = s.Link(f.blob(), temporary) // where a user may make no symbolic links
		}
		return err
	})
}

// setRef notes that a branch or a tag is at a commit.
func (s *store) setRef(revision, commit string) error {
	if revision == commit {
		return nil
	}
	return s.replace(path.Join(refs, revision), func(temporary string) error {
		return s.WriteFile(temporary, []byte(commit), 0o666)
	})
}

// replace makes a file under another name and renames it, so that nobody sees half of it.
func (s *store) replace(name string, create func(temporary string) error) error {
	if err := s.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	temporary := ".new-" + rand.Text()
	err := create(temporary)
	if err == nil {
		err = s.Rename(temporary, name)
	}
	if err != nil {
		s.Remove(temporary) // which may not be there
	}
	return err
}
