package jobs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
)

func TestJudge(t *testing.T) {
	w := &Worker{limits: asr.Limits{}.WithDefaults(), delays: defaultDelays}
	internal := errors.New("disk at /secret/place is full")
	for _, c := range []struct {
		name   string
		err    error
		n      int
		want   verdict
		reason string // part of it
	}{
		{"done", nil, 1, verdict{fate: acknowledged}, ""},
		{"cancelled by its client", errEnded, 1, verdict{fate: acknowledged}, ""},
		{"another message of the job", errDuplicate, 1, verdict{fate: acknowledged}, ""},
		{"the lease is another's", fmt.Errorf("job x: %w", errSuperseded), 1, verdict{fate: abandoned}, ""},
		{"draining", fmt.Errorf("%w: %w", asr.ErrCancelled, errDraining), 1, verdict{fate: returned}, "worker"},
		{"the engine is at fault", errFaulty, 3, verdict{fate: returned}, "worker"},
		{"bad params", &params.Error{Param: "beam_size", Message: "beam_size: 99 is not from 1 to 16"}, 1, verdict{fate: refused}, "beam_size: 99"},
		{"invalid", fmt.Errorf("%w: unknown language %q", asr.ErrInvalid, "xx"), 1, verdict{fate: refused}, `unknown language "xx"`},
		{"no audio", fmt.Errorf("%w: this is text", audio.ErrFormat), 1, verdict{fate: refused}, "read are flac"},
		{"empty", audio.ErrEmpty, 1, verdict{fate: refused}, "no sound"},
		{"too long", audio.ErrTooLong, 1, verdict{fate: refused}, "4h0m0s"},
		{"too large", audio.ErrTooLarge, 1, verdict{fate: refused}, "536870912 bytes"},
		{"damaged", audio.ErrTruncated, 1, verdict{fate: refused}, "damaged"},
		{"needs ffmpeg", audio.ErrNoFFmpeg, 1, verdict{fate: delayed, delay: w.delays.absent}, "ffmpeg"},
		{"no adapter", fmt.Errorf("%w: adapter %q", asr.ErrNotFound, "klingon"), 1, verdict{fate: delayed, delay: w.delays.absent}, `adapter "klingon"`},
		{"no model", &absent{"no model \"m\""}, 4, verdict{fate: delayed, delay: w.delays.absent}, `no model "m"`},
		{"busy", asr.ErrBusy, 1, verdict{fate: delayed, delay: time.Second}, "no room"},
		{"busy again", asr.ErrBusy, 3, verdict{fate: delayed, delay: 4 * time.Second}, "no room"},
		{"busy for long", asr.ErrBusy, 40, verdict{fate: delayed, delay: time.Minute}, "no room"},
		{"internal", fmt.Errorf("%w: %w", asr.ErrInternal, internal), 2, verdict{fate: delayed, delay: 2 * time.Second}, "its log"},
		{"unknown", internal, 1, verdict{fate: delayed, delay: time.Second}, "its log"},
		{"address gone", &remembered{errors.New("dial 10.0.0.1"), "the sound could not be got"}, 1, verdict{fate: delayed, delay: time.Second}, "could not be got"},
		{"address forbidden", &remembered{fmt.Errorf("%w: forbidden", asr.ErrInvalid), "the address may not be called"}, 1, verdict{fate: refused}, "may not be called"},
	} {
		got := w.judge(c.err, c.n)
		if got.fate != c.want.fate || got.delay != c.want.delay || !strings.Contains(got.reason, c.reason) || (got.reason == "") != (c.reason == "") {
			t.Errorf("%s: %+v, want %+v with a reason that says %q", c.name, got, c.want, c.reason)
		}
		if strings.Contains(got.reason, "secret") || strings.ContainsAny(got.reason, "\r\n") {
			t.Errorf("%s: the client is told %q", c.name, got.reason)
		}
	}
}

func TestServiceErrorsSayNothingInternal(t *testing.T) {
	limits := asr.Limits{}.WithDefaults()
	for _, c := range []struct {
		err  error
		code string
	}{
		{fmt.Errorf("%w: bad", asr.ErrInvalid), "400"}, {audio.ErrEmpty, "400"}, {&absent{"no model"}, "404"}, {asr.ErrNotFound, "404"}, {asr.ErrBusy, "429"},
		{errDraining, "503"}, {fmt.Errorf("%w: /secret", asr.ErrInternal), "500"}, {errors.New("/secret"), "500"},
	} {
		code, text := serviceError(c.err, limits)
		if code != c.code || text == "" || strings.Contains(text, "secret") {
			t.Errorf("%v: %s %q, want %s", c.err, code, text, c.code)
		}
	}
}

func TestReasonsHaveAnEnd(t *testing.T) {
	if got := plain(fmt.Errorf("%w: %s\nüü", asr.ErrInvalid, strings.Repeat("ä ", 4000))); len(got) > 510 || strings.Contains(got, "\n") {
		t.Errorf("a reason of %d bytes: %q", len(got), got)
	}
}
