package page_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glossa/asr/web/nodetest"
	"glossa/eval"
)

// TestReportInABrowser runs testdata/report.mjs in headless Chromium on reports that it opens from the disk. GLOSSA_SHOTS may name a
// folder for screenshots, and -short leaves the test out.
func TestReportInABrowser(t *testing.T) {
	modules := nodetest.Modules(t, nodetest.Playwright)
	environment := []string{"CHROMIUM=" + nodetest.Chromium(t), "PLAYWRIGHT=" + modules, "SHOTS=" + os.Getenv("GLOSSA_SHOTS")}
	dir := t.TempDir()
	d := example(t)
	d.SoundBudget = 0
	save := func(name, page string) {
		path := filepath.Join(dir, name+".html")
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		environment = append(environment, strings.ToUpper(name)+"="+path)
	}
	save("report", write(t, d))
	save("hostile", write(t, hostile(t)))

	var many []eval.Pair
	for i := range 10_000 {
		p := eval.Pair{ID: fmt.Sprintf("u%05d", i), Lang: "en", Reference: "one two three four five six", Hypothesis: mishear("one two three four five six", 0.2, newRandom(i))}
		adapted := p
		adapted.Adapter, adapted.Hypothesis = "en", p.Reference
		many = append(many, p, adapted)
	}
	d.Outcomes, d.Sound = each(scored(t, many)), nil
	save("many", write(t, d))

	nodetest.Report(t, nodetest.Output(t, 2*time.Minute, filepath.Join("testdata", "report.mjs"), environment...))
}
