package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"glossa/flora"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"glossa": main,
	})
}

// TestScripts runs the command lines in testdata/script, with a hub at HF_ENDPOINT.
func TestScripts(t *testing.T) {
	hub := newHub(t)
	testscript.Run(t, testscript.Params{
		Setup: func(env *testscript.Env) error {
			env.Setenv("HF_ENDPOINT", hub.URL)
			env.Setenv("HF_HUB_CACHE", filepath.Join(env.WorkDir, "hub"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Values[serversKey] = make(scriptServers)
			return nil
		},
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(name string) (bool, error) {
			if name == "cuda" {
				return gpus.built, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"model":   scriptModel,
			"adapter": scriptAdapter,
			"tone":    scriptTone,
			"lines":   scriptLines,
			"rename":  scriptRename,
			"cut":     scriptCut,
			"claim":   scriptClaim,
			"speech":  scriptSpeech,
			"silero":  scriptSilero,

			"server":     scriptServe,
			"worker":     scriptWorker,
			"capture":    scriptCapture,
			"lease":      scriptLease,
			"end":        scriptEnd,
			"fetch":      scriptFetch,
			"eventually": scriptEventually,
			"clip":       scriptClip,
			"long":       scriptLong,
			"raw":        scriptRaw,
			"sleep":      scriptSleep,
		},
	})
}

// scriptModel writes a model: model DIR [WIDTH | missing | shape | nan].
func scriptModel(ts *testscript.TestScript, _ bool, args []string) {
	width, fault := 16, ""
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			fault = args[1]
		} else {
			width = n
		}
	}
	ts.Check(writeModel(ts.MkAbs(args[0]), width, fault))
}

// scriptAdapter writes an adapter of the model in BASE, of fLoRA of rank 1 unless otherwise said: adapter DIR BASE [KIND RANK].
func scriptAdapter(ts *testscript.TestScript, _ bool, args []string) {
	kind, rank := flora.FLoRA, 1
	if len(args) > 2 {
		n, err := strconv.Atoi(args[3])
		ts.Check(err)
		kind, rank = flora.Kind(args[2]), n
	}
	ts.Check(writeAdapter(ts.MkAbs(args[0]), ts.MkAbs(args[1]), kind, rank))
}

// scriptTone writes a WAV file of a sine: tone FILE HERTZ SECONDS.
func scriptTone(ts *testscript.TestScript, _ bool, args []string) {
	hertz, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	seconds, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	ts.Check(writeTone(ts.MkAbs(args[0]), hertz, seconds))
}

// scriptCut cuts a file: cut FILE BYTES.
func scriptCut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// scriptLines cuts a file behind so many lines, and adds text: lines FILE NUMBER TEXT.
func scriptLines(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	lines := strings.SplitAfterN(ts.ReadFile(args[0]), "\n", n+1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines[:n], "")+args[2]), 0o666))
}

// scriptRename renames a file: rename FROM TO.
func scriptRename(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.Rename(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

// scriptClaim makes the header of a file that tone wrote promise samples: claim FILE BYTES.
func scriptClaim(ts *testscript.TestScript, _ bool, args []string) {
	const dataSize = 40 // offset in a header of 44 bytes
	n, err := strconv.ParseUint(args[1], 10, 32)
	ts.Check(err)
	data := []byte(ts.ReadFile(args[0]))
	binary.LittleEndian.PutUint32(data[dataSize:], uint32(n))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// scriptSpeech writes a WAV file of somebody who speaks: speech FILE SECONDS-BEFORE SECONDS-AFTER.
func scriptSpeech(ts *testscript.TestScript, _ bool, args []string) {
	before, err := strconv.ParseFloat(args[1], 64)
	ts.Check(err)
	after, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	ts.Check(writeSpeech(ts.MkAbs(args[0]), before, after))
}

// scriptSilero writes weights of Silero's network in two forms: silero GGML SAFETENSORS.
func scriptSilero(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(writeSilero(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}
