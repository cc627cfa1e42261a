package simulate

import (
	"bytes"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

func TestReadTrace(t *testing.T) {
	var got []Arrival
	for a, err := range ReadTrace(strings.NewReader("\n{\"at\": 0.5, \"seconds\": 2, \"language\": \"cs\", \"priority\": \"live\"}\n\n{\"at\": 0.5, \"seconds\": 1, \"adapter\": \"none\", \"detect\": true}\n")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a)
	}
	want := []Arrival{{At: 0.5, Seconds: 2, Language: "cs", Priority: asr.Live}, {At: 0.5, Seconds: 1, Adapter: asr.None, Detect: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	var out bytes.Buffer
	if n, err := WriteTrace(&out, list(want...)); n != 2 || err != nil || out.String() != "{\"at\":0.5,\"seconds\":2,\"language\":\"cs\",\"priority\":\"live\"}\n{\"at\":0.5,\"seconds\":1,\"detect\":true,\"adapter\":\"none\"}\n" {
		t.Errorf("%d %v %s", n, err, &out)
	}
}

func TestBadTraces(t *testing.T) {
	for trace, want := range map[string]string{
		"x":                                       "line 1: simulate: bad trace: invalid character",
		`{"at": 1, "seconds": 1}{}`:               "more than one object",
		"\n" + `{"at": 1, "seconds": 0}`:          "line 2: simulate: bad trace: seconds is 0, not in 0..604800",
		`{"at": -1, "seconds": 1}`:                "at is -1",
		`{"at": 1, "second": 1}`:                  `unknown field "second"`,
		`{"at": 1, "seconds": 1, "priority":3}`:   "priority",
		`{"at": 1, "seconds": 1, "priority":"x"}`: `priority "x" is none of live, normal, bulk`,
		"{\"at\": 2, \"seconds\": 1}\n{\"at\": 1, \"seconds\": 1}": "line 2: simulate: bad trace: at is 1 after 2; a trace must be in order of time",
		strings.Repeat(" ", maxLine+1):                             "line 1: bufio.Scanner: token too long",
	} {
		var err error
		for _, err = range ReadTrace(strings.NewReader(trace)) {
		}
		if !errors.Is(err, ErrTrace) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", trace, err, want)
		}
		if _, err := Run(t.Context(), Options{Model: costs(t, "round"), Workers: 1}, ReadTrace(strings.NewReader(trace))); !errors.Is(err, ErrTrace) {
			t.Errorf("%.60q: run: %v", trace, err)
		}
	}
}

func TestBadCosts(t *testing.T) {
	good, err := os.ReadFile("testdata/costs.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{`"glossa_costs": 1`, `"glossa_costs": 2`, "glossa_costs is 2, not 1"},
		{`"frames": 1000`, `"frames": 100`, "encode: {Frames:100"},
		{`"cores": 4`, `"cores": 0`, "cores is 0, not in 1..65536"},
		{`"rows": 1, "adapters": 1`, `"rows": 1, "adapters": 2`, "step: {Rows:1 Adapters:2"},
		{`"loads": 1, "device": 1.5`, `"loads": 1, "device": 0.5`, "beside: {Loads:1 Device:0.5"},
		{`"loads": 2`, `"loads": 1`, "behind 1 loads"},
		{`"steps": [5]`, `"steps": []`, "text: {Seconds:1 Language: Steps:[]}"},
		{`"reach": "cross"`, `"reach": "far"`, `reach "far" is none of encoder, cross, decoder`},
		{`"again": 0.02`, `"again": 1`, "again is 1, not below 1"},
		{`"enter_seconds": 0.002`, `"enter_seconds": -1`, "enter_seconds is -1"},
		{`"enter_seconds"`, `"enter_second"`, `unknown field "enter_second"`},
	} {
		text := strings.Replace(string(good), c[0], c[1], 1)
		if _, err := ReadCosts(strings.NewReader(text)); !errors.Is(err, ErrCosts) || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v", c[1], err)
		}
	}
	c, err := ReadCosts(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Model(""); !errors.Is(err, ErrCosts) || !strings.Contains(err.Error(), "there are: round@test, whole@test") {
		t.Error(err)
	}
	if m, err := c.Model("whole@test"); err != nil || m.Name != "whole" {
		t.Error(m, err)
	}
}

func TestBadOptions(t *testing.T) {
	m := costs(t, "round")
	for want, o := range map[string]Options{
		"no model":                       {Workers: 1},
		"0 workers, not 1":               {Model: m},
		"-1 slots":                       {Model: m, Workers: 1, Slots: -1},
		"99 beams":                       {Model: m, Workers: 1, Beams: 99},
		"MTBF of -1s":                    {Model: m, Workers: 1, MTBF: -time.Second},
		"-1 bytes":                       {Model: m, Workers: 1, AdapterMemory: -1},
		"10000 windows decoded together": {Model: m, Workers: 1, SchedulerOptions: asr.SchedulerOptions{MaxWindows: 10000}},
	} {
		if _, err := Run(t.Context(), o, list()); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"p95=2s": {All, 0.95, 2 * time.Second}, "live:p99.9=300ms": {"live", 0.999, 300 * time.Millisecond},
	} {
		got, err := ParseTarget(text)
		if err != nil || math.Abs(got.Quantile-want.Quantile) > 1e-12 || got.Within != want.Within || got.Priority != want.Priority || got.String() != text {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "p95", "95=2s", "p0=1s", "p100=1s", "pNaN=1s", "p95=0s", "p95=x", "all:p95=1s", ":p95=1s"} {
		if _, err := ParseTarget(text); !errors.Is(err, ErrTarget) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzTrace checks that no trace and no costs do harm.
func FuzzTrace(f *testing.F) {
	f.Add(`{"at": 1, "seconds": 1}`)
	f.Add("{\"at\": 1, \"seconds\": 1}\n{\"at\": 2, \"seconds\": 3, \"priority\": \"bulk\", \"speech\": true}\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, after := 0, 0.0
		for a, err := range ReadTrace(strings.NewReader(text)) {
			if err != nil {
				if !errors.Is(err, ErrTrace) {
					t.Error(err)
				}
				return
			}
			if a.At < after || !(a.Seconds > 0) {
				t.Errorf("%+v behind %v", a, after)
			}
			after = a.At
			n++
		}
	})
}

// FuzzCosts checks that costs which are taken can be simulated.
func FuzzCosts(f *testing.F) {
	good, err := os.ReadFile("testdata/costs.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(`{"glossa_costs": 1, "models": [null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ReadCosts(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrCosts) {
				t.Error(err)
			}
			return
		}
		for _, m := range c.Models {
			r, err := Run(t.Context(), Options{Model: m, Workers: 2, Beams: 2}, list(
				Arrival{Seconds: 1, Language: "cs"}, Arrival{Seconds: 2, Detect: true, Language: "fi"}, Arrival{At: 1, Seconds: 3, Speech: true, Words: true}))
			if err != nil || r.Served != 3 {
				t.Errorf("%+v %v", r, err)
			}
		}
	})
}

// FuzzTarget checks that a target that is taken is written as it was read.
func FuzzTarget(f *testing.F) {
	f.Add("p95=2s")
	f.Add("bulk:p50=1m")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text)
		if err != nil {
			return
		}
		if target.Within <= 0 || !(target.Quantile > 0 && target.Quantile < 1) {
			t.Errorf("%q: %+v", text, target)
		}
	})
}
