package eval

import (
	"encoding/json"
	"testing"
)

func TestClasses(t *testing.T) {
	classes := NewClasses(map[string][]string{"names": {"Nováková", "New York"}, "places": {"York"}, ClassNumbers: nil, ClassForeignScript: nil}, nil)
	for _, p := range []Pair{
		{Lang: "cs", Reference: "Paní Nováková má 3 psy a mix", Hypothesis: "paní Novák má tři psy 2 микс"},
		{Lang: "cs", Reference: "Nováková", Hypothesis: "Nováková New"},
		{Lang: "cs", Adapter: "cs", Reference: "York 12", Hypothesis: "york"},
		{Lang: "ja", Reference: "東京タワーは333メートル", Hypothesis: "東京タワーは333 meter"},
		{Lang: "xx-unknown", Reference: "микс", Hypothesis: "mix"},
		{Lang: "", Reference: "микс", Hypothesis: "mix"},
		{Lang: "en", Reference: "(5) a", Hypothesis: "a"}, // not alternatives here
	} {
		o, err := Scorer{}.Score(p)
		if err != nil {
			t.Fatal(err)
		}
		classes.Add(o)
	}
	got, err := json.Marshal(classes.Rows())
	if err != nil {
		t.Fatal(err)
	}
	// By hand: "paní nováková má 3 psy a mix" is C S C S C S S against "paní novák má tři psy 2 микс"; ja: メートル, four units, for meter.
	const want = `[` +
		`{"lang":"cs","adapter":null,"class":"names","words":2,"hits":1,"substitutions":1,"deletions":0,"insertions":1,"wer":1},` +
		`{"lang":"cs","adapter":null,"class":"numbers","words":1,"hits":0,"substitutions":1,"deletions":0,"insertions":0,"wer":1},` +
		`{"lang":"cs","adapter":"cs","class":"names","words":1,"hits":1,"substitutions":0,"deletions":0,"insertions":0,"wer":0},` +
		`{"lang":"cs","adapter":"cs","class":"numbers","words":1,"hits":0,"substitutions":0,"deletions":1,"insertions":0,"wer":1},` +
		`{"lang":"cs","adapter":"cs","class":"places","words":1,"hits":1,"substitutions":0,"deletions":0,"insertions":0,"wer":0},` +
		`{"lang":"ja","adapter":null,"class":"numbers","words":1,"hits":1,"substitutions":0,"deletions":0,"insertions":0,"wer":0}]`
	if string(got) != want {
		t.Errorf("rows:\n%s\nwant:\n%s", got, want)
	}
}

// TestClassesOfForeignScript counts words by the script of the language, and inserted words by their own.
func TestClassesOfForeignScript(t *testing.T) {
	for _, c := range []struct {
		lang, ref, hyp string
		want           Counts
	}{
		{"hi", "मेरा iphone नया है", "मेरा iphone नया app है", Counts{Hits: 1, Insertions: 1}},
		{"ru", "это wifi и 5g", "это вайфай и 5g", Counts{Hits: 1, Substitutions: 1}},
		{"en", "café naïve λόγος", "café naïve", Counts{Deletions: 1}},
		{"ja", "東京タワーへgo", "東京タワーへgo", Counts{Hits: 1}},
		{"ko", "한국 韓國 k pop", "한국 韓國 pop", Counts{Hits: 1, Deletions: 1}},
		{"sr-Latn", "dobro добро", "dobro добро", Counts{Hits: 1}},
	} {
		o, err := Scorer{}.Score(Pair{Lang: c.lang, Reference: c.ref, Hypothesis: c.hyp})
		if err != nil {
			t.Fatal(err)
		}
		classes := NewClasses(map[string][]string{ClassForeignScript: nil}, nil)
		classes.Add(o)
		var got Counts
		for _, row := range classes.Rows() {
			if row.Class == ClassForeignScript {
				got = Counts{row.Hits, row.Substitutions, row.Deletions, row.Insertions}
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, %q: %+v, want %+v", c.lang, c.ref, c.hyp, got, c.want)
		}
	}
}
