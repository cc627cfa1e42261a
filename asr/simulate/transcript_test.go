package simulate

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the transcripts of testdata come to")

// TestTranscripts runs the transcripts of testdata: comments, then commands behind which stands, after ----, what they come to.
//
//	model NAME          one of costs.json
//	options NAME=N …    workers, slots, live-slots, windows, beams, adapter-memory, deliveries, seed; mtbf, lease, restart, broker=1s
//	arrive JSON         a line of a trace
//	run                 all that has arrived
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := transcript(t, string(before))
			if *update {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if after != string(before) {
				t.Errorf("%s comes to (with -update it is written)\n%s", file, after)
			}
		})
	}
}

// transcript returns a transcript with what its commands come to.
func transcript(t *testing.T, text string) string {
	var out strings.Builder
	o := Options{Workers: 1}
	var trace strings.Builder
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(part, "\n----")
		fmt.Fprintln(&out, commands)
		var came strings.Builder
		for line := range strings.Lines(commands) {
			word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "model":
				o.Model = costs(t, rest)
			case "options":
				setOptions(t, &o, strings.Fields(rest))
			case "arrive":
				fmt.Fprintln(&trace, rest)
			case "run":
				came.WriteString(runTranscript(t, o, trace.String()))
				trace.Reset()
			}
		}
		if came.Len() > 0 {
			fmt.Fprintf(&out, "----\n%s", &came)
		}
		fmt.Fprintln(&out)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func setOptions(t *testing.T, o *Options, words []string) {
	ints := map[string]*int{"workers": &o.Workers, "slots": &o.Slots, "live-slots": &o.LiveSlots, "windows": &o.MaxWindows, "beams": &o.Beams, "deliveries": &o.MaxDeliver}
	times := map[string]*time.Duration{"mtbf": &o.MTBF, "lease": &o.Lease, "restart": &o.Restart, "broker": &o.Broker}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		var err error
		switch {
		case ints[name] != nil:
			_, err = fmt.Sscan(value, ints[name])
		case times[name] != nil:
			*times[name], err = time.ParseDuration(value)
		case name == "adapter-memory":
			_, err = fmt.Sscan(value, &o.AdapterMemory)
		case name == "seed":
			_, err = fmt.Sscan(value, &o.Seed)
		default:
			t.Fatal("unknown option", w)
		}
		if err != nil {
			t.Fatal(w, err)
		}
	}
}

// runTranscript runs a simulation and tells what happens. Steps of the same windows are told once.
func runTranscript(t *testing.T, o Options, trace string) string {
	var out strings.Builder
	s := newSimulation(o.withDefaults())
	steps, last := 0, ""
	told := func() {
		if steps > 1 {
			fmt.Fprintf(&out, "          … %d times\n", steps)
		}
		steps = 0
	}
	s.transcript = func(at time.Duration, line string) {
		if line == last && strings.Contains(line, "steps") {
			steps++
			return
		}
		told()
		last, steps = line, 1
		fmt.Fprintf(&out, "%9.6f %s\n", at.Seconds(), line)
	}
	if err := s.run(t.Context(), ReadTrace(strings.NewReader(trace))); err != nil {
		t.Fatal(err)
	}
	told()
	return out.String()
}
