package hub

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mainBranch is the revision that is meant where none is named.
const mainBranch = "main"

// Ref names a model or an adapter on the hub, or one file there.
type Ref struct {
	Repo     string // "openai/whisper-tiny"
	Revision string // a branch, a tag or a commit
	File     string // of the repository; "" for all that makes a model or an adapter
}

// aliases are the models of upstream's whisper.available_models, and those distilled from them, by their short names.
var aliases = map[string]string{
	"tiny":              "openai/whisper-tiny",
	"tiny.en":           "openai/whisper-tiny.en",
	"base":              "openai/whisper-base",
	"base.en":           "openai/whisper-base.en",
	"small":             "openai/whisper-small",
	"small.en":          "openai/whisper-small.en",
	"medium":            "openai/whisper-medium",
	"medium.en":         "openai/whisper-medium.en",
	"large-v1":          "openai/whisper-large",
	"large-v2":          "openai/whisper-large-v2",
	"large-v3":          "openai/whisper-large-v3",
	"large":             "openai/whisper-large-v3",
	"large-v3-turbo":    "openai/whisper-large-v3-turbo",
	"turbo":             "openai/whisper-large-v3-turbo",
	"distil-small.en":   "distil-whisper/distil-small.en",
	"distil-medium.en":  "distil-whisper/distil-medium.en",
	"distil-large-v2":   "distil-whisper/distil-large-v2",
	"distil-large-v3":   "distil-whisper/distil-large-v3",
	"distil-large-v3.5": "distil-whisper/distil-large-v3.5",
}

// Aliases lists the short names of models, sorted.
func Aliases() []string { return slices.Sorted(maps.Keys(aliases)) }

// The names that the hub allows. "--" is what the cache writes for the slash.
var (
	repoName     = regexp.MustCompile(`^\w[\w.-]{0,95}/\w[\w.-]{0,95}$`)
	revisionName = regexp.MustCompile(`^\w[\w./+-]{0,254}$`)
	commitName   = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// ParseRef reads REPO[@REVISION][:FILE], where REPO is ORGANISATION/NAME or an alias. The error is ErrName.
func ParseRef(name string) (Ref, error) {
	rest, file, hasFile := strings.Cut(name, ":")
	repo, revision, hasRevision := strings.Cut(rest, "@")
	if !hasRevision {
		revision = mainBranch
	}
	if full, ok := aliases[repo]; ok {
		repo = full
	}
	r := Ref{Repo: repo, Revision: revision, File: file}
	switch {
	case !validRepo(repo):
		return Ref{}, fmt.Errorf("%w: %q: want ORGANISATION/NAME[@REVISION][:FILE], or one of: %s", ErrName, name, strings.Join(Aliases(), " "))
	case !validRevision(revision):
		return Ref{}, fmt.Errorf("%w: %q: revision %q", ErrName, name, revision)
	case hasFile && !validFile(file):
		return Ref{}, fmt.Errorf("%w: %q: file %q", ErrName, name, file)
	}
	return r, nil
}

func validRepo(repo string) bool {
	return repoName.MatchString(repo) && !strings.Contains(repo, "..") && !strings.Contains(repo, "--")
}

func validRevision(revision string) bool {
	return revisionName.MatchString(revision) && fs.ValidPath(revision) && !strings.Contains(revision, "..")
}

func validFile(file string) bool {
	clean := !strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f })
	return clean && len(file) < 256 && fs.ValidPath(file) && file != "." && filepath.IsLocal(filepath.FromSlash(file))
}

// String is the shortest text of which ParseRef makes r, aliases aside.
func (r Ref) String() string {
	s := r.Repo
	if r.Revision != mainBranch {
		s += "@" + r.Revision
	}
	if r.File != "" {
		s += ":" + r.File
	}
	return s
}
