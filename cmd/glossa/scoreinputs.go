package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"

	"glossa/asr"
	"glossa/eval/transcript"
)

// scoreInputs are the files that are scored, and how much of them was read.
type scoreInputs struct {
	console   *console
	results   *transcript.Source // nil where references and hypotheses are apart
	reference transcript.Source
	systems   []transcript.Source
	names     []string // of the systems
	adapter   *string

	read, size atomic.Int64
	began      time.Time
	bar        bool
}

// inputs returns what the flags name.
func (s *scoreCommand) inputs(c *console) (*scoreInputs, error) {
	in := &scoreInputs{console: c}
	if s.Adapter != nil {
		name := *s.Adapter
		if name == asr.None {
			name = ""
		}
		in.adapter = &name
	}
	switch {
	case len(s.Results) == 0 && len(s.Ref) == 0 && len(s.Hyp) == 0:
		return nil, errors.New("nothing to score: name a file of results, or --ref FILE and --hyp FILE")
	case len(s.Results) > 0 && len(s.Ref)+len(s.Hyp) > 0:
		return nil, fmt.Errorf("%s: results have references and hypotheses already; for other references name the file with --hyp", s.Results[0])
	case len(s.Results) == 0 && len(s.Ref) == 0:
		return nil, errors.New("--hyp needs --ref FILE, or results that have references, named without --hyp")
	case len(s.Results) == 0 && len(s.Hyp) == 0:
		return nil, errors.New("--ref needs --hyp FILE, or results that have references, named without --ref")
	case len(s.Results) > 0:
		in.results = &transcript.Source{Files: s.Results, Adapter: in.adapter, Open: in.open}
	default:
		in.reference = transcript.Source{Files: s.Ref, Format: s.RefForm, Open: in.open}
		if err := in.addSystems(s); err != nil {
			return nil, err
		}
	}
	if s.Compare != "" && len(in.systems) > 1 {
		return nil, errors.New("--compare takes one system; several --hyp are compared with the first anyhow")
	}
	return in, in.check(s)
}

// addSystems names the systems: files of one name are of one system.
func (in *scoreInputs) addSystems(s *scoreCommand) error {
	for _, arg := range s.Hyp {
		name, file, named := strings.Cut(arg, "=")
		if _, err := os.Stat(arg); err == nil || !named || name == "" {
			name, file, named = systemName(arg), arg, false
		}
		at := slices.Index(in.names, name)
		switch {
		case at >= 0 && named:
			in.systems[at].Files = append(in.systems[at].Files, file)
			continue
		case at >= 0:
			return fmt.Errorf("--hyp %s: another system is called %s; --hyp NAME=FILE gives a name", arg, name)
		}
		in.names = append(in.names, name)
		in.systems = append(in.systems, transcript.Source{Files: []string{file}, Format: s.HypForm, Adapter: in.adapter, Open: in.open})
	}
	if len(in.systems) > 1 { // a single one needs no name
		for i, name := range in.names {
			in.systems[i].Name = name
		}
	}
	return nil
}

// systemName is what a system is called after its file.
func systemName(file string) string {
	base := strings.TrimSuffix(filepath.Base(file), ".gz")
	if name := strings.TrimSuffix(base, filepath.Ext(base)); name != "" {
		return name
	}
	return base
}

// name returns the name of the one system.
func (in *scoreInputs) name() string {
	if in.results != nil {
		return systemName(in.results.Files[0])
	}
	return in.names[0]
}

// check sees that files are there, that the standard input is read once, and how much there is to read.
func (in *scoreInputs) check(s *scoreCommand) error {
	files := slices.Concat(s.Results, s.Ref)
	for _, source := range in.systems {
		files = append(files, source.Files...)
	}
	if s.Compare != "" {
		files = append(files, s.Compare)
	}
	stdin := 0
	for _, f := range files {
		if f == transcript.Stdin {
			stdin++
			continue
		}
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a folder", f)
		}
		in.size.Add(info.Size())
	}
	switch {
	case stdin > 1:
		return errors.New("- can be named once: there is one standard input")
	case stdin > 0 && s.Print.HTML != "":
		return errors.New("--html reads all files again, which the standard input cannot be")
	}
	return checkWrites(append(files, s.Print.Gate), output{"--html", s.Print.HTML})
}

// open opens a file and counts what is read of it.
func (in *scoreInputs) open(name string) (io.ReadCloser, error) {
	if name == transcript.Stdin {
		return countedFile{os.Stdin, io.NopCloser(nil), &in.read}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return countedFile{f, f, &in.read}, nil
}

// countedFile adds up what is read.
type countedFile struct {
	io.Reader
	io.Closer
	read *atomic.Int64
}

func (f countedFile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	f.read.Add(int64(n))
	return n, err
}

// slowAfter is how long scoring takes before it shows a bar.
const slowAfter = time.Second

func (in *scoreInputs) begin() { in.began = time.Now() }

// advance tells how many utterances are scored, where it takes long.
func (in *scoreInputs) advance(number int) {
	if number%scoreBatch != 0 || time.Since(in.began) < slowAfter {
		return
	}
	if !in.bar {
		in.bar = true
		in.console.start(max(1, in.size.Load()), progressbar.OptionSetDescription("utterances"), progressbar.OptionSetPredictTime(true))
	}
	in.console.advance(min(in.read.Load(), in.size.Load()), "%d utterances", number)
}

// end takes the bar away.
func (in *scoreInputs) end() { in.console.stop() }
