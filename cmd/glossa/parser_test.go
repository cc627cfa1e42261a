package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/alecthomas/kong"

	"glossa/asr"
	"glossa/asr/params"
)

// parserOf returns a parser of command lines that fills commands. No flag may end the process.
func parserOf(t *testing.T, to *commands) *kong.Kong {
	t.Helper()
	var said bytes.Buffer
	return newParser(t.Context(), to, &said, &said, func(code int) { t.Fatalf("exit %d: %s", code, &said) })
}

// readParams reads params as a worker does.
func readParams(p asr.Params) (asr.Request, error) {
	return params.Reader{}.Request(context.Background(), p)
}
