package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says who may import whom: each package of this module and what it may import of it, * for
// all. The tests of a package may import more. A new arrow is a decision: make it here.
const arrows = `
	asr                     -> whisper whisper/tensor flora audio
	asr/httpapi             -> asr asr/params audio flora whisper
	asr/jobs                -> asr asr/jobs/outbound audio flora
	asr/jobs/broker         ->
	asr/jobs/outbound       -> asr
	asr/metrics             -> asr
	asr/params              -> asr audio whisper
	asr/simulate            -> asr
	asr/simulate/measure    -> asr asr/simulate audio flora whisper whisper/tensor whisper/safetensors
	asr/web                 -> asr
	asr/web/nodetest        ->
	asr/ws                  -> asr audio
	audio                   ->
	cmd/glossa              -> *
	eval                    ->
	eval/page               -> eval
	eval/transcript         -> eval
	flora                   -> whisper whisper/tensor whisper/safetensors whisper/torch whisper/pickle
	flora/train             -> flora flora/train/chart audio eval whisper whisper/tensor whisper/safetensors
	flora/train/chart       ->
	flora/train/experiment  -> flora flora/train flora/train/chart eval whisper whisper/tensor
	whisper                 -> whisper/tensor whisper/safetensors whisper/ggml whisper/torch whisper/pickle whisper/deflate audio
	whisper/deflate         ->
	whisper/formattest      -> whisper/safetensors whisper/ggml
	whisper/ggml            -> whisper/safetensors
	whisper/goldentest      -> whisper whisper/tensor whisper/safetensors audio
	whisper/hub             ->
	whisper/hub/hubtest     ->
	whisper/nano            -> whisper flora
	whisper/nano/recipe     -> whisper whisper/safetensors flora
	whisper/pickle          ->
	whisper/safetensors     ->
	whisper/tensor          ->
	whisper/tensor/cpu      -> whisper/tensor
	whisper/tensor/cuda     -> whisper/tensor whisper/tensor/cuda/internal/driver whisper/tensor/cuda/internal/kernels
	whisper/tensor/cuda/cudatest         -> whisper/tensor whisper/tensor/cuda whisper/tensor/cuda/internal/fake
	whisper/tensor/cuda/internal/carried -> eval
	whisper/tensor/cuda/internal/driver  -> whisper/tensor/cuda/internal/shim
	whisper/tensor/cuda/internal/fake    -> whisper/tensor/cuda/internal/kernels
	whisper/tensor/cuda/internal/kernels ->
	whisper/tensor/cuda/internal/shim    ->
	whisper/tensor/ref      -> whisper/tensor
	whisper/torch           -> whisper/pickle whisper/safetensors
	whisper/tensor/tensortest -> whisper/tensor whisper/tensor/ref
`

// libraries says which packages may import which modules of others.
const libraries = `
	github.com/alecthomas/kong        <- cmd/glossa
	github.com/go-audio/audio         <- audio
	github.com/go-audio/wav           <- audio
	github.com/goccy/go-yaml          <- cmd/glossa
	github.com/gorilla/websocket      <- asr/ws
	github.com/hajimehoshi/go-mp3     <- audio
	github.com/jfreymuth/vorbis       <- audio
	github.com/mewkiz/flac            <- audio
	github.com/mjibson/go-dsp         <- audio
	github.com/nats-io/nats.go        <- asr/jobs asr/jobs/broker cmd/glossa
	github.com/nats-io/nats-server/v2 <- asr/jobs/broker
	github.com/pion/opus              <- audio
	github.com/prometheus/client_golang <- asr/metrics
	github.com/rivo/uniseg            <- cmd/glossa
	github.com/rogpeppe/go-internal   <- whisper/hub
	github.com/schollz/progressbar/v3 <- cmd/glossa
	github.com/KimMachineGun/automemlimit <- cmd/glossa
	golang.org/x/image                <- flora/train/chart
	golang.org/x/sys                  <- whisper/tensor/cpu
	golang.org/x/term                 <- cmd/glossa
	golang.org/x/text                 <- eval
	gonum.org/v1/plot                 <- flora/train/chart
	gorgonia.org/cu                   <- whisper/tensor/cuda whisper/tensor/cuda/internal/driver
`

// TestImportsFollowTheArchitecture checks the imports of every package against the two tables.
func TestImportsFollowTheArchitecture(t *testing.T) {
	mayImport, mayBeImported := parseRules(arrows, "->"), parseRules(libraries, "<-")
	for _, p := range listPackages(t) {
		from := strings.TrimPrefix(p.ImportPath, p.Module.Path+"/")
		allowed, ok := mayImport[from]
		if !ok {
			t.Errorf("package %s is in no rule of what it may import", from)
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, p.Module.Path+"/")
			switch {
			case ours:
				if !slices.Contains(allowed, to) && !slices.Contains(allowed, "*") {
					t.Errorf("%s imports %s, which no rule allows", from, to)
				}
			case strings.Contains(strings.Split(path, "/")[0], "."):
				if !slices.Contains(mayBeImported[libraryOf(path, mayBeImported)], from) {
					t.Errorf("%s imports %s, which no rule allows", from, path)
				}
			}
		}
	}
}

// parseRules returns the rules of a table: a name, the mark, and names.
func parseRules(table, mark string) map[string][]string {
	rules := make(map[string][]string)
	for line := range strings.Lines(table) {
		if name, names, ok := strings.Cut(line, mark); ok {
			rules[strings.TrimSpace(name)] = strings.Fields(names)
		}
	}
	return rules
}

// libraryOf returns the module that a package belongs to, "" where no rule names it.
func libraryOf(path string, rules map[string][]string) string {
	for module := range rules {
		if path == module || strings.HasPrefix(path, module+"/") {
			return module
		}
	}
	return ""
}

// listedPackage is what go list tells of a package.
type listedPackage struct {
	ImportPath string
	Imports    []string
	Module     struct{ Path string }
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("SKIP: the go command, absent: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Module", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []listedPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}
