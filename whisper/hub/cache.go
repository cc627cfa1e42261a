package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Cache is a folder of repositories in the layout of huggingface_hub. Its methods do not touch the network.
type Cache struct{ Dir string }

// Item is a model, an adapter or a file in the cache, complete.
type Item struct {
	Ref    Ref // its revision is the commit where no branch or tag is there
	Commit string
	Kind   Kind
	Path   string // of its folder, or of the file
	Size   int64  // bytes of its files
}

// The folders of the layout, and the beginning of a repository's.
const (
	repoPrefix = "models--"
	snapshots  = "snapshots"
	blobs      = "blobs"
	refs       = "refs"
	locks      = ".locks"
)

// folder is the name of a repository's folder.
func folder(repo string) string { return repoPrefix + strings.ReplaceAll(repo, "/", "--") }

// dir is the path of a repository's folder.
func (c Cache) dir(repo string) string { return filepath.Join(c.Dir, folder(repo)) }

// Find finds what r names. The errors are ErrNotPulled where it is not there, or not all of it, and ErrName.
func (c Cache) Find(r Ref) (Item, error) {
	if !validRepo(r.Repo) || !validRevision(r.Revision) || r.File != "" && !validFile(r.File) {
		return Item{}, fmt.Errorf("%w: %q", ErrName, r)
	}
	item, err := find(os.DirFS(c.dir(r.Repo)), r)
	if errors.Is(err, fs.ErrNotExist) {
		return Item{}, fmt.Errorf("%w: %s", ErrNotPulled, r)
	}
	if err != nil {
		return Item{}, fmt.Errorf("hub: cache: %w", err)
	}
	item.Path = filepath.Join(c.dir(r.Repo), filepath.FromSlash(item.Path))
	return item, nil
}

// find is Find in the folder of the repository, for a path in it. What is missing or incomplete is fs.ErrNotExist.
func find(repo fs.FS, r Ref) (Item, error) {
	commit, err := readRef(repo, r.Revision)
	if err != nil {
		return Item{}, err
	}
	item := Item{Ref: r, Commit: commit, Kind: File, Path: path.Join(snapshots, commit, r.File)}
	files := []string{""}
	if r.File == "" {
		entries, err := fs.ReadDir(repo, item.Path)
		if err != nil {
			return Item{}, err
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if item.Kind, files = choose(names); len(files) == 0 {
			return Item{}, fs.ErrNotExist
		}
	}
	for _, name := range files {
		info, err := fs.Stat(repo, path.Join(item.Path, name))
		if err != nil {
			return Item{}, err
		}
		if !info.Mode().IsRegular() {
			return Item{}, fs.ErrNotExist
		}
		item.Size += info.Size()
	}
	return item, nil
}

// readRef is the commit of a revision; fs.ErrNotExist where the cache does not tell.
func readRef(repo fs.FS, revision string) (string, error) {
	if commitName.MatchString(revision) {
		return revision, nil
	}
	text, err := fs.ReadFile(repo, path.Join(refs, revision))
	if err != nil {
		return "", err
	}
	commit := strings.TrimSpace(string(text))
	if !commitName.MatchString(commit) {
		return "", fs.ErrNotExist
	}
	return commit, nil
}

// List lists all that Find would find, sorted by name: models, adapters, and files that are models. Models of other kinds than
// Whisper are among them, as the cache is shared.
func (c Cache) List() ([]Item, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hub: cache: %w", err)
	}
	var items []Item
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), repoPrefix)
		repo := strings.Replace(name, "--", "/", 1)
		if !ok || !validRepo(repo) {
			continue
		}
		named, err := references(os.DirFS(c.dir(repo)), repo)
		if err != nil {
			return nil, fmt.Errorf("hub: cache: %w", err)
		}
		for _, r := range named {
			if item, err := c.Find(r); err == nil {
				items = append(items, item)
			} else if !errors.Is(err, ErrNotPulled) {
				return nil, err
			}
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return items, nil
}

// references lists what may be found in a repository: each branch, tag, and commit at which there is none, and the files
// there that are models in themselves.
func references(root fs.FS, repo string) ([]Ref, error) {
	var found []Ref
	seen := make(map[string]bool) // commits
	add := func(revision, commit string) error {
		seen[commit] = true
		found = append(found, Ref{Repo: repo, Revision: revision})
		return walkFiles(root, path.Join(snapshots, commit), func(name string) error {
			if isSingle(name) && validFile(name) {
				found = append(found, Ref{repo, revision, name})
			}
			return nil
		})
	}
	err := walkFiles(root, refs, func(revision string) error {
		if !validRevision(revision) {
			return nil
		}
		commit, err := readRef(root, revision)
		if err != nil {
			return err
		}
		return add(revision, commit)
	})
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root, snapshots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if commit := e.Name(); commitName.MatchString(commit) && !seen[commit] {
			if err := add(commit, commit); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// walkFiles calls f with the path of every file under dir, from there; what does not exist, or no more, is skipped.
func walkFiles(root fs.FS, dir string, f func(name string) error) error {
	return fs.WalkDir(root, dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			err = f(strings.TrimPrefix(name, dir+"/"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
