package page_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"glossa/eval"
	"glossa/eval/page"
)

func newRandom(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 1)) }

// entry is an utterance as the page has it.
type entry struct {
	ID      string   `json:"id"`
	Ref     string   `json:"ref"`
	Words   []string `json:"words"`
	Clip    bool     `json:"clip"`
	Systems []struct {
		Adapter string   `json:"adapter"`
		Hyp     string   `json:"hyp"`
		Words   []string `json:"words"`
		Ops     string   `json:"ops"`
		Err     string   `json:"error"`
	} `json:"systems"`
}

// entries reads the utterances of a page.
func entries(t *testing.T, page string) []entry {
	t.Helper()
	found := regexp.MustCompile(`(?s)<script type="application/json" id="utterances-data">(.*?)</script>`).FindStringSubmatch(page)
	if found == nil {
		t.Fatal("the page has no utterances")
	}
	var all []entry
	if err := json.Unmarshal([]byte(found[1]), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// visible is a page without what its script reads, as text.
func visible(page string) string {
	page = regexp.MustCompile(`(?s)<(script|style)[ >].*?</(script|style)>`).ReplaceAllString(page, "")
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
}

func TestPageHoldsTheReport(t *testing.T) {
	d := example(t)
	got := write(t, d)
	if path := os.Getenv("GLOSSA_PAGE"); path != "" {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	text := visible(got)
	wants := []string{d.Title, "glossa 1", "levenshtein", d.Report.Resampling, fmt.Sprintf("%.1f%%", 100*d.Report.Total.WER)}
	for _, row := range d.Report.Rows {
		wants = append(wants, fmt.Sprintf("%.1f%%", 100*row.WER))
		if row.WERInterval != nil {
			wants = append(wants, fmt.Sprintf("%.1f–%.1f", 100*row.WERInterval[0], 100*row.WERInterval[1]))
		}
		if c := row.OverBase; c != nil {
			wants = append(wants, strings.ReplaceAll(fmt.Sprintf("%+.1f", 100*c.WER), "-", "−"))
		}
	}
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, id := range []string{"chart-wer", "chart-gain", "chart-histogram", "chart-latency"} {
		if !strings.Contains(got, `aria-labelledby="`+id+`-title `+id+`-desc"`) || !strings.Contains(got, `<title id="`+id+`-title">`) || !strings.Contains(got, `<desc id="`+id+`-desc">`) {
			t.Errorf("chart %s is not there, or not described", id)
		}
	}
	if n, want := strings.Count(got, `<rect class="bar `), len(d.Report.Rows)+2*12; n != want {
		t.Errorf("%d bars in two charts, want %d", n, want)
	}
	if again := write(t, d); again != got {
		t.Error("the same data gave another page")
	}
}

func TestPageHoldsTheUtterances(t *testing.T) {
	d := example(t)
	d.SoundBudget = 0
	all := entries(t, write(t, d))
	byID := make(map[string]entry)
	for _, e := range all {
		byID[e.ID] = e
	}
	if len(all) != len(byID) || len(all) < 100 {
		t.Fatalf("%d utterances of %d names", len(all), len(byID))
	}
	ja := byID["ja/00"]
	if got := strings.Join(ja.Words, " ") + " | " + strings.Join(ja.Systems[0].Words, " "); got != "今 日 は 月 曜 日 で す | 今 日 は 日 曜 日" || ja.Systems[0].Ops != "CCCSCCDD" {
		t.Errorf("%s %s", got, ja.Systems[0].Ops)
	}
	if en := byID["en/00"]; !en.Clip || len(en.Systems) != 2 || en.Systems[0].Adapter != "" || en.Systems[1].Adapter != "en" {
		t.Errorf("not the sound and both systems: %+v", en)
	}
	if byID["ar/00"].Clip {
		t.Error("sound where there is none")
	}
}

// TestPageNeedsNothingElse holds that the page refers to nothing outside it, and that its policy names its style and script.
func TestPageNeedsNothingElse(t *testing.T) {
	got := write(t, example(t))
	for _, what := range []string{" src=", "url(", "@import", "http://", "https://", "<link", " style=", " onclick", "javascript:"} {
		if strings.Contains(got, what) {
			t.Errorf("the page has %q", what)
		}
	}
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`).FindStringSubmatch(got)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src ") {
		t.Fatalf("the policy: %v", policy)
	}
	for kind, part := range map[string]string{"style-src": `(?s)<style>(.*?)</style>`, "script-src": `(?s)<script type="module">(.*?)</script>`} {
		found := regexp.MustCompile(part).FindAllStringSubmatch(got, -1)
		if len(found) != 1 {
			t.Fatalf("%d parts of %s", len(found), kind)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := kind + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(html.UnescapeString(policy[1]), want) {
			t.Errorf("the policy lacks %s", want)
		}
	}
}

// attacks are texts that would do harm as markup, script or JSON.
var attacks = []string{
	`</script><script>attacked = 1</script>`, `<!--<script>`, `"><img src=x onerror="attacked = 1">`, `'-attacked=1-'`, "\u2028attacked = 1\u2029", "`${attacked = 1}`",
	`{{.}}<utterances-data></utterances-data>`, `</title></style><svg onload=attacked=1>`, "\\u003c/script\\u003e", "\x00\xff", `&lt;b&gt;`, "\u202eabc", `<a href=javascript:attacked=1>`,
}

// hostile is a report whose every text is an attack.
func hostile(t *testing.T) page.Data {
	t.Helper()
	var outcomes []eval.Outcome
	for i, attack := range attacks {
		o := eval.Outcome{
			Pair: eval.Pair{ID: attack, Lang: attack, Detected: attack, Speaker: attack, Audio: attack, Reference: attack, Hypothesis: attack},
			Ref:  []string{attack, attack}, Hyp: []string{attack, attack}, Ops: []eval.Op{eval.Substitution, eval.Deletion, eval.Insertion},
			Words: eval.Counts{Substitutions: 1, Deletions: 1, Insertions: 1},
		}
		adapted, failed := o, o
		adapted.Adapter = attack
		failed.Adapter, failed.Err = attack+"2", attack
		outcomes = append(outcomes, o, adapted)
		if i%2 == 0 {
			outcomes = append(outcomes, failed)
		}
	}
	r := &eval.Report{Normaliser: attacks[0], Alignment: attacks[2]}
	for _, a := range attacks {
		row := eval.Row{Lang: a, Adapter: &a, OverBase: &eval.Comparison{System: a, Base: a}}
		row.WERInterval, row.Latency = &[2]float64{0, 1}, &eval.Latency{P50: 1, P95: 2, P99: 3}
		r.Rows = append(r.Rows, row)
		r.Comparisons = append(r.Comparisons, eval.Comparison{Lang: a, Base: a, System: a, Interval: [2]float64{-1, 1}})
		r.Confusions = append(r.Confusions, eval.Confusion{Lang: a, Ref: a, Hyp: a, Count: 1}, eval.Confusion{Lang: a, Ref: a, Count: 1})
	}
	media := append([]string{"audio/flac"}, attacks...)
	return page.Data{Title: attacks[0], Report: r, Outcomes: each(outcomes), Sound: func(o eval.Outcome) ([]byte, string, error) {
		i := strings.Index(strings.Join(attacks, "\n"), o.ID)
		return []byte("no sound"), media[i%len(media)], nil
	}}
}

// TestTextIsNoMarkup holds that what attacks say is in no element, attribute or script but as text.
func TestTextIsNoMarkup(t *testing.T) {
	got := write(t, hostile(t))
	for _, markup := range []string{"<script>", "<img", "<svg onload", "<!--", "</title></style>", "<a href=javascript", "<utterances-data>"} {
		if strings.Contains(got, markup) {
			t.Errorf("the page has %q", markup)
		}
	}
	if opened, closed := strings.Count(got, "<script "), strings.Count(got, "</script>"); opened != closed {
		t.Errorf("%d scripts begin, %d end", opened, closed)
	}
	if data := got[strings.Index(got, `id="utterances-data">`):]; strings.ContainsAny(data, "\u2028\u2029") {
		t.Error("lines of a script end where its texts do")
	}
	for i, e := range entries(t, got) {
		want := strings.ToValidUTF8(attacks[i], "\ufffd")
		if e.ID != want || e.Ref != want || e.Words[1] != want || e.Systems[1].Adapter != want || e.Systems[0].Hyp != want {
			t.Errorf("utterance %d is %+v, want %q", i, e, want)
		}
	}
}

// TestWhatThereIsNoRoomForIsLeftOut holds which utterances are kept of many, with all of their outcomes, and that the page says so.
func TestWhatThereIsNoRoomForIsLeftOut(t *testing.T) {
	const n, room = 5000, 40
	var outcomes []eval.Outcome
	random := newRandom(1)
	worst := make(map[string]bool)
	for i := range n {
		id := fmt.Sprintf("u%d", i)
		o := eval.Outcome{Pair: eval.Pair{ID: id}, Words: eval.Counts{Hits: 20, Substitutions: random.IntN(10)}}
		if i%250 == 7 { // 20 of them, by the adapter alone
			worst[id] = true
		}
		outcomes = append(outcomes, o)
	}
	for i := range n {
		o := eval.Outcome{Pair: eval.Pair{ID: fmt.Sprintf("u%d", i), Adapter: "a"}, Words: eval.Counts{Hits: 20}}
		if worst[o.ID] {
			o.Words.Insertions = 10 + i%7
		}
		outcomes = append(outcomes, o)
	}
	d := page.Data{Report: &eval.Report{}, Outcomes: each(outcomes), Utterances: room}
	got := write(t, d)
	all := entries(t, got)
	if len(all) < room-2 || len(all) > room {
		t.Fatalf("%d utterances in room for %d", len(all), room)
	}
	sample := 0
	for _, e := range all {
		if len(e.Systems) != 2 {
			t.Errorf("%s has %d outcomes", e.ID, len(e.Systems))
		}
		if !worst[e.ID] {
			sample++
		}
		delete(worst, e.ID)
	}
	if len(worst) != 0 || sample != len(all)-room/2 {
		t.Errorf("%d of those with the most errors are left out; %d others", len(worst), sample)
	}
	text := visible(got)
	want := fmt.Sprintf("There is room for %d of 10\u202f000 transcriptions: those of the 20 utterances with the most errors and of %d others, a random sample.", 2*len(all), sample)
	if !strings.Contains(text, want) {
		t.Errorf("the page does not say %q:\n%s", want, text)
	}

	d.Outcomes = each(append(outcomes[n:], outcomes[:n]...)) // in another order
	kept := make(map[string]bool)
	for _, e := range entries(t, write(t, d)) {
		kept[e.ID] = true
	}
	for _, e := range all {
		if !kept[e.ID] {
			t.Errorf("%s is left out when the outcomes come in another order", e.ID)
		}
	}
}

// TestManyOutcomesInLittleMemory holds that memory does not grow with the outcomes.
func TestManyOutcomesInLittleMemory(t *testing.T) {
	const n = 100_000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	words := strings.Fields("one two three four five six seven eight")
	before, most := heap(), int64(0)
	outcomes := func(yield func(eval.Outcome, error) bool) {
		for i := range n {
			o := eval.Outcome{Pair: eval.Pair{ID: fmt.Sprint(i), Reference: strings.Join(words, " ")}, Ref: words, Words: eval.Counts{Hits: 8, Insertions: i % 1000}}
			if !yield(o, nil) {
				return
			}
			if i%20_000 == 19_999 {
				most = max(most, heap()-before)
			}
		}
	}
	got := write(t, page.Data{Report: &eval.Report{}, Outcomes: outcomes, Utterances: 1000})
	if k := len(entries(t, got)); k < 990 || k > 1000 || most > 4<<20 {
		t.Errorf("%d utterances kept, %d bytes of memory for %d outcomes", k, most, n)
	}
	t.Logf("%d bytes of memory for %d outcomes", most, n)
}

func TestTextBudget(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	var outcomes []eval.Outcome
	for i := range 1000 {
		outcomes = append(outcomes, eval.Outcome{Pair: eval.Pair{ID: fmt.Sprint(i), Reference: long}, Words: eval.Counts{Deletions: 1}})
	}
	got := write(t, page.Data{Report: &eval.Report{}, Outcomes: each(outcomes), TextBudget: 200_000})
	if n := len(entries(t, got)); n < 15 || n > 20 {
		t.Errorf("%d utterances of 10 kB in 200 kB", n)
	}
}

// TestSoundBudget holds that the sound of the utterances with the most errors comes first, and that what cannot be had is left out alone.
func TestSoundBudget(t *testing.T) {
	var outcomes []eval.Outcome
	for i := range 40 {
		outcomes = append(outcomes, eval.Outcome{Pair: eval.Pair{ID: fmt.Sprint(i)}, Words: eval.Counts{Insertions: i}})
	}
	asked := 0
	got := write(t, page.Data{Report: &eval.Report{}, Outcomes: each(outcomes), SoundBudget: 1000, Sound: func(o eval.Outcome) ([]byte, string, error) {
		asked++
		switch o.ID {
		case "39":
			return nil, "", io.ErrUnexpectedEOF
		case "38":
			return []byte("x"), "text/html", nil
		}
		return bytes.Repeat([]byte{byte(asked)}, 120), "audio/wav", nil
	}})
	heard := 0
	for i, e := range entries(t, got) {
		if e.Clip != (i >= 30 && i < 38) {
			t.Errorf("utterance %d has sound: %v", i, e.Clip)
		}
		if e.Clip {
			heard++
			data := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(40 - i)}, 120))
			if want := fmt.Sprintf(`<script type="text/plain" id="clip-%d" data-media="audio/wav">%s</script>`, i, data); !strings.Contains(got, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
	}
	if heard != 8 || asked != 2+8+8 {
		t.Errorf("%d clips, %d read", heard, asked)
	}
	if want := "8 of 40 utterances have sound, first those with the most errors; that of 30 would exceed the 1000 bytes"; !strings.Contains(strings.ReplaceAll(visible(got), "\u202f", ""), want) {
		t.Errorf("the page does not say %q", want)
	}
	if want := "; that of 2 could not be read."; !strings.Contains(visible(got), want) {
		t.Errorf("the page does not say %q", want)
	}
}

func TestWriteFails(t *testing.T) {
	failed := errors.New("no more")
	broken := func(yield func(eval.Outcome, error) bool) { yield(eval.Outcome{}, failed) }
	if err := page.Write(io.Discard, page.Data{Report: &eval.Report{}, Outcomes: broken}); !errors.Is(err, failed) {
		t.Errorf("error %v, want that of the outcomes", err)
	}
	turn := 0
	once := func(yield func(eval.Outcome, error) bool) {
		if turn++; turn == 1 {
			yield(eval.Outcome{}, nil)
		}
	}
	if err := page.Write(io.Discard, page.Data{Report: &eval.Report{}, Outcomes: once}); !errors.Is(err, page.ErrOnce) {
		t.Errorf("error %v, want ErrOnce", err)
	}
	if err := page.Write(io.Discard, page.Data{}); err == nil {
		t.Error("a page of no report")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("SKIP: a file that is always full, absent: %v", err)
	}
	defer full.Close()
	if err := page.Write(full, example(t)); err == nil {
		t.Error("no error of a full disk")
	}
}

// TestEmptyReport holds that a report of nothing is a page.
func TestEmptyReport(t *testing.T) {
	got := write(t, page.Data{Report: &eval.Report{}})
	if !strings.Contains(visible(got), "There are no utterances in this report.") || strings.Contains(got, "<svg") {
		t.Error(visible(got))
	}
	if !strings.HasSuffix(got, "</html>\n") {
		t.Error("the page has no end")
	}
}
